//! The pulse of the harness: whether it was late itself. On a busy machine, an answer may come in time and be looked at
//! too late; a probe during which that happened says nothing about the network.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};

/// How often the pulse beats.
const BEAT: Duration = Duration::from_millis(20);
/// A beat that comes later than this is noted.
const LATE: Duration = Duration::from_millis(150);
/// How many late beats are remembered: far more than a single probe can span.
const REMEMBERED: usize = 256;

/// Beats for as long as it lives, on the runtime that probes and services share.
#[derive(Debug)]
pub(super) struct Pulse {
    late: Arc<Mutex<VecDeque<(Instant, Instant)>>>,
    beating: JoinHandle<()>,
}

impl Pulse {
    pub(super) fn start() -> Self {
        let late = Arc::new(Mutex::new(VecDeque::new()));
        let noted = Arc::clone(&late);
        let beating = tokio::spawn(async move {
            loop {
                let before = Instant::now();
                tokio::time::sleep(BEAT).await;
                if before.elapsed() > BEAT + LATE {
                    let mut late = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    late.push_back((before, Instant::now()));
                    if late.len() > REMEMBERED {
                        late.pop_front();
                    }
                }
            }
        });
        Self { late, beating }
    }

    /// Whether the harness stood still at some time since then.
    pub(super) fn faltered_since(&self, then: Instant) -> bool {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.iter().any(|(_, until)| *until > then)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_runtime_that_stands_still_is_noticed() {
        let pulse = Pulse::start();
        tokio::time::sleep(BEAT * 2).await;
        let calm = Instant::now();
        // The test's runtime has one thread: blocking it is what a busy machine does.
        std::thread::sleep(LATE * 3);
        tokio::time::sleep(BEAT * 2).await;
        assert!(pulse.faltered_since(calm));
        assert!(!pulse.faltered_since(Instant::now()), "nothing can be late in the future");
    }
}
