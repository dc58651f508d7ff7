//! What an end of a tunnel counts: packets and octets of the inside, both ways.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use crate::model::tunnel::{Traffic, TunnelCounters};

/// What an end of a tunnel counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: Count,
    pub(super) received: Count,
    /// Packets that no selector lets through.
    refused: AtomicU64,
    handshakes: AtomicU64,
    handshake: Mutex<Option<Instant>>,
}

/// Packets and octets.
#[derive(Debug, Default)]
pub(super) struct Count {
    packets: AtomicU64,
    octets: AtomicU64,
}

impl Count {
    pub(super) fn add(&self, octets: usize) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(octets as u64, Ordering::Relaxed);
    }

    fn read(&self) -> Traffic {
        Traffic {
            packets: self.packets.load(Ordering::Relaxed),
            octets: self.octets.load(Ordering::Relaxed),
        }
    }
}

impl Counters {
    /// Counts a packet that no selector lets through.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a handshake that has just been completed.
    pub(super) fn note_handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        *self.handshake.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn read(&self) -> TunnelCounters {
        let handshake = *self.handshake.lock().unwrap_or_else(PoisonError::into_inner);
        let age = handshake.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        TunnelCounters {
            handshakes: self.handshakes.load(Ordering::Relaxed),
            handshake_age_ms: age,
            sent: self.sent.read(),
            received: self.received.read(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}
