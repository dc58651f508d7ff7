//! `--engine KIND=NAME`: which programs stand in for built-in services.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Failure, unknown::did_you_mean};
use crate::{
    engine::{BUILT_IN, Engine, Part, TranslatorEngine, TunnelEngine},
    model::{
        function::Function,
        name::{EngineName, NodeName},
        segment::Segment,
        service::ServiceKind,
        testbed::Testbed,
    },
};

/// What stands before the engine of encrypted tunnels.
const TUNNELS: &str = "vpn=";
/// What stands before the engine of translations.
const TRANSLATIONS: &str = "nat64=";

/// Which engines.
#[derive(Debug, clap::Args)]
pub(super) struct EngineArgs {
    /// Let a real program stand in for every service of a kind, as in `dns=knot,http=nginx`, do what nodes do for their
    /// links, as in `advertisements=radvd,dhcpv6=kea`, carry every encrypted tunnel, as in `vpn=strongswan`, or translate,
    /// as in `nat64=tayga`; may be given more than once.
    ///
    /// It stands above what the testbed says; `dns=built-in` takes back what the testbed says. `sixwalk doctor` lists the
    /// engines, and which of them are on this machine.
    #[arg(long = "engine", value_name = "KIND=NAME", value_delimiter = ',')]
    engines: Vec<String>,
}

impl EngineArgs {
    /// Writes the choice into a testbed.
    pub(super) fn choose(&self, testbed: &mut Arc<Testbed>) -> Result<(), Failure> {
        self.refuse_two_of_a_kind()?;
        for choice in &self.engines {
            if let Some(name) = choice.strip_prefix(TUNNELS) {
                let engine = read_tunnels(name).map_err(Failure::Sentence)?;
                Kind::Tunnels.expect_in(testbed, choice)?;
                carry(Arc::make_mut(testbed), engine);
                continue;
            }
            if let Some(name) = choice.strip_prefix(TRANSLATIONS) {
                let engine = read_translators(name).map_err(Failure::Sentence)?;
                Kind::Translations.expect_in(testbed, choice)?;
                for translation in Arc::make_mut(testbed).translations.values_mut() {
                    translation.engine.clone_from(&engine);
                }
                continue;
            }
            let (part, engine) = read(choice).map_err(Failure::Sentence)?;
            Kind::Part(part).expect_in(testbed, choice)?;
            match (part, engine) {
                (Part::Service(kind), engine) => choose_service(testbed, kind, engine.as_ref()),
                (Part::Function(function), engine) => {
                    choose_function(testbed, function, engine.as_ref());
                }
            }
        }
        Ok(())
    }

    /// The last one would win, and nobody would see which.
    fn refuse_two_of_a_kind(&self) -> Result<(), Failure> {
        let mut known = BTreeMap::new();
        for choice in &self.engines {
            let Some((kind, name)) = choice.split_once('=') else { continue };
            let before = known.insert(kind, name).filter(|before| *before != name);
            if let Some(before) = before {
                return Err(Failure::Sentence(format!(
                    "--engine gives `{kind}` to `{before}` and to `{name}`; give one of them"
                )));
            }
        }
        Ok(())
    }

    /// The same choice once more, for a command line.
    pub(super) fn command(&self) -> String {
        if self.engines.is_empty() {
            return String::new();
        }
        format!(" --engine {}", self.engines.join(","))
    }
}

/// What an engine can be chosen for.
#[derive(Clone, Copy)]
enum Kind {
    Part(Part),
    Tunnels,
    Translations,
}

impl Kind {
    /// Every kind that has an engine.
    fn all() -> impl Iterator<Item = Self> {
        let provided =
            Part::all().filter(|part| Engine::all().any(|engine| engine.parts.contains(part)));
        provided.map(Self::Part).chain([Self::Tunnels, Self::Translations])
    }

    fn word(self) -> &'static str {
        match self {
            Self::Part(part) => part.word(),
            Self::Tunnels => TUNNELS.trim_end_matches('='),
            Self::Translations => TRANSLATIONS.trim_end_matches('='),
        }
    }

    /// Whether a testbed has it.
    fn is_in(self, testbed: &Testbed) -> bool {
        let mut nodes = testbed.nodes.values();
        match self {
            Self::Part(Part::Service(kind)) => {
                nodes.any(|node| node.services.iter().any(|service| service.kind == kind))
            }
            Self::Part(Part::Function(function)) => {
                nodes.any(|node| function.is_of(&node.name, testbed.segments.values()))
            }
            Self::Tunnels => testbed.tunnels.values().any(|tunnel| tunnel.kind.is_encrypted()),
            Self::Translations => !testbed.translations.is_empty(),
        }
    }

    /// Whoever chooses an engine for what a testbed does not have expects something of the walk that it will not do.
    fn expect_in(self, testbed: &Testbed, choice: &str) -> Result<(), Failure> {
        if self.is_in(testbed) {
            return Ok(());
        }
        let there: Vec<_> = Self::all().filter(|it| it.is_in(testbed)).map(Self::word).collect();
        let next = if there.is_empty() {
            "leave the choice out".to_owned()
        } else {
            format!("choose among {}, which it has, or leave the choice out", there.join(", "))
        };
        Err(Failure::Sentence(format!(
            "`--engine {choice}` has nothing to do: the testbed has no `{}`; {next}",
            self.word()
        )))
    }
}

fn choose_service(testbed: &mut Arc<Testbed>, kind: ServiceKind, engine: Option<&EngineName>) {
    let told = told_by_fronts(testbed, kind);
    for node in Arc::make_mut(testbed).nodes.values_mut() {
        let is_told = told.contains(&node.name);
        for service in node.services.iter_mut().filter(|service| service.kind == kind) {
            let stands = match &service.front {
                Some(_) => engine.and_then(Engine::of).is_none_or(|e| e.passes_on),
                None => !is_told,
            };
            if stands {
                service.engine = engine.cloned();
            }
        }
    }
}

/// A program that relays nothing stands in for servers alone.
fn choose_function(testbed: &mut Arc<Testbed>, function: Function, engine: Option<&EngineName>) {
    let Testbed { nodes, segments, .. } = Arc::make_mut(testbed);
    let relays_not = function == Function::Dhcpv6
        && engine.and_then(Engine::of).is_some_and(|engine| !engine.relays);
    for node in nodes.values_mut() {
        let relays = |segment: &Segment| {
            segment.dhcp.as_ref().is_some_and(|plan| plan.relay.as_ref() == Some(&node.name))
        };
        let stands = function.is_of(&node.name, segments.values())
            && !(relays_not && segments.values().any(relays));
        match engine {
            None => drop(node.engines.remove(&function)),
            Some(engine) if stands => drop(node.engines.insert(function, engine.clone())),
            Some(_) => {}
        }
    }
}

/// The sites that fronts of a kind tell who the client is: no program can believe that of one address and not of others, so
/// theirs are the services that are built in.
fn told_by_fronts(testbed: &Testbed, kind: ServiceKind) -> BTreeSet<NodeName> {
    let services = testbed.nodes.values().flat_map(|node| &node.services);
    let fronts = services.filter(|service| service.kind == kind).filter_map(|s| s.front.as_ref());
    fronts.filter(|front| front.tells.is_some()).flat_map(|front| front.sites.clone()).collect()
}

/// Has an engine, or what is built in, carry every encrypted tunnel.
fn carry(testbed: &mut Testbed, engine: Option<&'static TunnelEngine>) {
    let name = engine.map(|e| e.name.parse().expect("engines have names"));
    for tunnel in testbed.tunnels.values_mut().filter(|tunnel| tunnel.kind.is_encrypted()) {
        if tunnel.engine == name {
            continue;
        }
        tunnel.engine.clone_from(&name);
        if let (Some(engine), Some(inside)) = (engine, testbed.segments.get_mut(&tunnel.inside)) {
            inside.mtu = engine.mtu(inside.mtu);
        }
    }
}

/// An engine of tunnels; nothing is the one that is built in. An error is a sentence.
fn read_tunnels(name: &str) -> Result<Option<&'static TunnelEngine>, String> {
    if name == BUILT_IN {
        return Ok(None);
    }
    let found = TunnelEngine::all().find(|engine| engine.name == name);
    found.map(Some).ok_or_else(|| {
        unknown(name, ("carries tunnels", "vpn"), TunnelEngine::all().map(|it| it.name))
    })
}

/// An engine of translations, likewise.
fn read_translators(name: &str) -> Result<Option<EngineName>, String> {
    if name == BUILT_IN {
        return Ok(None);
    }
    let found = TranslatorEngine::all().find(|engine| engine.name == name);
    let found = found.and_then(|engine| engine.name.parse().ok());
    found.map(Some).ok_or_else(|| {
        unknown(name, ("translates", "nat64"), TranslatorEngine::all().map(|it| it.name))
    })
}

/// That no engine of this name does something, and which do.
fn unknown(
    name: &str,
    (does, kind): (&str, &str),
    names: impl Iterator<Item = &'static str> + Clone,
) -> String {
    let hint = did_you_mean(name, names.clone());
    let known: Vec<_> = names.collect();
    format!("no engine `{name}` {does}{hint}; the engines for `{kind}` are {}", known.join(", "))
}

/// A choice; nothing in the place of an engine is the service that is built in. An error is a sentence.
fn read(choice: &str) -> Result<(Part, Option<EngineName>), String> {
    let (kind, name) = choice.split_once('=').ok_or_else(|| {
        format!("`{choice}` is no choice of an engine; write KIND=NAME, for example `dns=knot`")
    })?;
    let words = || Kind::all().map(Kind::word);
    let part = Part::all().find(|known| known.word() == kind).ok_or_else(|| {
        let hint = did_you_mean(kind, words());
        let known: Vec<_> = words().collect();
        format!(
            "there is nothing called `{kind}` that an engine could stand in for{hint}; there are {}",
            known.join(", ")
        )
    })?;
    if name == BUILT_IN {
        return Ok((part, None));
    }
    let names = || Engine::all().map(|engine| engine.name);
    let unknown = || {
        let hint = did_you_mean(name, names());
        let known: Vec<_> = names().collect();
        format!("there is no engine `{name}`{hint}; the engines are {}", known.join(", "))
    };
    let name: EngineName = name.parse().map_err(|_| unknown())?;
    let engine = Engine::of(&name).ok_or_else(unknown)?;
    match engine.unfit(part) {
        None => Ok((part, Some(name))),
        Some(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_or_refused_with_what_there_is() {
        let why = |choice: &str| read(choice).unwrap_err();
        assert_eq!(read("dns=knot").unwrap().1.unwrap().as_str(), "knot");
        assert_eq!(read("dns=built-in").unwrap(), (Part::Service(ServiceKind::Dns), None));
        assert!(why("knot").contains("KIND=NAME"));
        assert_eq!(read_tunnels("strongswan").unwrap().unwrap().name, "strongswan");
        assert!(read_tunnels("built-in").unwrap().is_none());
        assert!(read_tunnels("strongswam").unwrap_err().contains("did you mean `strongswan`?"));
        assert_eq!(read_translators("tayga").unwrap().unwrap().as_str(), "tayga");
        assert!(read_translators("taiga").unwrap_err().contains("did you mean `tayga`?"));
        let known = why("foo=bar");
        assert!(known.contains("vpn, nat64") && !known.contains("manager"), "{known}");
        let two = |engines: &[&str]| {
            let engines = engines.iter().map(|choice| (*choice).to_owned()).collect();
            EngineArgs { engines }.refuse_two_of_a_kind().is_err()
        };
        assert!(two(&["dns=knot", "http=nginx", "dns=nsd"]));
        assert!(!two(&["dns=knot", "resolver=unbound", "dns=knot"]));
        assert!(why("dsn=knot").contains("did you mean `dns`?"));
        assert!(why("dns=knit").contains("did you mean `knot`?"));
        assert!(why("dns=Knot DNS").contains("the engines are knot"));
        assert!(why("http=knot").contains("engines for `http` are nginx, haproxy"));
    }

    #[test]
    fn a_choice_for_what_the_testbed_does_not_have_says_what_it_has() {
        let testbed = |name: &str| {
            let text = std::fs::read_to_string(format!("testbed/{name}.toml")).unwrap();
            Arc::new(crate::input::testbed(name, &text).unwrap())
        };
        let choose = |testbed: &Arc<Testbed>, choice: &str| {
            let engines = EngineArgs { engines: vec![choice.to_owned()] };
            match engines.choose(&mut Arc::clone(testbed)) {
                Ok(()) => String::new(),
                Err(Failure::Sentence(why)) => why,
                Err(Failure::Diagnostics(_) | Failure::Code(_)) => panic!("{choice}"),
            }
        };
        let (small, fokus) = (testbed("small"), testbed("fokus"));
        for choice in ["ldap=slapd", "vpn=strongswan", "nat64=tayga", "dhcpv6=kea"] {
            assert_eq!(choose(&fokus, choice), "");
            let why = choose(&small, choice);
            let kind = choice.split_once('=').unwrap().0;
            let there = "choose among https, dns, resolver, advertisements, which it has";
            assert!(why.contains(&format!("the testbed has no `{kind}`; {there}")), "{why}");
        }
    }
}
