//! Ctrl-C and its like: an end in order, soon, with a report of what was done.

use std::{
    fmt::Write,
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{SigHandler, Signal, kill, signal},
    unistd::Pid,
};
use sixwalk::{record::StoredRun, report::run::Ending};

use crate::{
    dice::Dice,
    machine::{HOME, Machine, furnish},
    program::{User, errors, run_of, runs, until, wait, walk},
    support,
};

#[test]
fn an_interrupted_walk_ends_in_order() {
    if !support::inside_sandbox("stopped::an_interrupted_walk_ends_in_order") {
        return;
    }
    furnish();
    // Who runs the tests with `nohup` has them ignore SIGHUP, and a shell without job control has what it starts in the background
    // ignore SIGINT: what they start would heed that, up to the moment at which it takes signals itself.
    for ignored in [Signal::SIGHUP, Signal::SIGINT] {
        // SAFETY: no handler is installed; the signal is treated as for every new process.
        unsafe { signal(ignored, SigHandler::SigDfl) }.expect("a signal that may be treated");
    }
    let mut dice = Dice::new();
    let before = Machine::look();
    let ways = [
        (Signal::SIGINT, 1),
        (Signal::SIGINT, -1),
        (Signal::SIGTERM, 1),
        (Signal::SIGTERM, -1),
        (Signal::SIGHUP, 1),
    ];
    for (at, (signal, to)) in ways.into_iter().cycle().take(10).enumerate() {
        let user = User::ALL[at % 2];
        // Some moments are spread over the walk, some are among its first milliseconds.
        // Twice two seconds of duplicate address detection are the least that the walk takes.
        let within = if at < 6 { Duration::from_millis(3_500) } else { Duration::from_millis(60) };
        stop_one(user, signal, to, dice.moment(within));
        before.demand_again();
    }
}

fn stop_one(user: User, signal: Signal, to: i32, moment: Duration) {
    let known = runs().len();
    let mut command = user.program();
    walk(&mut command, "ipv4-only,dual-stack,ipv6-only,dual-stack,ipv4-only,dual-stack,ipv6-only");
    let mut child = command.spawn().expect("it runs");
    thread::sleep(moment);
    let pid = i32::try_from(child.id()).expect("a process number");
    let asked = Instant::now();
    println!(
        "{user:?}: {signal} to {} after {moment:?}",
        if to < 0 { "the group" } else { "the outer process" }
    );
    kill(Pid::from_raw(to * pid), signal).expect("it lives");
    let status = wait(&mut child, Duration::from_secs(15));
    println!("  ended {:?} later: {status}", asked.elapsed());
    let new: Vec<_> = runs().split_off(known);
    if status.signal() == Some(signal as i32) {
        assert!(new.is_empty(), "it ended without order though it had begun: {new:?}");
        return;
    }
    assert_eq!(status.code(), Some(2));
    let [run] = new.as_slice() else { panic!("one run, not {new:?}") };
    let stored = StoredRun::load(run).expect("a run that can be read");
    let Ending::Interrupted { reason, .. } = &stored.run.outcome else {
        panic!("{:?}", stored.run.outcome)
    };
    assert!(reason.starts_with("stopped by request, in the "), "{reason}");
    for report in ["report.md", "report.html"] {
        let text = fs::read_to_string(run.join(report)).expect(report);
        assert!(text.contains("This run is incomplete."), "{report}");
    }
    let sums = std::process::Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(run)
        .status();
    assert!(sums.expect("sha256sum").success());
}

#[test]
fn what_was_measured_in_a_phase_that_was_cut_off_is_kept() {
    if !support::inside_sandbox("stopped::what_was_measured_in_a_phase_that_was_cut_off_is_kept") {
        return;
    }
    furnish();
    // Every check: some of their questions wait for seconds for answers that must not come.
    let child = User::Ordinary.program().args(["walk", "small.toml"]).spawn().expect("it runs");
    let evidence = until("evidence", || {
        let evidence = runs().pop()?.join("evidence.jsonl");
        fs::metadata(&evidence).is_ok_and(|file| file.len() > 0).then_some(evidence)
    });
    let pid = Pid::from_raw(child.id().try_into().expect("a process number"));
    kill(pid, Signal::SIGINT).expect("it lives");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("incomplete: stopped by request, in the IPv4-only phase\n"), "{said}");
    let stored = run_of(&output);
    assert!(evidence.starts_with(&stored.path));
    assert!(stored.run.phases.is_empty() && !stored.evidence.is_empty());
}

#[test]
fn a_second_interrupt_ends_at_once() {
    if !support::inside_sandbox("stopped::a_second_interrupt_ends_at_once") {
        return;
    }
    furnish();
    // A lab that takes seconds to build, during which no order to end can be obeyed.
    let testbed = Path::new(HOME).join("wide.toml");
    fs::write(&testbed, wide(700)).expect("a testbed");
    let before = Machine::look();
    let mut child = User::Root.program().arg("walk").arg(&testbed).spawn().expect("it runs");
    until("the run", || runs().pop().filter(|run| run.join("run.json").exists()));
    let pid = Pid::from_raw(child.id().try_into().expect("a process number"));
    kill(pid, Signal::SIGINT).expect("it lives");
    // Soon after the first it would count as the same.
    thread::sleep(Duration::from_millis(400));
    let asked = Instant::now();
    kill(pid, Signal::SIGINT).expect("it lives: the order of the first signal takes longer");
    let status = wait(&mut child, Duration::from_secs(10));
    assert_eq!(status.code(), Some(130), "after {:?}", asked.elapsed());
    before.demand_again();
}

/// A testbed of one link with many nodes on it.
fn wide(nodes: usize) -> String {
    let mut text = String::from(
        "title = \"Wide\"\n[segment.lan]\nipv4 = \"10.0.0.0/16\"\nipv6 = \"2001:db8:1::/64\"\n",
    );
    for node in 0..nodes {
        let _ = write!(text, "[node.n{node}]\nrole = \"workplace\"\non = {{ eth0 = \"lan\" }}\n");
    }
    text
}
