//! Parse, run, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use sixwalk::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    std::panic::catch_unwind(|| cli::run(cli)).unwrap_or_else(|_| {
        cli::tell("error: this is a mistake of sixwalk itself, not of its input; please report it with the lines above\n");
        ExitCode::from(3)
    })
}
