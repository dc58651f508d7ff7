//! Planted faults must be found, end to end: each case plants its faults in a real lab behind the program's back and
//! demands the findings that it names, with these culprits, and nothing else. The cases are data: `tests/faults/*.toml`.
//!
//! A walk mostly waits, so several run side by side; time limits stand still while a busy machine holds them up, so that
//! this proves also that a busy machine finds nothing that is not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use serde::Deserialize;
use serde_json::Value;
use sixwalk::{
    check::passage,
    model::{evidence::Evidence, verdict::Judgement},
};

/// What walks may take side by side, of all tests together. The lab of the reference testbed holds up to 300 neighbours, and all
/// labs of a machine share one table, which has room for 1024 (`net.ipv6.neigh.default.gc_thresh3`): when it is full, packets are
/// lost. It takes a quarter of a core too, and smaller ones next to nothing.
const ROOM: usize = 12;
/// So many nodes take one part of the room.
const NODES: usize = 6;

/// The room that is free now.
static FREE: (Mutex<usize>, Condvar) = (Mutex::new(ROOM), Condvar::new());

/// What the lab of a testbed takes of the room; one that builds on another takes what the reference testbed takes.
fn room_of(name: &str) -> usize {
    let text = fs::read_to_string(testbed(name)).expect("the testbed");
    match text.lines().filter(|line| line.starts_with("[node.")).count() {
        0 => room_of("fokus"),
        nodes => nodes.div_ceil(NODES),
    }
}

/// Waits until there is so much room for a walk, and makes it.
fn in_room<R>(room: usize, walk: impl FnOnce() -> R) -> R {
    struct Taken(usize);
    impl Drop for Taken {
        fn drop(&mut self) {
            *FREE.0.lock().expect("no holder panics") += self.0;
            FREE.1.notify_all();
        }
    }
    let free = FREE.0.lock().expect("no holder panics");
    *FREE.1.wait_while(free, |free| *free < room).expect("no holder panics") -= room;
    let _taken = Taken(room);
    walk()
}

/// Set by `tests/run --long`: how often a clean testbed is walked.
const WALKS: &str = "SIXWALK_TEST_WALKS";
const SHIPPED: [&str; 7] = ["fokus", "small", "branch", "chain", "flat", "translation", "hosting"];

/// Leaves out what stops tunnels: it has the lab to itself each time, which is half of a walk.
const WITHOUT_STOPS: [&str; 8] = [
    "--except",
    "vpn.fail-open",
    "--except",
    "vpn.outer-family-failover",
    "--except",
    "vpn.plug-and-play",
    "--except",
    "vpn.rekey-both",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    /// Whether no case of the file is about what happens when tunnels stop.
    #[serde(default)]
    stops_no_tunnel: bool,
    case: Vec<Case>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: String,
    /// A shipped testbed, or one of `tests/faults/testbeds/`.
    testbed: String,
    /// The phases that are walked, separated by commas.
    phases: String,
    /// Changes as in a fault file, one fault each, planted in every phase walked unless `planted_in` says less.
    #[serde(default)]
    plant: Vec<String>,
    planted_in: Option<String>,
    /// Only these checks are asked: what a deeper check would find first.
    #[serde(default)]
    only: Vec<String>,
    /// As the file says.
    #[serde(skip)]
    stops_no_tunnel: bool,
    /// `check/case culprit (part)`.
    #[serde(default)]
    found: BTreeSet<String>,
    /// A phase that every finding must name as one in which it will hurt.
    bites: Option<String>,
    /// Words that the finding of a check must hold among the values of its sentences and in its retest.
    #[serde(default)]
    holds: BTreeMap<String, Vec<String>>,
    /// How many symptoms the finding of a check explains.
    #[serde(default)]
    explains: BTreeMap<String, usize>,
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cases(file: &str) -> Vec<Case> {
    let path = here().join("tests/faults").join(file).with_extension("toml");
    let text = fs::read_to_string(&path).expect("the file of cases");
    let file: File =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let stops_no_tunnel = file.stops_no_tunnel;
    file.case.into_iter().map(|case| Case { stops_no_tunnel, ..case }).collect()
}

fn testbed(name: &str) -> PathBuf {
    let shipped = here().join("testbed").join(name).with_extension("toml");
    let own = here().join("tests/faults/testbeds").join(name).with_extension("toml");
    if shipped.exists() { shipped } else { own }
}

impl Case {
    /// The fault file of the case.
    fn faults(&self) -> String {
        let phases = self.planted_in.as_ref().unwrap_or(&self.phases);
        let phases: Vec<_> = phases.split(',').collect();
        let fault = |(at, change): (usize, &String)| {
            format!("[fault.planted-{at}]\nphase = {phases:?}\n{change}\n\n")
        };
        self.plant.iter().enumerate().map(fault).collect()
    }

    /// The arguments that say which checks are asked.
    fn choice(&self) -> Vec<&str> {
        let only = self.only.iter().flat_map(|check| ["--only", check]);
        let without: &[&str] = if self.stops_no_tunnel { &WITHOUT_STOPS } else { &[] };
        only.chain(without.iter().copied()).collect()
    }

    /// What is not as demanded, as lines; none if all is well.
    fn walk(&self) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory for the run");
        let mut files = Vec::new();
        if !self.plant.is_empty() {
            let file = directory.path().join("faults.toml");
            fs::write(&file, self.faults()).expect("room for the fault file");
            files.push(file);
        }
        let (testbed, phases) = (testbed(&self.testbed), &self.phases);
        let walked = Walk::of(&testbed, phases, &files, &self.choice(), directory.path());
        let mut wrong = walked.wrong;
        let found: BTreeSet<_> = walked.findings.iter().map(headline).collect();
        if found.len() != walked.findings.len() {
            wrong.push("one root cause is two findings".to_owned());
        }
        wrong.extend(self.found.difference(&found).map(|missing| format!("missing: {missing}")));
        wrong.extend(found.difference(&self.found).map(|extra| format!("not planted: {extra}")));
        for finding in &walked.findings {
            wrong.extend(self.flaws(finding));
        }
        wrong
    }

    /// A finding has its proof and its retest, and says when it will hurt.
    fn flaws(&self, finding: &Value) -> Vec<String> {
        let mut flaws = Vec::new();
        let headline = headline(finding);
        if finding["evidence"].as_array().is_none_or(Vec::is_empty) {
            flaws.push(format!("without evidence: {headline}"));
        }
        if finding["retest"].as_str().is_none_or(|command| !command.starts_with("sixwalk walk")) {
            flaws.push(format!("without retest: {headline}"));
        }
        if let Some(phase) = &self.bites
            && !finding["bites_in"].as_array().is_some_and(|in_| in_.iter().any(|p| p == phase))
        {
            flaws.push(format!("does not foretell {phase}: {headline}"));
        }
        let check = finding["check"].as_str().unwrap_or_default();
        let values = finding["args"].as_object().into_iter().flat_map(serde_json::Map::values);
        let said: Vec<_> = values.chain([&finding["retest"]]).filter_map(Value::as_str).collect();
        for words in self.holds.get(check).into_iter().flatten() {
            if !said.iter().any(|value| value.contains(words.as_str())) {
                flaws.push(format!("does not say `{words}`: {headline}: {said:?}"));
            }
        }
        let symptoms = finding["symptoms"].as_array().map_or(0, Vec::len);
        if self.explains.get(check).is_some_and(|wanted| *wanted != symptoms) {
            flaws.push(format!("explains {symptoms} symptoms: {headline}"));
        }
        flaws
    }
}

/// `check/case culprit (part)` of a finding.
fn headline(finding: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let culprit = &finding["culprit"];
    let place = if culprit["node"].is_null() { &culprit["segment"] } else { &culprit["node"] };
    let (check, case) = (word(&finding["check"]), word(&finding["case"]));
    format!("{check}/{case} {} ({})", word(place), word(&culprit["part"]))
}

/// A walk by the built program.
struct Walk {
    findings: Vec<Value>,
    run: Value,
    wrong: Vec<String>,
}

impl Walk {
    fn of(testbed: &Path, phases: &str, faults: &[PathBuf], choice: &[&str], runs: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sixwalk"));
        command.arg("walk").arg(testbed).args(["--phases", phases, "--json", "--runs"]).arg(runs);
        for file in faults {
            command.arg("--fault").arg(file);
        }
        let output = command.args(choice).env("CI", "1").output().expect("the program");
        Self::read(&output).unwrap_or_else(|said| Self {
            findings: Vec::new(),
            run: Value::Null,
            wrong: vec![said],
        })
    }

    fn read(output: &Output) -> Result<Self, String> {
        let said = || String::from_utf8_lossy(&output.stderr).into_owned();
        let summary: Value = serde_json::from_slice(&output.stdout).map_err(|_| said())?;
        let mut wrong = Vec::new();
        if summary["complete"] != Value::Bool(true) {
            wrong.push(format!("incomplete: {}", summary["outcome"]));
        }
        let path = summary["run"].as_str().ok_or_else(said)?;
        let path = Path::new(path);
        let run = fs::read(path.join("run.json")).map_err(|error| error.to_string())?;
        let run: Value = serde_json::from_slice(&run).map_err(|error| error.to_string())?;
        wrong.extend(unproven(&run, path).map_err(|error| error.to_string())?);
        let findings = summary["findings"].as_array().cloned().unwrap_or_default();
        Ok(Self { findings, run, wrong })
    }

    fn phases(&self) -> &[Value] {
        self.run["phases"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Whatever a walk without faults must not show: findings, open questions, a lab that is not as planned.
    fn stains(self) -> Vec<String> {
        let mut stains = self.wrong.clone();
        stains.extend(self.findings.iter().map(|finding| format!("{finding}")));
        for phase in self.phases() {
            let deviations = phase["deviations"].as_array().into_iter().flatten();
            stains.extend(deviations.map(|deviation| format!("deviation: {deviation}")));
            for judgement in phase["judgements"].as_array().into_iter().flatten() {
                let verdict = judgement["verdict"].as_str().unwrap_or("none");
                if ["blocked", "harness-error", "not-testable"].contains(&verdict) {
                    stains.push(format!("{} {judgement}", phase["phase"]));
                }
            }
        }
        stains
    }
}

/// What a filtering node is said to have stopped although nothing was seen to come to it.
fn unproven(run: &Value, directory: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let evidence = fs::read_to_string(directory.join("evidence.jsonl"))?;
    let evidence: Vec<Evidence> =
        evidence.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for phase in run["phases"].as_array().into_iter().flatten() {
        let judgements: Vec<Judgement> = serde_json::from_value(phase["judgements"].clone())?;
        let unproven = passage::unproven(&evidence, &judgements).into_iter();
        found.extend(unproven.map(|j| format!("not put to the test: {} {}", j.check, j.subject)));
    }
    Ok(found)
}

/// Does something with every item, several side by side, and demands that nothing is wrong with any. What is wrong with a single
/// one is said, and looked at once more beside nobody: a machine that stood still for seconds looks like a network that did.
/// What is really wrong is wrong again, and two that are wrong at once are no accident.
fn side_by_side<T: Sync>(
    items: &[T],
    name: impl Fn(&T) -> String + Sync,
    testbed: impl Fn(&T) -> &str + Sync,
    work: impl Fn(&T) -> Vec<String> + Sync,
) {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..ROOM.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let lines = in_room(room_of(testbed(item)), || work(item));
                    if !lines.is_empty() {
                        wrong.lock().expect("no holder panics").insert(name(item), (item, lines));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no holder panics");
    let is_single = wrong.len() == 1;
    let lasts = |(name, (item, lines)): (String, (&T, Vec<String>))| {
        let again = if is_single { in_room(ROOM, || work(item)) } else { lines.clone() };
        eprintln!("{name}: {lines:#?}, and once more: {again:#?}");
        (!again.is_empty()).then_some((name, lines))
    };
    let wrong: BTreeMap<_, _> = wrong.into_iter().filter_map(lasts).collect();
    assert!(wrong.is_empty(), "{} of {} failed:\n{wrong:#?}", wrong.len(), items.len());
}

fn every_case_of(file: &str) {
    side_by_side(
        &cases(file),
        |case| format!("{} ({})", case.name, case.testbed),
        |case| &case.testbed,
        Case::walk,
    );
}

#[test]
fn faults_are_found_by_what_is_sent_alone() {
    every_case_of("probed");
}

#[test]
fn faults_of_services_are_found() {
    every_case_of("services");
}

#[test]
fn faults_of_names_are_found() {
    every_case_of("names");
}

#[test]
fn faults_of_policy_are_found() {
    every_case_of("policy");
}

#[test]
fn faults_of_links_are_found() {
    every_case_of("links");
}

#[test]
fn faults_of_paths_are_found() {
    every_case_of("paths");
}

#[test]
fn each_check_finds_what_it_is_for_when_it_alone_is_asked() {
    every_case_of("asked");
}

#[test]
fn faults_of_tunnels_are_found() {
    every_case_of("tunnels");
}

#[test]
fn faults_inside_of_tunnels_are_found() {
    every_case_of("inside");
}

#[test]
fn faults_of_management_products_are_found() {
    every_case_of("management");
}

#[test]
fn faults_of_translation_are_found() {
    every_case_of("translation");
}

#[test]
fn faults_of_fronts_are_found() {
    every_case_of("fronts");
}

#[test]
fn faults_of_impaired_links_are_found() {
    every_case_of("impaired");
}

#[test]
fn faults_of_dhcpv6_are_found() {
    every_case_of("leased");
}

#[test]
fn faults_of_what_keeps_a_network_running_are_found() {
    every_case_of("infrastructure");
}

#[test]
fn faults_of_logs_are_found() {
    every_case_of("logs");
}

#[test]
fn faults_of_what_links_and_hosts_are_guarded_against_are_found() {
    every_case_of("guarded");
}

#[test]
fn two_faults_are_two_findings() {
    every_case_of("together");
}

#[test]
fn what_only_looks_like_a_fault_is_none() {
    every_case_of("benign");
}

#[test]
fn a_fault_is_gone_when_its_phase_is_left() {
    every_case_of("left");
}

/// What GEN6 D3.6.4 concludes in its section 2.4, by the walk of the testbed as it was found: the tunnel is capable of
/// IPv4-only, dual-stack and IPv6-only; the software that configures it is not dual-stack, couples unequal families until the
/// end, proposes the wrong family, and has a manual that is behind it.
#[test]
fn the_pilot_as_found_comes_to_the_conclusions_of_the_document() {
    let directory = tempfile::tempdir().expect("a directory for the run");
    let phases = "ipv4-only,partial,dual-stack,ipv6-only";
    let walked = in_room(room_of("fokus"), || {
        Walk::of(&testbed("fokus-as-found"), phases, &[], &[], directory.path())
    });
    assert_eq!(walked.wrong, Vec::<String>::new());
    let found: BTreeSet<_> = walked.findings.iter().map(headline).collect();
    let wanted = [
        "mgmt.single-address-field/one manager (field for the management address)",
        "vpn.mixed-family-coupling/coupled manager (entry of couples)",
        "vpn.default-subnet-family/other-family manager (proposed subnets)",
        "mgmt.docs-vs-device/undocumented manager (manual)",
    ];
    assert_eq!(found, wanted.map(str::to_owned).into());
    assert!(
        walked.findings.iter().all(|f| f["evidence"].as_array().is_some_and(|e| !e.is_empty()))
    );
    // The tunnel itself: every couple of every mode is carried, and nothing of it is seen in clear.
    for (phase, families) in
        [("ipv4-only", &["IPv4"][..]), ("dual-stack", &["IPv4", "IPv6"]), ("ipv6-only", &["IPv6"])]
    {
        let walked = walked.phases().iter().find(|walked| walked["phase"] == phase);
        let judgements = walked.and_then(|walked| walked["judgements"].as_array());
        let judgements = judgements.expect("judgements of the phase");
        for (check, verdicts) in [
            ("vpn.matrix", &["pass"][..]),
            ("vpn.no-clear", &["pass"]),
            ("vpn.fail-open", &["pass"]),
        ] {
            let of_check: Vec<_> = judgements.iter().filter(|j| j["check"] == check).collect();
            assert!(!of_check.is_empty(), "{phase}: {check}");
            let bad = of_check.iter().find(|j| !verdicts.iter().any(|v| j["verdict"] == *v));
            assert_eq!(bad, None, "{phase}: {check}");
            for family in families {
                let inner = format!("{family} in ");
                let in_family = |j: &&&Value| j["subject"].to_string().contains(&inner);
                assert!(of_check.iter().any(|j| in_family(&j)), "{phase}: {check}: {family}");
            }
        }
    }
    // The evaluation says both: of the tunnels, and of the software that configures them.
    let mut runs = fs::read_dir(directory.path()).expect("the runs").flatten();
    let run = runs.find(|entry| entry.path().join("report.md").exists()).expect("a report");
    let report = fs::read_to_string(run.path().join("report.md")).expect("readable");
    for said in [
        "The tunnels themselves carried all that they couple",
        "The management software that configures the boxes fell short in: IPv4-only (",
        "No finding blames a box.",
    ] {
        assert!(report.contains(said), "{said}");
    }
    // An upload tries IPv6 first and then IPv4: reported, and no fault.
    let judgements = walked.phases().iter().filter_map(|w| w["judgements"].as_array());
    let uploads: Vec<_> =
        judgements.flatten().filter(|j| j["check"] == "mgmt.family-fallback-order").collect();
    assert!(uploads.iter().any(|j| j["verdict"] == "pass"), "{uploads:?}");
}

/// Every example that is shipped for training can be found by the report.
#[test]
fn every_shipped_example_is_found() {
    let mut files: Vec<_> = fs::read_dir(here().join("testbed/faults"))
        .expect("the examples")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    let mut examples = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        let faults: toml::Table = text.parse().expect("TOML");
        let is_of_gateways = ["management.toml", "policy.toml"].iter().any(|of| file.ends_with(of));
        let choice: &[&str] = if is_of_gateways { &[] } else { &WITHOUT_STOPS };
        for (name, fault) in faults["fault"].as_table().expect("faults by name") {
            let phase = match &fault["phase"] {
                toml::Value::Array(phases) => phases[0].clone(),
                phase => phase.clone(),
            };
            let one = toml::Table::from_iter([(name.clone(), fault.clone())]);
            let one = toml::Table::from_iter([("fault".to_owned(), one.into())]);
            examples.push((name.clone(), phase.as_str().expect("a word").to_owned(), one, choice));
        }
    }
    assert!(examples.len() >= 20, "{}", examples.len());
    side_by_side(
        &examples,
        |(name, ..)| name.clone(),
        |_| "fokus",
        |(_, phase, example, choice)| {
            let directory = tempfile::tempdir().expect("a directory for the run");
            let file = directory.path().join("fault.toml");
            fs::write(&file, example.to_string()).expect("room for the fault file");
            let walked = Walk::of(&testbed("fokus"), phase, &[file], choice, directory.path());
            let mut wrong = walked.wrong;
            if walked.findings.len() != 1 {
                let found: Vec<_> = walked.findings.iter().map(headline).collect();
                wrong.push(format!("in {phase}: {} findings: {found:?}", found.len()));
            }
            wrong
        },
    );
}

/// While the other core has no rest.
#[test]
fn clean_testbeds_are_found_clean_again_and_again() {
    let walks = std::env::var(WALKS).ok().and_then(|walks| walks.parse().ok()).unwrap_or(2);
    let testbeds: Vec<_> = std::iter::repeat_n(SHIPPED, walks).flatten().collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let walked = std::panic::catch_unwind(|| {
            side_by_side(
                &testbeds,
                ToString::to_string,
                |name| name,
                |name| {
                    let directory = tempfile::tempdir().expect("a directory for the run");
                    let every = "ipv4-only,partial,dual-stack,ipv6-only";
                    Walk::of(&testbed(name), every, &[], &[], directory.path()).stains()
                },
            );
        });
        over.store(true, Ordering::Relaxed);
        if let Err(said) = walked {
            std::panic::resume_unwind(said);
        }
    });
}
