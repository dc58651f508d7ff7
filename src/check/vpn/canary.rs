//! A canary: a token in clear that a host sends through a tunnel, sought on every link that it must not be on, with the
//! sender's own link as the control.

use crate::{
    check::{
        ask,
        couples::{self, Couple},
        reading,
    },
    model::{
        evidence::{EvidenceId, Seen},
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        name::SegmentName,
        probe::{Probe, Question},
        tap::{Tap, Watch},
        tunnel::Relation,
    },
    stage::Stage,
};

/// What is sent for a couple at one moment.
pub(super) struct Canary<'c> {
    couple: &'c Couple,
    /// The same in asking and judging, and in no other couple, phase or moment.
    token: String,
}

impl<'c> Canary<'c> {
    /// That of a moment, in a word or a few that no other check of tunnels uses.
    pub(super) fn new(stage: &Stage, couple: &'c Couple, moment: &str) -> Self {
        let (tunnel, inner, phase) =
            (&couple.end.tunnel, couple.inner().word(), stage.phase.word());
        let (from, to) = (couple.from(), couple.to());
        let Relation { here, there } = couple.relation;
        let token =
            format!("sixwalk {tunnel} {inner} {phase} {from}->{to} {here} {there} {moment}");
        Self { couple, token }
    }

    /// The question that sends it.
    pub(super) fn probe(&self) -> Probe {
        let (to, token) = (self.couple.path.destination, self.token.clone());
        ask::probe(self.couple.from(), Question::Canary { to, token })
    }

    /// The taps that look for it: on the sender's link, inside the tunnel, and wherever it must not be.
    pub(super) fn taps(&self, stage: &Stage) -> Vec<Tap> {
        let mut links = self.couple.outside(stage);
        links.extend([self.couple.own_link(), self.couple.inside(stage)]);
        links.into_iter().flat_map(|link| self.taps_on(link)).collect()
    }

    /// Whichever family would carry it there in clear.
    fn taps_on(&self, segment: &SegmentName) -> [Tap; 2] {
        Family::ALL.map(|family| Tap {
            segment: segment.clone(),
            watch: Watch::Payload { family, token: self.token.clone() },
            label: "canary".to_owned(),
        })
    }

    /// Where it was seen.
    pub(super) fn sightings(&self, stage: &Stage, seen: &Seen<'_>) -> Sightings {
        let mut found = Sightings::default();
        let mut count = |segment: &SegmentName| {
            let mut frames = 0;
            for tap in self.taps_on(segment) {
                match seen.reading(&tap) {
                    Some((id, reading)) if reading.is_trustworthy() => {
                        found.evidence.push(id);
                        frames += reading.frames;
                    }
                    _ => found.deaf = Some(segment.clone()),
                }
            }
            frames
        };
        let (own, inside) = (count(self.couple.own_link()), count(self.couple.inside(stage)));
        let outside = self.couple.outside(stage).into_iter();
        let outside = outside.map(|name| (name.clone(), count(name)));
        let outside = outside.filter(|(_, frames)| *frames > 0).collect();
        Sightings { own, inside, outside, ..found }
    }
}

/// Where a canary was seen.
#[derive(Default)]
pub(super) struct Sightings {
    pub(super) evidence: Vec<EvidenceId>,
    own: u64,
    pub(super) inside: u64,
    outside: Vec<(SegmentName, u64)>,
    /// A link whose tap nobody may trust.
    deaf: Option<SegmentName>,
}

impl Sightings {
    /// A link on which it was in clear, and in how many frames.
    pub(super) fn in_clear(&self) -> Option<(&SegmentName, u64)> {
        self.outside.first().map(|(segment, frames)| (segment, *frames))
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

/// A canary that left in clear, which the gateway let out.
pub(super) fn leak(
    stage: &Stage,
    couple: &Couple,
    case: &str,
    segment: &SegmentName,
    observed: String,
) -> Complaint {
    let args = [
        ("family", couple.inner().to_string()),
        ("from", couple.from().to_string()),
        ("to", couple.to().to_string()),
        ("tunnel", couple.end.tunnel.to_string()),
        ("gateway", couple.gateway.to_string()),
        ("segment", segment.to_string()),
        ("own", couple.own_link().to_string()),
        ("observed", observed),
    ];
    let part = format!("{} beside {}", couple.inner(), couple.end.tunnel);
    let culprit = Culprit::node(&couple.gateway, part);
    Complaint {
        severity: Severity::Critical,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, case, culprit, couple.scope(), args)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fail_open::FailOpen, no_clear::NoClear};
    use crate::{
        check::{
            Check,
            fixture::{Network, complaints},
        },
        model::{
            answer::Answer, family::Family, phase::Phase, probe::Question, tap::Watch,
            verdict::Judgement,
        },
    };

    /// Frames with a canary of a moment are seen on the way of the provider.
    fn leaking(moment: &'static str) -> Network {
        Network::tunnelled(Phase::DualStack).bend_tap(move |tap, reading| {
            let Watch::Payload { family: Family::V6, token } = &tap.watch else { return };
            let of_a =
                token.ends_with(moment) && token.contains("ipv6") && token.contains("desk->app");
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
                    && token.ends_with(moment)
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
