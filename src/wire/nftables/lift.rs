//! From expressions back to conditions. What our words cannot say exactly is refused with a sentence, never guessed.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range as Span,
};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

use super::{
    expression::Expression,
    kernel::{
        self, INTERFACE_NAME, LOOPBACK_INDEX, Numbered, comparison, conntrack, header, meta,
        protocol, reject, verdict,
    },
    set::{Range, Set},
};
use crate::model::{
    family::Family,
    policy::{Action, Match},
    service::Transport,
};

/// A rule over a list of values is as many rules as it has values, but no more than this.
const MOST_ALTERNATIVES: usize = 256;

/// What one rule of the kernel is in our words: any number of rules with the same action; none where the rule only
/// counts or logs. `family` is what the table is limited to.
pub(super) fn lift<'a>(
    expressions: &[Expression],
    family: Option<Family>,
    set: impl Fn(&str) -> Option<&'a Set>,
) -> Result<Vec<(Vec<Match>, Action)>, String> {
    let alternative = Alternative { family, ..Alternative::default() };
    let mut lifting = Lifting { loads: Vec::new(), alternatives: vec![alternative], family };
    for expression in expressions {
        if let Some(action) = lifting.step(expression, &set)? {
            return Ok(lifting.end(action));
        }
    }
    Ok(Vec::new())
}

/// What a register holds.
#[derive(Clone, Debug)]
struct Load {
    /// The registers of four octets that it lies in.
    slots: Span<u32>,
    length: usize,
    what: What,
    mask: Option<Vec<u8>>,
    /// Whether a number of the host has been put into network order.
    network_order: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Meta(u32),
    Header { header: u32, offset: u32 },
    State,
    ReversePath,
}

/// One reading of the rule so far: a rule over a list of values has several.
#[derive(Clone, Debug, Default)]
struct Alternative {
    matches: Vec<Match>,
    family: Option<Family>,
    protocol: Option<u8>,
}

struct Lifting {
    loads: Vec<Load>,
    alternatives: Vec<Alternative>,
    /// Of the table.
    family: Option<Family>,
}

impl Lifting {
    fn step<'a>(
        &mut self,
        expression: &Expression,
        set: &impl Fn(&str) -> Option<&'a Set>,
    ) -> Result<Option<Action>, String> {
        match expression {
            Expression::Meta { key, to } => {
                let length = match *key {
                    meta::IN_NAME | meta::OUT_NAME => INTERFACE_NAME,
                    meta::NFPROTO | meta::L4PROTO => 1,
                    _ => 4,
                };
                self.load(*to, length, What::Meta(*key))?;
            }
            Expression::Payload { header, offset, length, to } => {
                let what = What::Header { header: *header, offset: *offset };
                self.load(*to, *length as usize, what)?;
            }
            Expression::ConntrackState { to } => self.load(*to, 4, What::State)?,
            Expression::ReversePath { to } => self.load(*to, 4, What::ReversePath)?,
            Expression::NetworkOrder { from, to } => self.change(*from, *to, |load| {
                load.network_order = true;
                load.what == What::Meta(meta::LENGTH) && load.mask.is_none()
            })?,
            Expression::Mask { from, to, mask } => self.change(*from, *to, |load| {
                load.mask = Some(mask.clone());
                load.length == mask.len()
            })?,
            Expression::Compare { from, comparison, data } => {
                self.compare(*from, *comparison, data)?;
            }
            Expression::Lookup { from, set: name, .. } => {
                let set = set(name).ok_or_else(|| format!("a lookup in the set `{name}`"))?;
                self.lookup(*from, set)?;
            }
            Expression::Verdict(verdict::ACCEPT) => return Ok(Some(Action::Accept)),
            Expression::Verdict(verdict::DROP) => return Ok(Some(Action::Drop)),
            Expression::Verdict(_) | Expression::Counter { .. } | Expression::Log => {}
            Expression::Reject { kind, code } => return self.refusal(*kind, *code).map(Some),
            Expression::Other(what) => return Err(what.clone()),
        }
        Ok(None)
    }

    /// Registers 1 to 4 have 16 octets each, those from 8 on four; they are the same memory.
    fn load(&mut self, register: u32, length: usize, what: What) -> Result<(), String> {
        let first = match register {
            1..=4 => (register - 1) * 4,
            8..=23 => register - 8,
            _ => return Err(format!("register {register}")),
        };
        let count = u32::try_from(length.div_ceil(4)).unwrap_or(u32::MAX);
        if !(1..=16).contains(&count) {
            return Err(format!("{length} octets of a header at once"));
        }
        let slots = first..first + count;
        self.loads.retain(|load| load.slots.end <= slots.start || slots.end <= load.slots.start);
        self.loads.push(Load { slots, length, what, mask: None, network_order: false });
        Ok(())
    }

    fn find(&self, register: u32) -> Result<usize, String> {
        let first = if register < 8 { register.saturating_sub(1) * 4 } else { register - 8 };
        self.loads
            .iter()
            .position(|load| load.slots.start == first)
            .ok_or_else(|| format!("register {register}, which holds nothing that we follow"))
    }

    fn change(
        &mut self,
        from: u32,
        to: u32,
        change: impl FnOnce(&mut Load) -> bool,
    ) -> Result<(), String> {
        let index = self.find(from)?;
        let load = &mut self.loads[index];
        let fresh = load.mask.is_none() && !load.network_order;
        if from == to && fresh && change(load) {
            return Ok(());
        }
        Err(format!("arithmetic on {}", self.loads[index].what))
    }

    fn compare(&mut self, from: u32, comparison: u32, data: &[u8]) -> Result<(), String> {
        let load = self.loads[self.find(from)?].clone();
        let condition = match (load.what, comparison) {
            (What::State, comparison::NOT_EQUAL) => state(&load, data)?,
            (What::Meta(meta::LENGTH), comparison::GREATER) => longer_than(&load, data)?,
            (_, comparison::EQUAL) => {
                let each = |alternative: &mut Alternative| alternative.equal(&load, data);
                return self.alternatives.iter_mut().try_for_each(each);
            }
            (what, _) => return Err(format!("a comparison of {what} other than for equality")),
        };
        self.alternatives.iter_mut().for_each(|one| one.matches.push(condition.clone()));
        Ok(())
    }

    /// ICMP types stay together in one rule, since we have a word for that; any other list becomes alternatives.
    fn lookup(&mut self, from: u32, set: &Set) -> Result<(), String> {
        let load = self.loads[self.find(from)?].clone();
        let ranges = set.ranges()?;
        let fits = |(first, last): &Range| first.len() == load.length && last.len() == load.length;
        if load.mask.is_some() || !ranges.iter().all(fits) {
            return Err(format!("a lookup of more than {}", load.what));
        }
        let before = std::mem::take(&mut self.alternatives);
        for alternative in before {
            self.alternatives.extend(alternative.one_of(&load, &ranges)?);
            if self.alternatives.len() > MOST_ALTERNATIVES {
                return Err(format!("a list of more than {MOST_ALTERNATIVES} values"));
            }
        }
        Ok(())
    }

    /// A refusal has to be the one that our word promises; other ICMP codes are other refusals.
    fn refusal(&mut self, kind: u32, code: u8) -> Result<Action, String> {
        match (kind, code, self.family) {
            (reject::EITHER_ICMP, reject::EITHER_PROHIBITED, _)
            | (reject::ICMP, reject::ICMP_PROHIBITED, Some(Family::V4))
            | (reject::ICMP, reject::ICMPV6_PROHIBITED, Some(Family::V6)) => Ok(Action::Reject),
            (reject::TCP_RESET, ..) => {
                self.alternatives.iter_mut().try_fold(Action::Reset, |action, alternative| {
                    match alternative.protocol {
                        Some(protocol::TCP) => {
                            alternative.forget(&Match::Transport(Transport::Tcp));
                            Ok(action)
                        }
                        _ => Err("a TCP reset for what need not be TCP".to_owned()),
                    }
                })
            }
            _ => Err(format!("`reject` of kind {kind} with code {code}")),
        }
    }

    fn end(self, action: Action) -> Vec<(Vec<Match>, Action)> {
        self.alternatives.into_iter().map(|one| (one.matches, action)).collect()
    }
}

impl Alternative {
    /// Drops a condition that stood there only to make sure of a header.
    fn forget(&mut self, dependency: &Match) {
        self.matches.pop_if(|last| last == dependency);
    }

    fn equal(&mut self, load: &Load, data: &[u8]) -> Result<(), String> {
        let comparable = data.len() == load.length || load.what == What::ReversePath;
        let masked = load.mask.is_some()
            && !matches!(load.what, What::Header { header: header::NETWORK, .. });
        if !comparable || masked || load.network_order {
            return Err(format!("a comparison of a part of {}", load.what));
        }
        match load.what {
            What::Meta(key) => self.meta(key, data),
            What::Header { header: header::NETWORK, offset } => self.network(load, offset, data),
            What::Header { header: header::TRANSPORT, offset } => self.transport(offset, data),
            What::ReversePath if data.iter().all(|octet| *octet == 0) => {
                self.matches.push(Match::NotReversePath);
                Ok(())
            }
            what => Err(format!("a comparison of {what}")),
        }
    }

    fn meta(&mut self, key: u32, data: &[u8]) -> Result<(), String> {
        let condition = match (key, data) {
            (meta::NFPROTO, [number]) => {
                let family =
                    kernel::family(*number).ok_or_else(|| format!("`meta nfproto` {number}"))?;
                self.family = Some(family);
                Match::Family(family)
            }
            (meta::L4PROTO, [number]) => {
                self.protocol = Some(*number);
                of_protocol(*number)
            }
            (meta::IN_NAME, name) => match interface(name)? {
                "lo" => Match::Loopback,
                name => Match::InInterface(name.parse().map_err(|bad| format!("{bad}"))?),
            },
            (meta::OUT_NAME, name) => {
                Match::OutInterface(interface(name)?.parse().map_err(|bad| format!("{bad}"))?)
            }
            (meta::IN_INDEX, index) if *index == LOOPBACK_INDEX.to_ne_bytes() => Match::Loopback,
            _ => return Err(format!("a comparison of {}", What::Meta(key))),
        };
        self.matches.push(condition);
        Ok(())
    }

    fn network(&mut self, load: &Load, offset: u32, data: &[u8]) -> Result<(), String> {
        let family = self.family.ok_or("a field of the IP header without its family")?;
        let direction = direction(family, offset)?;
        let prefix = prefix_length(load)?;
        let mut octets = [0; 16];
        let room = octets.get_mut(..data.len()).ok_or("an address of more than 16 octets")?;
        room.copy_from_slice(data);
        let net = net(family, &octets, prefix)?;
        self.forget(&Match::Family(family));
        self.matches.push(direction(net));
        Ok(())
    }

    fn transport(&mut self, offset: u32, data: &[u8]) -> Result<(), String> {
        match (self.protocol, offset, data) {
            (Some(number), 2, [high, low]) => {
                let transport =
                    transport(number).ok_or_else(|| format!("a port of IP protocol {number}"))?;
                self.forget(&Match::Transport(transport));
                let number = u16::from_be_bytes([*high, *low]);
                self.matches.push(Match::Port { transport, number });
                Ok(())
            }
            (_, 0, [one]) => self.icmp(vec![*one]),
            _ => Err(format!("{} octets at {offset} of the transport header", data.len())),
        }
    }

    fn icmp(&mut self, types: Vec<u8>) -> Result<(), String> {
        let family = Family::ALL
            .into_iter()
            .find(|family| self.protocol == Some(family.icmp()))
            .ok_or("the first octet of a transport header that is not ICMP")?;
        self.forget(&Match::Icmp { family, types: Vec::new() });
        self.forget(&Match::Family(family));
        self.matches.push(Match::Icmp { family, types });
        Ok(())
    }

    fn one_of(mut self, load: &Load, ranges: &[Range]) -> Result<Vec<Self>, String> {
        let what = What::Header { header: header::TRANSPORT, offset: 0 };
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        if load.what == what && load.length == 1 {
            let types = ranges.iter().flat_map(|(first, last)| first[0]..=last[0]).collect();
            self.icmp(types)?;
            return Ok(vec![self]);
        }
        if let What::Header { header: header::NETWORK, offset } = load.what {
            return self.one_of_nets(offset, ranges);
        }
        ranges
            .iter()
            .map(|(first, last)| {
                if first != last {
                    return Err(format!("a range of {}", load.what));
                }
                let mut one = self.clone();
                one.equal(load, first)?;
                Ok(one)
            })
            .collect()
    }

    fn one_of_nets(mut self, offset: u32, ranges: &[Range]) -> Result<Vec<Self>, String> {
        let family = self.family.ok_or("a field of the IP header without its family")?;
        let direction = direction(family, offset)?;
        self.forget(&Match::Family(family));
        let mut alternatives = Vec::new();
        for range in ranges {
            for net in nets(family, range)? {
                let mut one = self.clone();
                one.matches.push(direction(net));
                alternatives.push(one);
            }
        }
        Ok(alternatives)
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Meta(key) => {
                let word = meta::NAMES.get(*key as usize).copied().unwrap_or("of an unknown key");
                write!(f, "`meta {word}`")
            }
            Self::Header { header, offset } => {
                let name = match *header {
                    header::NETWORK => "network",
                    header::TRANSPORT => "transport",
                    _ => "link or inner",
                };
                write!(f, "the {name} header from octet {offset}")
            }
            Self::State => f.write_str("`ct state`"),
            Self::ReversePath => f.write_str("`fib saddr . iif oif`"),
        }
    }
}

/// Only the two sets of states that we have words for.
fn state(load: &Load, data: &[u8]) -> Result<Match, String> {
    let mask = load.mask.as_deref().and_then(|mask| mask.first_chunk());
    let bits = mask.map(|octets| u32::from_ne_bytes(*octets));
    match bits {
        Some(bits) if data == [0; 4] => match bits {
            conntrack::INVALID => Ok(Match::Invalid),
            bits if bits == conntrack::ESTABLISHED | conntrack::RELATED => Ok(Match::Established),
            bits => Err(format!("`ct state` with bits {bits:#x}")),
        },
        _ => Err("`ct state` compared with a state".to_owned()),
    }
}

fn longer_than(load: &Load, data: &[u8]) -> Result<Match, String> {
    let octets = data.try_into().map(u32::from_be_bytes).ok().filter(|_| load.network_order);
    octets
        .and_then(|octets| u16::try_from(octets).ok())
        .map(Match::LongerThan)
        .ok_or_else(|| "a `meta length` of more than 65535".to_owned())
}

fn of_protocol(number: u8) -> Match {
    let icmp = |family| Match::Icmp { family, types: Vec::new() };
    match number {
        protocol::ICMP => icmp(Family::V4),
        protocol::ICMPV6 => icmp(Family::V6),
        _ => transport(number).map_or(Match::Protocol(number), Match::Transport),
    }
}

fn transport(number: u8) -> Option<Transport> {
    match number {
        protocol::TCP => Some(Transport::Tcp),
        protocol::UDP => Some(Transport::Udp),
        _ => None,
    }
}

/// A whole name ends with a NUL; without one it is the beginning of a name.
fn interface(octets: &[u8]) -> Result<&str, String> {
    let end = octets.iter().position(|octet| *octet == 0).ok_or("the beginning of a name")?;
    std::str::from_utf8(&octets[..end]).map_err(|_| "a name that is not text".to_owned())
}

fn direction(family: Family, offset: u32) -> Result<fn(IpNet) -> Match, String> {
    let [source, destination] = family.address_offsets();
    match offset {
        _ if offset == source => Ok(Match::Source),
        _ if offset == destination => Ok(Match::Destination),
        _ => Err(What::Header { header: header::NETWORK, offset }.to_string()),
    }
}

/// How many leading bits of the field are compared.
fn prefix_length(load: &Load) -> Result<u8, String> {
    let all = u8::try_from(load.length * 8).map_err(|_| "a field that is too long".to_owned())?;
    let Some(mask) = &load.mask else { return Ok(all) };
    let ones = mask.iter().take_while(|octet| **octet == 0xff).count();
    let partial = mask.get(ones).copied().unwrap_or(0);
    let rest = mask.iter().skip(ones + 1).all(|octet| *octet == 0);
    let bits = partial.leading_ones();
    if !rest || u32::from(partial) != 0xff_u32 << (8 - bits) & 0xff {
        return Err("an address mask with gaps".to_owned());
    }
    Ok(u8::try_from(ones * 8).expect("at most `all`") + u8::try_from(bits).expect("at most 8"))
}

fn net(family: Family, octets: &[u8; 16], prefix: u8) -> Result<IpNet, String> {
    let net = match family {
        Family::V4 => {
            let [a, b, c, d, rest @ ..] = octets;
            if rest.iter().any(|octet| *octet != 0) {
                return Err("an IPv4 address of more than 4 octets".to_owned());
            }
            Ipv4Net::new(Ipv4Addr::new(*a, *b, *c, *d), prefix).map(IpNet::V4)
        }
        Family::V6 => Ipv6Net::new(Ipv6Addr::from(*octets), prefix).map(IpNet::V6),
    };
    let net = net.map_err(|_| format!("an {family} prefix of {prefix} bits"))?;
    if net.trunc() != net {
        return Err("an address with bits outside of its mask, which nothing matches".to_owned());
    }
    Ok(net)
}

/// The prefixes that make up a range of addresses.
fn nets(family: Family, (first, last): &Range) -> Result<Vec<IpNet>, String> {
    let wrong = || format!("a range of something else than {family} addresses");
    let nets: Vec<IpNet> = match family {
        Family::V4 => {
            let address = |octets: &[u8]| octets.try_into().map(|o: [u8; 4]| Ipv4Addr::from(o));
            let (first, last) = (address(first), address(last));
            let (first, last) = (first.map_err(|_| wrong())?, last.map_err(|_| wrong())?);
            Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
        }
        Family::V6 => {
            let address = |octets: &[u8]| octets.try_into().map(|o: [u8; 16]| Ipv6Addr::from(o));
            let (first, last) = (address(first), address(last));
            let (first, last) = (first.map_err(|_| wrong())?, last.map_err(|_| wrong())?);
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
        }
    };
    Ok(nets)
}
