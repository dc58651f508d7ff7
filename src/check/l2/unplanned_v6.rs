//! Is IPv6 really off where it is planned to be off?

use crate::{
    check::{
        Case, Check, Text, UseCase, advertisement, ask, neighbour,
        reading::{Judge, complaint},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::{NodeName, SegmentName},
        probe::Aspect,
        tap::{FrameNote, Tap, Watch},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// Looks for addresses, for listeners that they open, and for packets on links where IPv6 is off.
pub(in crate::check) struct UnplannedV6;

const TEXT: Text = Text {
    id: "l2.unplanned-v6",
    title: "No IPv6 where none is planned",
    section: "S2 2.1.2, S4",
    use_case: UseCase::NetworkServices,
    question: "Where IPv6 is off by plan: has no node an IPv6 address, does nothing listen, is nothing sent?",
    good: "Where IPv6 is off by plan, there is none.",
    references: &["RFC 9099 section 2.7.1", "RFC 7381 section 2.2.1"],
    cases: &[
        Case {
            name: "address",
            finding: "{node} has the IPv6 address {address} on {interface}, where IPv6 is off by plan.",
            expected: "No IPv6 address on {interface} of {node} in this phase.",
            observed: "{address} on {interface}. {listeners}",
            remedy: "Switch IPv6 off on this interface, or plan it; and filter IPv6 like IPv4 from the first day.",
        },
        Case {
            name: "listener",
            finding: "{node} is open over IPv6 on {interface}, where IPv6 is off by plan: {listeners}",
            expected: "Nothing on {node} can be reached over IPv6 in this phase.",
            observed: "{address} on {interface}. {listeners}",
            remedy: "Switch IPv6 off on this interface, or filter what listens: every neighbour on the link can reach it.",
        },
        Case {
            name: "announced",
            finding: "{router} announces itself as an IPv6 router on {segment}, where IPv6 is off by plan.",
            expected: "No Router Advertisements on {segment} in this phase.",
            observed: "{frames} Router Advertisements from {router}.",
            remedy: "Let {router} be silent on this link until IPv6 is planned there: hosts form addresses by themselves.",
        },
        Case {
            name: "traffic",
            finding: "{sender} sends IPv6 packets on {segment}, where IPv6 is off by plan.",
            expected: "No IPv6 packets on {segment} in this phase.",
            observed: "{frames} IPv6 packets, the first {packet}.",
            remedy: "Find the device by its link-layer address; plan its IPv6 or switch it off there.",
        },
    ],
};

/// What belongs to links on which somebody still has a link-local address: MLD and neighbour discovery.
const ON_LINK: std::ops::RangeInclusive<u8> = 130..=143;

impl Check for UnplannedV6 {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let nodes = without_v6(stage);
        let probes = nodes.iter().flat_map(|(node, _)| {
            [Aspect::Addresses, Aspect::Sockets].map(|aspect| ask::inspect(node, aspect))
        });
        let links: Vec<_> = links_without_v6(stage).collect();
        let taps = links.iter().flat_map(|s| [tap(s), advertisement::tap(s)]).collect();
        vec![
            Experiment::of_probes(probes),
            Experiment { taps, whole_phase: true, ..Experiment::default() },
        ]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let interfaces = without_v6(stage).into_iter();
        let mut found: Vec<_> =
            interfaces.map(|(node, i)| of_interface(stage, seen, node, i)).collect();
        for segment in links_without_v6(stage) {
            found.push(traffic_on(stage, seen, segment));
            found.extend(announced_on(stage, seen, segment));
        }
        Judge(&TEXT).or_not_applicable(found, "IPv6 is planned everywhere in this phase")
    }
}

/// Interfaces on which IPv6 is off in this phase.
fn without_v6(stage: &Stage) -> Vec<(&NodeName, &StagedInterface)> {
    let all = stage.nodes.iter().flat_map(|(n, node)| node.interfaces.iter().map(move |i| (n, i)));
    all.filter(|(_, interface)| !interface.families.has(Family::V6)).collect()
}

/// Links of the data plane on which no interface has IPv6.
fn links_without_v6(stage: &Stage) -> impl Iterator<Item = &SegmentName> {
    advertisement::links(stage).filter(|segment| !stage.segment_families(segment).has(Family::V6))
}

fn tap(segment: &SegmentName) -> Tap {
    Tap {
        segment: segment.clone(),
        watch: Watch::Ethertypes(vec![Family::V6.ethertype()]),
        label: "IPv6 where it is off".to_owned(),
    }
}

fn of_interface(
    stage: &Stage,
    seen: &Seen<'_>,
    node: &NodeName,
    interface: &StagedInterface,
) -> Judgement {
    let judge = Judge(&TEXT);
    let subject = format!("{node}/{}", interface.name);
    let (id, links) = match seen.answer(&ask::inspect(node, Aspect::Addresses)) {
        Some((id, Answer::Addresses(links))) => (id, links),
        Some((id, other)) => {
            let reason = other.not_asked().unwrap_or("the answer holds no addresses");
            return judge.not_testable(subject, reason, [id]);
        }
        None => return judge.not_testable(subject, "its addresses were not read", []),
    };
    let mine = links.iter().filter(|link| link.name == interface.name.as_str());
    let addresses = mine.flat_map(|link| &link.addresses).map(|a| a.net.addr());
    let v6: Vec<_> = addresses
        .filter_map(|address| match address {
            std::net::IpAddr::V6(v6) => Some(v6),
            std::net::IpAddr::V4(_) => None,
        })
        .collect();
    let Some(first) = v6.iter().find(|a| !a.is_unicast_link_local()).or(v6.first()) else {
        return judge.absent(subject, "no IPv6 address, as planned", [id]);
    };
    let (sockets, open) = listeners(seen, node);
    let evidence: Vec<_> = std::iter::once(id).chain(sockets).collect();
    let case = match (first.is_unicast_link_local(), open.is_empty()) {
        (true, true) => {
            return judge.info(subject, "a link-local address, and nothing listens", evidence);
        }
        (_, false) => "listener",
        (false, true) => "address",
    };
    let words = if open.is_empty() {
        "Nothing listens on IPv6.".to_owned()
    } else {
        format!("{} listen on IPv6.", open.join(", "))
    };
    let args = [
        ("node", node.to_string()),
        ("interface", interface.name.to_string()),
        ("address", first.to_string()),
        ("listeners", words),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        to: Some(node.clone()),
        address: Some((*first).into()),
        nodes: vec![node.clone()],
        segments: vec![interface.segment.clone()],
        ..Scope::default()
    };
    let culprit = Culprit::node(node, format!("IPv6 on {}", interface.name));
    judge.fail(subject, evidence, blame(stage, case, culprit, scope, args))
}

/// The sockets of a node that take IPv6 from others.
fn listeners(seen: &Seen<'_>, node: &NodeName) -> (Option<EvidenceId>, Vec<String>) {
    let Some((id, Answer::Sockets(sockets))) = seen.answer(&ask::inspect(node, Aspect::Sockets))
    else {
        return (None, Vec::new());
    };
    let takes = sockets
        .iter()
        .filter(|socket| socket.families().has(Family::V6) && !socket.local.ip().is_loopback());
    (Some(id), takes.map(|s| format!("{}/{}", s.transport, s.local.port())).collect())
}

fn traffic_on(stage: &Stage, seen: &Seen<'_>, segment: &SegmentName) -> Judgement {
    let judge = Judge(&TEXT);
    let Some((id, reading)) = seen.reading(&tap(segment)) else {
        return judge.not_testable(segment.as_str(), "the link was not listened to", []);
    };
    let talk = |note: &&FrameNote| note.icmp.is_none_or(|(kind, _)| !ON_LINK.contains(&kind));
    if let Some(note) = reading.first.iter().find(talk) {
        let sender = neighbour::owner_of_mac(stage, segment, note.source_mac);
        let word = |address: Option<std::net::IpAddr>| {
            address.map_or("unknown".to_owned(), |address| address.to_string())
        };
        let args = [
            ("sender", sender.map_or(note.source_mac.to_string(), ToString::to_string)),
            ("segment", segment.to_string()),
            ("frames", reading.frames.to_string()),
            ("packet", format!("from {} to {}", word(note.source), word(note.destination))),
        ];
        let culprit = sender.map_or_else(
            || Culprit::segment(segment, format!("stranger {}", note.source_mac)),
            |node| Culprit::node(node, "IPv6 packets that are not planned"),
        );
        let scope = Scope {
            family: Some(Family::V6),
            nodes: sender.into_iter().cloned().collect(),
            segments: vec![segment.clone()],
            ..Scope::default()
        };
        return judge.fail(segment.as_str(), [id], blame(stage, "traffic", culprit, scope, args));
    }
    match (reading.frames, reading.is_trustworthy()) {
        (_, false) => {
            judge.not_testable(segment.as_str(), "the tap was not alive throughout", [id])
        }
        (0, true) => judge.absent(segment.as_str(), "no IPv6 packet, as planned", [id]),
        (frames, true) => {
            let reason = format!("{frames} packets of neighbour discovery or MLD");
            judge.info(segment.as_str(), reason, [id])
        }
    }
}

/// A router of the plan that announces before its time. Strangers are found by `l2.rogue-ra`.
fn announced_on(stage: &Stage, seen: &Seen<'_>, segment: &SegmentName) -> Option<Judgement> {
    let (id, reading) = seen.reading(&advertisement::tap(segment))?;
    let mut notes = reading.first.iter();
    let note = notes.find(|n| advertisement::may_announce(stage, segment, n.source_mac))?;
    // A router says goodbye when the phase before ends (RFC 4861 section 6.2.5): once, and nobody is left to hear it.
    if reading.frames < 2 {
        return None;
    }
    let router = neighbour::owner_of_mac(stage, segment, note.source_mac)?;
    let args = [
        ("router", router.to_string()),
        ("segment", segment.to_string()),
        ("frames", reading.frames.to_string()),
    ];
    let scope =
        Scope { family: Some(Family::V6), segments: vec![segment.clone()], ..Scope::default() };
    let culprit = Culprit::node(router, "router advertisements that are not planned");
    let complaint =
        Complaint { depth: Depth::Announced, ..blame(stage, "announced", culprit, scope, args) };
    Some(Judge(&TEXT).fail(format!("{segment}/{router}"), [id], complaint))
}

fn blame<const N: usize>(
    stage: &Stage,
    case: &str,
    culprit: Culprit,
    scope: Scope,
    args: [(&str, String); N],
) -> Complaint {
    Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        depth: Depth::Read,
        bites_in: std::iter::once(stage.phase).chain(stage.phase.later()).collect(),
        ..complaint(stage, case, culprit, scope, args)
    }
}
