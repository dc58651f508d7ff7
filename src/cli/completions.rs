use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure, Verdict, print};

/// Print the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk completions bash > ~/.local/share/bash-completion/completions/sixwalk
  sixwalk completions zsh > ~/.zfunc/_sixwalk")]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sixwalk", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
