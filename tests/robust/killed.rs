//! SIGKILL, at any moment, to any part: the kernel takes everything down.

use std::{fs, process::Command, thread, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sixwalk::record::StoredRun;

use crate::{
    dice::Dice,
    machine::{Machine, PROGRAM, furnish},
    program::{User, errors, runs, until, wait, walk},
    support,
};

/// How often the program of each user is killed.
const KILLS: usize = 10;

#[test]
fn sigkill_at_any_moment_leaves_nothing() {
    if !support::inside_sandbox("killed::sigkill_at_any_moment_leaves_nothing") {
        return;
    }
    furnish();
    let mut dice = Dice::new();
    for user in User::ALL {
        let mut first = user.program();
        walk(&mut first, "ipv4-only,dual-stack");
        assert_eq!(
            first.output().expect("it runs").status.code(),
            Some(0),
            "a walk that nobody kills"
        );
        let before = Machine::look();
        for _ in 0..KILLS {
            kill_one(user, &mut dice);
            before.demand_again();
        }
    }
    // What is left can still be read, and says that it is not everything.
    let told = runs()
        .iter()
        .filter(|run| run.join("run.json").exists())
        .map(|run| reported(run))
        .filter(|r| *r)
        .count();
    assert!(told > 0, "not one kill came after the beginning of a run and before its end");
}

#[test]
fn the_outer_process_says_that_the_lab_was_killed_and_where_its_record_is() {
    if !support::inside_sandbox(
        "killed::the_outer_process_says_that_the_lab_was_killed_and_where_its_record_is",
    ) {
        return;
    }
    furnish();
    for user in User::ALL {
        let known = runs().len();
        let mut command = user.program();
        walk(&mut command, "ipv4-only,dual-stack,ipv6-only");
        let child = command.spawn().expect("it runs");
        let run = until("evidence", || {
            let run = runs().split_off(known).pop()?;
            let evidence = fs::metadata(run.join("evidence.jsonl")).ok()?;
            (evidence.len() > 0).then_some(run)
        });
        let outer = Pid::from_raw(child.id().try_into().expect("a process number"));
        kill(inner(outer).expect("a process inside"), Signal::SIGKILL).expect("it lives");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(3));
        let said = errors(&output);
        assert!(
            said.contains("error: the process that held the lab was killed by signal 9 (SIGKILL)"),
            "{said}"
        );
        let name = run.file_name().expect("a name").to_string_lossy();
        assert!(said.contains(&format!("the record so far is in runs/{name}:")), "{said}");
        assert!(reported(&run), "a run that was cut off");
    }
}

fn kill_one(user: User, dice: &mut Dice) {
    let mut command = user.program();
    walk(&mut command, "ipv4-only,dual-stack,ipv6-only");
    let mut child = command.spawn().expect("it runs");
    let moment = dice.moment(Duration::from_millis(3500));
    thread::sleep(moment);
    let outer = Pid::from_raw(child.id().try_into().expect("a process number"));
    let inner = inner(outer);
    let victim = inner.filter(|_| dice.below(2) == 0).unwrap_or(outer);
    println!(
        "{user:?}: killing {} after {moment:?}",
        if victim == outer { "the outer process" } else { "PID 1 inside" }
    );
    kill(victim, Signal::SIGKILL).expect("a child that nobody has waited for");
    wait(&mut child, Duration::from_secs(10));
}

/// The process inside: the only child of the outer one, when it has one already.
fn inner(outer: Pid) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

/// Writes the report of a run and says whether the run was cut off.
fn reported(run: &std::path::Path) -> bool {
    let output = Command::new(PROGRAM).arg("report").arg(run).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = fs::read_to_string(run.join("report.md")).expect("the report");
    let complete = StoredRun::load(run).expect("a run").run.is_complete();
    assert_eq!(report.contains("This run is incomplete."), !complete, "{}", run.display());
    !complete
}
