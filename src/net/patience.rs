//! Patience: time limits that stand still while this program itself is held up. On a busy machine an answer can be late
//! because nobody here got around to giving it or to reading it; that says nothing about the network.

use std::{
    future::Future,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

/// How often the pulse beats.
const BEAT: Duration = Duration::from_millis(10);
/// How late a beat may come on a machine that has nothing else to do.
const USUAL_DELAY: Duration = Duration::from_millis(5);

/// How long everything here was held up so far, in microseconds.
static HELD_UP_US: AtomicU64 = AtomicU64::new(0);
/// When the pulse last beat, in microseconds since `origin`.
static LAST_BEAT_US: AtomicU64 = AtomicU64::new(0);
/// The pulse, as long as its runtime lives.
static PULSE: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

/// The end of a wait.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    /// What was held up before the wait began.
    before: Duration,
}

/// A wait that came to its end without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time limit has passed")]
pub struct TooLate;

impl Deadline {
    /// A wait that begins now. Called within a tokio runtime.
    pub fn after(patience: Duration) -> Self {
        keep_pulse();
        Self { at: Instant::now() + patience, before: held_up() }
    }

    /// This one, or a shorter wait that begins now: whichever ends first.
    #[must_use]
    pub fn or_after(self, patience: Duration) -> Self {
        let other = Self::after(patience);
        if other.moment() < self.moment() { other } else { self }
    }

    /// Ends when the wait does.
    pub async fn passed(self) {
        while !self.has_passed() {
            // Without a pulse nothing would tell what was held up from what has passed: that of another runtime may be gone.
            keep_pulse();
            sleep_until(self.moment()).await;
        }
    }

    /// Whether the wait is over.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.moment()
    }

    /// The end as it is known now: it moves away while everything is held up.
    fn moment(self) -> Instant {
        self.at + held_up().saturating_sub(self.before)
    }
}

impl From<TooLate> for std::io::Error {
    fn from(error: TooLate) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, error)
    }
}

/// Measures how long something takes that is not this program's own: it stands still when time limits do.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    began: Instant,
    /// What was held up before it was started.
    before: Duration,
}

impl Stopwatch {
    /// Starts. Called within a tokio runtime.
    pub fn start() -> Self {
        keep_pulse();
        Self { began: Instant::now(), before: held_up() }
    }

    /// How long it has run.
    pub fn elapsed(self) -> Duration {
        self.began.elapsed().saturating_sub(held_up().saturating_sub(self.before))
    }
}

/// What comes of something, if it ends in time.
pub async fn within<T>(deadline: Deadline, work: impl Future<Output = T>) -> Result<T, TooLate> {
    tokio::select! {
        biased;
        result = work => Ok(result),
        () = deadline.passed() => Err(TooLate),
    }
}

/// Looks again and again until there is something, or the wait is over.
pub async fn until<T>(
    deadline: Deadline,
    between: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T, TooLate> {
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if deadline.has_passed() {
            return Err(TooLate);
        }
        keep_pulse();
        sleep(between).await;
    }
}

/// Notes that a task was held up for a time while the pulse went on: it stood still for a thread of its own, which a busy
/// machine did not start. What is usual is not counted.
pub(super) fn was_held_up(time: Duration) {
    const USUAL_FOR_A_THREAD: Duration = Duration::from_millis(20);
    if time > USUAL_FOR_A_THREAD {
        HELD_UP_US.fetch_add(micros(time), Ordering::Relaxed);
    }
}

fn keep_pulse() {
    let mut pulse = PULSE.lock().unwrap_or_else(PoisonError::into_inner);
    if pulse.as_ref().is_none_or(JoinHandle::is_finished) {
        LAST_BEAT_US.store(now_us(), Ordering::Relaxed);
        *pulse = Some(tokio::spawn(beat()));
    }
}

async fn beat() {
    loop {
        sleep(BEAT).await;
        let now = now_us();
        let late = lateness(LAST_BEAT_US.swap(now, Ordering::Relaxed), now);
        HELD_UP_US.fetch_add(late, Ordering::Relaxed);
    }
}

/// By how much a beat at `now` comes too late after the one before.
fn lateness(before_us: u64, now_us: u64) -> u64 {
    let usual = micros(BEAT + USUAL_DELAY);
    now_us.saturating_sub(before_us).saturating_sub(usual)
}

/// What has been held up until now, with the beat that is missing at this moment.
fn held_up() -> Duration {
    let missing = lateness(LAST_BEAT_US.load(Ordering::Relaxed), now_us());
    Duration::from_micros(HELD_UP_US.load(Ordering::Relaxed) + missing)
}

fn now_us() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    micros(ORIGIN.get_or_init(Instant::now).elapsed())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_wait_is_longer_by_what_was_held_up() {
        let (watch, deadline) = (Stopwatch::start(), Deadline::after(Duration::from_millis(100)));
        sleep(Duration::from_millis(20)).await;
        // Nobody else on this thread gets a turn.
        std::thread::sleep(Duration::from_millis(300));
        assert!(!deadline.has_passed(), "300 ms were not ours");
        assert!(watch.elapsed() < Duration::from_millis(200), "{:?}", watch.elapsed());
        let late = within(deadline, std::future::pending::<()>()).await;
        assert_eq!(late, Err(TooLate), "but the wait ends");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn it_is_looked_until_there_is_something_or_the_time_is_over() {
        let soon = || Deadline::after(Duration::from_secs(5));
        let mut looks = 0;
        let third = || {
            looks += 1;
            (looks == 3).then_some(looks)
        };
        assert_eq!(until(soon(), BEAT, third).await, Ok(3));
        let over = Deadline::after(Duration::ZERO);
        assert_eq!(until(over, BEAT, || None::<()>).await, Err(TooLate));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_ready_is_taken_even_after_the_end() {
        let deadline = Deadline::after(Duration::ZERO);
        assert_eq!(within(deadline, async { 7 }).await, Ok(7));
    }
}
