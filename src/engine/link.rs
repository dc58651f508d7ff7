//! What templates see of the links that an engine serves: what routers announce there, and who gets which address.

use std::{collections::BTreeSet, net::Ipv6Addr};

use serde::Serialize;

use crate::{
    model::{
        dhcp::{DhcpDuty, DhcpLink},
        mac::Mac,
        name::{DomainName, InterfaceName},
    },
    wire::{dhcpv6::duid, ra::Announcement},
};

/// `MaxRtrAdvInterval` in seconds: what the built-in router has, but no longer than the router says that it is one.
const LONGEST_INTERVAL_S: u16 = 13;
/// The least that RFC 4861 section 6.2.1 allows for it.
const LEAST_INTERVAL_S: u16 = 4;

/// What is announced on a link.
#[derive(Serialize)]
pub(super) struct Announced<'j> {
    interface: &'j str,
    managed: bool,
    other: bool,
    lifetime_s: u16,
    standby: bool,
    least_s: u16,
    most_s: u16,
    hop_limit: u8,
    mtu: Option<u32>,
    prefixes: Vec<AnnouncedPrefix>,
    dns: &'j [Ipv6Addr],
    dns_lifetime_s: u32,
    pref64: Vec<AnnouncedPref64>,
}

#[derive(Serialize)]
struct AnnouncedPrefix {
    prefix: String,
    on_link: bool,
    autonomous: bool,
    valid_s: u32,
    preferred_s: u32,
}

#[derive(Serialize)]
struct AnnouncedPref64 {
    prefix: String,
    lifetime_s: u16,
}

impl<'j> Announced<'j> {
    pub(super) fn of((interface, said): &'j (InterfaceName, Announcement)) -> Self {
        let most_s = match said.lifetime_s {
            0 => LONGEST_INTERVAL_S,
            lifetime_s => lifetime_s.clamp(LEAST_INTERVAL_S, LONGEST_INTERVAL_S),
        };
        let prefixes = said.prefixes.iter().map(|prefix| AnnouncedPrefix {
            prefix: prefix.prefix.to_string(),
            on_link: prefix.on_link,
            autonomous: prefix.autonomous,
            valid_s: prefix.valid_s,
            preferred_s: prefix.preferred_s,
        });
        let pref64 = said.pref64.iter().map(|(prefix, lifetime_s)| AnnouncedPref64 {
            prefix: prefix.to_string(),
            lifetime_s: *lifetime_s,
        });
        Self {
            interface: interface.as_str(),
            managed: said.managed,
            other: said.other,
            lifetime_s: said.lifetime_s,
            // Who is no default router at all has no preference (RFC 4191 section 2.2).
            standby: said.standby && said.lifetime_s > 0,
            // No more than three quarters of the longest (RFC 4861 section 6.2.1).
            least_s: most_s * 3 / 4,
            most_s,
            hop_limit: said.hop_limit,
            mtu: said.mtu,
            prefixes: prefixes.collect(),
            dns: &said.dns,
            dns_lifetime_s: said.dns_lifetime_s,
            pref64: pref64.collect(),
        }
    }
}

/// A link whose hosts get addresses and names of servers.
#[derive(Serialize)]
pub(super) struct Leased<'j> {
    /// Nothing where a relay stands between.
    interface: &'j str,
    prefix: String,
    leases: Vec<Lease>,
    dns: &'j [Ipv6Addr],
    search: Vec<&'j str>,
}

#[derive(Serialize)]
struct Lease {
    duid: String,
    address: Ipv6Addr,
}

/// A link whose hosts ask a server elsewhere.
#[derive(Serialize)]
pub(super) struct Carried {
    link: Ipv6Addr,
    server: Ipv6Addr,
}

impl<'j> From<&'j DhcpLink> for Leased<'j> {
    fn from(link: &'j DhcpLink) -> Self {
        let lease = |(mac, address): &(Mac, Ipv6Addr)| Lease {
            duid: octets(&duid(*mac)),
            address: *address,
        };
        Self {
            interface: link.interface.as_ref().map_or("", InterfaceName::as_str),
            prefix: link.prefix.to_string(),
            leases: link.leases.iter().map(lease).collect(),
            dns: &link.dns,
            search: link.search.iter().map(DomainName::as_str).collect(),
        }
    }
}

/// The links of duties by what is done there.
pub(super) fn by_duty(duties: &[DhcpDuty]) -> (Vec<Leased<'_>>, Vec<Carried>) {
    let (mut leased, mut carried) = (Vec::new(), Vec::new());
    for duty in duties {
        match duty {
            DhcpDuty::Serve(link) => leased.push(Leased::from(link)),
            DhcpDuty::Relay { link, server, .. } => {
                carried.push(Carried { link: *link, server: *server });
            }
        }
    }
    (leased, carried)
}

/// Where a server is asked: `eth0`, and `eth0/2001:db8::53` for relays, each once.
pub(super) fn asked_at(duties: &[DhcpDuty]) -> Vec<String> {
    let places = duties.iter().filter_map(|duty| match duty {
        DhcpDuty::Serve(DhcpLink { interface: Some(on), .. }) => Some(on.to_string()),
        DhcpDuty::Serve(DhcpLink { relayed_to: Some((on, at)), .. }) => Some(format!("{on}/{at}")),
        _ => None,
    });
    places.collect::<BTreeSet<_>>().into_iter().collect()
}

/// `00:03:00:01`.
pub(super) fn octets(octets: &[u8]) -> String {
    let octets: Vec<_> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}
