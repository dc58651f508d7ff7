//! Does anybody announce itself as a router who is not planned to?

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, advertisement, ask, neighbour,
        reading::{Judge, complaint},
    },
    model::{
        answer::{Answer, HeardAdvertisement},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        mac::Mac,
        name::{NodeName, SegmentName},
        phase::Phase,
        probe::{Aspect, Probe},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// Listens on every link for the whole phase, asks for routers, and looks at the hosts for what they took from a
/// stranger: before anybody was asked, and once more where somebody may have answered who should not.
pub(super) struct RogueRa;

/// The looks at a host: the first before routers were asked for, the second after.
const LOOKS: [u8; 2] = [0, 1];

const TEXT: Text = Text {
    id: "l2.rogue-ra",
    title: "No rogue Router Advertisements",
    section: "S2 5.2",
    use_case: UseCase::NetworkServices,
    question: "Do Router Advertisements come only from planned routers, also where IPv6 is off?",
    good: "No Router Advertisement came from anybody but the planned routers.",
    references: &["RFC 6104", "RFC 6105", "RFC 7113", "RFC 9099 section 2.3.2"],
    cases: &[
        Case {
            name: "stranger",
            finding: "The unlisted router {router} ({mac}) announces {prefixes} on {segment}.",
            expected: "Router Advertisements on {segment} only from {planned}.",
            observed: "{frames} Router Advertisements from {router} ({mac}) {content}. {taken}",
            remedy: "Find the port by the link-layer address and take the device off; switch RA-Guard on at access ports (RFC 6105, RFC 7113).",
        },
        Case {
            name: "taken",
            finding: "{node} on {segment} has taken {addresses} from a router that is not planned.",
            expected: "Addresses and default routes only from {planned}.",
            observed: "{node} holds {addresses}.",
            remedy: "Find who announced it, switch RA-Guard on, and remove what the host has taken.",
        },
    ],
};

impl Check for RogueRa {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![
            advertisement::listen(stage),
            advertisement::solicit(stage),
            Experiment::of_probes(stage.nodes.keys().flat_map(|node| look(node, LOOKS[0]))),
        ]
    }

    /// A host takes nothing before it hears something: hosts are looked at again on links where a stranger was heard, or
    /// where nobody could ask whether there is one.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let doubtful = advertisement::links(stage).filter(|segment| {
            let heard = advertisement::heard(stage, seen, segment);
            heard.map_or(true, |(_, heard)| heard.iter().any(|h| !is_planned(stage, segment, h)))
        });
        let hosts = doubtful.flat_map(|segment| on(stage, segment)).map(|(node, _)| node);
        vec![Experiment::of_probes(hosts.flat_map(|node| look(node, LOOKS[1])))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let links = advertisement::links(stage);
        let found = links.flat_map(|segment| of_link(stage, seen, segment)).collect();
        Judge(&TEXT).or_not_applicable(found, "the data plane has no links")
    }
}

/// The look at a host for what it took.
fn look(node: &NodeName, round: u8) -> [Probe; 2] {
    [Aspect::Addresses, Aspect::Routes].map(|aspect| Probe { round, ..ask::inspect(node, aspect) })
}

/// What the last look at a host showed; `None` if it could not be looked at.
fn looked<'e>(
    seen: &Seen<'e>,
    node: &NodeName,
    aspect: Aspect,
) -> Option<(EvidenceId, &'e Answer)> {
    let mut looks = LOOKS.into_iter().rev();
    looks.find_map(|round| seen.answer(&Probe { round, ..ask::inspect(node, aspect) }))
}

/// The nodes on a link, each by its interface there.
fn on<'s>(
    stage: &'s Stage,
    segment: &SegmentName,
) -> impl Iterator<Item = (&'s NodeName, &'s StagedInterface)> {
    stage.nodes.iter().flat_map(move |(name, node)| {
        let mine = node.interfaces.iter().filter(|i| i.segment == *segment);
        mine.map(move |interface| (name, interface))
    })
}

/// Whether an advertisement came from a router that may announce on the link.
fn is_planned(stage: &Stage, segment: &SegmentName, said: &HeardAdvertisement) -> bool {
    match said.mac {
        Some(mac) => advertisement::may_announce(stage, segment, mac),
        None => is_planned_address(stage, segment, said.router),
    }
}

/// Somebody who announces and is not planned to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stranger {
    mac: Option<Mac>,
    router: Option<IpAddr>,
}

/// What a host has that no planned router gave it.
struct Taken<'s> {
    node: &'s NodeName,
    what: Vec<String>,
    evidence: Vec<EvidenceId>,
}

fn of_link(stage: &Stage, seen: &Seen<'_>, segment: &SegmentName) -> Vec<Judgement> {
    let judge = Judge(&TEXT);
    let mut strangers = BTreeSet::new();
    let mut announced = None::<BTreeSet<String>>;
    let mut evidence = Vec::new();
    let (mut frames, mut asked) = (0, false);
    let mut doubt = Some("the link was not listened to".to_owned());
    if let Some((id, reading)) = seen.reading(&advertisement::tap(segment)) {
        evidence.push(id);
        for note in &reading.first {
            let ours = advertisement::is_our_own(note.source);
            if !ours && !advertisement::may_announce(stage, segment, note.source_mac) {
                frames += 1;
                strangers.insert(Stranger { mac: Some(note.source_mac), router: note.source });
            }
        }
        doubt = (!reading.is_trustworthy()).then(|| "the tap was not alive throughout".to_owned());
    }
    if let Ok((ids, heard)) = advertisement::heard(stage, seen, segment) {
        evidence.extend(ids);
        asked = true;
        for said in heard {
            if !is_planned(stage, segment, &said) {
                strangers.insert(Stranger { mac: said.mac, router: Some(said.router) });
                let prefixes = said.prefixes.iter().map(|p| p.prefix.to_string());
                announced.get_or_insert_default().extend(prefixes);
            }
        }
    }
    let taken = taken_on(stage, seen, segment);
    let stranger = strangers.iter().next_back();
    if stranger.is_none() && taken.is_empty() {
        return match doubt {
            Some(reason) => vec![judge.not_testable(segment.as_str(), reason, evidence)],
            None => vec![judge.pass(segment.as_str(), evidence)],
        };
    }
    let mut found = Vec::new();
    if let Some(stranger) = stranger {
        let (prefixes, content) = announced_words(announced, asked);
        let args = [
            ("router", stranger.router.map_or("unknown".to_owned(), |router| router.to_string())),
            ("mac", stranger.mac.map_or("unknown".to_owned(), |mac| mac.to_string())),
            ("segment", segment.to_string()),
            ("prefixes", prefixes),
            ("content", content),
            ("planned", planned_words(stage, segment)),
            ("frames", frames.to_string()),
            ("taken", taken_words(stage, seen, segment, &taken)),
        ];
        let culprit = culprit(stage, segment, stranger);
        let complaint = blame(stage, "stranger", culprit, on_link(segment), args);
        found.push(judge.fail(segment.as_str(), evidence.clone(), complaint));
    }
    for taken in &taken {
        let args = [
            ("node", taken.node.to_string()),
            ("segment", segment.to_string()),
            ("addresses", taken.what.join(" and ")),
            ("planned", planned_words(stage, segment)),
        ];
        let culprit = stranger.map_or_else(
            || Culprit::segment(segment, "a router that is not planned"),
            |stranger| culprit(stage, segment, stranger),
        );
        let complaint = blame(stage, "taken", culprit, followed_by(segment, taken.node), args);
        let subject = format!("{segment}/{}", taken.node);
        found.push(judge.fail(subject, taken.evidence.clone(), complaint));
    }
    found
}

fn blame<const N: usize>(
    stage: &Stage,
    case: &str,
    culprit: Culprit,
    scope: Scope,
    args: [(&str, String); N],
) -> Complaint {
    Complaint {
        severity: Severity::Critical,
        confidence: Confidence::High,
        depth: Depth::Announced,
        bites_in: std::iter::once(stage.phase).chain(stage.phase.later()).collect::<Vec<Phase>>(),
        ..complaint(stage, case, culprit, scope, args)
    }
}

/// What a stranger touches as long as nobody follows it: what else is found of its announcements.
fn on_link(segment: &SegmentName) -> Scope {
    Scope {
        family: Some(Family::V6),
        segments: vec![segment.clone()],
        packets: Some(Packets::RouterDiscovery),
        ..Scope::default()
    }
}

/// What is touched where a host has taken something: all that it sends by that link.
fn followed_by(segment: &SegmentName, host: &NodeName) -> Scope {
    Scope {
        family: Some(Family::V6),
        from: Some(host.clone()),
        nodes: vec![host.clone()],
        segments: vec![segment.clone()],
        ..Scope::default()
    }
}

/// What is announced, and what of it was read: a tap counts frames and does not read them.
fn announced_words(announced: Option<BTreeSet<String>>, asked: bool) -> (String, String) {
    let itself = "itself".to_owned();
    match announced {
        None if asked => (itself, "which no host that asked for routers has heard".to_owned()),
        None => (itself, "whose content was not read, since nobody on the link asked".to_owned()),
        Some(prefixes) if prefixes.is_empty() => (itself, "without a prefix".to_owned()),
        Some(prefixes) => {
            let list = prefixes.into_iter().collect::<Vec<_>>().join(", ");
            (list.clone(), format!("with {list}"))
        }
    }
}

/// What the hosts of a link hold, and which of them were not looked at once the stranger had been heard.
fn taken_words(
    stage: &Stage,
    seen: &Seen<'_>,
    segment: &SegmentName,
    taken: &[Taken<'_>],
) -> String {
    let was_seen = |node: &NodeName| {
        look(node, LOOKS[1])
            .iter()
            .all(|probe| seen.answer(probe).is_some_and(|(_, answer)| answer.not_asked().is_none()))
    };
    let (looked_at, missed): (Vec<_>, Vec<_>) =
        on(stage, segment).map(|(node, _)| node).partition(|node| was_seen(node));
    let held = taken.iter().map(|t| format!("{} holds {}", t.node, t.what.join(" and ")));
    let held = held.collect::<Vec<_>>().join("; ");
    let missed = missed.into_iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    match (held.is_empty(), looked_at.is_empty(), missed.is_empty()) {
        (true, true, _) => "The hosts were not looked at after that.".to_owned(),
        (true, false, true) => "No host on the link has taken anything from it.".to_owned(),
        (true, false, false) => {
            format!(
                "No host that was looked at has taken anything from it; not looked at: {missed}."
            )
        }
        (false, _, true) => format!("{held}."),
        (false, _, false) => format!("{held}. Not looked at after that: {missed}."),
    }
}

/// A node of the testbed that announces unasked is blamed itself; a stranger is known by its addresses only.
fn culprit(stage: &Stage, segment: &SegmentName, stranger: &Stranger) -> Culprit {
    let node = stranger.mac.and_then(|mac| neighbour::owner_of_mac(stage, segment, mac));
    match (node, stranger.mac, stranger.router) {
        (Some(node), ..) => Culprit::node(node, "router advertisements that are not planned"),
        (None, Some(mac), _) => Culprit::segment(segment, format!("unlisted router {mac}")),
        (None, None, Some(router)) => {
            Culprit::segment(segment, format!("unlisted router {router}"))
        }
        (None, None, None) => Culprit::segment(segment, "an unlisted router"),
    }
}

fn planned_words(stage: &Stage, segment: &SegmentName) -> String {
    let routers: Vec<_> =
        advertisement::planned(stage, segment).iter().map(|(name, ..)| name.to_string()).collect();
    if routers.is_empty() {
        format!("nobody in the {} phase", stage.phase)
    } else {
        routers.join(", ")
    }
}

/// Whether an address is the link-local one of a router that may announce on the link.
fn is_planned_address(stage: &Stage, segment: &SegmentName, router: IpAddr) -> bool {
    stage.testbed.on_segment(segment).any(|(_, interface)| {
        router == interface.mac.link_local()
            && advertisement::may_announce(stage, segment, interface.mac)
    })
}

fn taken_on<'s>(stage: &'s Stage, seen: &Seen<'_>, segment: &SegmentName) -> Vec<Taken<'s>> {
    let mut found = Vec::new();
    for (node, interface) in on(stage, segment) {
        let mut taken = Taken { node, what: Vec::new(), evidence: Vec::new() };
        foreign_addresses(stage, seen, segment, interface, &mut taken);
        foreign_routes(stage, seen, segment, interface, &mut taken);
        if !taken.what.is_empty() {
            found.push(taken);
        }
    }
    found
}

/// Addresses formed from a prefix that is not the link's.
fn foreign_addresses(
    stage: &Stage,
    seen: &Seen<'_>,
    segment: &SegmentName,
    interface: &StagedInterface,
    taken: &mut Taken<'_>,
) {
    let Some((id, Answer::Addresses(links))) = looked(seen, taken.node, Aspect::Addresses) else {
        return;
    };
    let own = stage.testbed.segments[segment].prefix(Family::V6);
    let mine = links.iter().filter(|link| link.name == interface.name.as_str());
    let formed = mine.flat_map(|link| &link.addresses).filter(|address| {
        address.dynamic
            && is_global(address.net.addr())
            && own.is_none_or(|own| !own.contains(&address.net.addr()))
    });
    let words: Vec<_> = formed.map(|a| format!("the address {}", a.net.addr())).collect();
    if !words.is_empty() {
        taken.evidence.push(id);
        taken.what.extend(words);
    }
}

/// Default routes by a router of which no planned one has the address.
fn foreign_routes(
    stage: &Stage,
    seen: &Seen<'_>,
    segment: &SegmentName,
    interface: &StagedInterface,
    taken: &mut Taken<'_>,
) {
    let Some((id, Answer::Routes(routes))) = looked(seen, taken.node, Aspect::Routes) else {
        return;
    };
    let foreign = routes.iter().filter(|route| {
        route.interface == interface.name.as_str()
            && route.origin == "ra"
            && route.to == Family::V6.everything()
            && route.via.is_some_and(|via| !is_planned_address(stage, segment, via))
    });
    let words: Vec<_> =
        foreign.filter_map(|route| Some(format!("a default route via {}", route.via?))).collect();
    if !words.is_empty() {
        taken.evidence.push(id);
        taken.what.extend(words);
    }
}

/// Whether an IPv6 address is neither link-local nor loopback.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_loopback(),
    }
}
