//! A real lab that goes wrong. A step that fails: what was made is taken back, and the run says how the lab stood
//! afterwards. A machine that loses the lab's packets: nobody in the testbed is blamed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sixwalk::{
    check::{CHECKS, Check},
    input,
    lab::{ChangeError, Driver, Errand, OpenTap, Settled, Soon, netns::Netns},
    model::{
        absence::Absence,
        answer::Answer,
        fault::{Fault, Sabotage},
        gate::Gate as Rule,
        name::NodeName,
        phase::Phase,
        probe::Probe,
        step::Change,
        tap::Tap,
        testbed::Testbed,
        verdict::{Judgement, Verdict},
    },
    plan::plan,
    record::{Clock, RunDirectory},
    report::{
        gate::Gate,
        run::{Back, Ending, EngineRun, FORMAT_VERSION, Run, Timings, Tool},
    },
    stage::Stage,
    walk::{self, Order},
};

use crate::{
    machine::{TESTBED, furnish},
    support,
};

/// What goes wrong in a lab.
#[derive(Clone, Copy, Default)]
struct Trouble {
    /// Which change fails, counted from the first of the walk.
    fails: Option<usize>,
    /// Whether, after that, the first address that is to be removed again stays.
    sticks: bool,
    /// Why answers may have failed in each phase.
    doubt: Option<&'static str>,
}

/// A lab in which something goes wrong.
struct Faulty {
    lab: Netns,
    journal: PathBuf,
    trouble: Trouble,
    seen: AtomicUsize,
    failed: AtomicBool,
    sticks: AtomicBool,
}

impl Faulty {
    async fn make(&self, mut errands: Vec<Errand>) -> Vec<Result<(), ChangeError>> {
        let refusals: Vec<_> = errands.iter_mut().map(|errand| self.cut(errand)).collect();
        let results = self.lab.change(errands).await;
        results.into_iter().zip(refusals).map(|(made, refusal)| refusal.map_or(made, Err)).collect()
    }

    /// Takes from an errand the change that is to fail, and everything after it.
    fn cut(&self, errand: &mut Errand) -> Option<ChangeError> {
        let Errand { node, changes } = errand;
        for change in &*changes {
            self.demand_in_journal(node, change);
        }
        let removes = matches!(changes[0], Change::RemoveAddress { .. });
        let sticks = removes
            && self.failed.load(Ordering::SeqCst)
            && self.sticks.swap(false, Ordering::SeqCst);
        let first = self.seen.fetch_add(changes.len(), Ordering::SeqCst);
        let fails = self.trouble.fails.and_then(|fails| fails.checked_sub(first));
        let index = fails.filter(|index| *index < changes.len());
        let index = index.filter(|_| !self.failed.swap(true, Ordering::SeqCst));
        let index = if sticks { 0 } else { index? };
        let said = "the test forbids it".to_owned();
        let change = changes[index].to_string();
        changes.truncate(index);
        Some(ChangeError { node: node.clone(), index, change, said })
    }

    /// A step and its undo are on disk before anything is done.
    fn demand_in_journal(&self, node: &NodeName, change: &Change) {
        let journal = fs::read_to_string(&self.journal).expect("the journal");
        let [node, change] = [serde_json::json!(node), serde_json::json!(change)];
        let lines = journal
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let intends = |line: serde_json::Value| {
            let step = &line["intend"]["step"];
            step["node"] == node && (step["change"] == change || step["undo"] == change)
        };
        assert!(lines.into_iter().any(intends), "not announced: {change} on {node}");
    }
}

impl Driver for Faulty {
    fn change(&self, errands: Vec<Errand>) -> Soon<'_, Vec<Result<(), ChangeError>>> {
        Box::pin(self.make(errands))
    }

    fn ask<'a>(&'a self, probe: &'a Probe, patience: Duration) -> Soon<'a, Answer> {
        self.lab.ask(probe, patience)
    }

    fn tap<'a>(
        &'a self,
        tap: &'a Tap,
        capture: Option<&'a Path>,
    ) -> Soon<'a, Result<Box<dyn OpenTap>, String>> {
        self.lab.tap(tap, capture)
    }

    fn settle<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Settled> {
        self.lab.settle(stage)
    }

    fn verify<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Vec<String>> {
        self.lab.verify(stage)
    }

    fn engines(&self) -> Vec<EngineRun> {
        self.lab.engines()
    }

    fn absences(&self, stage: &Stage) -> Vec<Absence> {
        self.lab.absences(stage)
    }

    fn hear_again<'a>(&'a self, spared: &'a BTreeSet<NodeName>) -> Soon<'a, ()> {
        self.lab.hear_again(spared)
    }

    fn losses(&self) -> Vec<String> {
        self.lab.losses()
    }

    fn doubts(&self) -> Vec<String> {
        self.trouble.doubt.map(str::to_owned).into_iter().collect()
    }

    fn sabotage<'a>(&'a self, fault: &'a Sabotage) -> Soon<'a, Result<(), String>> {
        self.lab.sabotage(fault)
    }

    fn mend<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Result<(), String>> {
        self.lab.mend(stage)
    }
}

#[test]
fn a_failing_step_takes_the_lab_back_to_the_phase_before() {
    if !support::inside_sandbox("rollback::a_failing_step_takes_the_lab_back_to_the_phase_before") {
        return;
    }
    furnish();
    for phases in [
        [Phase::Ipv4Only, Phase::DualStack],
        [Phase::DualStack, Phase::Ipv6Only],
        [Phase::DualStack, Phase::Ipv4Only],
    ] {
        let (before, steps) = steps(&testbed(), phases);
        // The first step, the last, and some between.
        for at in [0, steps / 3, 2 * steps / 3, steps - 1] {
            let run = walk_where_fails(&phases, before + at, false);
            let Ending::RolledBack { phase, reason, back } = &run.outcome else {
                panic!("{:?}", run.outcome)
            };
            assert_eq!(*phase, phases[1]);
            assert!(
                reason.contains("the test forbids it; every step of this phase was taken back"),
                "{reason}"
            );
            let back = back.as_ref().expect("there is a phase before");
            let none = Vec::<String>::new();
            assert_eq!(
                *back,
                Back { phase: phases[0], deviations: none },
                "step {at} of {steps} to {}",
                phases[1]
            );
            assert_eq!(
                run.phases.iter().map(|walked| walked.phase).collect::<Vec<_>>(),
                [phases[0]]
            );
        }
    }
}

#[test]
fn a_step_that_cannot_be_taken_back_is_told() {
    if !support::inside_sandbox("rollback::a_step_that_cannot_be_taken_back_is_told") {
        return;
    }
    furnish();
    // An IPv6 address would go with the switch of its family.
    let phases = [Phase::Ipv6Only, Phase::DualStack];
    let (before, steps) = steps(&testbed(), phases);
    let run = walk_where_fails(&phases, before + steps / 2, true);
    let Ending::RolledBack { reason, back, .. } = &run.outcome else { panic!("{:?}", run.outcome) };
    assert!(reason.contains("and these could not be taken back: cannot "), "{reason}");
    let deviations = &back.as_ref().expect("there is a phase before").deviations;
    assert!(!deviations.is_empty(), "the kernel still has what could not be taken back");
}

#[test]
fn a_first_phase_that_fails_leaves_nothing_live() {
    if !support::inside_sandbox("rollback::a_first_phase_that_fails_leaves_nothing_live") {
        return;
    }
    furnish();
    let run = walk_where_fails(&[Phase::DualStack, Phase::Ipv6Only], 20, false);
    assert!(
        matches!(run.outcome, Ending::RolledBack { phase: Phase::DualStack, back: None, .. }),
        "{:?}",
        run.outcome
    );
    assert!(run.phases.is_empty());
}

const STOPPED: &str = r#"
    [fault.web-stops]
    title = "The web server does not come up again"
    phase = "dual-stack"
    stop  = { node = "web", service = "https" }
"#;

#[test]
fn failures_on_a_machine_that_loses_packets_stay_open() {
    if !support::inside_sandbox("rollback::failures_on_a_machine_that_loses_packets_stay_open") {
        return;
    }
    furnish();
    let faults = input::faults("stopped.toml", STOPPED, &testbed()).expect("it has no mistakes");
    let listens = CHECKS.iter().copied().filter(|check| check.text().id == "svc.listen-families");
    let listens: Vec<_> = listens.collect();
    let phases = [Phase::DualStack];

    let trusted = walk(&phases, &listens, &faults, Trouble::default());
    let failed = trusted.phases[0].judgements.iter().filter(|judged| judged.verdict.is_bad());
    let failed: Vec<_> = failed.map(|judged| judged.subject.clone()).collect();
    assert!(!failed.is_empty() && !trusted.findings.is_empty(), "{:?}", trusted.phases);

    let doubt = Some("the machine has lost packets");
    let run = walk(&phases, &listens, &faults, Trouble { doubt, ..Trouble::default() });
    assert_eq!(run.findings, []);
    let open = |judged: &&Judgement| {
        judged.verdict == Verdict::NotTestable && judged.reason == "the machine has lost packets"
    };
    let open = run.phases[0].judgements.iter().filter(open).map(|judged| judged.subject.clone());
    assert_eq!(open.collect::<Vec<_>>(), failed);
    assert!(run.phases[0].without.iter().any(|said| said == "the machine has lost packets"));
    assert!(matches!(run.phases[0].gate, Gate::NotDecidable { .. }), "{:?}", run.phases[0].gate);
}

fn testbed() -> Arc<Testbed> {
    let text = fs::read_to_string(TESTBED).expect("a shipped testbed");
    Arc::new(input::testbed(TESTBED, &text).expect("it has no mistakes"))
}

/// How many steps lead to the first phase, and how many from it to the second.
fn steps(testbed: &Arc<Testbed>, [first, second]: [Phase; 2]) -> (usize, usize) {
    let [first, second] = [first, second].map(|phase| Stage::new(testbed, phase));
    let count = |before, after| plan(before, after).iter().map(|wave| wave.steps.len()).sum();
    (count(None, &first), count(Some(&first), &second))
}

/// Walks, asking nothing, while one change fails.
fn walk_where_fails(phases: &[Phase], fails: usize, sticks: bool) -> Run {
    walk(phases, &[], &[], Trouble { fails: Some(fails), sticks, ..Trouble::default() })
}

/// Walks through a lab in trouble; gives back the run as it was stored.
fn walk(
    phases: &[Phase],
    checks: &[&'static dyn Check],
    faults: &[Fault],
    trouble: Trouble,
) -> Run {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let clock = Clock::start();
        let mut directory =
            RunDirectory::create(Path::new("/tmp/home/runs"), clock).expect("a run directory");
        let testbed = testbed();
        let lab = Netns::build(&Stage::new(&testbed, phases[0]), clock.origin()).expect("a lab");
        let faulty = Faulty {
            lab,
            journal: directory.path().join("journal.jsonl"),
            trouble,
            seen: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            sticks: AtomicBool::new(trouble.sticks),
        };
        let require: Vec<_> = checks.iter().map(|check| check.text().id.to_owned()).collect();
        let rule = Rule { require, at_most: None };
        let gates = phases.iter().map(|phase| (*phase, rule.clone())).collect();
        let order = Order {
            testbed: &testbed,
            phases,
            checks,
            gates: &gates,
            faults,
            capture: false,
            at_once: 32,
            retest: &|_, _| String::new(),
        };
        let (_keep, stop) = tokio::sync::watch::channel(false);
        let blank = blank(&testbed);
        let run = walk::walk(&order, &faulty, &mut directory, clock, stop, blank, &|_| {}).await;
        let run = run.expect("it can be recorded");
        let text = fs::read_to_string(directory.path().join("run.json")).expect("run.json");
        assert_eq!(serde_json::from_str::<Run>(&text).expect("a run"), run);
        run
    })
}

fn blank(testbed: &Testbed) -> Run {
    Run {
        format_version: FORMAT_VERSION,
        tool: Tool { name: "test".to_owned(), version: "0".to_owned() },
        command: Vec::new(),
        started: "2026-11-20T09:10:00Z".to_owned(),
        inputs: Vec::new(),
        testbed: testbed.clone(),
        environment: BTreeMap::new(),
        asked: Vec::new(),
        phases: Vec::new(),
        findings: Vec::new(),
        engines: Vec::new(),
        outcome: Ending::Interrupted { reason: "the run has not ended".to_owned(), phase: None },
        timings: Timings::default(),
    }
}
