//! The duty of PID 1: processes whose parent has ended become its children, and somebody must wait for them.
//!
//! It must not wait for children that the program itself has started: whoever started them does that. So those are known
//! here, from before they can end.

use std::{
    collections::BTreeSet,
    fs, io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::{
        signal::{SigSet, SigmaskHow, sigprocmask},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use super::sandbox::has_ended;

/// Our own children: reaping is for those who started them.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn own() -> MutexGuard<'static, BTreeSet<i32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child of our own; forgotten when dropped, which must be after somebody has waited for it.
#[derive(Debug)]
pub struct Own(i32);

impl Drop for Own {
    fn drop(&mut self) {
        own().remove(&self.0);
    }
}

/// Starts a child so that it is never taken for an orphan. No orphan is reaped between its start and the moment when it
/// is known.
///
/// It begins with no signal held back, other than the thread that starts it.
pub fn spawn(command: &mut tokio::process::Command) -> io::Result<(tokio::process::Child, Own)> {
    let unmask = || Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?);
    // SAFETY: between fork and exec the closure makes one system call and nothing else.
    unsafe { command.pre_exec(unmask) };
    let mut known = own();
    let child = command.spawn()?;
    let pid =
        child.id().and_then(|id| i32::try_from(id).ok()).expect("a child that was just started");
    known.insert(pid);
    Ok((child, Own(pid)))
}

/// Waits for orphans for as long as the program runs. For PID 1 of the sandbox; needs a tokio runtime.
pub async fn reap() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut news = signal(SignalKind::child())?;
    while news.recv().await.is_some() {
        reap_once();
    }
    Ok(())
}

/// Waits for every orphan that has ended, and says how many that were.
pub fn reap_once() -> usize {
    let known = own();
    let orphans = children().filter(|pid| !known.contains(&pid.as_raw()));
    let ended = orphans.filter(|pid| has_ended(*pid));
    ended.filter_map(|pid| waitpid(pid, Some(WaitPidFlag::WNOHANG)).ok()).count()
}

/// The children of every thread of this process.
fn children() -> impl Iterator<Item = Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.flat_map(|thread| {
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.map(Pid::from_raw).collect::<Vec<_>>()
    })
}
