//! Random moments that can be had again.

use std::{env, time::Duration};

/// A sequence that its seed determines (xorshift64).
pub(crate) struct Dice(u64);

impl Dice {
    /// From `SIXWALK_SEED`, or from the clock; the seed is printed.
    pub(crate) fn new() -> Self {
        let clock = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        let given = env::var("SIXWALK_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = given.unwrap_or(clock.subsec_nanos().into());
        println!("SIXWALK_SEED={seed}");
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// A moment before `bound`.
    pub(crate) fn moment(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(bound.as_micros()).expect("short")))
    }
}
