//! The integration file of a tunnel (S2 section 4.4): one file with the data of both ends, which a box that comes from the
//! factory is given, and from which it makes its own end.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Item, ItemKind, Quirk};
use crate::model::{
    family::Family,
    name::{NodeName, TunnelName},
    tunnel::{Relation, TunnelEnd},
};

/// What both boxes of a tunnel have to know. Keys are not in it: the lab has them, as a card would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// The tunnel.
    pub tunnel: TunnelName,
    /// The port of both ends outside.
    pub port: u16,
    /// Both ends.
    pub ends: [Site; 2],
    /// What is coupled, as the first end sees it.
    pub couples: Vec<Relation>,
}

/// One end in an integration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The box.
    pub gateway: NodeName,
    /// Where it is heard, outside: at most one address of each family, first choice first.
    pub outside: Vec<IpAddr>,
    /// Its addresses inside.
    pub inside: Vec<IpNet>,
    /// What else it is told: whom it asks for names, for the time and for users, and who collects its log.
    pub items: Vec<Item>,
}

impl Integration {
    /// What a box makes of it, the how manyth time since it came from the factory.
    #[must_use]
    pub(super) fn taken(mut self, upload: u32, quirks: &[Quirk]) -> Self {
        let ipv4_alone = quirks.contains(&Quirk::IntegratesIpv4Alone)
            || quirks.contains(&Quirk::NeedsSecondUpload) && upload < 2;
        let ignores_time = quirks.contains(&Quirk::IgnoresIpv6Time);
        for site in &mut self.ends {
            site.items.retain(|item| {
                let v6 = item.family() == Some(Family::V6);
                !(v6 && (ipv4_alone || ignores_time && item.kind == ItemKind::Ntp))
            });
        }
        self.couples.retain(|couple| !ipv4_alone || couple.family() == Family::V4);
        self
    }

    /// Whether it couples subnets of a family.
    pub(super) fn has(&self, family: Family) -> bool {
        self.couples.iter().any(|couple| couple.family() == family)
    }

    /// The data of a box, and those of the box at the other end; `None` for a box that has no part in it.
    pub fn sides(&self, gateway: &NodeName) -> Option<[&Site; 2]> {
        match &self.ends {
            [own, other] | [other, own] if own.gateway == *gateway => Some([own, other]),
            _ => None,
        }
    }

    /// The end that a box makes of it: its interface is as it was built, everything else is from the file. `None` where the
    /// file has no part for it, or nothing to couple, or no way to the other end.
    pub fn end(&self, gateway: &NodeName, built: &TunnelEnd) -> Option<TunnelEnd> {
        let [own, other] = self.sides(gateway)?;
        let first = self.ends[0].gateway == *gateway;
        let couples = self.couples.iter().map(|c| if first { *c } else { c.turned() });
        let at = |address: IpAddr| SocketAddr::new(address, self.port);
        let mut outsides = own.outside.iter().filter_map(|here| {
            let same = |there: &&IpAddr| Family::of(**there) == Family::of(*here);
            Some([at(*here), at(*other.outside.iter().find(same)?)])
        });
        let [local, remote] = outsides.next()?;
        let relations: Vec<_> = couples.collect();
        (!relations.is_empty()).then(|| TunnelEnd {
            peer: other.gateway.clone(),
            begins: first,
            local,
            remote,
            spare: outsides.collect(),
            relations,
            within: own.inside.clone(),
            beyond: other.inside.clone(),
            ..built.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tunnel::example;

    fn built() -> TunnelEnd {
        TunnelEnd {
            local: "[2001:db8:f::1]:51820".parse().unwrap(),
            remote: "[2001:db8:f::2]:51820".parse().unwrap(),
            spare: vec![
                ["192.0.2.1:51820", "192.0.2.2:51820"].map(|socket| socket.parse().unwrap()),
            ],
            ..example::end()
        }
    }

    fn file() -> Integration {
        let end = built();
        let site = |name: &str, at: usize| Site {
            gateway: name.parse().unwrap(),
            outside: end.outsides().map(|both| both[at].ip()).collect(),
            inside: if at == 0 { end.within.clone() } else { end.beyond.clone() },
            items: ["10.2.0.9", "2001:db8:b::9"]
                .map(|value| Item { kind: ItemKind::Ntp, value: value.to_owned() })
                .to_vec(),
        };
        Integration {
            tunnel: end.tunnel.clone(),
            port: 51820,
            ends: [site("a", 0), site("b", 1)],
            couples: end.relations.clone(),
        }
    }

    #[test]
    fn either_box_makes_its_end_of_the_same_file() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(file().end(&a, &built()), Some(built()));
        let far = file().end(&b, &built()).unwrap();
        assert_eq!((far.local, far.remote), (built().remote, built().local));
        assert_eq!((far.within, far.beyond), (built().beyond, built().within));
        assert_eq!(far.relations[0], built().relations[0].turned());
        assert!(!far.begins && far.peer == a);
        assert_eq!(file().end(&"c".parse().unwrap(), &built()), None);
    }

    #[test]
    fn what_is_not_taken_of_it_is_as_the_quirk_says() {
        let counts = |upload, quirks: &[Quirk]| {
            let taken = file().taken(upload, quirks);
            [taken.couples.len(), taken.ends[0].items.len()]
        };
        assert_eq!(counts(1, &[]), [2, 2]);
        assert_eq!(counts(2, &[Quirk::IntegratesIpv4Alone]), [1, 1]);
        assert_eq!(counts(1, &[Quirk::NeedsSecondUpload]), [1, 1]);
        assert_eq!(counts(2, &[Quirk::NeedsSecondUpload]), [2, 2]);
        assert_eq!(counts(1, &[Quirk::IgnoresIpv6Time]), [2, 1]);
        assert_eq!(counts(1, &[Quirk::LosesIpv6Time]), [2, 2], "that is lost later");
    }
}
