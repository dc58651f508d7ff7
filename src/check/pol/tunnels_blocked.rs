//! Do packets in packets pass a filter that knows nothing of what is inside?

use std::net::{IpAddr, Ipv6Addr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, automatic,
        crossing::{self, Crossing, Side},
        passage::{Own, Passage},
        reading::{self, Judge, complaint},
    },
    model::{
        answer::{Answer, LinkState},
        automatic::AutomaticTunnel,
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        flow::Traffic,
        name::NodeName,
        probe::{Aspect, Capsule, Probe, Question},
        tap::Watch,
        verdict::Judgement,
    },
    stage::Stage,
};

/// Sends packets in packets across every side of every filtering node, and looks for the addresses that automatic tunnels
/// give to hosts. The tunnels of the plan are legal (S2 2.1.2): they have flows or gateways of their own.
pub(super) struct TunnelsBlocked;

static TEXT: Text = Text {
    id: "pol.tunnels-blocked",
    title: "Tunnels that nobody planned are stopped",
    section: "S2 2.1.2, S3",
    use_case: UseCase::Policies,
    question: "Does every filtering node stop packets in packets (protocols 41, 4 and 47, Teredo) that no flow names, and \
               are hosts free of automatic tunnels?",
    good: "No packet in a packet passes a filtering node, and no host has an automatic tunnel.",
    references: &["RFC 9099 section 2.7.2", "RFC 6169", "RFC 7526", "RFC 4213"],
    cases: &[
        Case {
            name: "passed",
            finding: "{by} forwards {what} over {family}, which no flow names: what is inside passes unseen.",
            expected: "{by} drops {what} from {from} to {to}.",
            observed: "{frames} packets of it were seen on {after}.",
            remedy: "Drop protocols 4, 41 and 47 and UDP port 3544 at the border in both directions, and let pass only the \
                     ends of tunnels that are planned.",
        },
        Case {
            name: "automatic",
            finding: "{node} has an automatic tunnel: {address} of {kind} on {interface}.",
            expected: "No address of {kind} on {node}.",
            observed: "{address} on {interface}.",
            remedy: "Switch the pseudo-interface off and keep it off: 6to4 and Teredo were taken out of service (RFC 7526), \
                     and what goes through them passes every filter on the way.",
        },
    ],
};

impl Check for TunnelsBlocked {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let read = stage.nodes.keys().map(|node| ask::inspect(node, Aspect::Addresses));
        let mut all = vec![Experiment::of_probes(read)];
        all.extend(attempts(stage).iter().map(|attempt| {
            let probes = attempt.capsules.iter().map(|how| attempt.probe(*how)).collect();
            attempt.passage().experiment_of(probes)
        }));
        all
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let mut found: Vec<_> =
            stage.nodes.keys().map(|node| automatic(stage, seen, node)).collect();
        for attempt in attempts(stage) {
            found.extend(attempt.capsules.iter().map(|how| attempt.judge(stage, seen, *how)));
        }
        found
    }
}

/// Packets in packets on one way across a side.
struct Attempt {
    side: Side,
    way: Crossing,
    family: Family,
    capsules: Vec<Capsule>,
}

/// Across every side, on the first way between whose ends no flow allows everything.
fn attempts(stage: &Stage) -> Vec<Attempt> {
    let mut found = Vec::new();
    for family in stage.phase.permits().iter() {
        for (side, mut ways) in crossing::first_by_side(stage, family) {
            ways.retain(|way| !are_ends(stage, way));
            let is_closed = |way: &&Crossing, traffic| {
                !stage.is_allowed(way.from(), way.to(), &traffic)
                    && !stage.is_covered(way.path.source, way.path.destination, &traffic)
            };
            let Some(way) = ways.iter().find(|way| is_closed(way, Traffic::Any)) else { continue };
            let closed = |how: &Capsule| {
                how.port().is_none_or(|port| {
                    is_closed(&way, Traffic::Port { word: port.to_string(), port })
                })
            };
            let capsules = Capsule::within(family).iter().copied().filter(closed).collect();
            found.push(Attempt { side, way: way.clone(), family, capsules });
        }
    }
    found
}

/// Whether a tunnel of the plan has its ends where a way has them.
fn are_ends(stage: &Stage, way: &Crossing) -> bool {
    let mut tunnels = stage.testbed.tunnels.values();
    tunnels.any(|tunnel| [way.from(), way.to()].iter().all(|end| tunnel.between.contains(end)))
}

impl Attempt {
    fn subject(&self, how: Capsule) -> String {
        format!("{}/{how} over {}", self.side, self.family)
    }

    /// What taps look for. It holds nothing but names of the testbed.
    fn token(&self) -> String {
        let Side { by, before, after } = &self.side;
        format!("sixwalk-capsule-{by}-{before}-{after}-{}", self.family.word())
    }

    fn probe(&self, how: Capsule) -> Probe {
        let to = self.way.path.destination;
        let question = Question::Encapsulated { to, how, token: self.token() };
        ask::probe(self.way.from(), question)
    }

    fn passage(&self) -> Passage {
        let watch = Watch::Payload { family: Some(self.family), token: self.token() };
        Passage::new(&self.way, watch, format!("{}/packets in packets", self.side))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>, how: Capsule) -> Judgement {
        let judge = Judge(&TEXT);
        let subject = self.subject(how);
        let Some((id, answer)) = seen.answer(&self.probe(how)) else {
            return judge.not_testable(subject, "it was not tried", []);
        };
        // An ICMP error that quotes the packet holds the token too, and is of another protocol.
        let Some(sight) = self.passage().read(seen, Own::Protocol(how.protocol())) else {
            return judge.not_testable(subject, "nobody watched it", [id]);
        };
        let evidence = [[id].as_slice(), &sight.evidence].concat();
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(subject, reason, evidence);
        }
        if sight.passed > 0 {
            return judge.fail(subject, evidence, self.complaint(stage, how, sight.passed));
        }
        sight.stopped(judge, &self.way, subject, evidence)
    }

    fn complaint(&self, stage: &Stage, how: Capsule, frames: u64) -> Complaint {
        let path = &self.way.path;
        let scope = Scope {
            family: Some(self.family),
            to: Some(self.way.to().clone()),
            address: Some(path.destination),
            port: how.port(),
            from: Some(self.way.from().clone()),
            nodes: path.nodes.clone(),
            segments: path.segments.clone(),
            carried: reading::carrier(path),
            ..Scope::default()
        };
        let args = [
            ("by", self.way.by.to_string()),
            ("what", how.to_string()),
            ("family", self.family.to_string()),
            ("from", self.way.from().to_string()),
            ("to", path.destination.to_string()),
            ("frames", frames.to_string()),
            ("after", self.side.after.to_string()),
        ];
        // The same words for the culprit as the checks of rules have: it is the same fault.
        let culprit = Culprit::node(&self.way.by, format!("forwarding of {}", self.family));
        Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..complaint(stage, "passed", culprit, scope, args)
        }
    }
}

/// Whether a node has an address that only an automatic tunnel gives.
fn automatic(stage: &Stage, seen: &Seen<'_>, node: &NodeName) -> Judgement {
    let judge = Judge(&TEXT);
    let subject = format!("{node}/addresses");
    let (id, links) = match seen.answer(&ask::inspect(node, Aspect::Addresses)) {
        Some((id, Answer::Addresses(links))) => (id, links),
        Some((id, other)) => {
            let reason = other.not_asked().unwrap_or("the answer holds no addresses");
            return judge.not_testable(subject, reason, [id]);
        }
        None => return judge.not_testable(subject, "its addresses were not read", []),
    };
    let Some((link, address, kind)) = links.iter().find_map(|link| tunnelled(stage, link)) else {
        return judge.pass(subject, [id]);
    };
    let scope = Scope { family: Some(Family::V6), nodes: vec![node.clone()], ..Scope::default() };
    let args = [
        ("node", node.to_string()),
        ("address", address.to_string()),
        ("kind", kind.to_string()),
        ("interface", link.name.clone()),
    ];
    let culprit = Culprit::node(node, format!("address {address}"));
    let complaint = Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        depth: Depth::Read,
        bites_in: std::iter::once(stage.phase).chain(stage.phase.later()).collect(),
        ..complaint(stage, "automatic", culprit, scope, args)
    };
    judge.fail(subject, [id], complaint)
}

/// The first address of a link that is of an automatic tunnel and that the plan does not have.
fn tunnelled<'l>(
    stage: &Stage,
    link: &'l LinkState,
) -> Option<(&'l LinkState, Ipv6Addr, AutomaticTunnel)> {
    link.addresses.iter().find_map(|state| {
        let IpAddr::V6(address) = state.net.addr() else { return None };
        Some((link, address, automatic::unplanned(stage, address)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network, node},
        model::{
            answer::AddressState,
            phase::Phase,
            policy::{Action, Hook, Match, Rule},
            verdict::Verdict,
        },
    };

    fn with_rule(phase: Phase, matches: Vec<Match>, action: Action) -> Network {
        Network::healthy(phase).with(|live| {
            let chains = &mut live.nodes.get_mut("firewall").unwrap().filter.chains;
            let forward = chains.iter_mut().find(|chain| chain.hook == Hook::Forward).unwrap();
            let label = "planted".to_owned();
            forward.rules.insert(0, Rule { label, matches, action });
        })
    }

    fn with_address(address: &str) -> Network {
        let net = address.parse().unwrap();
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            if let (true, Answer::Addresses(links)) = (probe.from == node("workplace"), answer) {
                let state = AddressState { net, ..links[1].addresses[0].clone() };
                links[1].addresses.push(state);
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&TunnelsBlocked);
    }

    #[test]
    fn every_kind_is_put_to_the_test_in_every_family() {
        let judgements = Network::healthy(Phase::DualStack).ask(&[&TunnelsBlocked]);
        for (family, kinds) in [(Family::V4, 4), (Family::V6, 3)] {
            let of_family = judgements.iter().filter(|judgement| {
                judgement.subject.starts_with("firewall: uplink to dmz/")
                    && judgement.subject.ends_with(&format!(" over {family}"))
                    && judgement.verdict == Verdict::Pass
            });
            assert_eq!(of_family.count(), kinds, "{judgements:#?}");
        }
    }

    #[test]
    fn a_filter_that_lets_protocol_41_pass_is_found() {
        let family = Match::Family(Family::V4);
        for phase in [Phase::Ipv4Only, Phase::DualStack] {
            let network =
                with_rule(phase, vec![family.clone(), Match::Protocol(41)], Action::Accept);
            let found = fixture::complaints(&TunnelsBlocked, &network);
            let one = ("passed".to_owned(), "firewall (forwarding of IPv4)".to_owned());
            assert!(!found.is_empty() && found.iter().all(|found| *found == one), "{found:?}");
        }
    }

    #[test]
    fn a_filter_that_drops_what_is_dropped_anyway_is_silent() {
        let network = with_rule(Phase::DualStack, vec![Match::Protocol(41)], Action::Drop);
        assert_eq!(fixture::complaints(&TunnelsBlocked, &network), []);
    }

    #[test]
    fn addresses_of_automatic_tunnels_are_found_and_others_are_not() {
        for address in [
            "2002:c000:201::1/16",
            "2001:0:c000:201::1/32",
            "fe80::5efe:c000:201/64",
            // Within the prefix of its own link.
            "2001:db8:a:0:200:5efe:c000:201/64",
        ] {
            let found = fixture::complaints(&TunnelsBlocked, &with_address(address));
            let bare = address.split('/').next().unwrap();
            let culprit = format!("workplace (address {bare})");
            assert_eq!(found, [("automatic".to_owned(), culprit)]);
        }
        for address in ["2001:db8:ffff::1:5efe/64", "fd00::5efe:1/64", "fe80::1/64"] {
            assert_eq!(fixture::complaints(&TunnelsBlocked, &with_address(address)), []);
        }
    }
}
