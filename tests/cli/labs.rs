//! Labs that stay.

use std::{
    fs,
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    machine::{HOME, Machine, furnish},
    program::{User, errors, is_really_root, until, wait},
    support,
};

struct Lab {
    user: User,
    runs: String,
}

impl Lab {
    fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = self.user.program();
        let at = arguments.iter().position(|word| *word == "--").unwrap_or(arguments.len());
        command.args(&arguments[..at]).args(["--runs", &self.runs]).args(&arguments[at..]);
        command.output().expect("it runs")
    }

    /// What a command prints that succeeds.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", errors(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        errors(&output)
    }

    fn up(&self) -> String {
        self.told(&["up", "small.toml"]).trim_end().to_owned()
    }
}

#[test]
fn a_lab_stays_until_it_is_taken_down() {
    if !support::inside_sandbox("labs::a_lab_stays_until_it_is_taken_down") {
        return;
    }
    furnish();
    // Without real root, the ordinary user is one of a new user namespace each time, and cannot enter what is another's.
    let users = if is_really_root() { &User::ALL[..] } else { &[User::Root] };
    for &user in users {
        // The path of a control socket may have 107 octets; that of a run directory may have more.
        let deep = format!("/tmp/home/{}/runs", "a-long-name/".repeat(12));
        crate::machine::shell(&format!("mkdir -p {deep} && chmod -R a+rwX /tmp/home"));
        let before = Machine::look();
        a_session(&Lab { user, runs: deep });
        before.demand_again();
    }
}

fn a_session(lab: &Lab) {
    let run = lab.up();
    assert!(Path::new(&run).join("control.sock").exists(), "{run}");
    let status = lab.told(&["status"]);
    assert!(status.starts_with("Two LANs and a firewall\nIPv4-only phase, up for "), "{status}");
    assert!(
        status.contains("\n  web            10.2.0.")
            && status.ends_with("The kernel's state is as planned.\n"),
        "{status}"
    );

    // Programs run in a node, with its network, its name and their own exit code.
    assert_eq!(lab.told(&["exec", "web", "--", "uname", "-n"]), "web\n");
    let addresses = lab.told(&["exec", "web", "--", "ip", "-o", "address"]);
    assert!(addresses.contains("10.2.0.") && !addresses.contains("inet6"), "{addresses}");
    assert_eq!(lab.ask(&["exec", "web", "--", "sh", "-c", "exit 42"]).status.code(), Some(42));
    assert_eq!(
        lab.ask(&["exec", "web", "--", "sh", "-c", "kill -TERM $$"]).status.code(),
        Some(143)
    );
    let talk = lab.refused(&["exec", "wbe", "--", "true"]);
    assert_eq!(
        talk,
        "error: there is no node `wbe` (did you mean `web`?); the nodes are desk, fw, names, web\n"
    );
    // What is no program has the codes of shells, so that nobody takes them for the program's own.
    for (program, code, why) in [
        ("no-such-program", 127, "No such file or directory"),
        ("/etc/hosts", 126, "Permission denied"),
    ] {
        let output = lab.ask(&["exec", "web", "--", program]);
        assert_eq!(output.status.code(), Some(code), "{program}");
        let talk = errors(&output);
        let said = format!("error: cannot run `{program}` in the node: {why}");
        assert!(talk.starts_with(&said), "{talk}");
    }
    let mut shell = lab.user.program();
    shell
        .args(["shell", "desk", "--runs", &lab.runs])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped());
    let mut shell = shell.spawn().expect("it runs");
    // While a shell is open, others may ask.
    assert!(lab.told(&["status", "--json"]).starts_with('{'));
    std::io::Write::write_all(&mut shell.stdin.take().expect("a pipe"), b"uname -n; exit 7\n")
        .expect("it reads");
    let shell = shell.wait_with_output().expect("it ends");
    assert_eq!((shell.status.code(), shell.stdout.as_slice()), (Some(7), &b"desk\n"[..]));

    // Somebody who connects and asks nothing keeps nobody waiting.
    let folder = fs::File::open(&run).expect("the run directory");
    let socket = format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd());
    let _silent = UnixStream::connect(socket).expect("the lab listens");

    // Forwards, with questions, and back.
    let status = lab.told(&["phase", "dual-stack"]);
    assert!(status.contains("\nDual-stack phase, ") && status.contains("2001:db8:2::"), "{status}");
    assert!(lab.told(&["exec", "web", "--", "ip", "-o", "address"]).contains("2001:db8:2::"));
    let checked = lab.told(&["check", "--only", "svc.*"]);
    assert!(checked.ends_with(" 0 findings in the Dual-stack phase\n"), "{checked}");
    let json: Value =
        serde_json::from_str(&lab.told(&["check", "--only", "svc.*", "--json"])).expect("JSON");
    assert_eq!(json["phase"], "dual-stack");
    assert!(!json["judgements"].as_array().expect("judgements").is_empty());
    let talk = lab.refused(&["check", "--only", "svc.lisen-families"]);
    assert!(talk.contains("did you mean `svc.listen-families`?"), "{talk}");
    let status: Value =
        serde_json::from_str(&lab.told(&["phase", "ipv4-only", "--json"])).expect("JSON");
    assert_eq!(
        (status["phase"].as_str(), status["deviations"].as_array().map(Vec::len)),
        (Some("ipv4-only"), Some(0))
    );
    assert!(!lab.told(&["exec", "web", "--", "ip", "-o", "address"]).contains("inet6"));

    // Somebody breaks it, and the status says so.
    lab.told(&["exec", "web", "--", "ip", "address", "flush", "dev", "eth0"]);
    let status = lab.ask(&["status"]);
    assert_eq!(status.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&status.stdout).contains(" differences to the plan:\n"));

    lab.told(&["down"]);
    let talk = lab.refused(&["down"]);
    assert!(talk.starts_with("error: no lab is up in "), "{talk}");
    assert!(Path::new(&run).join("run.json").exists(), "the run directory stays");
    assert!(!Path::new(&run).join("control.sock").exists());
}

#[test]
fn two_labs_stand_side_by_side_and_one_may_die() {
    if !support::inside_sandbox("labs::two_labs_stand_side_by_side_and_one_may_die") {
        return;
    }
    furnish();
    let before = Machine::look();
    let lab = Lab { user: User::Ordinary, runs: "runs".to_owned() };
    let (first, second) = (lab.up(), lab.up());
    assert_ne!(first, second);
    lab.told(&["phase", "ipv6-only", "--lab", &first]);
    let phase = |lab_at: &str| {
        let status: Value =
            serde_json::from_str(&lab.told(&["status", "--json", "--lab", lab_at])).expect("JSON");
        status["phase"].as_str().expect("a phase").to_owned()
    };
    assert_eq!((phase(&first).as_str(), phase(&second).as_str()), ("ipv6-only", "ipv4-only"));
    // The newest is meant when none is named.
    assert!(lab.told(&["status"]).contains("\nIPv4-only phase, "));

    let pid = outer_process_of(&second);
    kill(pid, Signal::SIGKILL).expect("it lives");
    until("the end of the lab", || {
        (lab.ask(&["status", "--lab", &second]).status.code() == Some(2)).then_some(())
    });
    let talk = lab.refused(&["status", "--lab", &second]);
    assert!(
        talk.contains("no lab answers in") && talk.contains("`sixwalk up` starts one"),
        "{talk}"
    );
    // The one that lives is found without a name.
    assert!(lab.told(&["status"]).contains("\nIPv6-only phase, "));
    lab.told(&["down"]);
    before.demand_again();
}

/// The process that stands outside of a lab: the one whose child writes the journal.
fn outer_process_of(run: &str) -> Pid {
    let journal = Path::new(run).join("journal.jsonl");
    let writes = |child: &str| {
        let fds = fs::read_dir(format!("/proc/{child}/fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path.ends_with(&journal))
    };
    let is_outer = |pid: &i32| {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        children.unwrap_or_default().split_whitespace().any(writes)
    };
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Pid::from_raw(numbers.find(is_outer).expect("the lab's outer process"))
}

#[test]
fn a_lab_in_the_foreground_ends_on_ctrl_c_and_one_without_a_starter_does_not_stay() {
    if !support::inside_sandbox(
        "labs::a_lab_in_the_foreground_ends_on_ctrl_c_and_one_without_a_starter_does_not_stay",
    ) {
        return;
    }
    furnish();
    let before = Machine::look();
    let mut child = User::Ordinary
        .program()
        .args(["up", "small.toml", "--foreground"])
        .spawn()
        .expect("it runs");
    let lab = Lab { user: User::Ordinary, runs: "runs".to_owned() };
    until("the lab", || lab.ask(&["status"]).status.success().then_some(()));
    kill(Pid::from_raw(child.id().try_into().expect("a number")), Signal::SIGINT)
        .expect("it lives");
    assert_eq!(wait(&mut child, Duration::from_secs(10)).code(), Some(0));
    before.demand_again();

    // Whoever interrupts `up` before it has said where the lab is wants no lab.
    let mut starter = User::Ordinary.program().args(["up", "small.toml"]).spawn().expect("it runs");
    let known = fs::read_dir(Path::new(HOME).join("runs")).expect("a folder").count();
    until("a second run", || {
        (fs::read_dir(Path::new(HOME).join("runs")).ok()?.count() > known).then_some(())
    });
    starter.kill().expect("it lives");
    wait(&mut starter, Duration::from_secs(10));
    before.demand_again();
}

#[test]
fn a_lab_that_cannot_be_built_is_told_by_up() {
    if !support::inside_sandbox("labs::a_lab_that_cannot_be_built_is_told_by_up") {
        return;
    }
    furnish();
    let output = User::Ordinary
        .program()
        .args(["up", "small.toml", "--runs", "/proc/none"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors(&output).contains("error: cannot make the run directory /proc/none"),
        "{}",
        errors(&output)
    );
    assert!(output.stdout.is_empty());
}
