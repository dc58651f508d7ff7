//! What an end of a tunnel does wrongly, because somebody planted it.

use std::sync::{Mutex, PoisonError};

use crate::model::fault::TunnelFault;

/// The faults that are planted in an end. None, unless a fault file says so.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<TunnelFault>>);

impl Faults {
    /// Whether this is planted.
    pub(super) fn has(&self, fault: TunnelFault) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&fault)
    }

    pub(super) fn plant(&self, fault: TunnelFault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(super) fn mend(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
