//! The command line: one file per subcommand. Data goes to stdout, everything else to stderr.

mod check;
mod checks;
mod choice;
mod completions;
mod control;
mod doctor;
mod down;
mod engines;
mod exec;
mod graph;
mod lab;
mod man;
mod phase;
mod plan;
mod progress;
mod report;
mod schema;
mod shell;
mod source;
mod standing;
mod status;
mod unknown;
mod up;
mod walk;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Walk a testbed from IPv4-only to IPv6-only, and write down what an auditor can check.
///
/// A testbed is a file: sites, segments, nodes, services, tunnels, flows. sixwalk builds it out of network namespaces,
/// brings it through the phases IPv4-only, partial, dual-stack and IPv6-only, asks the same questions in every phase, and
/// leaves a run directory with evidence and a report. Nothing on this machine's own network is changed; no root is needed.
#[derive(Debug, Parser)]
#[command(
    name = "sixwalk",
    version,
    max_term_width = 100,
    after_help = "Examples:
  sixwalk walk                          walk the reference testbed through all phases
  sixwalk walk my.toml --phases dual-stack,ipv6-only
  sixwalk plan my.toml                  what would be done, with its undo; touches nothing
  sixwalk up my.toml && sixwalk exec portal -- ip address
  sixwalk doctor                        what this machine can and cannot do

Exit codes:
  0  done; all gates are open
  1  findings close a gate
  2  the run is incomplete, something could not be decided, or the input is bad
  3  an error of the program itself"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Walk(walk::Args),
    Plan(plan::Args),
    Up(up::Args),
    Status(status::Args),
    Exec(exec::Args),
    Shell(shell::Args),
    Phase(phase::Args),
    Check(check::Args),
    Down(down::Args),
    Report(report::Args),
    Checks(checks::Args),
    Doctor(doctor::Args),
    Graph(graph::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// What a command came to, as the exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Done; nothing stands against going on.
    Open,
    /// Findings close a gate.
    Closed,
    /// Incomplete, or not decidable, or bad input.
    Incomplete,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(match verdict {
            Verdict::Open => 0,
            Verdict::Closed => 1,
            Verdict::Incomplete => 2,
        })
    }
}

/// Why a command did not do what it was asked for. Printed as it is, after `error: `.
#[derive(Debug)]
pub enum Failure {
    /// Diagnostics of an input file, rendered already.
    Diagnostics(String),
    /// A sentence.
    Sentence(String),
    /// A program that was run inside a node has ended with this code.
    Code(u8),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Sentence(error.to_string())
    }
}

/// Carries out the command line.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Walk(args) => args.run(),
        Command::Plan(args) => args.run(),
        Command::Up(args) => args.run(),
        Command::Status(args) => args.run(),
        Command::Exec(args) => args.run(),
        Command::Shell(args) => args.run(),
        Command::Phase(args) => args.run(),
        Command::Check(args) => args.run(),
        Command::Down(args) => args.run(),
        Command::Report(args) => args.run(),
        Command::Checks(args) => args.run(),
        Command::Doctor(args) => args.run(),
        Command::Graph(args) => args.run(),
        Command::Schema(args) => args.run(),
        Command::Completions(args) => args.run(),
        Command::Man(args) => args.run(),
    };
    match result {
        Ok(verdict) => verdict.into(),
        Err(Failure::Diagnostics(text)) => {
            tell(&text);
            Verdict::Incomplete.into()
        }
        Err(Failure::Sentence(sentence)) => {
            tell(&format!("error: {sentence}\n"));
            Verdict::Incomplete.into()
        }
        Err(Failure::Code(code)) => ExitCode::from(code),
    }
}

/// Prints data. A reader that has gone away, as `| head` does, is no error.
fn print(text: &str) -> Result<Verdict, Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Sentence(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(Verdict::Open),
    }
}

/// Tells people something on stderr. That nobody can hear it is no reason to stop.
pub fn tell(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
