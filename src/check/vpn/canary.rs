//! A canary: a token in clear that a host sends through a tunnel, sought on every link that it must not be on, with the
//! sender's own link as the control.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    check::{
        ask,
        couples::{self, Couple},
        reading,
    },
    model::{
        evidence::{EvidenceId, Seen},
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        name::{NodeName, SegmentName},
        probe::{Probe, Question},
        tap::{FrameNote, Tap, Watch},
        tunnel::Relation,
    },
    stage::{Path, Stage},
};

/// What is sent for a couple at one moment: a token for each way, of which taps look for the part that all of them share.
pub(super) struct Canary<'c> {
    couple: &'c Couple,
    /// Between which hosts.
    ways: Vec<Path>,
    /// The same in asking and judging, and in no other couple, phase or moment.
    shared: String,
}

impl<'c> Canary<'c> {
    /// That of a moment, in a word or a few that no other check of tunnels uses, between the hosts that stand for the couple.
    pub(super) fn new(stage: &Stage, couple: &'c Couple, moment: &str) -> Self {
        Self::on(vec![couple.path.clone()], stage, couple, moment)
    }

    /// Those of a moment between hosts of which every one of either side is at an end.
    pub(super) fn of_every_host(stage: &Stage, couple: &'c Couple, moment: &str) -> Self {
        Self::on(couple.of_every_host(stage), stage, couple, moment)
    }

    fn on(ways: Vec<Path>, stage: &Stage, couple: &'c Couple, moment: &str) -> Self {
        let (tunnel, inner, phase) =
            (&couple.end.tunnel, couple.inner().word(), stage.phase.word());
        let Relation { here, there } = couple.relation;
        let shared = format!("sixwalk {tunnel} {inner} {phase} {here} {there} {moment} ");
        Self { couple, ways, shared }
    }

    /// The question that sends it, between the hosts that stand for the couple.
    pub(super) fn probe(&self) -> Probe {
        self.sent_on(&self.couple.path)
    }

    /// The questions that send it on every way.
    pub(super) fn probes(&self) -> impl Iterator<Item = Probe> {
        self.ways.iter().map(|way| self.sent_on(way))
    }

    fn sent_on(&self, way: &Path) -> Probe {
        let [from, to] = ends(way);
        let token = format!("{}{from}->{to} {}", self.shared, way.destination);
        ask::probe(from, Question::Canary { to: way.destination, token })
    }

    /// Between whom it was sent, and on which ways no answer came; `None` where it was not sent on all of them.
    pub(super) fn tried(&self, stage: &Stage, seen: &Seen<'_>) -> Option<String> {
        let mut silent = Vec::new();
        for way in &self.ways {
            let (_, answer) = seen.answer(&self.sent_on(way))?;
            if !answer.is_answered() {
                let [from, to] = ends(way);
                silent.push(format!("{from}->{to}"));
            }
        }
        let hosts = self.couple.hosts(stage);
        let [here, there] = [0, 1].map(|side| {
            let tried: BTreeSet<_> = self.ways.iter().map(|way| ends(way)[side]).collect();
            format!("{} of {}", tried.len(), hosts[side].len())
        });
        let words = format!("tried with {here} hosts of this side, and {there} of the other");
        Some(match silent.as_slice() {
            [] => words,
            silent => format!("{words}; no answer came for {}", silent.join(", ")),
        })
    }

    /// The taps that look for it: on the sender's link, inside the tunnel, and wherever it must not be.
    pub(super) fn taps(&self, stage: &Stage) -> Vec<Tap> {
        let mut links = self.outside(stage);
        links.extend([self.couple.own_link(), self.couple.inside(stage)]);
        links.into_iter().map(|link| self.tap_on(link)).collect()
    }

    /// The links that it touches on none of its ways.
    fn outside<'s>(&self, stage: &'s Stage) -> Vec<&'s SegmentName> {
        let mut links = self.couple.outside(stage);
        links.retain(|link| self.ways.iter().all(|way| !way.segments.contains(link)));
        links
    }

    /// Whichever family would carry it there in clear.
    fn tap_on(&self, segment: &SegmentName) -> Tap {
        Tap {
            segment: segment.clone(),
            watch: Watch::Payload { family: None, token: self.shared.clone() },
            label: "canary".to_owned(),
        }
    }

    /// Where it was seen.
    pub(super) fn sightings(&self, stage: &Stage, seen: &Seen<'_>) -> Sightings {
        let mut found = Sightings::default();
        let mut count = |segment: &SegmentName| {
            let Some((id, reading)) =
                seen.reading(&self.tap_on(segment)).filter(|(_, r)| r.is_trustworthy())
            else {
                found.deaf = Some(segment.clone());
                return (0, None);
            };
            found.evidence.push(id);
            (reading.frames, reading.first.first().and_then(ends_of))
        };
        let (own, inside) = (count(self.couple.own_link()).0, count(self.couple.inside(stage)).0);
        let outside = self.outside(stage).into_iter().find_map(|segment| {
            let (frames, packet) = count(segment);
            (frames > 0).then(|| Leak { segment: segment.clone(), frames, packet })
        });
        Sightings { own, inside, outside, ..found }
    }

    /// A canary that left in clear, which the gateway on the side of who sent it let out.
    pub(super) fn leak(&self, stage: &Stage, case: &str, leak: &Leak) -> Complaint {
        let is = |way: &Path, [source, destination]: [IpAddr; 2]| {
            way.source == source && way.destination == destination
        };
        let on = |packet| self.ways.iter().find(|way| is(way, packet));
        let answer = leak.packet.and_then(|[source, destination]| on([destination, source]));
        let way = answer.or_else(|| on(leak.packet?)).unwrap_or(&self.couple.path);
        let couple = self.couple.on(way);
        let [from, to] = ends(way);
        let (gateway, ends) = match answer {
            Some(_) => (&couple.end.peer, [to, from]),
            None => (&couple.gateway, [from, to]),
        };
        let observed = format!("{} frames with the canary on {}", leak.frames, leak.segment);
        complaint(stage, case, &couple, (gateway, ends), &leak.segment, observed)
    }
}

/// The hosts at the ends of a way.
fn ends(way: &Path) -> [&NodeName; 2] {
    [&way.nodes[0], &way.nodes[way.nodes.len() - 1]]
}

/// From where to where a packet went.
fn ends_of(note: &FrameNote) -> Option<[IpAddr; 2]> {
    Some([note.source?, note.destination?])
}

/// Where a canary was seen.
#[derive(Default)]
pub(super) struct Sightings {
    pub(super) evidence: Vec<EvidenceId>,
    own: u64,
    pub(super) inside: u64,
    outside: Option<Leak>,
    /// A link whose tap nobody may trust.
    deaf: Option<SegmentName>,
}

/// A link on which a canary was in clear.
pub(super) struct Leak {
    pub(super) segment: SegmentName,
    pub(super) frames: u64,
    /// From where to where the first one went.
    packet: Option<[IpAddr; 2]>,
}

impl Sightings {
    /// Where it was in clear.
    pub(super) fn in_clear(&self) -> Option<&Leak> {
        self.outside.as_ref()
    }

    /// Why nobody may conclude from them that it stayed where it belongs.
    pub(super) fn unproven(&self) -> Option<String> {
        match &self.deaf {
            Some(deaf) => Some(format!("the tap on {deaf} was not alive")),
            None if self.own == 0 => Some("the canary was not seen on its own link".to_owned()),
            None => None,
        }
    }
}

/// The couples whose secrecy there is something to ask about.
pub(super) fn encrypted(stage: &Stage) -> Vec<Couple> {
    couples::of_stage(stage).into_iter().filter(|couple| plain(couple).is_none()).collect()
}

/// Why there is nothing to ask about the secrecy of a couple; `None` where its tunnel encrypts.
pub(super) fn plain(couple: &Couple) -> Option<String> {
    let kind = couple.end.kind;
    (!kind.is_encrypted()).then(|| {
        format!("{} is `{kind}`: it carries packets in clear by design", couple.end.tunnel)
    })
}

/// What a pass rests on: one host of either side stands for its subnet.
pub(super) fn tried(couple: &Couple) -> String {
    format!("tried with one host of either side, from {} to {}", couple.from(), couple.to())
}

/// What went wrong with the canary of the hosts that stand for a couple, which its gateway has to answer for.
pub(super) fn of_couple(
    stage: &Stage,
    couple: &Couple,
    case: &str,
    segment: &SegmentName,
    observed: String,
) -> Complaint {
    let by = (&couple.gateway, [couple.from(), couple.to()]);
    complaint(stage, case, couple, by, segment, observed)
}

fn complaint(
    stage: &Stage,
    case: &str,
    couple: &Couple,
    (gateway, [from, to]): (&NodeName, [&NodeName; 2]),
    segment: &SegmentName,
    observed: String,
) -> Complaint {
    let args = [
        ("family", couple.inner().to_string()),
        ("from", from.to_string()),
        ("to", to.to_string()),
        ("tunnel", couple.end.tunnel.to_string()),
        ("gateway", gateway.to_string()),
        ("segment", segment.to_string()),
        ("own", couple.own_link().to_string()),
        ("observed", observed),
    ];
    let part = format!("{} beside {}", couple.inner(), couple.end.tunnel);
    Complaint {
        severity: Severity::Critical,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, case, Culprit::node(gateway, part), couple.scope(), args)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fail_open::FailOpen, no_clear::NoClear};
    use crate::{
        check::{
            Check,
            fixture::{self, Network, complaints},
        },
        model::{
            answer::Answer,
            phase::Phase,
            probe::Question,
            tap::{FrameNote, Watch},
            verdict::Judgement,
        },
    };

    /// Frames with a canary of a moment are seen on the way of the provider.
    fn leaking(moment: &'static str) -> Network {
        Network::tunnelled(Phase::DualStack).bend_tap(move |tap, reading| {
            let Watch::Payload { token, .. } = &tap.watch else { return };
            let of_a = token.ends_with(&format!(" {moment} "))
                && token.contains(" 2001:db8:1::/64 2001:db8:2::/64 ");
            if tap.segment.as_str() == "transit-b" && of_a {
                reading.frames = 2;
            }
        })
    }

    #[test]
    fn a_tunnel_that_carries_all_of_it_is_silent() {
        for phase in Phase::ALL {
            for check in [&NoClear as &dyn Check, &FailOpen] {
                let judgements = Network::tunnelled(phase).ask(&[check]);
                let passes = |j: &Judgement| j.verdict == crate::model::verdict::Verdict::Pass;
                assert!(judgements.iter().all(passes), "{phase}: {judgements:#?}");
            }
        }
    }

    #[test]
    fn a_canary_outside_is_found_while_the_tunnel_carries_and_while_it_does_not() {
        let clear = [("clear".to_owned(), "gateway-a (IPv6 beside office-to-centre)".to_owned())];
        assert_eq!(complaints(&NoClear, &leaking("carrying")), clear);
        assert_eq!(complaints(&FailOpen, &leaking("carrying")), []);
        for moment in ["renewing", "down", "again"] {
            let open = [("open".to_owned(), clear[0].1.clone())];
            assert_eq!(complaints(&FailOpen, &leaking(moment)), open);
            assert_eq!(complaints(&NoClear, &leaking(moment)), []);
        }
    }

    #[test]
    fn a_way_past_the_tunnel_for_a_single_host_is_found_and_whose_answer_leaves_is_blamed_for_it() {
        let beside = |source: &'static str, destination: &'static str| {
            Network::tunnelled(Phase::DualStack).bend_tap(move |tap, reading| {
                let Watch::Payload { token, .. } = &tap.watch else { return };
                let is_wanted = token.ends_with(" carrying for every host ")
                    && token.contains(" 2001:db8:1::/64 2001:db8:2::/64 ");
                if is_wanted && tap.segment.as_str() == "transit-b" {
                    let [source, destination] = [source, destination].map(|ip| ip.parse().ok());
                    reading.frames = 1;
                    reading.first = vec![FrameNote { source, destination, ..fixture::note_of(58) }];
                }
            })
        };
        let (desk, files) = ("2001:db8:1::10", "2001:db8:2::11");
        for (from, to, who) in [(desk, files, "gateway-a"), (files, desk, "gateway-b")] {
            let found = complaints(&NoClear, &beside(from, to));
            let wanted = ("clear".to_owned(), format!("{who} (IPv6 beside office-to-centre)"));
            assert_eq!(found, [wanted]);
        }
    }

    #[test]
    fn an_answer_that_no_gateway_counted_came_another_way() {
        let uncounted = Network::tunnelled(Phase::Ipv4Only).bend(|_, answer| {
            if let Answer::Tunnels(states) = answer {
                for state in states {
                    state.counters.received.packets = 0;
                }
            }
        });
        let found = complaints(&NoClear, &uncounted);
        assert!(found.len() == 2 && found.iter().all(|(case, _)| case == "around"), "{found:?}");
    }

    #[test]
    fn a_tunnel_that_does_not_carry_after_it_was_down_is_found_and_a_host_that_never_answers_is_not_its_doing()
     {
        let silent = |moment: &'static str| {
            Network::tunnelled(Phase::Ipv6Only).bend(move |probe, answer| {
                let Question::Canary { token, .. } = &probe.question else { return };
                if let Answer::Echo { attempt } = answer
                    && (moment.is_empty() || token.contains(&format!(" {moment} ")))
                {
                    attempt.outcome = crate::model::answer::Outcome::TimedOut;
                }
            })
        };
        let found = complaints(&FailOpen, &silent("again"));
        assert!(found.len() == 2 && found.iter().all(|(case, _)| case == "lost"), "{found:?}");
        assert_eq!(complaints(&FailOpen, &silent("")), []);
    }

    #[test]
    fn what_no_tap_could_see_is_not_proven() {
        let deaf = Network::tunnelled(Phase::DualStack).bend_tap(|tap, reading| {
            reading.alive_after = tap.segment.as_str() != "transit-a";
        });
        for check in [&NoClear as &dyn Check, &FailOpen] {
            let judgements = deaf.ask(&[check]);
            let open = |j: &Judgement| j.verdict == crate::model::verdict::Verdict::NotTestable;
            assert!(judgements.iter().all(open), "{judgements:#?}");
        }
    }

    #[test]
    fn a_stranger_with_the_same_addresses_is_no_leak() {
        let frames = Network::tunnelled(Phase::DualStack).bend_tap(|tap, reading| {
            if matches!(tap.watch, Watch::Packets { .. }) {
                reading.frames += 3;
            }
        });
        assert_eq!(complaints(&NoClear, &frames), []);
        assert_eq!(complaints(&FailOpen, &frames), []);
    }
}
