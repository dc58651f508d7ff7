//! The sandbox: namespaces of our own, entered before the first thread exists, so that nothing of the lab is ever in the
//! machine's own.
//!
//! ```text
//! outer process ── forks ──> PID 1 of a new PID namespace, in mount, network and UTS namespaces of its own
//!   forwards signals          (and a user namespace around them, unless we are root); goes on as the program
//!   hands on the exit code,       tells the outer one what to say if it is killed
//!   or mourns
//! ```
//!
//! When the outer process dies, also by SIGKILL, the kernel kills PID 1, with it every process of the PID namespace, and
//! then takes all namespaces down: nothing has to be cleaned up.

use std::{
    fmt, fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getegid, geteuid, pipe2},
};

use super::crowding::Crowding;

/// What it is like inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// We came as an ordinary user and are root only in a user namespace: one user exists, and programs that change to
    /// another will fail.
    pub rootless: bool,
    /// `/sys` shows the lab's interfaces; where it does not, programs that read them there see the machine's.
    pub own_sysfs: bool,
    /// How many files may be open at once. A node of the lab holds four.
    pub open_files: u64,
}

/// What inside still knows of the outside: the outer process, and how crowded the machine is.
#[derive(Debug)]
pub struct Outside {
    ear: OwnedFd,
    crowding: Crowding,
}

impl Outside {
    /// Tells the outer process what it should know if this one is killed. A few words: nobody reads them before.
    pub fn tell(&self, words: &str) {
        // If nobody is left outside, we are about to end as well.
        let _ = nix::unistd::write(&self.ear, words.as_bytes());
    }

    /// The tables of neighbours that the lab shares with everything else on the machine.
    pub fn crowding(&self) -> Crowding {
        self.crowding.clone()
    }
}

/// A process inside that was killed by a signal which the outer one has not handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killed {
    /// The signal.
    pub signal: Signal,
    /// What it had told the outer process; empty if nothing.
    pub told: String,
}

/// Why the sandbox could not be entered. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Another thread exists already: a fault of the caller.
    #[error("the sandbox must be entered before the first thread is made")]
    Threads,
    /// The kernel gives ordinary users no user namespace.
    #[error("an ordinary user may not make a user namespace here: {why}; {cure}")]
    Refused {
        /// What forbids it.
        why: Obstacle,
        /// What the user can do.
        cure: String,
    },
    /// We are root, but without the right to make namespaces, as in most containers.
    #[error(
        "root may not make namespaces here ({source}): this looks like a container without the capability \
         CAP_SYS_ADMIN; start it with `--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt apparmor=unconfined`, \
         or run outside of the container"
    )]
    Container {
        /// What the kernel said.
        source: Errno,
    },
    /// A step inside failed.
    #[error("cannot {step}: {source}{hint}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
        /// What to do, where we know.
        hint: &'static str,
    },
}

/// What keeps an ordinary user from making a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A switch of the kernel has this value.
    Switch {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Something else, for example a container's filter of system calls.
    Unknown(Errno),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch { name, value } => write!(f, "{name} is {value}"),
            Self::Unknown(errno) => write!(f, "the kernel says `{errno}`"),
        }
    }
}

/// The switches that forbid user namespaces, with the value that forbids and the one that permits.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
];

/// Enters the sandbox. Returns in the process inside only: the outer one waits for it and exits as it does.
///
/// PID 1 gets no signal for which it has no handler, so the program must handle SIGINT and SIGTERM to be stopped by them.
/// Until it calls [`let_signals_through`] they are held back, so that none is lost before the handlers are there.
///
/// If the inner process is killed, `mourn` is called in the outer one, and says with which code to exit.
pub fn enter(mourn: impl FnOnce(Killed) -> i32) -> Result<(Inside, Outside), SandboxError> {
    let threads = fs::read_dir("/proc/self/task").map(Iterator::count);
    if threads.is_ok_and(|count| count != 1) {
        return Err(SandboxError::Threads);
    }
    let rootless = !geteuid().is_root();
    new_pid_namespace(rootless)?;
    let open_files = raise_limit_of_open_files();
    let (lifeline, outer_end) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(step("make a pipe"))?;
    let flags = nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK;
    let (ear, mouth) = pipe2(flags).map_err(step("make a pipe"))?;
    hold_signals().map_err(step("hold signals back"))?;
    // Only the machine's own network namespace shows them, and what is open stays readable.
    let crowding = Crowding::watch();
    // SAFETY: there is one thread (checked above), so the child may do whatever this process may.
    match unsafe { fork() }.map_err(step("fork"))? {
        ForkResult::Parent { child } => {
            drop((lifeline, mouth));
            let code = stand_outside(child)
                .unwrap_or_else(|signal| mourn(Killed { signal, told: heard(ear) }));
            drop(outer_end);
            process::exit(code)
        }
        ForkResult::Child => {
            drop((outer_end, ear));
            die_with_parent(&lifeline)
                .map_err(step("tie our life to that of the outer process"))?;
            let own_sysfs = furnish()?;
            Ok((Inside { rootless, own_sysfs, open_files }, Outside { ear: mouth, crowding }))
        }
    }
}

fn step(step: &'static str) -> impl Fn(Errno) -> SandboxError {
    move |errno| SandboxError::Step { step, source: errno.into(), hint: "" }
}

/// Makes the namespaces that the next child is born into.
fn new_pid_namespace(rootless: bool) -> Result<(), SandboxError> {
    if !rootless {
        return unshare(CloneFlags::CLONE_NEWPID)
            .map_err(|source| SandboxError::Container { source });
    }
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID).map_err(refused)?;
    let write = |file: &str, text: String| {
        fs::write(Path::new("/proc/self").join(file), text)
            .map_err(|error| refused(Errno::from_raw(error.raw_os_error().unwrap_or_default())))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// Finds out what stands in the way.
fn refused(errno: Errno) -> SandboxError {
    let value = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
        Some(text.trim().to_owned())
    };
    let closed = SWITCHES
        .into_iter()
        .find_map(|(name, closed, open)| (value(name)? == closed).then_some((name, closed, open)));
    match closed {
        Some((name, closed, open)) => SandboxError::Refused {
            why: Obstacle::Switch { name, value: closed.to_owned() },
            cure: format!("run it with sudo, or permit it with `sudo sysctl -w {name}={open}`"),
        },
        None => SandboxError::Refused {
            why: Obstacle::Unknown(errno),
            cure: "run it with sudo; inside a container, start that with `--cap-add SYS_ADMIN \
                   --cap-add NET_ADMIN --security-opt seccomp=unconfined`"
                .to_owned(),
        },
    }
}

/// Raises the soft limit to the hard one and says what it is now.
fn raise_limit_of_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// The signals that the outer process takes part in: those that end a program, those that stop and continue it, and the
/// news of its child.
const HELD: [Signal; 7] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGCHLD,
];

fn hold_signals() -> nix::Result<()> {
    let held: SigSet = HELD.into_iter().collect();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), None)
}

/// Lets the signals through to this thread that [`enter`] has held back: to be called once their handlers are there.
pub fn let_signals_through() -> io::Result<()> {
    let held: SigSet = HELD.into_iter().collect();
    Ok(sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&held), None)?)
}

/// What was told before the end.
fn heard(ear: OwnedFd) -> String {
    use io::Read;
    let mut words = Vec::new();
    // The end, or that there is nothing more for now: in both cases that is all.
    let _ = fs::File::from(ear).read_to_end(&mut words);
    String::from_utf8_lossy(&words).into_owned()
}

/// The life of the outer process: hands signals on until the inner one has ended, and says with which code to exit, or
/// which signal killed it that was not handed on.
fn stand_outside(child: Pid) -> Result<i32, Signal> {
    let held: SigSet = HELD.into_iter().collect();
    let mut handed_on = None;
    loop {
        match ended(child) {
            Some(End::Code(code)) => return Ok(code),
            Some(End::Killed(signal)) if handed_on == Some(signal) => {
                return Ok(128 + signal as i32);
            }
            Some(End::Killed(signal)) => return Err(signal),
            None => {}
        }
        let Ok((signal, from_terminal)) = next_signal(&held) else { continue };
        match signal {
            Signal::SIGCHLD => {}
            Signal::SIGTSTP => stop_together(child),
            // The terminal has sent it to every process of the group, the inner one included.
            other if from_terminal => handed_on = Some(other),
            other => {
                handed_on = Some(other);
                let _ = kill(child, other);
            }
        }
    }
}

/// Waits for a signal, and says whether the kernel sent it on behalf of the terminal.
fn next_signal(held: &SigSet) -> nix::Result<(Signal, bool)> {
    // SAFETY: an all-zero siginfo_t is a valid value of a plain C structure that the kernel fills in.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types for the duration of the call.
    let number = unsafe { libc::sigwaitinfo(held.as_ref(), &raw mut info) };
    let signal = Signal::try_from(Errno::result(number)?)?;
    Ok((signal, info.si_code == libc::SI_KERNEL))
}

/// Ctrl-Z: PID 1 ignores it, so it is stopped by the signal that nobody can ignore, and continued with us.
fn stop_together(child: Pid) {
    let _ = kill(child, Signal::SIGSTOP);
    let _ = raise(Signal::SIGSTOP);
    let _ = kill(child, Signal::SIGCONT);
}

/// How a child has ended.
enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Killed(Signal),
}

fn ended(child: Pid) -> Option<End> {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Some(End::Code(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Killed(signal)),
        Err(Errno::ECHILD) => Some(End::Code(1)),
        _ => None,
    }
}

/// Asks the kernel to kill this process when the outer one dies, and dies at once if that has happened already: then the
/// other end of the pipe is closed.
fn die_with_parent(lifeline: &OwnedFd) -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut fds = [PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)];
    if poll(&mut fds, PollTimeout::ZERO)? > 0 {
        process::exit(1);
    }
    Ok(())
}

/// Makes the remaining namespaces and mounts what belongs to them. Says whether `/sys` could be among it.
fn furnish() -> Result<bool, SandboxError> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)
        .map_err(step("make mount, network and UTS namespaces"))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(step("make the mounts private"))?;
    let bare = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), bare, none).map_err(|errno| SandboxError::Step {
        step: "mount a /proc for the lab",
        source: errno.into(),
        hint: "; in a container this is forbidden while parts of its /proc are masked: start it with \
               `--security-opt systempaths=unconfined`",
    })?;
    let own_sysfs = mount(Some("sysfs"), "/sys", Some("sysfs"), bare, none).is_ok();
    own_run().map_err(|source| SandboxError::Step {
        step: "mount a /run for the lab",
        source,
        hint: "",
    })?;
    Ok(own_sysfs)
}

/// Puts an empty `/run` over the machine's. What users keep there, such as sockets of their sessions, stays visible.
fn own_run() -> io::Result<()> {
    let users = fs::File::open("/run/user").ok();
    let none: Option<&str> = None;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), flags, Some("mode=755"))?;
    if let Some(users) = users {
        use std::os::fd::AsRawFd;
        fs::create_dir("/run/user")?;
        let seen = format!("/proc/self/fd/{}", users.as_raw_fd());
        mount(Some(seen.as_str()), "/run/user", none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
    }
    // Often a link into `/run`: something must be there for a node's own file to be mounted over.
    if let Ok(target) = fs::read_link("/etc/resolv.conf") {
        let target = Path::new("/etc").join(target);
        let folder = target.parent().unwrap_or(Path::new("/run"));
        if !target.exists() && fs::create_dir_all(folder).is_ok() {
            let _ = fs::File::create(&target);
        }
    }
    Ok(())
}

/// Whether a child of this process has ended and waits to be reaped, without reaping it.
pub(super) fn has_ended(child: Pid) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    matches!(waitid(Id::Pid(child), flags), Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threaded_process_may_not_enter() {
        // The test harness has threads, so this is such a process.
        assert!(matches!(enter(|_| 3), Err(SandboxError::Threads)));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let text = refused(Errno::EPERM).to_string();
        assert!(text.contains("sudo"), "{text}");
    }
}
