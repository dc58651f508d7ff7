//! `in.no-ipv4-left`: in the IPv6-only phase no link carries a single IPv4 or ARP frame. The proof is on the wire.

use crate::{
    check::{Case, Check, Text, UseCase, reading, reading::Judge},
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        mac::Mac,
        name::SegmentName,
        phase::Phase,
        segment::Segment,
        tap::{FrameNote, Reading, Tap, Watch},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct NoIpv4Left;

/// EtherTypes of IPv4 and of ARP (RFC 7042 appendix B).
const OF_IPV4: [u16; 2] = [0x0800, 0x0806];

static TEXT: Text = Text {
    id: "in.no-ipv4-left",
    title: "No IPv4 on any link",
    section: "S2 2.1.2",
    use_case: UseCase::InsideToOutside,
    question: "Does any link carry an IPv4 or ARP frame from the moment the IPv6-only phase is up to its last question, \
               with every tap proved alive before and after?",
    good: "Not one frame of IPv4 or ARP was seen on any link but those that keep IPv4 by declaration.",
    references: &["RFC 9099 section 3.2", "RFC 7042"],
    cases: &[Case {
        name: "seen",
        finding: "{who} still sends IPv4 on {segment} in the IPv6-only phase.",
        expected: "No frame of EtherType 0x0800 or 0x0806.",
        observed: "{frames} frames ({types}); the first was {first}.",
        remedy: "Name the process or device by its address, and configure IPv6 for it or remove it.",
    }],
};

impl Check for NoIpv4Left {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        if stage.phase != Phase::Ipv6Only {
            return Vec::new();
        }
        let gives_up = |segment: &&Segment| segment.keeps_ipv4().is_none();
        let links = stage.testbed.links().filter(gives_up);
        let taps = links.map(|segment| tap(&segment.name)).collect();
        vec![Experiment { taps, whole_phase: true, ..Experiment::default() }]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        if stage.phase != Phase::Ipv6Only {
            return vec![judge.info("-", "IPv4 may be in use in this phase", [])];
        }
        let of_links = stage.testbed.links().map(|segment| of_segment(judge, stage, seen, segment));
        judge.or_not_applicable(of_links.collect(), "no link is tapped")
    }
}

fn tap(segment: &SegmentName) -> Tap {
    Tap {
        segment: segment.clone(),
        watch: Watch::Ethertypes(OF_IPV4.to_vec()),
        label: TEXT.id.to_owned(),
    }
}

fn of_segment(judge: Judge, stage: &Stage, seen: &Seen<'_>, segment: &Segment) -> Judgement {
    let subject = segment.name.as_str();
    if let Some(why) = segment.keeps_ipv4() {
        return judge.info(
            subject,
            format!("left out: it keeps IPv4 by declaration, as {why}"),
            [],
        );
    }
    let Some((id, reading)) = seen.reading(&tap(&segment.name)) else {
        return judge.not_testable(subject, "the link was not tapped", []);
    };
    if reading.frames > 0 {
        return judge.fail(subject, [id], complaint(stage, segment, reading));
    }
    if !reading.is_trustworthy() {
        let reason = "nothing was seen, but the tap was not alive all the time or lost frames";
        return judge.not_testable(subject, reason, [id]);
    }
    judge.absent(subject, "no IPv4 or ARP frame, by a tap that was alive before and after", [id])
}

fn complaint(stage: &Stage, segment: &Segment, reading: &Reading) -> Complaint {
    let first = reading.first.first();
    let culprit = culprit(stage, segment, first.map(|note| note.source_mac));
    let types = reading.by_ethertype.iter().map(|(kind, frames)| format!("0x{kind}: {frames}"));
    let who = culprit.node.as_ref().map_or_else(|| culprit.part.clone(), ToString::to_string);
    let args = [
        ("who", who),
        ("segment", segment.name.to_string()),
        ("frames", reading.frames.to_string()),
        ("types", types.collect::<Vec<_>>().join(", ")),
        ("first", first.map_or_else(|| "not noted".to_owned(), describe)),
    ];
    let scope = Scope {
        family: Some(Family::V4),
        nodes: culprit.node.iter().cloned().collect(),
        segments: vec![segment.name.clone()],
        ..Scope::default()
    };
    Complaint {
        severity: Severity::Critical,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, "seen", culprit, scope, args)
    }
}

/// The node whose interface sent the frame, or a stranger on the link.
fn culprit(stage: &Stage, segment: &Segment, sender: Option<Mac>) -> Culprit {
    let Some(mac) = sender else { return Culprit::segment(&segment.name, "IPv4 on the link") };
    let mut on_link = stage.testbed.on_segment(&segment.name);
    match on_link.find(|(_, interface)| interface.mac == mac) {
        Some((node, interface)) => Culprit::node(&node.name, format!("IPv4 on {}", interface.name)),
        None => Culprit::segment(&segment.name, format!("stranger {mac}")),
    }
}

fn describe(note: &FrameNote) -> String {
    let address =
        |ip: Option<std::net::IpAddr>| ip.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
    let port = note.destination_port.map_or_else(String::new, |port| format!(" port {port}"));
    format!(
        "0x{} from {} ({}) to {}{port}",
        note.ethertype,
        address(note.source),
        note.source_mac,
        address(note.destination)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{self, Network};

    fn seen_from(mac: Mac) -> Network {
        Network::healthy(Phase::Ipv6Only).bend_tap(move |tap, reading| {
            if tap.segment.as_str() == "lan" && matches!(tap.watch, Watch::Ethertypes(_)) {
                reading.frames = 3;
                reading.first = vec![FrameNote {
                    at_us: 1,
                    source_mac: mac,
                    destination_mac: Mac([255; 6]),
                    ethertype: "0806".to_owned(),
                    source: Some("10.0.0.20".parse().unwrap()),
                    destination: Some("10.0.0.1".parse().unwrap()),
                    protocol: None,
                    source_port: None,
                    destination_port: None,
                    icmp: None,
                    hop_limit: None,
                    class: None,
                    length: 42,
                }];
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent_and_every_link_is_tapped_for_the_whole_phase() {
        fixture::assert_silent_when_healthy(&NoIpv4Left);
        let network = Network::healthy(Phase::Ipv6Only);
        let experiments = NoIpv4Left.ask(&network.plan);
        assert!(experiments[0].whole_phase);
        assert_eq!(experiments[0].taps.len(), network.plan.testbed.segments.len());
    }

    #[test]
    fn whoever_sends_ipv4_is_named() {
        let workplace = fixture::testbed().nodes["workplace"].interfaces[0].mac;
        let found = fixture::complaints(&NoIpv4Left, &seen_from(workplace));
        assert_eq!(found, [("seen".to_owned(), "workplace (IPv4 on eth0)".to_owned())]);
        let found = fixture::complaints(&NoIpv4Left, &seen_from(Mac([2, 0xbb, 0, 0, 0, 1])));
        assert_eq!(found[0].1, "lan (stranger 02:bb:00:00:00:01)");
    }

    #[test]
    fn a_tap_that_died_proves_nothing() {
        let network = Network::healthy(Phase::Ipv6Only).bend_tap(|_, r| r.alive_after = false);
        for judgement in network.ask(&[&NoIpv4Left]) {
            assert_eq!(judgement.verdict, crate::model::verdict::Verdict::NotTestable);
        }
    }
}
