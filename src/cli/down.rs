use super::{Failure, Verdict, control, tell};

/// End a lab. Nothing of it is left but its run directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk down
  sixwalk down --lab runs/20261120T091000Z-0001")]
pub(super) struct Args {
    #[command(flatten)]
    lab: control::LabArgs,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let mut control = self.lab.connect()?;
        control.ask(&control::Request::Down)?;
        tell(&format!("the lab in {} is down\n", control.run.display()));
        Ok(Verdict::Open)
    }
}
