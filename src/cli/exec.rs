use std::{
    ffi::{OsStr, OsString},
    process::{Command, ExitStatus},
};

use nix::sys::signal::{SigSet, Signal};

use super::{Failure, Verdict, control, source};
use crate::{
    lab::netns::{
        enter::{self, EnterError},
        folder::FOLDERS,
    },
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
    command: Vec<OsString>,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let (program, arguments) = self.command.split_first().expect("clap asks for a program");
        let command = inside(&self.lab, &self.node, program)?;
        run(command, arguments)
    }
}

/// A command that runs in a node. The connection to the lab is closed again: others want to speak to it meanwhile.
pub(super) fn inside(
    lab: &control::LabArgs,
    node: &str,
    program: &OsStr,
) -> Result<Command, Failure> {
    let mut control = lab.connect()?;
    let name = node.parse::<NodeName>()?;
    match enter::command(control.lab_pid()?, FOLDERS.as_ref(), &name, program) {
        Err(EnterError::Node { .. }) => {
            let nodes = control.status()?.nodes;
            let known = nodes.iter().map(|(name, _)| name.as_str());
            Err(Failure::Sentence(source::unknown_node(node, known)))
        }
        command => Ok(command?),
    }
}

/// Runs a program and passes on its exit code. Ctrl-C is for the program: we wait until it ends.
pub(super) fn run(mut command: Command, arguments: &[OsString]) -> Result<Verdict, Failure> {
    [Signal::SIGINT, Signal::SIGQUIT].into_iter().collect::<SigSet>().thread_block()?;
    let program = command.get_program().display().to_string();
    let failed = |error| Failure::Sentence(format!("cannot run `{program}` in the node: {error}"));
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
