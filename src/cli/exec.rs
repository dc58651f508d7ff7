use std::process::ExitStatus;

use super::{Failure, Verdict, control};
use crate::{
    lab::netns::{enter, folder::FOLDERS},
    model::name::NodeName,
};

/// Run a program inside a node of a lab.
///
/// The program sees the network, the /etc/hosts and the /etc/resolv.conf of the node, and this machine's files. Its exit
/// code is passed on; 128 plus the number of the signal that ended it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk exec portal -- ip address
  sixwalk exec visitor -- curl -6 http://portal.dc.test/")]
pub(super) struct Args {
    /// The node.
    node: String,
    #[command(flatten)]
    lab: control::LabArgs,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let control = self.lab.connect()?;
        run_in(&control, &self.node, &self.command)
    }
}

/// Runs a program in a node and passes on its exit code.
pub(super) fn run_in(
    control: &control::Control,
    node: &str,
    words: &[String],
) -> Result<Verdict, Failure> {
    let node: NodeName = node.parse()?;
    let (program, arguments) = words.split_first().expect("clap asks for a program");
    let mut command =
        enter::command(control.lab_pid()?, FOLDERS.as_ref(), &node, program.as_ref())?;
    let failed =
        |error| Failure::Sentence(format!("cannot run `{program}` in node `{node}`: {error}"));
    let status = command.args(arguments).status().map_err(failed)?;
    match code(status) {
        0 => Ok(Verdict::Open),
        code => Err(Failure::Code(code)),
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}
