//! The program, started as root or as an ordinary user.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use sixwalk::record::StoredRun;

use crate::machine::{GATES, HOME, PROGRAM, TESTBED};

/// Where programs are; the folders of whoever runs the tests may be closed to others.
const PATH: &str = "/tmp:/usr/sbin:/usr/bin:/sbin:/bin";

/// Checks that ask something in every phase and need no long waits.
pub(crate) const QUICK: [&str; 6] = ["--only", "svc.*", "--only", "path.*", "--only", "in.*"];

/// Who starts the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Root of the machine that the test has made.
    Root,
    /// Somebody without any rights.
    Ordinary,
}

impl User {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Root, Self::Ordinary];

    /// The program, in a session of its own, with a home to work in.
    pub(crate) fn program(self) -> Command {
        self.command(PROGRAM)
    }

    /// Any program.
    pub(crate) fn command(self, program: &str) -> Command {
        let mut command = match self {
            Self::Root => Command::new(program),
            Self::Ordinary if is_really_root() => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
                command
            }
            // Root of a user namespace has nobody else to become, but may be called something else in another one.
            Self::Ordinary => {
                let mut command = Command::new("unshare");
                command.args(["-U", "--map-user=1000", "--map-group=1000", program]);
                command
            }
        };
        command
            .current_dir(HOME)
            .env_remove("HOME")
            .env_remove("CI")
            .env("PATH", PATH)
            .process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Whether root here is root of the machine as well, and not of a user namespace.
pub(crate) fn is_really_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("/proc is mounted");
    map.split_whitespace().last() == Some("4294967295")
}

/// The arguments of a walk through the small testbed.
pub(crate) fn walk(command: &mut Command, phases: &str) {
    command.arg("walk").arg(TESTBED).args(["--phases", phases, "--gates", GATES]).args(QUICK);
}

/// Waits with a deadline, so that a defect is a failure and not a standstill.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("it has not ended within {patience:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something is so.
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The run directories in the home, oldest first.
pub(crate) fn runs() -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(HOME).join("runs")).into_iter().flatten().flatten();
    let mut runs: Vec<_> = entries.map(|entry| entry.path()).collect();
    runs.sort();
    runs
}

/// The run that a walk has left, its path being the last line that it printed.
pub(crate) fn run_of(output: &Output) -> StoredRun {
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_else(|| panic!("{}", errors(output)));
    StoredRun::load(&Path::new(HOME).join(last)).expect("a run")
}

/// What the program said on stderr.
pub(crate) fn errors(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}
