//! How commands speak to a lab that stays: lines of JSON over a socket in its run directory.

use std::{
    io::{BufRead, BufReader, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Failure, choice::Choice, tell};
use crate::model::{finding::Finding, phase::Phase, verdict::Verdict};

/// The socket in the run directory.
pub(super) const SOCKET: &str = "control.sock";

/// What to say of an answer that does not belong to the question.
pub(super) const OTHER_VERSION: &str = "the lab gave an answer of another version of sixwalk";

/// Which lab.
#[derive(Debug, clap::Args)]
pub(super) struct LabArgs {
    /// The run directory that `sixwalk up` printed [default: the newest lab in --runs].
    #[arg(long, value_name = "DIR")]
    lab: Option<PathBuf>,
    /// The folder of run directories to look for labs in.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// What is asked of a lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// How it stands.
    Status,
    /// To go to a phase.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// To ask checks in the present phase.
    Check {
        /// Which.
        choice: Choice,
    },
    /// To end.
    Down,
}

/// What a lab answers: any number of `Progress`, then one of the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// What is going on, for people.
    Progress {
        /// A line.
        line: String,
    },
    /// To `Status` and `Phase`.
    Status(Status),
    /// To `Check`.
    Checked(Checked),
    /// To `Down`: the last word.
    Gone,
    /// It could not be done.
    Refused {
        /// A sentence.
        why: String,
    },
}

/// How a lab stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Status {
    /// What people call the testbed.
    pub(super) title: String,
    /// The run directory.
    pub(super) run: PathBuf,
    /// The phase that it is in.
    pub(super) phase: Phase,
    /// Seconds since it was built.
    pub(super) age_s: u64,
    /// Where the kernel's state is not as the stage says.
    pub(super) deviations: Vec<String>,
    /// Its nodes and their live addresses.
    pub(super) nodes: Vec<(String, Vec<String>)>,
}

/// What checks came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Checked {
    /// The phase.
    pub(super) phase: Phase,
    /// Check, subject, verdict, reason.
    pub(super) judgements: Vec<(String, String, Verdict, String)>,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
}

/// A connection to a lab.
pub(super) struct Control {
    stream: BufReader<UnixStream>,
    /// The run directory of the lab.
    pub(super) run: PathBuf,
}

impl LabArgs {
    /// Connects to the lab that is meant.
    pub(super) fn connect(&self) -> Result<Control, Failure> {
        if let Some(run) = &self.lab {
            let failed = |error| {
                Failure::Sentence(format!(
                    "no lab answers in {}: {error}; `sixwalk up` starts one",
                    run.display()
                ))
            };
            return connect(run).map_err(failed);
        }
        let entries = std::fs::read_dir(&self.runs).into_iter().flatten();
        let mut runs: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        runs.sort();
        runs.iter().rev().find_map(|run| connect(run).ok()).ok_or_else(|| {
            Failure::Sentence(format!(
                "no lab is up in {}; start one with `sixwalk up`, or name its run directory with --lab",
                self.runs.display()
            ))
        })
    }
}

fn connect(run: &Path) -> std::io::Result<Control> {
    let stream = UnixStream::connect(short_path(run)?.join(SOCKET))?;
    Ok(Control { stream: BufReader::new(stream), run: run.to_owned() })
}

/// A path of a folder that fits into the address of a socket (108 octets), however long its own is. It is good as long
/// as this process lives.
pub(super) fn short_path(folder: &Path) -> std::io::Result<PathBuf> {
    let folder = std::fs::File::open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    // Kept open on purpose: the path goes through the descriptor.
    std::mem::forget(folder);
    Ok(path)
}

impl Control {
    /// The process that is the lab, as this process sees it.
    pub(super) fn lab_pid(&self) -> Result<u32, Failure> {
        let credentials = getsockopt(self.stream.get_ref(), PeerCredentials)?;
        let hidden = || Failure::Sentence("the lab's process cannot be seen from here".to_owned());
        u32::try_from(credentials.pid()).ok().filter(|pid| *pid > 0).ok_or_else(hidden)
    }

    /// How the lab stands.
    pub(super) fn status(&mut self) -> Result<Status, Failure> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            _ => Err(Failure::Sentence(OTHER_VERSION.to_owned())),
        }
    }

    /// Asks; what is going on is shown on stderr.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Reply, Failure> {
        send(self.stream.get_mut(), request)?;
        loop {
            match receive(&mut self.stream)? {
                Some(Reply::Progress { line }) => tell(&format!("{line}\n")),
                Some(Reply::Refused { why }) => return Err(Failure::Sentence(why)),
                Some(reply) => return Ok(reply),
                None => {
                    let gone =
                        format!("the lab in {} has gone away; see its lab.log", self.run.display());
                    return Err(Failure::Sentence(gone));
                }
            }
        }
    }
}

/// Writes one line.
pub(super) fn send(stream: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn receive<T: DeserializeOwned>(stream: &mut impl BufRead) -> std::io::Result<Option<T>> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        // Reset: it ended with the request still unread.
        Ok(0) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
        read => read?,
    };
    Ok(Some(serde_json::from_str(&line)?))
}
