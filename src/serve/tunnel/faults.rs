//! What an end of a tunnel does wrongly, because somebody planted it, or because a check has it do so for a moment.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::model::fault::TunnelFault;

/// The faults that are planted in an end. None, unless a fault file says so.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planted: Mutex<Vec<TunnelFault>>,
    /// Whether it puts in whatever comes, so that the other end can be tried.
    widened: AtomicBool,
}

impl Faults {
    /// Whether this is planted.
    pub(super) fn has(&self, fault: TunnelFault) -> bool {
        self.planted.lock().unwrap_or_else(PoisonError::into_inner).contains(&fault)
    }

    /// Whether the end takes whatever comes out of the tunnel.
    pub(super) fn take_everything(&self) -> bool {
        [TunnelFault::OpenSelectors, TunnelFault::OpenOnArrival].into_iter().any(|it| self.has(it))
    }

    /// Whether it puts in also what it does not couple.
    pub(super) fn is_wide(&self) -> bool {
        self.widened.load(Ordering::Relaxed)
    }

    pub(super) fn widen(&self, wide: bool) {
        self.widened.store(wide, Ordering::Relaxed);
    }

    pub(super) fn plant(&self, fault: TunnelFault) {
        self.planted.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(super) fn mend(&self) {
        self.planted.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
