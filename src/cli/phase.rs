use super::{Failure, Verdict, control, source, status};
use crate::model::phase::Phase;

/// Bring a lab to a phase, forwards or backwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk phase dual-stack
  sixwalk phase ipv4-only          and back again")]
pub(super) struct Args {
    /// The phase.
    #[arg(value_parser = source::phase())]
    phase: Phase,
    #[command(flatten)]
    lab: control::LabArgs,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let reply = self.lab.connect()?.ask(&control::Request::Phase { phase: self.phase })?;
        status::show(reply, self.json)
    }
}
