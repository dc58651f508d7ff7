use clap::ValueEnum;

use super::{Failure, Verdict, print};
use crate::{input, report};

/// Print the JSON Schema of an input file or of run.json, for editors and for other programs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk schema testbed > testbed.schema.json
  sixwalk schema run | check-jsonschema --schemafile - runs/*/run.json")]
pub(super) struct Args {
    /// Of which file.
    #[arg(value_enum)]
    of: Of,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// The testbed file.
    Testbed,
    /// A phase file: the gate of a phase.
    Phase,
    /// A fault file.
    Faults,
    /// run.json of a run directory.
    Run,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let schema = match self.of {
            Of::Testbed => input::schema(input::Kind::Testbed),
            Of::Phase => input::schema(input::Kind::Phase),
            Of::Faults => input::schema(input::Kind::Fault),
            Of::Run => report::run_schema().to_value(),
        };
        print(&(serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"))
    }
}
