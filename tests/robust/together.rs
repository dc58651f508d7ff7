//! Two walks at once.

use crate::{
    machine::furnish,
    program::{User, errors, run_of, walk},
    support,
};

#[test]
fn two_walks_at_once_do_not_disturb_each_other() {
    if !support::inside_sandbox("together::two_walks_at_once_do_not_disturb_each_other") {
        return;
    }
    furnish();
    let start = |user: User| {
        let mut command = user.program();
        walk(&mut command, "ipv4-only,dual-stack,ipv6-only");
        command.spawn().expect("it runs")
    };
    let children = [start(User::Root), start(User::Root), start(User::Ordinary)];
    let outputs = children.map(|child| child.wait_with_output().expect("it ends"));
    let [first, second, third] = outputs.map(|output| {
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        run_of(&output)
    });
    for other in [&second, &third] {
        assert_ne!(first.path, other.path);
        assert!(other.run.findings.is_empty(), "{:?}", other.run.findings);
        for (one, same) in first.run.phases.iter().zip(&other.run.phases) {
            assert_eq!(verdicts(one), verdicts(same), "{}", one.phase);
        }
    }
}

/// Check, subject and verdict of everything that was judged in a phase.
pub(crate) fn verdicts(
    phase: &sixwalk::report::run::PhaseRun,
) -> Vec<(String, String, &'static str)> {
    let row = |j: &sixwalk::model::verdict::Judgement| {
        (j.check.clone(), j.subject.clone(), j.verdict.word())
    };
    let mut rows: Vec<_> = phase.judgements.iter().map(row).collect();
    rows.sort();
    rows
}
