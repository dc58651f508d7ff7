//! Addresses of automatic tunnels that nobody planned. Shared by the checks that read addresses.

use std::net::{IpAddr, Ipv6Addr};

use crate::{model::automatic::AutomaticTunnel, stage::Stage};

/// The automatic tunnel that an address is of, unless the plan has it. One of ISATAP the plan would have to name itself: its
/// hosts form it within prefixes that are planned for others, too.
pub(super) fn unplanned(stage: &Stage, address: Ipv6Addr) -> Option<AutomaticTunnel> {
    let kind = AutomaticTunnel::of(address)?;
    let address = IpAddr::from(address);
    let is_planned = if kind == AutomaticTunnel::Isatap {
        let mut interfaces = stage.testbed.nodes.values().flat_map(|node| &node.interfaces);
        interfaces.any(|interface| interface.addresses.iter().any(|a| a.ip() == address))
    } else {
        let mut prefixes = stage.testbed.segments.values().flat_map(|segment| &segment.prefixes);
        prefixes.any(|prefix| prefix.contains(&address))
    };
    (!is_planned).then_some(kind)
}
