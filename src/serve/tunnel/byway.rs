//! The byway: the way that is left to packets when the routes into a stopped tunnel are gone.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    model::{answer::RouteState, family::Family, name::InterfaceName, node::Route},
    net::{
        namespace::Namespace,
        netlink::{Netlink, NetlinkError, Request},
        routes,
    },
};

/// What stands in the place of the routes into a tunnel for as long as it is stopped.
#[derive(Debug, Default)]
pub(super) struct Byway {
    taken: Vec<Route>,
    laid: Vec<Route>,
}

impl Byway {
    /// Takes every route away that leads by a next hop into the inside of a tunnel. What it led goes where everything else
    /// goes: by the default route, or, on a gateway that has none, by the next hop of most of its routes beside `insides`.
    pub(super) fn open(
        &mut self,
        namespace: &Namespace,
        inside: &InterfaceName,
        insides: &[InterfaceName],
    ) -> Result<(), NetlinkError> {
        let netlink = Netlink::open(namespace)?;
        let known = routes::read(&netlink)?;
        for route in &known {
            let (true, None, Some(via)) = (is_by(route, inside), &route.learned_mtu, route.via)
            else {
                continue;
            };
            netlink.ask(&routes::remove(route.to, via))?;
            self.taken.push(Route { to: route.to, via });
            if let Some(via) = way_out(&known, Family::of_net(route.to), insides) {
                netlink.ask(&routes::add(route.to, via))?;
                self.laid.push(Route { to: route.to, via });
            }
        }
        Ok(())
    }

    /// Gives the routes back.
    pub(super) fn close(&mut self, namespace: &Namespace) -> Result<(), NetlinkError> {
        let laid = std::mem::take(&mut self.laid).into_iter();
        let taken = std::mem::take(&mut self.taken).into_iter();
        let all: Vec<Request> = laid
            .map(|route| routes::remove(route.to, route.via))
            .chain(taken.map(|route| routes::add(route.to, route.via)))
            .collect();
        if all.is_empty() {
            return Ok(());
        }
        let netlink = Netlink::open(namespace)?;
        all.iter().try_for_each(|request| netlink.ask(request))
    }
}

fn is_by(route: &RouteState, interface: &InterfaceName) -> bool {
    route.interface == interface.as_str()
}

/// The next hop of most routes of a family beside tunnels; `None` where a default route does without, or there is no other.
fn way_out(known: &[RouteState], family: Family, insides: &[InterfaceName]) -> Option<IpAddr> {
    let beside = known.iter().filter(|route| {
        Family::of_net(route.to) == family && !insides.iter().any(|inside| is_by(route, inside))
    });
    let mut hops = BTreeMap::<IpAddr, usize>::new();
    for route in beside {
        if route.to.prefix_len() == 0 {
            return None;
        }
        if let (Some(via), None) = (route.via, &route.learned_mtu) {
            *hops.entry(via).or_default() += 1;
        }
    }
    hops.into_iter().max_by_key(|(_, routes)| *routes).map(|(via, _)| via)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &str, via: Option<&str>, interface: &str) -> RouteState {
        RouteState {
            to: to.parse().unwrap(),
            via: via.map(|via| via.parse().unwrap()),
            interface: interface.to_owned(),
            origin: "static".to_owned(),
            learned_mtu: None,
            expires_s: None,
        }
    }

    #[test]
    fn what_a_tunnel_led_goes_where_most_goes_unless_a_default_route_is_there() {
        let inside: InterfaceName = "tunnel".parse().unwrap();
        let mut known = vec![
            route("2001:db8:a::/64", Some("fd00::1"), "tunnel"),
            route("2001:db8:c::/64", Some("fd00::1"), "tunnel"),
            route("2001:db8:d::/64", Some("2001:db8:f::1"), "wan"),
            route("2001:db8:f::/64", None, "wan"),
            route("10.2.0.0/24", Some("192.0.2.1"), "wan"),
        ];
        let insides = std::slice::from_ref(&inside);
        let v6 = way_out(&known, Family::V6, insides);
        assert_eq!(v6, Some("2001:db8:f::1".parse().unwrap()));
        known.push(route("::/0", Some("2001:db8:f::2"), "wan"));
        assert_eq!(way_out(&known, Family::V6, insides), None);
        assert_eq!(way_out(&known[..1], Family::V4, insides), None);
    }
}
