use std::{fmt::Write, fs, path::Path};

use serde::Serialize;

use super::{Failure, Verdict, lab, print};
use crate::{
    engine::{ENGINES, Engine, Entry, TranslatorEngine, TunnelEngine, TunnelWorker},
    net::{namespace::Namespace, trial, wireguard},
    serve::daemon::{self, Mute},
};

/// Say what this machine can and cannot do.
///
/// Kernel features are found out by trying them in namespaces that are gone afterwards; nothing of the machine's own
/// network is touched.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk doctor
  sixwalk doctor --json | jq '.[] | select(.can == false)'

Exit codes: 0 the default walk can run here; 2 it cannot, and the line says what to do.")]
pub(super) struct Args {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Something that the machine can or cannot do.
#[derive(Debug, Serialize)]
struct Ability {
    /// What.
    what: String,
    /// Whether.
    can: bool,
    /// Details, or the reason, or the remedy.
    note: String,
    /// Whether the default walk needs it.
    needed: bool,
}

impl Ability {
    fn new<E: std::fmt::Display>(what: &str, needed: bool, tried: Result<String, E>) -> Self {
        let (can, note) = match tried {
            Ok(note) => (true, note),
            Err(error) => (false, error.to_string()),
        };
        Self { what: what.to_owned(), can, note, needed }
    }
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let mut abilities = vec![kernel(), open_files(), neighbours(), tun()];
        // The sandbox is entered last: it is a way of no return for this process.
        let inside =
            lab::inside(|inside, _, _| async move { Ok((inside.rootless, tried_inside())) });
        match inside {
            Ok((rootless, more)) => {
                abilities.insert(
                    0,
                    Ability::new("namespaces of its own", true, Ok::<_, String>(who(rootless))),
                );
                abilities.extend(more);
            }
            Err(Failure::Sentence(why)) => {
                abilities.insert(0, Ability::new("namespaces of its own", true, Err(why)));
            }
            Err(other) => return Err(other),
        }
        let ready = abilities.iter().all(|ability| ability.can || !ability.needed);
        if self.json {
            print(&(serde_json::to_string_pretty(&abilities).expect("plain data") + "\n"))?;
        } else {
            print(&page(&abilities, ready))?;
        }
        Ok(if ready { Verdict::Open } else { Verdict::Incomplete })
    }
}

fn page(abilities: &[Ability], ready: bool) -> String {
    let mut page = String::new();
    for ability in abilities {
        let word = match (ability.can, ability.needed) {
            (true, _) => "yes",
            (false, true) => "NO ",
            (false, false) => "no ",
        };
        let _ = writeln!(page, "{word}  {:<34} {}", ability.what, ability.note);
    }
    let end = if ready {
        "The default walk can run here."
    } else {
        "The default walk cannot run here; see the lines with NO."
    };
    page + "\n" + end + "\n"
}

fn who(rootless: bool) -> String {
    if rootless {
        "as an ordinary user, by a user namespace".to_owned()
    } else {
        "as root".to_owned()
    }
}

fn kernel() -> Ability {
    let release =
        nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    Ability::new("Linux kernel", true, release)
}

fn open_files() -> Ability {
    const ENOUGH: u64 = 1024;
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let tried = limit.map_err(|error| error.to_string()).and_then(|(soft, hard)| {
        let limits = format!("limit {soft}, up to {hard}");
        if hard >= ENOUGH {
            Ok(limits)
        } else {
            Err(format!("{limits}; raise it with `ulimit -n {ENOUGH}`"))
        }
    });
    Ability::new("open files", true, tried)
}

/// All network namespaces of a machine share one table of neighbours; when it is full, packets are lost that no lab loses.
fn neighbours() -> Ability {
    const FILE: &str = "/proc/sys/net/ipv6/neigh/default/gc_thresh3";
    const SWITCH: &str = "net.ipv6.neigh.default.gc_thresh3";
    /// What the lab of the reference testbed holds at most.
    const OF_A_LAB: u32 = 300;
    let room = fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let tried = match room {
        // Within a namespace of its own, this process cannot see the switch.
        None => Ok(format!("{SWITCH} cannot be read from here")),
        Some(room) if room < OF_A_LAB => Err(format!(
            "room for {room}, and the reference testbed has up to {OF_A_LAB}; raise {SWITCH} to 1024"
        )),
        Some(room) => Ok(format!(
            "room for {room} ({SWITCH}), of all labs together: {} like the reference testbed at once",
            room / OF_A_LAB
        )),
    };
    Ability::new("IPv6 neighbours", true, tried)
}

fn tun() -> Ability {
    let path = Path::new("/dev/net/tun");
    let tried = fs::OpenOptions::new().read(true).write(true).open(path);
    let tried = tried.map(|_| path.display().to_string()).map_err(|error| {
        format!("{}: {error}; nothing of the default walk needs it", path.display())
    });
    Ability::new("TUN device", false, tried)
}

/// A program that can stand in for a built-in service, with its version.
fn engine(engine: &Engine) -> Ability {
    let parts: Vec<_> = engine.parts.iter().map(|part| part.word()).collect();
    let missing = || format!("no program {}; {}", engine.program, engine.remedy());
    let found = daemon::find(engine.program).ok_or_else(missing);
    let tried = found.and_then(|path| speaks(&path, daemon::version(&path, engine.version)));
    Ability::new(&format!("engine {} ({})", engine.name, parts.join(", ")), false, tried)
}

/// What a program says of its version. One that does not say it is of no use: it hangs, or is not what its name says.
fn speaks(path: &Path, version: Result<String, Mute>) -> Result<String, String> {
    let path = path.display();
    version.map(|version| format!("{path}: {version}")).map_err(|why| format!("{path}: {why}"))
}

/// A program that can carry tunnels, with its version. What the kernel can is tried inside.
fn tunnel_engine(engine: &TunnelEngine) -> Option<Ability> {
    let TunnelWorker::Program(program) = &engine.by else { return None };
    let missing = || format!("no program {}; {}", program.program, program.remedy());
    let found = daemon::find(program.program).ok_or_else(missing);
    let tried = found.and_then(|path| speaks(&path, daemon::tunnel_version(program)));
    Some(Ability::new(&format!("engine {} (vpn)", engine.name), false, tried))
}

/// A part of the kernel that can carry tunnels.
fn tunnel_of_kernel(engine: &TunnelEngine) -> Option<Ability> {
    let TunnelWorker::Kernel = engine.by else { return None };
    let tried = wireguard::offered().map(|()| "tried".to_owned());
    let tried =
        tried.map_err(|said| format!("the kernel makes no device: {said}; {}", engine.by.remedy()));
    Some(Ability::new(&format!("engine {} (vpn)", engine.name), false, tried))
}

/// A program that can translate. It says its version only when it is started.
fn translator_engine(engine: &TranslatorEngine) -> Ability {
    let found = daemon::find(engine.program).map(|path| path.display().to_string());
    let missing = || format!("no program {}; {}", engine.program, engine.remedy());
    Ability::new(&format!("engine {} (nat64)", engine.name), false, found.ok_or_else(missing))
}

/// Everything that the default walk asks of the kernel, some that later tunnels would like, and the engines: what a program
/// that is asked for its version leaves behind ends with the sandbox.
fn tried_inside() -> Vec<Ability> {
    let program = |entry: &Entry| match entry {
        Entry::Service(it) => Some(engine(it)),
        Entry::Tunnels(it) => tunnel_engine(it),
        Entry::Translations(it) => Some(translator_engine(it)),
    };
    let mut abilities: Vec<_> = ENGINES.iter().filter_map(program).collect();
    abilities.push(Ability::new(
        "a network namespace",
        true,
        Namespace::create().map(|_| "made and gone".to_owned()),
    ));
    abilities.extend(TunnelEngine::all().filter_map(tunnel_of_kernel));
    abilities
        .extend(trial::ALL.iter().map(|trial| Ability::new(trial.what, trial.needed, trial.run())));
    abilities
}
