use clap::CommandFactory;

use super::{Cli, Failure, Verdict, print};

/// Print a manual page.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk man | man -l -
  sixwalk man walk > sixwalk-walk.1")]
pub(super) struct Args {
    /// The page of this subcommand; without one, of the whole program.
    subcommand: Option<String>,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let mut program = Cli::command();
        program.build();
        let command = match &self.subcommand {
            None => program,
            Some(name) => {
                let unknown = || {
                    Failure::Sentence(format!(
                        "there is no subcommand `{name}`; see `sixwalk --help`"
                    ))
                };
                let found = program.find_subcommand(name).ok_or_else(unknown)?.clone();
                // A name for the life of the process: clap wants it static, and there is one.
                found.name(&*format!("sixwalk-{name}").leak())
            }
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        print(&String::from_utf8_lossy(&page))
    }
}
