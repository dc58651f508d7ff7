use super::{Failure, Verdict, control, source, status};

/// Bring a lab to a phase, forwards or backwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk phase dual-stack
  sixwalk phase ipv4-only          and back again")]
pub(super) struct Args {
    /// ipv4-only, partial, dual-stack or ipv6-only.
    name: String,
    #[command(flatten)]
    lab: control::LabArgs,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let phase = source::phase(&self.name)?;
        let reply = self.lab.connect()?.ask(&control::Request::Phase { phase })?;
        status::show(reply, self.json)
    }
}
