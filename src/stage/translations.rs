//! Translations: who translates in a phase, who synthesizes addresses, where the prefix is announced, and the way of what is
//! translated.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::{NoPath, Path, Stage, StagedInterface};
use crate::model::{
    family::{Families, Family},
    name::{NodeName, ServiceName},
    node::{Address, Node},
    segment::Plane,
    service::{Service, ServiceKind},
    translation::{Pref64, Translation, Translator},
};

/// The way of what is translated: two ways, one in each family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// To the gateway that translates, in IPv6.
    pub before: Path,
    /// From there to the host, in IPv4.
    pub after: Path,
    /// The address under which the user reaches the host.
    pub address: IpAddr,
}

/// Fills in translators, resolvers that synthesize, and announced prefixes.
pub(super) fn derive(stage: &mut Stage) {
    let testbed = std::sync::Arc::clone(&stage.testbed);
    let live: Vec<_> = stage.translations().cloned().collect();
    for translation in &live {
        let told = told(stage, translation);
        let gateway = stage.nodes.get_mut(&translation.gateway);
        gateway.expect("input resolved the name").translators.extend(told);
        for resolver in &translation.resolvers {
            let service = testbed.nodes[resolver].services.iter();
            let service = service.into_iter().find(|s| s.kind == ServiceKind::Resolver);
            let node = stage.nodes.get_mut(resolver).expect("input resolved the name");
            node.synthesizes = service.map(|service| (service.name.clone(), translation.prefix));
        }
        announce(stage, translation);
    }
}

fn told(stage: &Stage, translation: &Translation) -> Option<Translator> {
    let interface = inside(stage, translation)?;
    let management = stage.testbed.segments.values().filter(|s| s.plane == Plane::Management);
    let refuses = management.flat_map(|segment| &segment.prefixes).filter_map(|net| match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    });
    let Some(IpAddr::V6(gateway)) = gateway_address(stage, translation, Family::V6) else {
        return None;
    };
    Some(Translator {
        gateway,
        translation: translation.name.clone(),
        interface: interface.name.clone(),
        prefix: translation.prefix,
        pool: translation.shared(),
        refuses: refuses.collect(),
        engine: translation.engine.clone(),
    })
}

/// The prefix goes to every link whose routers can send there (RFC 8781 section 4).
fn announce(stage: &mut Stage, translation: &Translation) {
    let Some(gateway) = gateway_address(stage, translation, Family::V6) else { return };
    let leads =
        |name: &&NodeName| **name == translation.gateway || stage.path(name, gateway).is_ok();
    let routers: Vec<_> = stage.nodes.keys().filter(leads).cloned().collect();
    for router in routers {
        let node = stage.nodes.get_mut(&router).expect("a key of the map");
        let announced = node.interfaces.iter_mut().filter_map(|i| i.advertises.as_mut());
        announced.for_each(|announced| announced.pref64.push(translation.prefix));
    }
}

fn inside<'s>(stage: &'s Stage, translation: &Translation) -> Option<&'s StagedInterface> {
    let mut interfaces = stage.nodes.get(&translation.gateway)?.interfaces.iter();
    interfaces.find(|interface| interface.segment == translation.inside)
}

fn gateway_address(stage: &Stage, translation: &Translation, family: Family) -> Option<IpAddr> {
    let mut addresses = inside(stage, translation)?.addresses.iter();
    addresses.find(|address| address.family() == family).map(Address::ip)
}

impl Stage {
    /// The translations that are live.
    pub fn translations(&self) -> impl Iterator<Item = &Translation> {
        let live = |translation: &&Translation| {
            inside(self, translation).is_some_and(|i| i.families == Families::BOTH)
        };
        self.testbed.translations.values().filter(live)
    }

    /// The address of a translation's gateway on the link to its translator: it answers whoever has a way to the prefix.
    pub fn gateway_of(&self, translation: &Translation) -> Option<IpAddr> {
        gateway_address(self, translation, Family::V6)
    }

    /// The way from a node to an IPv4 address through a translation.
    pub fn translated(
        &self,
        translation: &Translation,
        from: &NodeName,
        to: Ipv4Addr,
    ) -> Result<Translated, NoPath> {
        let gateway = self.gateway_of(translation).ok_or(NoPath::NobodyHasIt)?;
        let shown = translation.shared().first().copied().map(IpAddr::V4);
        Ok(Translated {
            before: self.path(from, gateway)?,
            after: self.path_from(&translation.gateway, shown, to.into())?,
            address: translation.prefix.embed(to).into(),
        })
    }

    /// The prefix with which a resolver synthesizes addresses, and its service.
    pub fn synthesis(&self, resolver: &NodeName) -> Option<(&ServiceName, Pref64)> {
        let (service, prefix) = self.nodes.get(resolver)?.synthesizes.as_ref()?;
        Some((service, *prefix))
    }

    /// Whether the resolvers of a node synthesize addresses: then names with IPv4 alone lead it through a translator.
    pub fn is_led_through_translation(&self, user: &NodeName) -> bool {
        let resolvers = self.nodes.get(user).into_iter().flat_map(|node| &node.resolvers);
        let mut owners = resolvers.filter_map(|address| self.owner(*address));
        owners.any(|(resolver, _)| self.synthesis(resolver).is_some())
    }

    /// The IPv4 addresses of a service that has no IPv6 address in this phase and listens.
    pub fn ipv4_alone(&self, node: &Node, service: &Service) -> Vec<Ipv4Addr> {
        if self.listens(node, service, Family::V6) || !self.listens(node, service, Family::V4) {
            return Vec::new();
        }
        let addresses = self.service_addresses(node, service, Family::V4).into_iter();
        addresses
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
            .collect()
    }
}
