//! Children: what a program of IPsec is told to couple, each child with selectors and keys of its own (RFC 7296 section 2.9,
//! RFC 4301 section 4.4.1). Every selector of one side of a child goes with every one of the other, so a couple is a child.

use ipnet::IpNet;

use super::sides::{Nets, beyond, heres, theres, within};
use crate::model::{family::Family, tunnel::TunnelEnd};

/// The errors of one end's gateway to what is behind the other, and the words of gateways with each other.
const OWN: &str = "own";
const THEIRS: &str = "theirs";
const ENDS: &str = "ends";

/// A child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) here: Nets,
    pub(super) there: Nets,
}

/// All children of an end: its couples, then what the gateways themselves send, whose ICMP errors come through the tunnel too. The
/// last is what proves that packets are carried.
pub(super) fn children(end: &TunnelEnd) -> Vec<Child> {
    let child = |name: &str, here: Nets, there: Nets| Child { name: name.to_owned(), here, there };
    let one = |net: IpNet| Nets::from([net]);
    let couples = end.relations.iter().enumerate();
    let couples = couples.map(|(n, r)| child(&format!("couple-{n}"), one(r.here), one(r.there)));
    let gateways = [
        child(OWN, within(end), theres(end)),
        child(THEIRS, heres(end), beyond(end)),
        child(ENDS, within(end), beyond(end)),
    ];
    let all = couples.chain(gateways).map(Child::of_families);
    all.filter(|child| !child.here.is_empty()).collect()
}

impl Child {
    /// Without what has nothing of its family on the other side.
    fn of_families(self) -> Self {
        let met = |nets: &Nets, others: &Nets| {
            let is_met =
                |net: &&IpNet| others.iter().any(|it| Family::of_net(*it) == Family::of_net(**net));
            nets.iter().filter(is_met).copied().collect()
        };
        Self { here: met(&self.here, &self.there), there: met(&self.there, &self.here), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tunnel::{Relation, example::end};

    #[test]
    fn subnets_that_are_not_coupled_share_no_child() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let mut end = end();
        end.relations = [("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24")]
            .map(|(here, there)| Relation { here: net(here), there: net(there) })
            .to_vec();
        let children = children(&end);
        let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["couple-0", "couple-1", OWN, THEIRS, ENDS]);
        let joins = |here: &str, there: &str| {
            children.iter().any(|c| c.here.contains(&net(here)) && c.there.contains(&net(there)))
        };
        assert!(joins("10.1.0.0/24", "10.2.0.0/24") && joins("10.1.1.0/24", "10.2.1.0/24"));
        assert!(!joins("10.1.0.0/24", "10.2.1.0/24") && !joins("10.1.1.0/24", "10.2.0.0/24"));
        assert!(joins("100.64.0.0/32", "10.2.1.0/24") && joins("10.1.0.0/24", "100.64.0.1/32"));
    }

    #[test]
    fn what_is_own_here_is_theirs_at_the_other_end() {
        let near = end();
        let far = TunnelEnd {
            relations: near.relations.iter().map(Relation::turned).collect(),
            within: near.beyond.clone(),
            beyond: near.within.clone(),
            ..near.clone()
        };
        let turned = |child: Child| (child.there, child.here);
        let (near, far) = (children(&near), children(&far));
        for child in near {
            let turned = turned(child);
            assert!(far.iter().any(|it| (&it.here, &it.there) == (&turned.0, &turned.1)));
        }
    }
}
