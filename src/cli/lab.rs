//! A lab and a run of its own, for the commands that need them.

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    Failure,
    progress::Progress,
    report,
    source::{self, Source},
    tell,
};
use crate::{
    check::Check,
    lab::netns::Netns,
    model::{fault::Fault, gate::Gate, phase::Phase, testbed::Testbed},
    net::{
        orphans,
        sandbox::{self, Inside, Killed, Outside},
    },
    record::{Clock, RecordError, RunDirectory, StoredRun},
    report::run::{Ending, FORMAT_VERSION, Run, Timings, Tool},
    serve::daemon::Engines,
    stage::Stage,
    walk::{self, Order},
};

/// What is to be walked, from where it was read to where it is written.
pub(super) struct Task {
    pub(super) testbed: Arc<Testbed>,
    pub(super) sources: Vec<Source>,
    pub(super) phases: Vec<Phase>,
    pub(super) checks: Vec<&'static dyn Check>,
    pub(super) faults: Vec<Fault>,
    pub(super) gates: BTreeMap<Phase, Gate>,
    /// Whether every frame of every link is written to a file as well.
    pub(super) capture: bool,
    pub(super) runs: PathBuf,
    /// The command line that a retest begins with.
    pub(super) retest: String,
}

/// A run that is over, and where it stands.
pub(super) struct Done {
    pub(super) run: Run,
    pub(super) path: PathBuf,
}

/// Threads of the runtime: the waits are on the network, not on processors.
const THREADS: usize = 2;

/// Turns true when somebody asks the program to stop.
pub(super) type Stop = watch::Receiver<bool>;

/// Enters the lab's own namespaces and runs something there. Must be called before any thread exists.
pub(super) fn inside<T, F>(work: impl FnOnce(Inside, Outside, Stop) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let (inside, outside) = sandbox::enter(|killed| mourn(&killed))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::Sentence(format!("cannot start the threads of the lab: {error}"))
    })?;
    let result = runtime.block_on(async {
        // This process is PID 1 of the lab: whoever loses its parent there becomes our child.
        tokio::spawn(orphans::reap());
        let stop = stop_on_signal()?;
        sandbox::let_signals_through()?;
        work(inside, outside, stop).await
    });
    // A question that still waits for its answer must not hold up the end.
    runtime.shutdown_background();
    result
}

/// The exit code of an error of the program itself.
const OWN_ERROR: i32 = 3;

/// What the outer process has to say when the one that held the lab was killed.
fn mourn(killed: &Killed) -> i32 {
    let Killed { signal, told } = killed;
    let record = if told.is_empty() {
        "it had not begun to keep a record; runs are kept in the folder that --runs names"
            .to_owned()
    } else {
        format!(
            "the record so far is in {told}: evidence.jsonl and journal.jsonl hold what was measured and done, and \
             `sixwalk report` writes the report of it"
        )
    };
    tell(&format!(
        "error: the process that held the lab was killed by signal {} ({signal}); nothing of the lab is left\n{record}\n",
        *signal as i32
    ));
    OWN_ERROR
}

/// Builds the lab, walks, and writes the report; also when the walk fails, of what was done until then.
pub(super) fn walk(task: Task) -> Result<Done, Failure> {
    inside(|inside, outside, stop| async move {
        // What is wanting leaves no record of a walk that has not begun.
        let engines = engines(&task, &task.phases, inside)?;
        let clock = Clock::start();
        let mut directory = begin(&task, clock)?;
        outside.tell(&directory.path().display().to_string());
        let engines = engines.kept_in(logs(&directory));
        let walked = walk_in(&task, (inside, &outside), clock, stop, engines, &mut directory).await;
        if let Err(Failure::Sentence(said)) = &walked {
            // Why it failed is told below; that the record cannot be ended, often for the same reason, adds nothing.
            let _ = end_early(&directory, said);
        }
        let reported = write_report(&directory);
        let path = directory.path().to_owned();
        let run = walked.and_then(|run| reported.map(|()| run));
        Ok(Done { run: run.map_err(|failure| kept(failure, &path))?, path })
    })
}

/// Says where the record is, if it is anywhere.
fn kept(failure: Failure, path: &Path) -> Failure {
    match failure {
        Failure::Sentence(said) if path.exists() => {
            Failure::Sentence(format!("{said}\nthe record so far is in {}", path.display()))
        }
        other => other,
    }
}

/// Writes into `run.json` why the run has ended early.
fn end_early(directory: &RunDirectory, said: &str) -> Result<(), RecordError> {
    let mut run = StoredRun::load(directory.path())?.run;
    run.outcome = Ending::Interrupted { reason: said.to_owned(), phase: None };
    directory.write_run(&run)
}

fn write_report(directory: &RunDirectory) -> Result<(), Failure> {
    let stored = StoredRun::load(directory.path())?;
    report::write(directory.path(), &stored.run, &stored.evidence)?;
    Ok(report::write_sums(directory.path())?)
}

async fn walk_in(
    task: &Task,
    (inside, outside): (Inside, &Outside),
    clock: Clock,
    stop: Stop,
    engines: Engines,
    directory: &mut RunDirectory,
) -> Result<Run, Failure> {
    warn_of_limit(inside, &task.testbed);
    let mut run = blank(task, inside, clock);
    directory.write_run(&run)?;
    let building = clock.us();
    let stage = Stage::new(&task.testbed, task.phases[0]);
    let lab = Netns::build_with(&stage, clock.origin(), engines)?.amid(outside.crowding());
    run.timings.build_us = clock.us() - building;
    let progress = Progress::new();
    let retest = |check: &str, phases: &[Phase]| source::retest(&task.retest, check, phases);
    let order = Order {
        testbed: &task.testbed,
        phases: &task.phases,
        checks: &task.checks,
        gates: &task.gates,
        faults: &task.faults,
        capture: task.capture,
        at_once: at_once(inside, &task.testbed),
        retest: &retest,
    };
    let tell = |event: walk::Event<'_>| progress.tell(&event);
    let run = walk::walk(&order, &lab, directory, clock, stop, run, &tell).await;
    progress.done();
    Ok(run?)
}

/// The engines of the testbed, or what is wanting.
pub(super) fn engines(task: &Task, phases: &[Phase], inside: Inside) -> Result<Engines, Failure> {
    Ok(Engines::gather(&task.testbed, phases, inside.rootless)?)
}

/// Where what engines say is kept.
pub(super) fn logs(directory: &RunDirectory) -> PathBuf {
    directory.path().join("engines")
}

/// The least number of questions that are under way at once.
const FEWEST: usize = 32;
/// Files that a question may need: it holds a socket or two, a tap three.
const PER_QUESTION: usize = 4;

/// How many questions, or experiments with their taps, the limit of open files bears.
pub(super) fn at_once(inside: Inside, testbed: &Testbed) -> usize {
    const MOST: usize = 4096;
    let limit = usize::try_from(inside.open_files).unwrap_or(usize::MAX);
    (limit.saturating_sub(standing(testbed)) / PER_QUESTION).clamp(FEWEST, MOST)
}

/// About how many files the lab holds open while nothing is asked: a node four, and services theirs; half of what is left
/// stays in reserve.
fn standing(testbed: &Testbed) -> usize {
    4 * testbed.nodes.len() + 40 * testbed.segments.len() + 100
}

/// Says when the limit of open files may leave questions unasked.
pub(super) fn warn_of_limit(inside: Inside, testbed: &Testbed) {
    let wanted = standing(testbed) + PER_QUESTION * FEWEST;
    if inside.open_files < wanted as u64 {
        tell(&format!(
            "note: at most {} files may be open, and this testbed may need {wanted}; where they do not suffice, a \
             question is not asked; raise the limit with `ulimit -n {wanted}`\n",
            inside.open_files
        ));
    }
}

/// Makes the run directory and keeps the inputs in it.
pub(super) fn begin(task: &Task, clock: Clock) -> Result<RunDirectory, Failure> {
    let directory = RunDirectory::create(&task.runs, clock)?;
    for (at, source) in task.sources.iter().enumerate() {
        directory.keep_input(&source.kept_name(at + 1), &source.text)?;
    }
    let schema = crate::report::run_schema().to_value();
    let schema = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    directory.write("run.schema.json", schema.as_bytes())?;
    Ok(directory)
}

/// What is known of a run before its first phase.
pub(super) fn blank(task: &Task, inside: Inside, clock: Clock) -> Run {
    Run {
        format_version: FORMAT_VERSION,
        tool: Tool { name: "sixwalk".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        started: clock.started(),
        inputs: task.sources.iter().map(Source::as_input).collect(),
        testbed: (*task.testbed).clone(),
        environment: environment(inside),
        asked: task.phases.clone(),
        phases: Vec::new(),
        findings: Vec::new(),
        engines: Vec::new(),
        outcome: Ending::Interrupted { reason: "the run has not ended".to_owned(), phase: None },
        timings: Timings::default(),
    }
}

fn environment(inside: Inside) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    if let Ok(uname) = nix::sys::utsname::uname() {
        facts.insert("kernel".to_owned(), uname.release().to_string_lossy().into_owned());
        facts.insert("machine".to_owned(), uname.machine().to_string_lossy().into_owned());
    }
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    facts.insert("processors".to_owned(), processors.to_string());
    let user = if inside.rootless { "ordinary user, in a user namespace" } else { "root" };
    facts.insert("run as".to_owned(), user.to_owned());
    facts
}

/// What comes this soon after a first signal is the same request: a terminal and programs like `timeout` signal a whole
/// group of processes, and the outer process of the sandbox hands its own on to us.
const SAME_REQUEST: Duration = Duration::from_millis(300);

/// Turns true at the first signal that asks the program to end. A second one ends the process at once.
fn stop_on_signal() -> Result<Stop, Failure> {
    let (ask, stop) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut hangup = (!hangup_is_ignored()).then(|| signal(SignalKind::hangup())).transpose()?;
    tokio::spawn(async move {
        let mut asked = None::<Instant>;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                Some(()) = async { hangup.as_mut()?.recv().await } => {}
                _ = quit.recv() => std::process::exit(131),
            }
            match asked {
                None => drop(ask.send_replace(true)),
                Some(first) if first.elapsed() < SAME_REQUEST => {}
                Some(_) => std::process::exit(130),
            }
            asked = asked.or(Some(Instant::now()));
        }
    });
    Ok(stop)
}

/// Whether we were started to outlive the terminal, as by `nohup`.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.unwrap_or(0) & 1 << (SignalKind::hangup().as_raw_value() - 1) != 0
}
