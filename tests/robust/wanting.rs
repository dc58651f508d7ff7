//! Want: of room, rights, files, devices, listeners. A clear sentence with the next step, and nothing that was measured
//! is lost.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Output, Stdio},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sixwalk::record::StoredRun;

use crate::{
    machine::{GATES, HOME, Machine, PROGRAM, TESTBED, furnish, open_to_all, shell},
    program::{User, errors, run_of, runs, until, walk},
    support,
};

const NONE: Option<&str> = None;

#[test]
fn a_full_disk_keeps_what_was_written() {
    if !support::inside_sandbox("wanting::a_full_disk_keeps_what_was_written") {
        return;
    }
    furnish();
    let folder = Path::new("/tmp/small-disk");
    fs::create_dir(folder).expect("a folder");
    let mut failed = Vec::new();
    for kilobytes in [4, 24, 64, 88, 112, 140, 170, 210, 260, 400, 16_384] {
        let size = format!("size={kilobytes}k,mode=777");
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))
            .expect("a small disk");
        let mut command = User::Ordinary.program();
        walk(&mut command, "ipv4-only,dual-stack");
        let output = command.arg("--runs").arg(folder).output().expect("it runs");
        let said = errors(&output);
        let left = all_below(folder);
        println!("{kilobytes} kB: {}, {left:?}", output.status);
        if output.status.code() == Some(2) {
            assert!(said.contains("No space left on device"), "{said}");
            assert!(said.contains("choose another place with --runs DIR"), "{said}");
            failed.push(kilobytes);
        } else {
            assert_eq!(output.status.code(), Some(0), "{said}");
        }
        for run in fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
            if run.join("run.json").exists() {
                StoredRun::load(&run).expect("what was measured can be read");
                assert!(
                    said.contains(&run.display().to_string()) || output.status.success(),
                    "{said}"
                );
            }
        }
        umount2(folder, MntFlags::MNT_DETACH).expect("our own");
    }
    assert!(failed.len() >= 5, "the sizes do not meet the stages of a run any more: {failed:?}");
    assert!(!failed.contains(&16_384), "the largest disk has room for a whole run");
}

fn all_below(folder: &Path) -> Vec<String> {
    let found = shell(&format!("cd {} && find . -type f | sort", folder.display()));
    found.lines().map(str::to_owned).collect()
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    if !support::inside_sandbox("wanting::a_place_that_cannot_be_written_is_named") {
        return;
    }
    furnish();
    // Somebody else's folder.
    let closed = Path::new("/tmp/closed");
    fs::create_dir(closed).expect("a folder");
    mount(Some("tmpfs"), closed, Some("tmpfs"), MsFlags::MS_RDONLY, NONE)
        .expect("a read-only place");
    let places = ["/tmp/closed/runs", "/proc/runs", TESTBED];
    for place in places {
        let output = User::Ordinary
            .program()
            .args(["walk", TESTBED, "--runs", place])
            .output()
            .expect("it runs");
        demand(
            &output,
            &["cannot make the run directory", place, "choose another place with --runs DIR"],
        );
    }
    // A working directory that cannot be written is no reason to fail when the runs go elsewhere.
    let mut command = User::Ordinary.program();
    walk(&mut command, "ipv4-only");
    command.args(["--runs", "/tmp/home/elsewhere"]).current_dir(closed);
    assert_eq!(command.output().expect("it runs").status.code(), Some(0));
    let mut command = User::Ordinary.program();
    walk(&mut command, "ipv4-only");
    demand(&command.current_dir(closed).output().expect("it runs"), &["--runs DIR"]);
}

/// Exit code 2, and a sentence that says all this.
fn demand(output: &Output, words: &[&str]) {
    let said = errors(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}? {said}");
    }
}

#[test]
fn a_run_directory_that_vanishes_is_told() {
    if !support::inside_sandbox("wanting::a_run_directory_that_vanishes_is_told") {
        return;
    }
    furnish();
    let before = Machine::look();
    let mut command = User::Root.program();
    walk(&mut command, "ipv4-only,dual-stack,ipv6-only");
    let child = command.spawn().expect("it runs");
    let run = until("the run", || runs().pop().filter(|run| run.join("run.json").exists()));
    until("the end of the run directory", || fs::remove_dir_all(&run).ok());
    let output = child.wait_with_output().expect("it ends");
    demand(&output, &["has somebody removed the run directory?"]);
    assert!(!errors(&output).contains("the record so far is in"));
    before.demand_again();
}

#[test]
fn a_limit_of_open_files_is_met_in_order() {
    if !support::inside_sandbox("wanting::a_limit_of_open_files_is_met_in_order") {
        return;
    }
    furnish();
    for limit in [12, 24, 40, 64, 256] {
        let mut command = User::Ordinary.command("prlimit");
        command.arg(format!("--nofile={limit}:{limit}")).arg(PROGRAM);
        walk(&mut command, "ipv4-only,dual-stack");
        let output = command.output().expect("it runs");
        let said = errors(&output);
        println!("limit {limit}: {}\n{said}", output.status);
        match output.status.code() {
            Some(0) => assert!(limit > 24, "a limit of {limit} is too low for any lab"),
            Some(2) => {
                let clear = ["ulimit -n", "Too many open files", "open files"];
                assert!(clear.iter().any(|word| said.contains(word)), "{said}");
            }
            code => panic!("limit {limit}: {code:?} {said}"),
        }
    }
}

#[test]
fn a_machine_without_tun_or_user_namespaces_is_told_what_to_do() {
    if !support::inside_sandbox(
        "wanting::a_machine_without_tun_or_user_namespaces_is_told_what_to_do",
    ) {
        return;
    }
    furnish();
    if Path::new("/dev/net").exists() {
        mount(Some("tmpfs"), "/dev/net", Some("tmpfs"), MsFlags::empty(), NONE)
            .expect("nothing there");
    }
    let output = User::Root.program().arg("doctor").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(
            "/dev/net/tun: No such file or directory (os error 2); nothing of the default walk needs it"
        ),
        "{said}"
    );
    let mut command = User::Root.program();
    walk(&mut command, "ipv4-only");
    assert_eq!(command.output().expect("it runs").status.code(), Some(0), "a walk without TUN");

    // In a user namespace of its own, the switch that forbids more of them can be set without touching the machine's.
    let forbid = |arguments: &str| {
        let script =
            format!("echo 0 >/proc/sys/user/max_user_namespaces; exec {PROGRAM} {arguments}");
        let mut command = std::process::Command::new("unshare");
        command.args([
            "-U",
            "--map-user=1000",
            "--map-group=1000",
            "--keep-caps",
            "sh",
            "-c",
            &script,
        ]);
        command.current_dir(HOME).output().expect("it runs")
    };
    demand(
        &forbid(&format!("walk {TESTBED} --phases ipv4-only")),
        &[
            "an ordinary user may not make a user namespace here: user.max_user_namespaces is 0",
            "run it with sudo, or permit it with `sudo sysctl -w user.max_user_namespaces=15000`",
        ],
    );
    let output = forbid("doctor");
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("NO   namespaces of its own"), "{said}");
    assert!(said.contains("sysctl -w user.max_user_namespaces=15000"), "{said}");
    assert!(said.ends_with("The default walk cannot run here; see the lines with NO.\n"), "{said}");
}

#[test]
fn nobody_who_listens_is_no_reason_to_fail() {
    if !support::inside_sandbox("wanting::nobody_who_listens_is_no_reason_to_fail") {
        return;
    }
    furnish();
    for closing in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", "| head -c 1 >/dev/null"] {
        let walk = format!(
            "/tmp/sixwalk walk {TESTBED} --phases ipv4-only --only 'svc.*' --gates {GATES} {closing}"
        );
        let mut command = User::Ordinary.command("sh");
        let output = command.args(["-c", &walk]).output().expect("a shell");
        assert_eq!(output.status.code(), Some(0), "{closing}: {}", errors(&output));
        let run = runs().pop().expect("a run");
        assert!(StoredRun::load(&run).expect("a run").run.is_complete(), "{closing}");
        assert!(run.join("report.html").exists(), "{closing}");
    }
    // Data that cannot be written is an error, said in a sentence.
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let output =
        User::Ordinary.program().arg("checks").stdout(Stdio::from(full)).output().expect("it runs");
    demand(&output, &["cannot write to standard output: No space left on device"]);
    for arguments in ["walk /tmp/none.toml", "walk --phases nine"] {
        let script = format!("/tmp/sixwalk {arguments} 2>/dev/full");
        let output = User::Ordinary.command("sh").args(["-c", &script]).output().expect("a shell");
        assert_eq!(output.status.code(), Some(2), "an error that nobody can hear: {arguments}");
    }
}

#[test]
fn a_run_directory_may_have_any_name() {
    if !support::inside_sandbox("wanting::a_run_directory_may_have_any_name") {
        return;
    }
    furnish();
    let name = std::ffi::OsStr::from_bytes(b"it's \xff; $(touch bad)\nruns");
    let folder = Path::new(HOME).join(name);
    fs::create_dir(&folder).expect("a folder");
    open_to_all(&folder);
    let mut command = User::Ordinary.program();
    walk(&mut command, "ipv4-only");
    let output = command.arg("--runs").arg(&folder).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let run = fs::read_dir(&folder).expect("a folder").flatten().next().expect("a run").path();
    assert!(run.join("report.md").exists());
    let mut command = User::Ordinary.program();
    walk(&mut command, "ipv4-only");
    assert!(run_of(&command.output().expect("it runs")).run.is_complete());
}
