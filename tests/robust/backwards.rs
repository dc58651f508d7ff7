//! There and back again: an earlier phase gives its earlier results.

use crate::{
    machine::{Machine, TESTBED, furnish},
    program::{User, errors, run_of},
    support,
    together::verdicts,
};

#[test]
fn walking_backwards_restores_the_results_of_the_earlier_phase() {
    if !support::inside_sandbox(
        "backwards::walking_backwards_restores_the_results_of_the_earlier_phase",
    ) {
        return;
    }
    furnish();
    let phases = "ipv4-only,partial,dual-stack,ipv6-only,dual-stack,partial,ipv4-only";
    let mut command = User::Root.program();
    command.arg("walk").arg(TESTBED).args(["--phases", phases]);
    for only in ["meta.*", "in.*", "out.*", "svc.*", "l2.*", "dns.a*", "mgmt.*"] {
        command.args(["--only", only]);
    }
    let before = Machine::look();
    let output = command.output().expect("it runs");
    before.demand_again();
    errors(&output);
    let run = run_of(&output).run;
    assert!(run.outcome.is_complete(), "{:?}", run.outcome);
    let [there @ .., _, _, _, _] = run.phases.as_slice() else { panic!("seven phases") };
    for (one, again) in there.iter().zip(run.phases.iter().rev()) {
        assert_eq!(one.phase, again.phase);
        assert_eq!(again.deviations, Vec::<String>::new(), "{}", again.phase);
        assert_eq!(verdicts(one), verdicts(again), "{}", one.phase);
    }
}
