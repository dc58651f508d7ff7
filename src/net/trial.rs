//! Trials: what this kernel can do is found out by doing it, in a namespace that is gone afterwards.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};

use rtnetlink::LinkVxlan;

use super::{
    esp,
    links::{self, End, FIRST},
    namespace::Namespace,
    netlink::{Netlink, Request},
    nftables,
    packet::{self, Layer},
    socket::{self, Speech},
};
use crate::{
    model::policy::{Action, Chain, Filter, Hook, Match, Rule},
    wire::filter,
};

/// Something that the kernel may or may not be able to do.
pub struct Trial {
    /// What, for people.
    pub what: &'static str,
    /// Whether the default walk needs it.
    pub needed: bool,
    attempt: fn(&Namespace) -> Result<(), String>,
}

/// Every trial, what the default walk needs first.
pub static ALL: &[Trial] = &[
    Trial {
        what: "bridge and virtual cables",
        needed: true,
        attempt: |ns| cable(ns).map_err(said),
    },
    Trial { what: "packet filter (nf_tables)", needed: true, attempt: load_filter },
    Trial { what: "reverse path filter (nft fib)", needed: true, attempt: load_reverse_path },
    Trial { what: "taps (AF_PACKET)", needed: true, attempt: |ns| tap(ns).map_err(said) },
    Trial { what: "raw sockets (ICMPv6)", needed: true, attempt: |ns| raw(ns).map_err(said) },
    Trial {
        what: "VXLAN",
        needed: false,
        attempt: |ns| link(ns, LinkVxlan::new("trial", 1).port(4789).build()),
    },
    Trial { what: "ESP in the kernel (IPsec)", needed: false, attempt: |_| esp::offered() },
    Trial {
        what: "6in4 tunnels in the kernel (sit)",
        needed: false,
        attempt: |ns| link(ns, of_kind(InfoKind::SitTun)),
    },
];

impl Trial {
    /// Tries it. The error is the kernel's sentence.
    pub fn run(&self) -> Result<String, String> {
        let namespace = Namespace::create().map_err(said)?;
        (self.attempt)(&namespace).map(|()| "tried".to_owned())
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn cable(here: &Namespace) -> Result<(), Box<dyn std::error::Error>> {
    let netlink = Netlink::open(here)?;
    let there = Namespace::create()?;
    netlink.ask(&links::add_bridge("bridge", FIRST, 1500))?;
    let near = End { name: "near", index: FIRST + 1, mac: None };
    let far = End { name: "far", index: FIRST, mac: None };
    netlink.ask(&links::add_cable(near, Some(FIRST), far, &there, 1500))?;
    Ok(())
}

fn load_filter(namespace: &Namespace) -> Result<(), String> {
    load(namespace, Match::Established)
}

fn load_reverse_path(namespace: &Namespace) -> Result<(), String> {
    load(namespace, Match::NotReversePath)
}

fn load(namespace: &Namespace, condition: Match) -> Result<(), String> {
    let rule = Rule { label: "trial".to_owned(), matches: vec![condition], action: Action::Drop };
    let chain = Chain { hook: Hook::Forward, policy: Action::Accept, rules: vec![rule] };
    nftables::replace(namespace, &Filter { chains: vec![chain] }).map_err(said)
}

fn tap(namespace: &Namespace) -> io::Result<()> {
    namespace.run(|| packet::open(Layer::Link, &filter::nothing(), 0)).map(drop)
}

fn raw(namespace: &Namespace) -> io::Result<()> {
    namespace.run(|| socket::open(Speech::Icmp, IpAddr::V6(Ipv6Addr::LOCALHOST))).map(drop)
}

fn link(namespace: &Namespace, message: LinkMessage) -> Result<(), String> {
    let netlink = Netlink::open(namespace).map_err(said)?;
    netlink.ask(&Request::create(RouteNetlinkMessage::NewLink(message))).map_err(said)
}

/// A link of a kind that needs to be told nothing but its name.
fn of_kind(kind: InfoKind) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName("trial".to_owned()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
    message
}
