//! Engines: real programs that stand in for built-in services, one file each. An engine is a description: which program,
//! which files it reads, how it is called. Nothing is started here; `serve::daemon` does that.
//!
//! A new engine is one file and its name, twice, in this one: `mod` and [`ENGINES`].

mod job;
mod link;
mod zone_file;

mod knot;
mod nsd;
mod bind;
mod unbound;
mod nginx;
mod haproxy;
mod openssh;
mod chrony;
mod rsyslog;
mod snmpd;
mod slapd;
mod radvd;
mod kea;
mod dnsmasq;

mod strongswan;
mod tayga;
mod wireguard_kernel;

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::model::{
    function::Function,
    name::EngineName,
    service::ServiceKind,
    translation::{Pref64, Translator},
};

pub use job::{APPLICATION, File, Identity, Job, LOG, Place, Synthesis, WORK};
pub use zone_file::lacks_glue;

/// Every engine.
pub const ENGINES: &[Entry] = &[
    Entry::Service(&knot::ENGINE),
    Entry::Service(&nsd::ENGINE),
    Entry::Service(&bind::ENGINE),
    Entry::Service(&unbound::ENGINE),
    Entry::Service(&nginx::ENGINE),
    Entry::Service(&haproxy::ENGINE),
    Entry::Service(&openssh::ENGINE),
    Entry::Service(&chrony::ENGINE),
    Entry::Service(&rsyslog::ENGINE),
    Entry::Service(&snmpd::ENGINE),
    Entry::Service(&slapd::ENGINE),
    Entry::Service(&radvd::ENGINE),
    Entry::Service(&kea::ENGINE),
    Entry::Service(&dnsmasq::ENGINE),
    Entry::Tunnels(&strongswan::ENGINE),
    Entry::Tunnels(&wireguard_kernel::ENGINE),
    Entry::Translations(&tayga::ENGINE),
];

/// An engine, by what it does.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// It provides services, or does something for links.
    Service(&'static Engine),
    /// It carries tunnels.
    Tunnels(&'static TunnelEngine),
    /// It translates.
    Translations(&'static TranslatorEngine),
}

/// What an engine can stand in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A kind of service.
    Service(ServiceKind),
    /// What a node does for the network.
    Function(Function),
}

impl Part {
    /// Every part.
    pub fn all() -> impl Iterator<Item = Self> {
        let services = ServiceKind::ALL.into_iter().map(Self::Service);
        services.chain(Function::ALL.into_iter().map(Self::Function))
    }

    /// The word of the input files, for example `https`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Service(kind) => kind.word(),
            Self::Function(function) => function.word(),
        }
    }
}

/// The word of the input files.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The word that asks for the service that is built in.
pub const BUILT_IN: &str = "built-in";

/// A program that stands in for a built-in service. Its templates are rendered with what [`Job`] says.
#[derive(Debug)]
pub struct Engine {
    /// Its name in the testbed file and on the command line.
    pub name: &'static str,
    /// What it stands in for.
    pub parts: &'static [Part],
    /// The Debian package that holds it.
    pub package: &'static str,
    /// The program.
    pub program: &'static str,
    /// What makes the program say its version.
    pub version: &'static [&'static str],
    /// How it is called so that it stays in the foreground: templates, of which the empty ones are left out.
    pub command: &'static [&'static str],
    /// The files that it reads, by their paths below its folder: templates.
    pub files: &'static [(&'static str, &'static str)],
    /// Folders that must be there, likewise.
    pub folders: &'static [&'static str],
    /// Whether it can be a front: pass connections on by the name that users ask for.
    pub passes_on: bool,
    /// Whether it can carry the questions of hosts to a DHCPv6 server elsewhere.
    pub relays: bool,
    /// The last version that cannot announce translation prefixes (RFC 8781), where any can.
    pub pref64_after: Option<(u32, u32)>,
    /// Whether it refuses a zone one of whose servers has its name in it and no address there.
    pub needs_glue: bool,
    /// Whether it gives up its groups where it is root, which a user namespace with one user forbids: there it runs as somebody
    /// else.
    pub gives_up_groups: bool,
}

impl Engine {
    /// Every one.
    pub fn all() -> impl Iterator<Item = &'static Self> + Clone {
        ENGINES.iter().filter_map(|entry| match entry {
            Entry::Service(engine) => Some(*engine),
            _ => None,
        })
    }

    /// The engine of a name.
    pub fn of(name: &EngineName) -> Option<&'static Self> {
        Self::all().find(|engine| engine.name == name.as_str())
    }

    /// The engines that stand in for a part.
    pub fn for_part(part: Part) -> impl Iterator<Item = &'static Self> {
        Self::all().filter(move |engine| engine.parts.contains(&part))
    }

    /// How it is got on a machine that lacks it.
    pub fn remedy(&self) -> String {
        from_debian(self.package)
    }

    /// Why it cannot stand in for a part; `None` if it can.
    pub fn unfit(&self, part: Part) -> Option<String> {
        if self.parts.contains(&part) {
            return None;
        }
        let words: Vec<_> = self.parts.iter().map(|part| part.word()).collect();
        let others: Vec<_> = Self::for_part(part).map(|engine| engine.name).collect();
        let others = if others.is_empty() {
            format!("there is no engine for `{part}`")
        } else {
            format!("engines for `{part}` are {}", others.join(", "))
        };
        Some(format!("`{}` stands in for {}; {others}", self.name, words.join(" and ")))
    }
}

/// Where packets are encrypted for an engine of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Esp {
    /// In the kernel.
    Kernel,
    /// In the program.
    UserSpace,
}

impl Esp {
    /// `ESP in user space`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Kernel => "ESP of the kernel",
            Self::UserSpace => "ESP in user space",
        }
    }
}

/// What carries tunnels in the place of the WireGuard that is built in. It stands beside its gateway, in a namespace of its
/// own.
#[derive(Debug)]
pub struct TunnelEngine {
    /// Its name in the testbed file and on the command line.
    pub name: &'static str,
    /// Who does the work.
    pub by: TunnelWorker,
    /// The device for the inside.
    pub device: &'static str,
    /// The longest packet, in octets, that it takes whatever is outside.
    pub inner_mtu: u32,
    /// The octets that it adds to a packet at most beyond those of the tunnel that is built in.
    pub more: u32,
}

/// Who does the work of an engine of tunnels.
#[derive(Debug)]
pub enum TunnelWorker {
    /// A program.
    Program(TunnelProgram),
    /// The kernel, by WireGuard.
    Kernel,
}

/// A program that carries tunnels.
#[derive(Debug)]
pub struct TunnelProgram {
    /// The Debian packages that hold it.
    pub package: &'static str,
    /// The program.
    pub program: &'static str,
    /// The program that says the version: not the first one, which would start.
    pub speaker: &'static str,
    /// What makes that one say it.
    pub version: &'static [&'static str],
    /// The variable that tells the program, and the one that says its version, where its file is.
    pub variable: (&'static str, &'static str),
    /// The file that it reads, by its path below its folder, and what is in it.
    pub file: (&'static str, fn(Esp) -> String),
    /// The socket by which it is told what to do, likewise.
    pub control: &'static str,
}

impl TunnelEngine {
    /// Every one.
    pub fn all() -> impl Iterator<Item = &'static Self> + Clone {
        ENGINES.iter().filter_map(|entry| match entry {
            Entry::Tunnels(engine) => Some(*engine),
            _ => None,
        })
    }

    /// The engine of a name.
    pub fn of(name: &EngineName) -> Option<&'static Self> {
        Self::all().find(|engine| engine.name == name.as_str())
    }

    /// The MTU inside, where the tunnel that is built in would have this one.
    pub fn mtu(&self, built_in: u32) -> u32 {
        built_in.saturating_sub(self.more).min(self.inner_mtu)
    }
}

impl TunnelWorker {
    /// How it is got on a machine that lacks it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Program(program) => program.remedy(),
            Self::Kernel => "WireGuard came with Linux 5.6, mostly as a module that `modprobe wireguard` loads for root; on \
                             Debian every package linux-image-* holds it"
                .to_owned(),
        }
    }
}

impl TunnelProgram {
    /// How it is got on a machine that lacks it.
    pub fn remedy(&self) -> String {
        from_debian(self.package)
    }
}

/// A program that translates in the place of the NAT64 that is built in. It runs beside its gateway, in a namespace of its own,
/// keeps no sessions, and gives each user an address of the pool.
#[derive(Debug)]
pub struct TranslatorEngine {
    /// Its name in the testbed file and on the command line.
    pub name: &'static str,
    /// The Debian package that holds it.
    pub package: &'static str,
    /// The program.
    pub program: &'static str,
    /// What it says before its version when it starts.
    pub says: &'static str,
    /// The file that it reads, by its path below its folder, and what is in it.
    pub file: (&'static str, fn(&Translator) -> String),
    /// How it is called to make its device.
    pub make: &'static [&'static str],
    /// How it is called so that it stays in the foreground.
    pub command: &'static [&'static str],
    /// Its device.
    pub device: &'static str,
    /// How many addresses of the pool it takes itself.
    pub own: usize,
    /// Translation prefixes that it does not take, and the words for them.
    pub shuns: (fn(Pref64) -> bool, &'static str),
    /// What a line that it says tells of an address of the pool and its user.
    pub assigned: fn(&str) -> Option<(Ipv4Addr, Ipv6Addr)>,
}

impl TranslatorEngine {
    /// Every one.
    pub fn all() -> impl Iterator<Item = &'static Self> + Clone {
        ENGINES.iter().filter_map(|entry| match entry {
            Entry::Translations(engine) => Some(*engine),
            _ => None,
        })
    }

    /// The engine of a name.
    pub fn of(name: &EngineName) -> Option<&'static Self> {
        Self::all().find(|engine| engine.name == name.as_str())
    }

    /// How it is got on a machine that lacks it.
    pub fn remedy(&self) -> String {
        from_debian(self.package)
    }
}

/// How packages are got.
pub fn from_debian(packages: &str) -> String {
    format!("on Debian: apt install {packages}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_is_told_apart_and_written_down() {
        let docs = include_str!("../../docs/engines.md");
        for engine in Engine::all() {
            let name: EngineName = engine.name.parse().unwrap();
            assert!(std::ptr::eq(Engine::of(&name).unwrap(), engine), "{name} is there twice");
            let parts: Vec<_> = engine.parts.iter().map(|part| format!("`{part}`")).collect();
            let row = format!("| `{name}` | {} | `{}` |", parts.join(", "), engine.package);
            assert!(docs.contains(&row), "docs/engines.md has no row that begins with {row}");
        }
        let beside = TunnelEngine::all().map(|engine| engine.name);
        for name in beside.chain(TranslatorEngine::all().map(|engine| engine.name)) {
            let row = format!("| `{name}` |");
            assert!(docs.contains(&row), "docs/engines.md has no row that begins with {row}");
        }
    }

    #[test]
    fn an_engine_of_another_kind_names_those_that_fit() {
        assert_eq!(knot::ENGINE.unfit(Part::Service(ServiceKind::Dns)), None);
        let why = knot::ENGINE.unfit(Part::Service(ServiceKind::Http)).unwrap();
        assert_eq!(why, "`knot` stands in for dns; engines for `http` are nginx, haproxy");
    }
}
