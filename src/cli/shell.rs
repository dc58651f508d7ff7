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
        let control = self.lab.connect()?;
        let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
        exec::run_in(&control, &self.node, &[shell])
    }
}
