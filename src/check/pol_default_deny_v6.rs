//! Is everything that no flow names stopped over IPv6, in every phase?

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use super::{
    Case, Check, Text, UseCase, ask,
    crossing::{self, Crossing, Side},
    passage::{Own, Passage},
    reading::{Judge, complaint, describe},
};
use crate::{
    model::{
        answer::{Answer, Outcome},
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        flow::Traffic,
        name::NodeName,
        policy::{Action, Hook},
        probe::{Aspect, Probe, Provocation, Question},
        service::{Port, Transport},
        tap::Watch,
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// Knocks at ports that nothing uses, at an address that nobody has and with a protocol that nobody speaks, across every
/// side of every filtering node, from where this node is the first to filter. Where IPv6 is off, reads whether it could be
/// forwarded.
pub(super) struct DefaultDenyV6;

const TEXT: Text = Text {
    id: "pol.default-deny-v6",
    title: "IPv6 is denied by default",
    section: "S1, S2 2.2.1",
    use_case: UseCase::Policies,
    question: "Is IPv6 traffic that no flow names stopped by every filtering node, also where IPv6 is off?",
    good: "IPv6 that no flow names is stopped everywhere.",
    references: &["RFC 9099 section 3.1", "RFC 6092"],
    cases: &[
        Case {
            name: "open",
            finding: "{by} lets IPv6 pass that no flow names: {what} from {from} to {to}.",
            expected: "{by} drops {what} from {from} to {to}.",
            observed: "{observed}; behind {by}, {frames} packets were seen on {after}.",
            remedy: "Set the policy of the forward chain to drop in a table that covers IPv6 too, then list what may pass.",
        },
        Case {
            name: "forwards",
            finding: "{node} would forward IPv6, which is off by plan: {switch} = {value}.",
            expected: "{switch} = 0 while IPv6 is off on {node}.",
            observed: "{switch} = {value}.",
            remedy: "Switch forwarding of IPv6 off until the filter for it stands.",
        },
        Case {
            name: "policy",
            finding: "{node} would let all IPv6 pass: the policy of its forward chain is {policy}.",
            expected: "Policy drop in the forward chain, also before IPv6 is switched on.",
            observed: "Policy {policy} in the forward chain.",
            remedy: "Set the policy of the forward chain to drop in a table that covers IPv6 too.",
        },
    ],
};

impl Check for DefaultDenyV6 {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let reads = without_v6(stage).into_iter().flat_map(|node| {
            [Aspect::Switches, Aspect::Filter].map(|aspect| ask::inspect(node, aspect))
        });
        let mut all = vec![Experiment::of_probes(reads)];
        let knocks = sides(stage).into_iter().flat_map(|(_, knocks)| knocks);
        all.extend(knocks.map(|knock| knock.passage().experiment(knock.probe)));
        all
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let off = without_v6(stage).into_iter().map(|node| off_by_plan(stage, seen, node));
        let mut found: Vec<_> = off.collect();
        for (side, knocks) in sides(stage) {
            if knocks.is_empty() {
                let reason =
                    "on every way to it, flows allow everything or another filter is first";
                found.push(Judge(&TEXT).not_applicable(side.to_string(), reason));
            }
            found.extend(knocks.iter().map(|knock| knock.judge(stage, seen)));
        }
        Judge(&TEXT).or_not_applicable(found, "no node forwards")
    }
}

/// Nodes that forward by their role, but not IPv6 in this phase.
fn without_v6(stage: &Stage) -> Vec<&NodeName> {
    let nodes = stage.testbed.nodes.values().filter(|node| node.role.forwards());
    nodes
        .map(|node| &node.name)
        .filter(|name| !stage.nodes[*name].forwarding.has(Family::V6))
        .collect()
}

fn off_by_plan(stage: &Stage, seen: &Seen<'_>, node: &NodeName) -> Judgement {
    const SWITCH: &str = "net.ipv6.conf.all.forwarding";
    let judge = Judge(&TEXT);
    let subject = format!("{node}/off");
    let scope = Scope { family: Some(Family::V6), nodes: vec![node.clone()], ..Scope::default() };
    let blame = |case, part: &str, severity, args| Complaint {
        severity,
        confidence: Confidence::High,
        depth: Depth::Read,
        bites_in: std::iter::once(stage.phase).chain(stage.phase.later()).collect(),
        ..complaint::<4>(stage, case, Culprit::node(node, part), scope.clone(), args)
    };
    let Some((s, Answer::Switches(switches))) = seen.answer(&ask::inspect(node, Aspect::Switches))
    else {
        return judge.not_testable(subject, "its switches could not be read", []);
    };
    let value = switches.iter().find(|(name, _)| name == SWITCH).map(|(_, value)| value.as_str());
    let args = |policy: &str| {
        [
            ("node", node.to_string()),
            ("switch", SWITCH.to_owned()),
            ("value", value.unwrap_or("unknown").to_owned()),
            ("policy", policy.to_owned()),
        ]
    };
    if value.is_some_and(|value| value != "0") {
        // The same words for the culprit as `meta.plan-vs-topology` has: it is the same fault, and this says why it matters.
        let culprit = format!("switch {SWITCH}");
        let complaint = blame("forwards", &culprit, Severity::Critical, args(""));
        let complaint = Complaint { depth: Depth::Foundation, ..complaint };
        return judge.fail(subject, [s], complaint);
    }
    if !stage.testbed.nodes[node].role.filters() {
        return judge.absent(subject, "IPv6 is not forwarded", [s]);
    }
    let Some((f, Answer::Filter { filter, .. })) = seen.answer(&ask::inspect(node, Aspect::Filter))
    else {
        return judge.not_testable(subject, "its filter could not be read", [s]);
    };
    let policy = filter.chain(Hook::Forward).map_or(Action::Accept, |chain| chain.policy);
    if policy == Action::Accept {
        let args = args(&policy.to_string());
        // The same words for the culprit as `pol.rule-parity-static` has: it is the same fault.
        let complaint = blame("policy", "forward policy", Severity::Major, args);
        return judge.fail(subject, [s, f], complaint);
    }
    judge.absent(subject, "IPv6 is not forwarded, and would be denied", [s, f])
}

/// Something that no flow names, sent across a side of a filtering node.
struct Knock {
    side: Side,
    crossing: Crossing,
    what: String,
    probe: Probe,
    to: IpAddr,
    /// `None` for a protocol that has no ports.
    port: Option<Port>,
    /// Whether somebody has the address.
    is_used: bool,
}

/// Every side of every filtering node, with what is tried across it.
fn sides(stage: &Stage) -> Vec<(Side, Vec<Knock>)> {
    let sides = crossing::first_by_side(stage, Family::V6).into_iter();
    let knocks = |(side, ways): (Side, Vec<_>)| {
        let knocks = of_side(stage, &side, &ways);
        (side, knocks)
    };
    sides.map(knocks).collect()
}

/// One of each kind across a side, on the first way on which no flow allows it.
fn of_side(stage: &Stage, side: &Side, ways: &[Crossing]) -> Vec<Knock> {
    let mut found = Vec::new();
    for transport in [Transport::Tcp, Transport::Udp] {
        let fits = ways.iter().find_map(|way| {
            let port = Port { transport, number: unused_port(stage, way, transport) };
            let traffic = Traffic::Port { word: port.to_string(), port };
            is_closed(stage, way, &traffic).then_some((way, port))
        });
        let Some((way, port)) = fits else { continue };
        let to = way.path.destination;
        let knock = |what: String, to, is_used| Knock {
            side: side.clone(),
            crossing: way.clone(),
            what,
            probe: ask::knock(way.from(), to, port),
            to,
            port: Some(port),
            is_used,
        };
        found.push(knock(port.to_string(), to, true));
        if transport == Transport::Tcp
            && let Some(nobody) = unused_address(stage, way)
        {
            found.push(knock(format!("{port} at an unused address"), nobody, false));
        }
    }
    // Any traffic between the two is one flow's word; a port's flow does not let other protocols pass.
    if let Some(way) = ways.iter().find(|way| is_closed(stage, way, &Traffic::Any)) {
        let to = way.path.destination;
        let question = Question::Provoke { to, how: Provocation::UnknownNextHeader };
        found.push(Knock {
            side: side.clone(),
            crossing: way.clone(),
            what: format!("protocol {}", Provocation::UNKNOWN_PROTOCOL),
            probe: ask::probe(way.from(), question),
            to,
            port: None,
            is_used: true,
        });
    }
    found
}

/// Whether a filtering node on the way has to stop the traffic: neither does a flow name it, nor do rules for somebody else
/// cover it.
fn is_closed(stage: &Stage, way: &Crossing, traffic: &Traffic) -> bool {
    let Path { source, destination, .. } = way.path;
    !stage.is_allowed(way.from(), way.to(), traffic)
        && !stage.is_covered(source, destination, traffic)
}

/// A port that looks random and is the same in every run: from the names at both ends. No service has it, and it lies below
/// the ports that nodes speak from by default (from 32768 on Linux, from 49152 by RFC 6335).
fn unused_port(stage: &Stage, way: &Crossing, transport: Transport) -> u16 {
    let text = format!("{} {} {transport}", way.from(), way.to());
    let hash = fnv(&text);
    let services = stage.testbed.nodes.values().flat_map(|node| &node.services);
    let used: BTreeSet<_> = services.map(|service| service.port).collect();
    let port = |n: u64| 16_384 + u16::try_from(n % 16_000).expect("below 16000");
    (hash..=hash.saturating_add(16_000))
        .map(port)
        .find(|port| !used.contains(port))
        .expect("some port is free")
}

/// The hash FNV-1a of 64 bits: short, and the same everywhere.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// An address on the link of a way's end that nobody has.
fn unused_address(stage: &Stage, way: &Crossing) -> Option<IpAddr> {
    let segment = way.path.segments.last()?;
    let prefix = stage.testbed.segments[segment].prefix(Family::V6)?;
    let IpAddr::V6(network) = prefix.network() else { return None };
    let host = u128::from(fnv(&format!("{segment} unused")) >> 8);
    let host = host & ((1_u128 << (128 - u32::from(prefix.prefix_len()).max(1))) - 1);
    let address: IpAddr = Ipv6Addr::from(u128::from(network) | host).into();
    let free = prefix.prefix_len() <= 120 && stage.testbed.owner(address).is_none();
    free.then_some(address)
}

impl Knock {
    fn subject(&self) -> String {
        format!("{}/{}", self.side, self.what)
    }

    fn passage(&self) -> Passage {
        let (family, source) = (Family::V6, self.crossing.path.source);
        let watch = match self.port {
            Some(port) => Watch::Packets {
                family,
                source: Some(source),
                destination: Some(self.to),
                port: Some(port),
            },
            None => Watch::Protocol {
                family,
                source,
                destination: self.to,
                number: Provocation::UNKNOWN_PROTOCOL,
            },
        };
        Passage::new(&self.crossing, watch, self.subject())
    }

    /// The port that it was sent from, where it has one.
    fn source_port(&self, answer: &Answer) -> Option<u16> {
        let source = answer.attempt()?.source?;
        self.port.map(|_| source.port())
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&TEXT);
        let Some((id, answer)) = seen.answer(&self.probe) else {
            return judge.not_testable(self.subject(), "it was not tried", []);
        };
        let mut evidence = vec![id];
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(self.subject(), reason, evidence);
        }
        let Some(sight) = self.passage().read(seen, Own::from_port(self.source_port(answer)))
        else {
            return judge.not_testable(self.subject(), "nobody watched it", evidence);
        };
        evidence.extend(sight.evidence);
        if sight.passed > 0 || self.came_from_behind(stage, answer) {
            let complaint = self.complaint(stage, answer, sight.passed);
            return judge.fail(self.subject(), evidence, complaint);
        }
        sight.stopped(judge, &self.crossing, self.subject(), evidence)
    }

    /// Whether the answer shows that the packet got past the filter: the target answered or refused, or a router at or
    /// behind it looked for a neighbour that does not exist (ICMPv6 type 1 code 3).
    fn came_from_behind(&self, stage: &Stage, answer: &Answer) -> bool {
        let Some(attempt) = answer.attempt() else { return false };
        if attempt.outcome == Outcome::Answered {
            return true;
        }
        let Some(icmp) = attempt.icmp else { return false };
        let sender = stage.owner(icmp.sender).map(|(node, _)| node);
        let at = sender.and_then(|s| self.crossing.path.nodes.iter().position(|n| n == s));
        let behind = at.is_some_and(|at| at > self.crossing.at);
        let unreachable = !self.is_used && (icmp.kind, icmp.code) == (1, 3);
        behind || (unreachable && at == Some(self.crossing.at))
    }

    fn complaint(&self, stage: &Stage, answer: &Answer, frames: u64) -> Complaint {
        let path = &self.crossing.path;
        let scope = Scope {
            family: Some(Family::V6),
            to: self.is_used.then(|| self.crossing.to().clone()),
            address: Some(self.to),
            port: self.port,
            from: Some(self.crossing.from().clone()),
            nodes: path.nodes.clone(),
            segments: path.segments.clone(),
            carried: super::reading::carrier(path),
            ..Scope::default()
        };
        let args = [
            ("by", self.crossing.by.to_string()),
            ("what", self.what.clone()),
            ("from", self.crossing.from().to_string()),
            ("to", self.to.to_string()),
            ("observed", describe(answer)),
            ("frames", frames.to_string()),
            ("after", self.crossing.after().to_string()),
        ];
        // The same words for the culprit as `pol.rule-parity-dynamic` has: it is the same fault.
        let culprit = Culprit::node(&self.crossing.by, "forwarding of IPv6");
        Complaint {
            severity: Severity::Critical,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..complaint(stage, "open", culprit, scope, args)
        }
    }
}
