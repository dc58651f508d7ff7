//! From a rule to its expressions, in the order and with the dependencies that `nft` itself writes: before a field of a
//! header stands the comparison that makes sure that this header is there, unless an earlier condition did.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    expression::Expression,
    kernel::{
        INTERFACE_NAME, Numbered, REGISTER, comparison, conntrack, header, meta, protocol, reject,
        verdict,
    },
    set::Set,
};
use crate::model::{
    family::Family,
    policy::{Action, Match, Rule},
};

/// The expressions of a rule and the sets that they look into.
#[derive(Default)]
pub(super) struct Compiled {
    pub(super) expressions: Vec<Expression>,
    pub(super) sets: Vec<Set>,
}

/// Compiles a rule; its sets get numbers from `first_set` on.
pub(super) fn compile(rule: &Rule, first_set: u32) -> Compiled {
    let mut compiler = Compiler { first_set, ..Compiler::default() };
    for condition in &rule.matches {
        compiler.condition(condition);
        compiler.last = Some(condition);
    }
    compiler.action(rule.action);
    compiler.compiled
}

#[derive(Default)]
struct Compiler<'a> {
    compiled: Compiled,
    first_set: u32,
    /// What the conditions so far make sure of.
    family: Option<Family>,
    protocol: Option<u8>,
    last: Option<&'a Match>,
}

impl Compiler<'_> {
    fn push(&mut self, expression: Expression) {
        self.compiled.expressions.push(expression);
    }

    fn equal(&mut self, data: impl Into<Vec<u8>>) {
        let comparison = comparison::EQUAL;
        self.push(Expression::Compare { from: REGISTER, comparison, data: data.into() });
    }

    fn meta(&mut self, key: u32) {
        self.push(Expression::Meta { key, to: REGISTER });
    }

    fn transport_header(&mut self, offset: u32, length: u32) {
        let header = header::TRANSPORT;
        self.push(Expression::Payload { header, offset, length, to: REGISTER });
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::Loopback => self.interface(meta::IN_NAME, "lo"),
            Match::InInterface(name) => self.interface(meta::IN_NAME, name.as_str()),
            Match::OutInterface(name) => self.interface(meta::OUT_NAME, name.as_str()),
            Match::Family(family) => self.of_family(*family),
            Match::Source(net) => self.prefix(*net, 0),
            Match::Destination(net) => self.prefix(*net, 1),
            Match::Transport(transport) => self.of_protocol(transport.number()),
            Match::Protocol(number) => self.of_protocol(*number),
            Match::Port { transport, number } => {
                self.need_protocol(transport.number());
                self.transport_header(2, 2);
                self.equal(number.to_be_bytes());
            }
            Match::Icmp { family, types } if types.is_empty() => self.of_protocol(family.icmp()),
            Match::Icmp { family, types } => self.icmp(*family, types),
            Match::Established => self.state(conntrack::ESTABLISHED | conntrack::RELATED),
            Match::Invalid => self.state(conntrack::INVALID),
            Match::NotReversePath => {
                self.push(Expression::ReversePath { to: REGISTER });
                self.equal([0; 4]);
            }
            Match::LongerThan(octets) => self.longer_than(*octets),
        }
    }

    /// The whole name with its final NUL and beyond, so that `eth1` is not `eth10`.
    fn interface(&mut self, key: u32, name: &str) {
        let mut octets = name.as_bytes().to_vec();
        octets.resize(INTERFACE_NAME, 0);
        self.meta(key);
        self.equal(octets);
    }

    fn of_family(&mut self, family: Family) {
        self.meta(meta::NFPROTO);
        self.equal([family.nfproto()]);
        self.family = Some(family);
    }

    fn of_protocol(&mut self, number: u8) {
        self.meta(meta::L4PROTO);
        self.equal([number]);
        self.protocol = Some(number);
    }

    /// A condition of the rule itself is written again as dependency, so that a reader can tell one from the other.
    fn need_family(&mut self, family: Family) {
        if self.family != Some(family) || matches!(self.last, Some(Match::Family(_))) {
            self.of_family(family);
        }
    }

    fn need_protocol(&mut self, number: u8) {
        let own = match self.last {
            Some(Match::Transport(_)) => true,
            Some(Match::Icmp { types, .. }) => types.is_empty(),
            _ => false,
        };
        if self.protocol != Some(number) || own {
            self.of_protocol(number);
        }
    }

    /// A prefix that ends at an octet is a shorter load; any other is a mask.
    fn prefix(&mut self, net: IpNet, which: usize) {
        let family = Family::of_net(net);
        self.need_family(family);
        let whole = match net.trunc().addr() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let prefix = usize::from(net.prefix_len());
        let aligned = prefix > 0 && prefix.is_multiple_of(8);
        let length = if aligned { prefix / 8 } else { whole.len() };
        self.push(Expression::Payload {
            header: header::NETWORK,
            offset: family.address_offsets()[which],
            length: u32::try_from(length).expect("at most 16"),
            to: REGISTER,
        });
        if !aligned {
            let mask = match net.netmask() {
                IpAddr::V4(mask) => mask.octets().to_vec(),
                IpAddr::V6(mask) => mask.octets().to_vec(),
            };
            self.push(Expression::Mask { from: REGISTER, to: REGISTER, mask });
        }
        self.equal(&whole[..length]);
    }

    fn icmp(&mut self, family: Family, types: &[u8]) {
        self.need_family(family);
        self.need_protocol(family.icmp());
        self.transport_header(0, 1);
        match types {
            [one] => self.equal([*one]),
            many => {
                let number = u32::try_from(self.compiled.sets.len()).expect("few sets");
                let set = Set::of_icmp_types(family, self.first_set + number, many);
                self.push(Expression::Lookup { from: REGISTER, set: set.name.clone(), id: set.id });
                self.compiled.sets.push(set);
            }
        }
    }

    /// Any of these bits. The kernel keeps them in host order.
    fn state(&mut self, bits: u32) {
        self.push(Expression::ConntrackState { to: REGISTER });
        let mask = bits.to_ne_bytes().to_vec();
        self.push(Expression::Mask { from: REGISTER, to: REGISTER, mask });
        let comparison = comparison::NOT_EQUAL;
        self.push(Expression::Compare { from: REGISTER, comparison, data: vec![0; 4] });
    }

    fn longer_than(&mut self, octets: u16) {
        self.meta(meta::LENGTH);
        self.push(Expression::NetworkOrder { from: REGISTER, to: REGISTER });
        let data = u32::from(octets).to_be_bytes().to_vec();
        let comparison = comparison::GREATER;
        self.push(Expression::Compare { from: REGISTER, comparison, data });
    }

    fn action(&mut self, action: Action) {
        if action == Action::Reset {
            self.need_protocol(protocol::TCP);
        }
        self.push(Expression::Counter { packets: 0, octets: 0 });
        self.push(match action {
            Action::Accept => Expression::Verdict(verdict::ACCEPT),
            Action::Drop => Expression::Verdict(verdict::DROP),
            Action::Reject => {
                Expression::Reject { kind: reject::EITHER_ICMP, code: reject::EITHER_PROHIBITED }
            }
            Action::Reset => Expression::Reject { kind: reject::TCP_RESET, code: 0 },
        });
    }
}
