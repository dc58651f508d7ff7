use std::{
    ffi::{OsStr, OsString},
    io,
    process::{Command, ExitStatus},
};

use nix::{
    errno::Errno,
    sys::signal::{SigSet, Signal},
};

use super::{Failure, Verdict, control, tell, unknown};
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
/// code is passed on; 128 plus the number of the signal that ended it. As in a shell, 127 says that there is no such
/// program, and 126 that it cannot be executed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk exec portal -- ip address
  sixwalk exec visitor -- curl -6 http://portal.dc.test/

Exit codes: that of the program; 128+N if signal N ended it; 126 it cannot be executed; 127 there is no
such program; 2 there is no such node or lab.")]
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
            Err(Failure::Sentence(unknown::node(node, known)))
        }
        command => Ok(command?),
    }
}

/// Runs a program and passes on its exit code. Ctrl-C is for the program: we wait until it ends.
pub(super) fn run(mut command: Command, arguments: &[OsString]) -> Result<Verdict, Failure> {
    [Signal::SIGINT, Signal::SIGQUIT].into_iter().collect::<SigSet>().thread_block()?;
    let program = command.get_program().display().to_string();
    let status = command.args(arguments).status().map_err(|error| {
        let said = format!("cannot run `{program}` in the node: {error}");
        match not_run(&error) {
            Some(code) => {
                tell(&format!("error: {said}\n"));
                Failure::Code(code)
            }
            None => Failure::Sentence(said),
        }
    })?;
    match code(status) {
        0 => Ok(Verdict::Open),
        code => Err(Failure::Code(code)),
    }
}

/// The exit code by which shells say that a program is not there or cannot be executed.
fn not_run(error: &io::Error) -> Option<u8> {
    match error.raw_os_error().map(Errno::from_raw)? {
        Errno::ENOENT => Some(127),
        Errno::EACCES | Errno::ENOEXEC | Errno::EISDIR => Some(126),
        _ => None,
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}
