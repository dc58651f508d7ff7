//! Is everything that no flow names stopped over IPv6, in every phase?

use std::net::{IpAddr, Ipv6Addr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        crossing::{self, Crossing, Side, fnv},
        knock::Knock,
        reading::{Judge, complaint},
    },
    model::{
        answer::Answer,
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        flow::Traffic,
        name::NodeName,
        policy::{Action, Hook},
        probe::{Aspect, Provocation, Question},
        service::Transport,
        verdict::Judgement,
    },
    stage::Stage,
};

/// Knocks at ports that nothing uses, at an address that nobody has and with a protocol that nobody speaks, across every
/// side of every filtering node, from where this node is the first to filter. Where IPv6 is off, reads whether it could be
/// forwarded.
pub(in crate::check) struct DefaultDenyV6;

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
        all.extend(knocks.map(|knock| knock.passage().experiment(knock.probe.clone())));
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
            found.extend(knocks.iter().map(|knock| knock.judge(Judge(&TEXT), stage, seen)));
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
            let port = way.unused_port(stage, transport);
            let traffic = Traffic::Port { word: port.to_string(), port };
            way.is_closed(stage, &traffic).then_some((way, port))
        });
        let Some((way, port)) = fits else { continue };
        let to = way.path.destination;
        let knock = |what: String, to, is_used| Knock {
            subject: format!("{side}/{what}"),
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
    // Where one lets it pass the other way, filters that track connections take it for an answer once somebody has sent it.
    let is_one_way = |way: &&Crossing| {
        way.is_closed(stage, &Traffic::Any)
            && !stage.is_allowed(way.to(), way.from(), &Traffic::Any)
    };
    if let Some(way) = ways.iter().find(is_one_way) {
        let to = way.path.destination;
        let question = Question::Provoke { to, how: Provocation::UnknownNextHeader };
        let what = format!("protocol {}", Provocation::UNKNOWN_PROTOCOL);
        found.push(Knock {
            subject: format!("{side}/{what}"),
            crossing: way.clone(),
            what,
            probe: ask::probe(way.from(), question),
            to,
            port: None,
            is_used: true,
        });
    }
    found
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
