use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use super::{Failure, Verdict, engines, lab, print, source, standing};
use crate::{check::CHECKS, model::phase::Phase};

/// Build a lab that stays, in the background, in one phase.
///
/// Prints the run directory of the lab. `status`, `exec`, `shell`, `phase` and `check` work on it; `down` ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk up                              the reference testbed, IPv4-only
  sixwalk up my.toml --phase dual-stack
  sixwalk up --fault testbed/faults/services.toml --phase dual-stack   for training")]
pub(super) struct Args {
    #[command(flatten)]
    testbed: source::TestbedArgs,
    #[command(flatten)]
    engines: engines::EngineArgs,
    /// The phase to begin in.
    #[arg(long, value_name = "PHASE", default_value = Phase::Ipv4Only.word(), value_parser = source::phase())]
    phase: Phase,
    /// Plant the faults of this file whenever one of their phases is entered.
    #[arg(long, value_name = "FILE")]
    fault: Vec<PathBuf>,
    /// Make the run directory in this folder.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Stay in the foreground; Ctrl-C ends the lab.
    #[arg(long)]
    foreground: bool,
    /// How the background half is started.
    #[arg(long, hide = true)]
    detached: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        // Mistakes in the input are told before anything is started.
        let mut loaded = self.testbed.load()?;
        self.engines.choose(&mut loaded.testbed)?;
        let testbed = Arc::clone(&loaded.testbed);
        let (sources, faults) = source::faults(&self.fault, loaded)?;
        if !self.foreground && !self.detached {
            return start_in_background();
        }
        let task = lab::Task {
            testbed,
            sources,
            phases: vec![self.phase],
            checks: CHECKS.to_vec(),
            faults,
            gates: BTreeMap::new(),
            capture: false,
            runs: self.runs.clone(),
            retest: source::command(&self.testbed, &self.engines, &self.fault, None),
        };
        standing::stand(&task, self.detached)?;
        Ok(Verdict::Open)
    }
}

/// Starts the same command once more in a session of its own, and waits until it says where the lab is.
fn start_in_background() -> Result<Verdict, Failure> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).arg("--detached");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: between fork and exec the child only calls setsid, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?));
    }
    let mut child = command.spawn()?;
    let progress = child.stderr.take().expect("piped above");
    let relay = std::thread::spawn(move || {
        for line in BufReader::new(progress).lines().map_while(Result::ok) {
            if writeln!(std::io::stderr(), "{line}").is_err() {
                break;
            }
        }
    });
    let mut path = String::new();
    BufReader::new(child.stdout.take().expect("piped above")).read_line(&mut path)?;
    if path.is_empty() {
        let status = child.wait()?;
        let _ = relay.join();
        // The child has said why on stderr, which was relayed.
        return Err(Failure::Code(
            status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2),
        ));
    }
    print(&path)
}
