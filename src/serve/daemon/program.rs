//! The programs of engines on this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt, fs,
    io::{self, Read},
    os::{fd::AsFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::trust::Trust;
use crate::{
    check::translated,
    engine::{
        BUILT_IN, Engine, Part, TranslatorEngine, TunnelEngine, TunnelProgram, TunnelWorker,
        from_debian,
    },
    model::{
        dhcp::DhcpDuty,
        function::Function,
        name::{NodeName, ServiceName, TranslationName, TunnelName},
        phase::Phase,
        testbed::Testbed,
        translation::Translation,
    },
    net::wireguard,
    stage::Stage,
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
    /// What the starts of the run have come to.
    pub trust: Arc<Trust>,
}

/// A program that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where.
    pub path: PathBuf,
    /// What it says of its version; empty if it says nothing.
    pub version: String,
}

/// What an engine is to do on a node.
#[derive(Clone, Debug)]
pub struct Posting {
    engine: &'static Engine,
    node: NodeName,
    part: Part,
    service: Option<ServiceName>,
}

/// ``the engine `knot` of service `dns` of node `ns` ``.
impl fmt::Display for Posting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, node, part, service } = self;
        match service {
            Some(service) => {
                write!(f, "the engine `{}` of service `{service}` of node `{node}`", engine.name)
            }
            None => write!(f, "the engine `{}` for `{part}` of node `{node}`", engine.name),
        }
    }
}

/// Everything that engines are to do.
fn posts(testbed: &Testbed) -> impl Iterator<Item = Posting> {
    testbed.nodes.values().flat_map(|node| {
        let services = node.services.iter().filter_map(|service| {
            let engine = Engine::of(service.engine.as_ref()?)?;
            let part = Part::Service(service.kind);
            let service = Some(service.name.clone());
            Some(Posting { engine, node: node.name.clone(), part, service })
        });
        let functions = node.engines.iter().filter_map(|(function, engine)| {
            let (engine, part) = (Engine::of(engine)?, Part::Function(*function));
            Some(Posting { engine, node: node.name.clone(), part, service: None })
        });
        services.chain(functions)
    })
}

/// What the plan asks of an engine in some of these phases and it cannot do, as the end of a sentence.
fn beyond(
    testbed: &Arc<Testbed>,
    phases: &[Phase],
    post: &Posting,
    version: &str,
) -> Option<String> {
    let engine = post.engine;
    let knows = || engine.pref64_after.is_some_and(|last| numbers(version) > Some(last));
    let relays = |duty: &DhcpDuty| matches!(duty, DhcpDuty::Relay { .. });
    phases.iter().copied().find_map(|phase| match post.part {
        Part::Function(Function::Advertisements) if !knows() => {
            let stage = Stage::new(testbed, phase);
            let announced =
                stage.nodes[&post.node].interfaces.iter().filter_map(|i| i.advertises.as_ref());
            let prefix = announced.flat_map(|announced| &announced.pref64).next()?;
            let since = match engine.pref64_after {
                Some((major, minor)) => format!("after version {major}.{minor}"),
                None => "in no version".to_owned(),
            };
            Some(format!(
                "is to announce the translation prefix {prefix} (RFC 8781) in the {phase} phase, which `{}` can {since}; here it says \
                 `{version}`",
                engine.program
            ))
        }
        Part::Function(Function::Dhcpv6) if !engine.relays => {
            let stage = Stage::new(testbed, phase);
            let duty = stage.nodes[&post.node].dhcp.iter().find(|duty| relays(duty))?;
            Some(format!("is to {duty} in the {phase} phase, and it relays nothing"))
        }
        _ => None,
    })
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    version.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let mut numbers = word.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}

/// A program that an engine needs and that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which engine, where: ``the engine `knot` of service `dns` of node `ns` ``.
    pub of: String,
    /// The program.
    pub program: &'static str,
    /// The Debian packages that hold it.
    pub package: &'static str,
}

/// All of them in one sentence, and what gets all of them.
fn missing(all: &[Missing]) -> String {
    let needs = |one: &Missing| format!("{} needs the program `{}`", one.of, one.program);
    let needs: Vec<_> = all.iter().map(needs).collect();
    let mut packages: Vec<_> = all.iter().map(|one| one.package).collect();
    packages.dedup();
    let are = match all {
        [_] => "which is not",
        _ => "none of which is",
    };
    format!("{}, {are} on this machine; {}", needs.join(", "), from_debian(&packages.join(" ")))
}

/// Why an engine cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Wanting {
    /// Programs are not on this machine.
    #[error("{}", missing(.0))]
    Programs(Vec<Missing>),
    /// The program of a translation cannot be had as it is meant.
    #[error("the engine `{}` of translation `{translation}` {why}", engine.name)]
    Translators {
        /// The engine.
        engine: &'static TranslatorEngine,
        /// The translation.
        translation: TranslationName,
        /// What stands in the way, and what to do.
        why: String,
    },
    /// The kernel cannot do what an engine of tunnels is to have it do.
    #[error(
        "the engine `{}` of tunnel `{tunnel}` needs WireGuard of the kernel, which makes no device of it here: {said}; {}; the \
         one that is built in needs nothing: `--engine vpn={BUILT_IN}`",
        engine.name, engine.by.remedy()
    )]
    Kernel {
        /// The engine.
        engine: &'static TunnelEngine,
        /// The tunnel.
        tunnel: TunnelName,
        /// What the kernel says.
        said: String,
    },
    /// It cannot do all that the plan asks.
    #[error(
        "{post} {what}; let that node do it itself, and name the engine for the others in the file of the testbed: \
         `node.NAME.engines = {{ {part} = \"{name}\" }}`",
        part = post.part,
        name = post.engine.name
    )]
    Ability {
        /// Which engine, where.
        post: Posting,
        /// What it cannot do.
        what: String,
    },
}

/// The programs that the engines of a testbed need and that are not on this machine, each with the first that needs it.
fn wanting(testbed: &Testbed) -> Vec<Missing> {
    let posts =
        posts(testbed).map(|post| (post.to_string(), post.engine.program, post.engine.package));
    let tunnels = testbed.tunnels.values().filter_map(|tunnel| {
        let engine = TunnelEngine::of(tunnel.engine.as_ref()?)?;
        let TunnelWorker::Program(program) = &engine.by else { return None };
        let of = format!("the engine `{}` of tunnel `{}`", engine.name, tunnel.name);
        Some((of, program.program, program.package))
    });
    let translations = testbed.translations.values().filter_map(|translation| {
        let engine = TranslatorEngine::of(translation.engine.as_ref()?)?;
        let of = format!("the engine `{}` of translation `{}`", engine.name, translation.name);
        Some((of, engine.program, engine.package))
    });
    let mut known = BTreeSet::new();
    let all = posts.chain(tunnels).chain(translations);
    all.filter(|(_, program, _)| known.insert(*program) && find(program).is_none())
        .map(|(of, program, package)| Missing { of, program, package })
        .collect()
}

impl Engines {
    /// Everything that the engines of a testbed need of this machine, or what is wanting.
    pub fn gather(
        testbed: &Arc<Testbed>,
        phases: &[Phase],
        rootless: bool,
    ) -> Result<Self, Wanting> {
        let missing = wanting(testbed);
        if !missing.is_empty() {
            return Err(Wanting::Programs(missing));
        }
        let mut programs = BTreeMap::new();
        for post in posts(testbed) {
            let engine = post.engine;
            if !programs.contains_key(engine.name) {
                let path = find(engine.program).unwrap_or_default();
                // One that hangs even now is told by what becomes of its start.
                let version = version(&path, engine.version).unwrap_or_default();
                programs.insert(engine.name, Program { path, version });
            }
            if let Some(what) = beyond(testbed, phases, &post, &programs[engine.name].version) {
                return Err(Wanting::Ability { post, what });
            }
        }
        for tunnel in testbed.tunnels.values() {
            let Some(engine) = tunnel.engine.as_ref().and_then(TunnelEngine::of) else { continue };
            if programs.contains_key(engine.name) {
                continue;
            }
            let tunnel = || tunnel.name.clone();
            let program = match &engine.by {
                TunnelWorker::Program(program) => {
                    let path = find(program.program).unwrap_or_default();
                    Program { path, version: tunnel_version(program).unwrap_or_default() }
                }
                TunnelWorker::Kernel => {
                    let lacks = |said| Wanting::Kernel { engine, tunnel: tunnel(), said };
                    wireguard::offered().map_err(lacks)?;
                    Program { path: PathBuf::new(), version: kernel_version() }
                }
            };
            programs.insert(engine.name, program);
        }
        for translation in testbed.translations.values() {
            let engine = translation.engine.as_ref().and_then(TranslatorEngine::of);
            let Some(engine) = engine else { continue };
            let path = fit(testbed, phases, engine, translation).map_err(|why| {
                Wanting::Translators { engine, translation: translation.name.clone(), why }
            })?;
            programs.insert(engine.name, Program { path, version: String::new() });
        }
        Ok(Self { programs, logs: None, rootless, trust: Arc::default() })
    }

    /// The same, with a folder in which what they say is kept.
    #[must_use]
    pub fn kept_in(self, logs: PathBuf) -> Self {
        Self { logs: Some(logs), ..self }
    }

    /// The program of an engine; where nobody has looked for it before, it is looked for now.
    pub(super) fn program(&self, engine: &Engine) -> Option<Program> {
        let known = self.programs.get(engine.name).cloned();
        known.or_else(|| Some(Program { path: find(engine.program)?, version: String::new() }))
    }
}

/// Where the device of a program that translates comes from.
const TUN: &str = "/dev/net/tun";

/// The program of a translation, or why it cannot be had: an address for each user is something to be counted before.
fn fit(
    testbed: &Arc<Testbed>,
    phases: &[Phase],
    engine: &TranslatorEngine,
    translation: &Translation,
) -> Result<PathBuf, String> {
    let path = find(engine.program).unwrap_or_default();
    fs::File::options().read(true).write(true).open(TUN).map_err(|error| {
        format!(
            "makes its device of {TUN}, which cannot be opened ({error}); run sixwalk with sudo, or take the translator that is \
             built in"
        )
    })?;
    let (shuns, what) = engine.shuns;
    if shuns(translation.prefix) {
        return Err(format!(
            "takes no {what}, and the prefix is {}, as where a translation names none; give it a `prefix` of your network, or take the \
             translator that is built in",
            translation.prefix.net()
        ));
    }
    let has = translation.shared().len().saturating_sub(engine.own);
    for phase in phases {
        let stage = Stage::new(testbed, *phase);
        let uses = translated::uses(&stage);
        let users: BTreeSet<_> = uses
            .iter()
            .filter(|one| one.translation.name == translation.name)
            .map(translated::Use::from)
            .collect();
        if users.len() > has {
            return Err(format!(
                "gives each user an address of its own: the pool {} has {has} of them, and {} users are to be translated for in the \
                 {phase} phase; take a larger pool, or the translator that is built in",
                translation.pool,
                users.len()
            ));
        }
    }
    Ok(path)
}

/// What a program that carries tunnels says of its version.
pub fn tunnel_version(program: &TunnelProgram) -> Result<String, Mute> {
    let speaker = program.speaker.to_owned();
    let path = find(program.speaker).ok_or(Mute::Missing { speaker })?;
    let said = version(&path, program.version)?;
    Ok(said.trim_end_matches(program.speaker).trim().to_owned())
}

/// What the kernel says of its version.
fn kernel_version() -> String {
    let name = nix::sys::utsname::uname();
    name.map(|name| format!("Linux {}", name.release().display())).unwrap_or_default()
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

/// Why a program says no version.
#[derive(Debug, thiserror::Error)]
pub enum Mute {
    /// Who would say it is not on this machine.
    #[error("`{speaker}`, which says its version, is not on this machine")]
    Missing {
        /// The program that would.
        speaker: String,
    },
    /// It cannot be started.
    #[error("it cannot be started: {0}")]
    Start(#[from] io::Error),
    /// It was asked, and is at it still.
    #[error("it hangs: asked for its version by `{asked}`, it has not ended within {PATIENCE:?}")]
    Hangs {
        /// How it was asked.
        asked: String,
    },
    /// It says more than anybody reads, and no version in it.
    #[error(
        "asked for its version by `{asked}`, it says more than {MOST} octets, and no version among them"
    )]
    Raves {
        /// How it was asked.
        asked: String,
    },
    /// It says something else.
    #[error("asked for its version by `{asked}`, it says {said}")]
    Other {
        /// How it was asked.
        asked: String,
        /// What it says, or that it says nothing.
        said: String,
    },
}

/// The line in which a program says its version.
pub fn version(program: &Path, arguments: &[&str]) -> Result<String, Mute> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let asked = [&[&*name], arguments].concat().join(" ");
    let (said, end) = said(program, arguments)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let shown = |line: &str| line.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let has_number = |line: &&str| {
        let mut pairs = line.as_bytes().windows(3);
        pairs.any(|w| w[0].is_ascii_digit() && w[1] == b'.' && w[2].is_ascii_digit())
    };
    if let Some(line) = said.lines().find(has_number) {
        return Ok(shown(line.trim()));
    }
    match end {
        End::Over => {}
        End::TooMuch => return Err(Mute::Raves { asked }),
        End::TooLate => return Err(Mute::Hangs { asked }),
    }
    let first: Option<String> = said.lines().map(str::trim).find(|l| !l.is_empty()).map(shown);
    let said = first.map_or_else(|| "nothing".to_owned(), |line| format!("`{line}`"));
    Err(Mute::Other { asked, said })
}

/// Why a program was not listened to any longer.
enum End {
    Over,
    TooMuch,
    TooLate,
}

/// What a program says on both of its outputs, until it ends, has said too much, or the time is over; and which of these it was.
/// Whoever it has started is ended with it.
fn said(program: &Path, arguments: &[&str]) -> io::Result<(Vec<u8>, End)> {
    let (mut reader, writer) = io::pipe()?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let began = Instant::now();
    let (mut said, mut end) = (Vec::new(), End::TooLate);
    while let Some(left) = PATIENCE.checked_sub(began.elapsed()) {
        if said.len() >= MOST {
            end = End::TooMuch;
            break;
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(1..) => {}
            Err(Errno::EINTR) => continue,
            _ => break,
        }
        let mut buffer = [0; 4096];
        match reader.read(&mut buffer) {
            Ok(0) => {
                end = End::Over;
                break;
            }
            Ok(length) => said.extend(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // It has said everything, or had its time. Inside the lab somebody else waits for every child that has ended, and may have been
    // faster.
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
    Ok((said, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_line_with_a_number() {
        let version = |script: &str| version(Path::new("/bin/sh"), &["-c", script]);
        assert_eq!(version("echo usage; echo 'thing 1.2.3' >&2").unwrap(), "thing 1.2.3");
        assert_eq!(version("printf 'a 1.2\\033[31m'").unwrap(), "a 1.2[31m");
        let said = version("echo; echo no way; exit 1").unwrap_err().to_string();
        assert!(said.starts_with("asked for its version by `sh -c "), "{said}");
        assert!(said.ends_with(", it says `no way`"), "{said}");
        assert!(version("exit 1").unwrap_err().to_string().ends_with(", it says nothing"));
    }

    #[test]
    fn all_programs_that_are_missing_are_named_at_once() {
        let one = |name: &str, program, package| {
            let of = format!("the engine `{name}` of tunnel `t`");
            Missing { of, program, package }
        };
        let knot = one("knot", "knotd", "knot");
        let alone = Wanting::Programs(vec![knot.clone()]).to_string();
        assert_eq!(
            alone,
            "the engine `knot` of tunnel `t` needs the program `knotd`, which is not on this machine; on Debian: apt install knot"
        );
        let both = Wanting::Programs(vec![knot, one("nsd", "nsd", "nsd")]).to_string();
        assert_eq!(
            both,
            "the engine `knot` of tunnel `t` needs the program `knotd`, the engine `nsd` of tunnel `t` needs the program `nsd`, \
             none of which is on this machine; on Debian: apt install knot nsd"
        );
    }

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for() {
        let began = Instant::now();
        let said = version(Path::new("/bin/sleep"), &["60"]).unwrap_err().to_string();
        let why = "it hangs: asked for its version by `sleep 60`, it has not ended within 2s";
        assert_eq!(said, why);
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_program_that_says_too_much_does_not_hang() {
        let said = version(Path::new("/bin/sh"), &["-c", "exec yes"]).unwrap_err().to_string();
        assert!(said.contains("it says more than "), "{said}");
    }
}
