//! The programs of engines on this machine.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    engine::{Engine, TunnelEngine},
    model::{
        name::{NodeName, ServiceName, TunnelName},
        testbed::Testbed,
    },
};

/// Where servers are that a user's `PATH` may not name.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin", "/bin"];
/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(2);
/// Octets of that which are read.
const MOST: usize = 16 << 10;
/// Letters of it that are kept.
const LONGEST: usize = 120;

/// What engines need to know of the machine and of the run.
#[derive(Clone, Debug, Default)]
pub struct Engines {
    /// The programs, by the names of their engines.
    pub programs: BTreeMap<&'static str, Program>,
    /// The folder in which what they say is kept.
    pub logs: Option<PathBuf>,
    /// Whether we are root in a user namespace only.
    pub rootless: bool,
}

/// A program that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where.
    pub path: PathBuf,
    /// What it says of its version; empty if it says nothing.
    pub version: String,
}

/// Why an engine cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Wanting {
    /// Its program is not on this machine.
    #[error(
        "the engine `{}` of service `{service}` of node `{node}` needs the program `{}`, which is not on this machine; {}",
        engine.name, engine.program, engine.remedy()
    )]
    Program {
        /// The engine.
        engine: &'static Engine,
        /// The node.
        node: NodeName,
        /// The service.
        service: ServiceName,
    },
    /// The program of an engine of tunnels is not on this machine.
    #[error(
        "the engine `{}` of tunnel `{tunnel}` needs the program `{}`, which is not on this machine; {}",
        engine.name, engine.program, engine.remedy()
    )]
    Tunnels {
        /// The engine.
        engine: &'static TunnelEngine,
        /// The tunnel.
        tunnel: TunnelName,
    },
    /// It needs root.
    #[error(
        "the engine `{}` of service `{service}` of node `{node}` needs root: {why}; run sixwalk with sudo, or take the \
         service that is built in",
        engine.name
    )]
    Root {
        /// The engine.
        engine: &'static Engine,
        /// The node.
        node: NodeName,
        /// The service.
        service: ServiceName,
        /// What stands in the way.
        why: &'static str,
    },
}

impl Engines {
    /// Everything that the engines of a testbed need of this machine, or what is wanting.
    pub fn gather(testbed: &Testbed, rootless: bool, logs: PathBuf) -> Result<Self, Wanting> {
        let mut programs = BTreeMap::new();
        for (node, service) in
            testbed.nodes.values().flat_map(|n| n.services.iter().map(move |s| (n, s)))
        {
            let Some(engine) = service.engine.as_ref().and_then(Engine::of) else { continue };
            let (node, service) = (node.name.clone(), service.name.clone());
            if let Some(why) = engine.only_for_root.filter(|_| rootless) {
                return Err(Wanting::Root { engine, node, service, why });
            }
            if !programs.contains_key(engine.name) {
                let path = find(engine.program);
                let path = path.ok_or(Wanting::Program { engine, node, service })?;
                let version = version(&path, engine.version).unwrap_or_default();
                programs.insert(engine.name, Program { path, version });
            }
        }
        for tunnel in testbed.tunnels.values() {
            let Some(engine) = tunnel.engine.as_ref().and_then(TunnelEngine::of) else { continue };
            let path = find(engine.program);
            let path =
                path.ok_or_else(|| Wanting::Tunnels { engine, tunnel: tunnel.name.clone() })?;
            let version = tunnel_version(engine).unwrap_or_default();
            programs.insert(engine.name, Program { path, version });
        }
        Ok(Self { programs, logs: Some(logs), rootless })
    }

    /// The program of an engine; where nobody has looked for it before, it is looked for now.
    pub(super) fn program(&self, engine: &Engine) -> Option<Program> {
        let known = self.programs.get(engine.name).cloned();
        known.or_else(|| Some(Program { path: find(engine.program)?, version: String::new() }))
    }
}

/// What an engine of tunnels says of its version.
pub fn tunnel_version(engine: &TunnelEngine) -> Option<String> {
    let said = version(&find(engine.speaker)?, engine.version)?;
    Some(said.trim_end_matches(engine.speaker).trim().to_owned())
}

/// The path of a program: by `PATH`, then where servers are.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    let is_program = |path: &PathBuf| path.is_absolute() && is_executable(path);
    folders.map(|folder| folder.join(program)).find(is_program)
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// The line in which a program says its version; `None` if it says none within two seconds.
pub fn version(program: &Path, arguments: &[&str]) -> Option<String> {
    let said = said(program, arguments).ok()?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let has_number = |line: &&str| {
        let mut pairs = line.as_bytes().windows(3);
        pairs.any(|w| w[0].is_ascii_digit() && w[1] == b'.' && w[2].is_ascii_digit())
    };
    let line = said.lines().find(has_number)?.trim();
    Some(line.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
}

/// What a program says on both of its outputs, until it ends or the time is over.
fn said(program: &Path, arguments: &[&str]) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = io::pipe()?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let began = Instant::now();
    let mut said = Vec::new();
    while let Some(left) = PATIENCE.checked_sub(began.elapsed()).filter(|_| said.len() < MOST) {
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(1..) => {}
            Err(Errno::EINTR) => continue,
            _ => break,
        }
        let mut buffer = [0; 4096];
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => said.extend(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // It has said everything, or had its time. Inside the lab somebody else waits for every child that has ended, and may have been faster.
    let _ = child.kill();
    let _ = child.wait();
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_line_with_a_number() {
        let version = |script: &str| version(Path::new("/bin/sh"), &["-c", script]);
        assert_eq!(version("echo usage; echo 'thing 1.2.3' >&2").as_deref(), Some("thing 1.2.3"));
        assert_eq!(version("exit 1"), None);
        assert_eq!(version("printf 'a 1.2\\033[31m'").as_deref(), Some("a 1.2[31m"));
    }

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for() {
        let began = Instant::now();
        assert_eq!(version(Path::new("/bin/sleep"), &["60"]), None);
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
