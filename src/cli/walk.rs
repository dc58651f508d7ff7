use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use super::{Failure, Verdict, choice::Choice, engines, lab, print, source, tell};
use crate::{
    model::phase::Phase,
    report::{gate::Gate, run::Run},
};

/// Build a testbed, walk it through the phases, ask every check in every phase, and write the report.
///
/// Prints the path of the run directory last: run.json, evidence.jsonl, journal.jsonl, report.md and report.html.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk walk                                          the reference testbed, all phases
  sixwalk walk my.toml --phases dual-stack,ipv6-only    only these two
  sixwalk walk --phases ipv6-only,dual-stack            backwards
  sixwalk walk --only 'dns.*' --only out.service-reach  only these checks
  sixwalk walk --except vpn.fail-open                   all checks but this
  sixwalk walk testbed/fokus-as-found.toml              with the faults that the German pilot met
  sixwalk walk --fault testbed/faults/services.toml
  sixwalk walk --engine dns=knot,http=nginx             real programs in the place of built-in services
  sixwalk walk --capture                                every frame of every link, for wireshark
  sixwalk walk --json | jq '.findings[].culprit'

Exit codes: 0 all gates are open; 1 findings close a gate; 2 the run is incomplete, a gate is not
decidable (as with --only or --except, where a required check was not asked), or the input is bad; 3 an error of
the program itself.")]
pub(super) struct Args {
    #[command(flatten)]
    testbed: source::TestbedArgs,
    #[command(flatten)]
    engines: engines::EngineArgs,
    /// The phases, in the order of the walk [default: all four].
    #[arg(long, value_delimiter = ',', value_name = "PHASE", value_parser = source::phase())]
    phases: Vec<Phase>,
    #[command(flatten)]
    choice: Choice,
    /// Plant the faults of this file, each after its phase is up; may be given more than once.
    #[arg(long, value_name = "FILE")]
    fault: Vec<PathBuf>,
    /// Take the gates from the phase files of this folder [default: those built in].
    #[arg(long, value_name = "DIR")]
    gates: Option<PathBuf>,
    /// Make the run directory in this folder.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Write every frame of every link to captures/PHASE-SEGMENT.pcapng in the run directory.
    #[arg(long)]
    capture: bool,
    /// Print a summary as JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let mut loaded = self.testbed.load()?;
        self.engines.choose(&mut loaded.testbed)?;
        let testbed = Arc::clone(&loaded.testbed);
        // A testbed as found has faults of its own, of all phases: only what is asked for here is missed.
        let found = loaded.faults.len();
        let (sources, faults) = source::faults(&self.fault, loaded)?;
        let phases = source::phases(&self.phases)?;
        let (gate_sources, gates) = source::gates(self.gates.as_deref())?;
        let sources = sources.into_iter().chain(gate_sources).collect();
        for said in source::unmet(&faults[found..], &phases) {
            tell(&said);
        }
        let task = lab::Task {
            testbed,
            sources,
            phases,
            checks: self.choice.checks()?,
            faults,
            gates,
            capture: self.capture,
            runs: self.runs.clone(),
            retest: source::command(
                &self.testbed,
                &self.engines,
                &self.fault,
                self.gates.as_deref(),
            ),
        };
        let done = lab::walk(task)?;
        let summary = if self.json { as_json(&done) } else { as_text(&done) };
        print(&summary)?;
        Ok(verdict(&done.run))
    }
}

/// The exit code of a run.
pub(super) fn verdict(run: &Run) -> Verdict {
    if !run.is_complete() {
        return Verdict::Incomplete;
    }
    let gates = run.phases.iter().map(|walked| match walked.gate {
        Gate::Open => Verdict::Open,
        Gate::Closed { .. } => Verdict::Closed,
        Gate::NotDecidable { .. } => Verdict::Incomplete,
    });
    let gates: Vec<_> = gates.collect();
    if gates.contains(&Verdict::Closed) {
        Verdict::Closed
    } else {
        gates.into_iter().max().unwrap_or(Verdict::Open)
    }
}

fn as_text(done: &lab::Done) -> String {
    let mut text = String::new();
    for walked in &done.run.phases {
        let phase: Phase = walked.phase;
        let _ = writeln!(text, "{:<12} gate {}", phase.to_string(), said(&walked.gate));
    }
    for finding in &done.run.findings {
        let severity = finding.severity.word();
        let _ = writeln!(
            text,
            "{}  {severity:<8} {}: {}",
            finding.id,
            finding.culprit,
            sentence(finding)
        );
    }
    if let crate::report::run::Ending::RolledBack { reason, .. }
    | crate::report::run::Ending::Interrupted { reason, .. } = &done.run.outcome
    {
        let _ = writeln!(text, "incomplete: {reason}");
    }
    text + &format!("{}\n", done.path.display())
}

/// The word of a gate, and why it cannot be decided.
fn said(gate: &Gate) -> String {
    let Gate::NotDecidable { doubts } = gate else { return gate.word().to_owned() };
    let doubts = doubts.iter().map(|doubt| match doubt.checks() {
        [] => doubt.said(),
        checks => format!("{} ({})", doubt.said(), checks.join(", ")),
    });
    format!("{}: {}", gate.word(), doubts.collect::<Vec<_>>().join("; "))
}

fn sentence(finding: &crate::model::finding::Finding) -> String {
    crate::report::text::sentence(finding)
}

fn as_json(done: &lab::Done) -> String {
    let run = &done.run;
    let gates: Vec<_> = run
        .phases
        .iter()
        .map(|walked| serde_json::json!({"phase": walked.phase, "gate": walked.gate}))
        .collect();
    let summary = serde_json::json!({
        "run": done.path,
        "complete": run.is_complete(),
        "outcome": run.outcome,
        "gates": gates,
        "findings": run.findings,
        "timings": run.timings,
    });
    serde_json::to_string_pretty(&summary).expect("a summary is plain data") + "\n"
}
