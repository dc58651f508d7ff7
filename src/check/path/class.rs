//! Do packets keep their traffic class from end to end?

use crate::{
    check::{
        Case, Check, Text, UseCase,
        reading::{Judge, carrier, complaint},
        stream,
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::SegmentName,
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// Sends packets with a class and looks at the class of the replies.
pub(super) struct TrafficClass;

const TEXT: Text = Text {
    id: "path.qos-tos",
    title: "The traffic class is preserved",
    section: "S3",
    use_case: UseCase::InsideToOutside,
    question: "Do packets of both families arrive with the traffic class that they were sent with?",
    good: "Every way preserves the traffic class in both families.",
    references: &["RFC 2474", "RFC 3246", "RFC 8200 section 7"],
    cases: &[Case {
        name: "remarked",
        finding: "{family} packets between {from} and {to} lose their traffic class {at}: sent with {sent}, answered with {seen}. {other}",
        expected: "Replies with traffic class {sent}, as the requests had: hosts answer with the class that they were asked with.",
        observed: "Replies with traffic class {seen}. {proof}",
        remedy: "Compare the rules for DSCP and type of service {at} in both families; a boundary that rewrites the class on purpose should do so in both.",
    }],
};

impl Check for TrafficClass {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![stream::ask_all(stage)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let changed = stream::ways(stage)
            .into_iter()
            .filter(|way| stream::of_way(seen, way).is_ok_and(|tally| is_remarked(&tally)));
        changed.map(|way| stream::ask_again(stage, &way)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let ways = stream::ways(stage);
        let found = ways.iter().map(|way| judge(stage, seen, way)).collect();
        Judge(&TEXT).or_not_applicable(found, "no way leads through a router")
    }
}

fn is_remarked(tally: &stream::Tally) -> bool {
    tally.classes.iter().any(|class| *class != stream::CLASS)
}

fn judge(stage: &Stage, seen: &Seen<'_>, way: &Path) -> Judgement {
    let judge = Judge(&TEXT);
    let subject = stream::subject(way);
    let tally = match stream::of_way(seen, way) {
        Ok(tally) => tally,
        Err(reason) => return judge.not_testable(subject, reason, []),
    };
    if tally.classes.is_empty() {
        return judge.blocked(subject, "no reply came", tally.evidence);
    }
    if !is_remarked(&tally) {
        return judge.pass(subject, tally.evidence);
    }
    let mut evidence = tally.evidence.clone();
    let link = remarking_link(stage, seen, way);
    let place = link.as_ref().map_or("somewhere on the way".to_owned(), |l| format!("on {l}"));
    let proof = match &link {
        Some(link) => format!("They also change on {link} alone, between its two ends."),
        None => "No link of the way changes them alone.".to_owned(),
    };
    let culprit = if let Some(link) = &link {
        Culprit::segment(link, format!("traffic class of {} packets", way.family()))
    } else {
        let part = format!("traffic class between {} and {}", way.nodes[0], way.destination);
        Culprit { node: None, segment: None, part }
    };
    let twin = stream::twin(stage, way).map(|twin| (twin.family(), stream::of_way(seen, &twin)));
    let other = match twin {
        Some((family, Ok(twin))) if !twin.classes.is_empty() => {
            evidence.extend(&twin.evidence);
            format!("{family} is answered with {}.", words(&twin))
        }
        _ => format!("{} is not there to compare with.", way.family().other()),
    };
    let scope = Scope {
        family: Some(way.family()),
        from: link.is_none().then(|| way.nodes[0].clone()),
        segments: link.iter().cloned().collect(),
        nodes: if link.is_none() { way.nodes.clone() } else { Vec::new() },
        carried: carrier(way),
        packets: Some(Packets::Marks),
        ..Scope::default()
    };
    let args = [
        ("family", way.family().to_string()),
        ("from", way.nodes[0].to_string()),
        ("to", way.destination.to_string()),
        ("at", place),
        ("sent", format!("{:#04x}", stream::CLASS)),
        ("seen", words(&tally)),
        ("proof", proof),
        ("other", other),
    ];
    let complaint = Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: match &link {
            // Which end of a tunnel does it, `vpn.qos-and-hoplimit` finds.
            Some(link) if !stage.testbed.segments[link].kind.is_inside() => Depth::Located,
            _ => Depth::Symptom,
        },
        ..complaint(stage, "remarked", culprit, scope, args)
    };
    judge.fail(subject, evidence, complaint)
}

/// The first link that changes the class between its two ends.
fn remarking_link(stage: &Stage, seen: &Seen<'_>, way: &Path) -> Option<SegmentName> {
    let alone = |probe: &_| stream::of_link(seen, probe).is_some_and(|tally| is_remarked(&tally));
    stream::links(stage, way).into_iter().find(|(_, probe)| alone(probe)).map(|(link, _)| link)
}

fn words(tally: &stream::Tally) -> String {
    let classes: Vec<_> = tally.classes.iter().map(|class| format!("{class:#04x}")).collect();
    classes.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{Network, assert_silent_when_healthy, complaints},
        model::{answer::Answer, family::Family, phase::Phase, probe::Question},
    };

    #[test]
    fn a_network_that_keeps_classes_is_silent() {
        assert_silent_when_healthy(&TrafficClass);
    }

    /// The link between visitor and router clears the class of one family.
    fn bleached(family: Family) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            let Question::Stream { to, .. } = probe.question else { return };
            let crosses = ["visitor", "public-dns"].contains(&probe.from.as_str())
                || to.to_string().starts_with("2001:db8:f::");
            if let Answer::Stream { classes, .. } = answer
                && Family::of(to) == family
                && crosses
            {
                *classes = [0].into();
            }
        })
    }

    #[test]
    fn a_link_that_clears_the_class_of_one_family_is_named() {
        let found = complaints(&TrafficClass, &bleached(Family::V6));
        let all = |(case, culprit): &(String, String)| {
            case == "remarked" && culprit == "internet (traffic class of IPv6 packets)"
        };
        assert!(!found.is_empty() && found.iter().all(all), "{found:?}");
    }

    #[test]
    fn who_gives_no_answer_has_no_class() {
        let mute = Network::healthy(Phase::DualStack).bend(|_, answer| {
            if let Answer::Stream { classes, answered, .. } = answer {
                classes.clear();
                *answered = 0;
            }
        });
        assert_eq!(complaints(&TrafficClass, &mute), []);
    }
}
