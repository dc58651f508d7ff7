//! The sandbox from outside: this program runs itself inside, kills itself, and looks for what is left.
//!
//! Without the test harness, because the harness has threads and the sandbox must be entered before the first.

#[path = "support/testbeds.rs"]
mod testbeds;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sixwalk::{
    lab::netns::{NetnsLab, enter, folder::FOLDERS},
    model::phase::Phase,
    net::{orphans, sandbox},
};
use testbeds::{leaves, stage};

/// What the program does when it runs itself inside.
const SCENES: [(&str, fn()); 4] = [
    ("describe", describe),
    ("end-on-sigterm", end_on_sigterm),
    ("hold-a-lab", hold_a_lab),
    ("reap-an-orphan", reap_an_orphan),
];

fn main() -> ExitCode {
    let scene = env::args().nth(1).unwrap_or_default();
    if let Some((_, play)) = SCENES.iter().find(|(name, _)| *name == scene) {
        match sandbox::enter(|_| 3) {
            Ok((inside, _)) => println!("rootless {}", inside.rootless),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
        play();
        return ExitCode::SUCCESS;
    }
    if scene == "enter" {
        return enter_a_node();
    }
    let root = nix::unistd::Uid::effective().is_root();
    for user in [User::Same, User::Other].into_iter().filter(|user| root || *user == User::Same) {
        let trial = Trial::new(user);
        trial.everything_inside_is_our_own();
        trial.a_closed_stdin_does_no_harm();
        trial.signals_and_exit_codes_are_handed_on();
        trial.sigkill_leaves_nothing();
        trial.a_program_from_outside_runs_in_a_node();
        trial.orphans_are_reaped_and_own_children_are_not();
        println!("sandbox as {user:?} ... ok");
    }
    ExitCode::SUCCESS
}

/// Runs a shell in the node `hub` of a lab and exits as it does.
fn enter_a_node() -> ExitCode {
    let lab = env::args().nth(2).and_then(|lab| lab.parse().ok()).expect("a process number");
    let hub = testbeds::name("hub");
    let mut shell = enter::command(lab, Path::new(FOLDERS), &hub, "sh".as_ref()).expect("a node");
    let script = "hostname 2>/dev/null || cat /proc/sys/kernel/hostname; cat /etc/resolv.conf /etc/hosts; \
                  ls /sys/class/net; ls; exit 5";
    let status = shell.args(["-c", script]).status().expect("it runs");
    ExitCode::from(u8::try_from(status.code().expect("a code")).expect("small"))
}

// --- inside ---------------------------------------------------------------------------------------------------------

fn describe() {
    println!("pid {}", std::process::id());
    println!("uid {}", nix::unistd::Uid::effective());
    let interfaces = fs::read_to_string("/proc/self/net/dev").expect("/proc is mounted");
    println!("interfaces {}", interfaces.lines().count() - 2);
    println!(
        "processes {}",
        fs::read_dir("/proc").expect("/proc").flatten().filter(is_process).count()
    );
    println!(
        "run {}",
        fs::read_dir("/run").expect("/run").flatten().filter(|e| e.file_name() != "user").count()
    );
    fs::write("written-inside", "x").expect("the folder of the caller can be written");
    std::process::exit(7);
}

fn is_process(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().chars().all(|c| c.is_ascii_digit())
}

fn end_on_sigterm() {
    use tokio::signal::unix::{SignalKind, signal};
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let mut term = signal(SignalKind::terminate()).expect("a handler");
        sandbox::let_signals_through().expect("our own signals");
        println!("ready");
        term.recv().await;
    });
    std::process::exit(9);
}

/// Holds a lab and a daemon in a session of its own, and waits to be killed.
#[allow(clippy::zombie_processes)] // everything here is killed together
fn hold_a_lab() {
    let lab =
        NetnsLab::build(&stage(&leaves(20), Phase::DualStack), Path::new(FOLDERS)).expect("a lab");
    lab.publish().expect("published");
    let first = lab.nodes().next().expect("a node");
    let folder = lab.folder(&first.name);
    folder.use_resolvers(&["2001:db8::53".parse().expect("an address")]).expect("written");
    folder
        .use_hosts(&[("::1".parse().expect("an address"), "localhost".to_owned())])
        .expect("written");
    let daemon =
        Command::new("sh").args(["-c", "setsid sleep 1000 & setsid sleep 1000 & wait"]).spawn();
    let _daemon = daemon.expect("a daemon");
    for node in lab.nodes() {
        let inode =
            node.namespace.run(|| fs::read_link("/proc/thread-self/ns/net")).expect("a link");
        println!("namespace {}", inode.display());
    }
    println!("ready");
    loop {
        thread::park();
    }
}

fn reap_an_orphan() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        tokio::spawn(orphans::reap());
        sandbox::let_signals_through().expect("our own signals");
        let mut own = tokio::process::Command::new("sh");
        // The grandchild outlives its parent and so becomes a child of PID 1.
        own.args(["-c", "sleep 0.2 & exit 3"]);
        let (mut child, _own) = orphans::spawn(&mut own).expect("a child");
        let status = child.wait().await.expect("our child is left to us");
        println!("own {}", status.code().expect("a code"));
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::read_dir("/proc").expect("/proc").flatten().filter(is_process).count() > 1 {
            assert!(Instant::now() < deadline, "the orphan is still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("reaped");
    });
}

// --- outside --------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    /// Whoever runs the test.
    Same,
    /// A user without a name and without rights.
    Other,
}

/// A folder that the user may write, with this program in it.
struct Trial {
    user: User,
    folder: tempfile::TempDir,
}

impl Trial {
    fn new(user: User) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder.path(), open).expect("a folder of ours");
        fs::copy(env::current_exe().expect("a path"), folder.path().join("program"))
            .expect("a copy");
        Self { user, folder }
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    fn command(&self, scene: &str) -> Command {
        let mut command = match self.user {
            User::Same => Command::new(self.program()),
            User::Other => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=12345", "--regid=12345", "--clear-groups"]);
                command.arg(self.program());
                command
            }
        };
        command.arg(scene).current_dir(self.folder.path()).stdout(Stdio::piped());
        command
    }

    fn everything_inside_is_our_own(&self) {
        let output = self.command("describe").output().expect("it runs");
        assert_eq!(output.status.code(), Some(7), "the inner exit code");
        let root = self.user == User::Same && nix::unistd::Uid::effective().is_root();
        let expected =
            format!("rootless {}\npid 1\nuid 0\ninterfaces 1\nprocesses 1\nrun 0\n", !root);
        let said = String::from_utf8_lossy(&output.stdout);
        // What /etc/resolv.conf links to may be the one thing in /run.
        assert_eq!(said.replace("run 1\n", "run 0\n"), expected);
        let written = self.folder.path().join("written-inside");
        assert!(written.exists(), "the file system is shared");
        fs::remove_file(written).expect("it is ours");
    }

    fn a_closed_stdin_does_no_harm(&self) {
        let mut command = Command::new("sh");
        let program = self.program();
        command.args(["-c", "exec \"$0\" describe <&-"]).arg(program);
        let output = command.current_dir(self.folder.path()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
        fs::remove_file(self.folder.path().join("written-inside")).expect("it is ours");
    }

    fn signals_and_exit_codes_are_handed_on(&self) {
        let (mut child, _) = self.begin("end-on-sigterm");
        kill(pid(&child), Signal::SIGTERM).expect("it lives");
        let status = wait(&mut child);
        assert_eq!(status.code(), Some(9), "the handler inside decided");
    }

    fn sigkill_leaves_nothing(&self) {
        let (mut child, said) = self.begin("hold-a-lab");
        let namespaces: BTreeSet<String> = said
            .iter()
            .filter_map(|line| line.strip_prefix("namespace ").map(str::to_owned))
            .collect();
        assert_eq!(namespaces.len(), 20);
        let family = self.family(&child);
        child.kill().expect("it lives");
        wait(&mut child);
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let alive: Vec<_> =
                family.iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect();
            let held: Vec<_> = held_namespaces().intersection(&namespaces).cloned().collect();
            if alive.is_empty() && held.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "left: processes {alive:?}, namespaces {held:?}");
            thread::sleep(Duration::from_millis(5));
        }
        let left: Vec<_> = fs::read_dir(self.folder.path()).expect("a folder").flatten().collect();
        assert_eq!(left.len(), 1, "only the program itself: {left:?}");
        assert!(!Path::new(FOLDERS).exists(), "the machine's /run has nothing of ours");
    }

    /// From outside, as `exec NODE -- CMD` does. Only in this user's own lab: the other user is not us.
    fn a_program_from_outside_runs_in_a_node(&self) {
        let (mut child, _) = self.begin("hold-a-lab");
        let lab: u32 = descendants(pid(&child))[0].parse().expect("a process number");
        let mut inside = match self.user {
            User::Same => Command::new(self.program()),
            User::Other => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid=12345", "--regid=12345", "--clear-groups"])
                    .arg(self.program());
                command
            }
        };
        let output =
            inside.args(["enter", &lab.to_string()]).current_dir(self.folder.path()).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            said, "hub\nnameserver 2001:db8::53\n::1\tlocalhost\neth0\nlo\nprogram\n",
            "{error}"
        );
        assert_eq!(output.status.code(), Some(5), "{error}");
        child.kill().expect("it lives");
        wait(&mut child);
    }

    fn orphans_are_reaped_and_own_children_are_not(&self) {
        let mut child = self.command("reap-an-orphan").spawn().expect("it runs");
        let status = wait(&mut child);
        let mut said = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
        assert!(status.success(), "{said}");
        assert!(said.ends_with("own 3\nreaped\n"), "{said}");
    }

    /// PID 1, a shell and two sleepers, once they are there.
    fn family(&self, child: &Child) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let family = descendants(pid(child));
            if family.len() >= 4 {
                return family;
            }
            assert!(Instant::now() < deadline, "{family:?} as {:?}", self.user);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts a scene and waits until it is ready.
    fn begin(&self, scene: &str) -> (Child, Vec<String>) {
        let mut child = self.command(scene).spawn().expect("it runs");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let said: Vec<_> = output
            .lines()
            .map(|line| line.expect("text"))
            .take_while(|line| line != "ready")
            .collect();
        (child, said)
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().expect("a process number"))
}

/// Waits with a deadline, so that a defect is a failure and not a standstill.
fn wait(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

fn descendants(of: Pid) -> Vec<String> {
    let list = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    let children = list.split_whitespace().map(str::to_owned);
    children
        .flat_map(|child| {
            let pid = Pid::from_raw(child.parse().expect("a process number"));
            std::iter::once(child).chain(descendants(pid))
        })
        .collect()
}

/// Every network namespace that some process is in or holds open.
fn held_namespaces() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten().filter(is_process);
    processes
        .flat_map(|process| {
            let fds = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            let fds = fds.map(|fd| fd.path());
            fds.chain([process.path().join("ns/net")]).collect::<Vec<_>>()
        })
        .filter_map(|path| Some(fs::read_link(path).ok()?.to_string_lossy().into_owned()))
        .collect()
}
