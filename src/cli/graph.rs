use std::path::PathBuf;

use super::{Failure, Verdict, print, source};
use crate::{model::phase::Phase, record, report::figure};

/// Draw the topology as SVG, in the state of one phase or of all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk graph > topology.svg                    all four phases side by side
  sixwalk graph my.toml --phase partial -o partial.svg")]
pub(super) struct Args {
    #[command(flatten)]
    testbed: source::TestbedArgs,
    /// The phase to draw [default: all four].
    #[arg(long, value_name = "PHASE", value_parser = source::phase())]
    phase: Option<Phase>,
    /// Write to this file instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let testbed = self.testbed.load()?.testbed;
        let svg = match self.phase {
            Some(phase) => figure::topology::svg(&testbed, Some(phase)),
            None => figure::topology::multiples(&testbed),
        };
        match &self.output {
            None => print(&svg),
            Some(path) => {
                record::write_whole(path, svg.as_bytes()).map_err(|error| {
                    Failure::Sentence(format!(
                        "cannot write {}: {error}; name a file in a folder that exists and that you may write to",
                        path.display()
                    ))
                })?;
                Ok(Verdict::Open)
            }
        }
    }
}
