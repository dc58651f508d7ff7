use super::{Failure, Verdict, control, exec};

/// Open a shell inside a node of a lab.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk shell portal
  SHELL=/bin/dash sixwalk shell visitor")]
pub(super) struct Args {
    /// The node.
    node: String,
    #[command(flatten)]
    lab: control::LabArgs,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
        exec::run(exec::inside(&self.lab, &self.node, &shell)?, &[])
    }
}
