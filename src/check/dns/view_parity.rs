//! `dns.view-parity`: a server says the same of a name to everybody, over whichever family and from wherever it is asked.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase,
        names::{self, Asked, Heard},
        reading::{self, Judge},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Scope, Severity},
        service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct ViewParity;

static TEXT: Text = Text {
    id: "dns.view-parity",
    title: "The same answers for everybody",
    section: "S2 5.1",
    use_case: UseCase::NetworkServices,
    question: "Does each name server and resolver give the same addresses of a name whether it is asked over IPv4 or over IPv6, \
               and whoever asks, and tell nobody outside of what is planned for the inside alone?",
    good: "Nobody is told another thing of a name than others are.",
    references: &["RFC 4472 section 4", "RFC 8499 section 6"],
    cases: &[
        Case {
            name: "family",
            finding: "{server} tells whoever asks over {over} other addresses of {name} than whoever asks over {others}.",
            expected: "{type} {planned}, over either family.",
            observed: "{views}.",
            remedy: "Look for lists of clients that hold prefixes of one family alone (`match-clients`, `access-control-view`), and \
                     give each view both.",
        },
        Case {
            name: "side",
            finding: "{server} tells {odd} other addresses of {name} than others.",
            expected: "{type} {planned}, whoever asks.",
            observed: "{views}.",
            remedy: "Compare the views: a record that was added to or taken out of one is forgotten in the other. What is meant for \
                     the inside alone is a plan: `inside` of the zone says it.",
        },
        Case {
            name: "leak",
            finding: "{server} tells {odd} of {name}, which is for the inside of its zone alone.",
            expected: "No {type} of the name for whoever asks from outside.",
            observed: "{views}.",
            remedy: "Take the record out of the public view; an internal address there tells strangers of the inside and leads \
                     users nowhere.",
        },
        Case {
            name: "unsteady",
            finding: "{server} tells {odd} other addresses of {name} than others, and not over both families alike.",
            expected: "{type} {planned}, whoever asks, over either family.",
            observed: "{views}.",
            remedy: "Look for lists of clients that hold one of a client's prefixes and not the other, and for several servers \
                     behind one address, of which some hold an older zone.",
        },
    ],
};

/// What one asker was told at one address of the server.
struct View<'a> {
    asked: &'a Asked,
    id: EvidenceId,
    told: BTreeSet<IpAddr>,
}

impl Check for ViewParity {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        names::ask(&questions(stage))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        names::repeat(seen, &questions(stage))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let all = told(stage);
        let subjects = subjects(&all);
        let parity = subjects.iter().map(|group| of_one(judge, stage, seen, group, &all));
        let hidden = hidden(stage);
        let found =
            parity.chain(hidden.iter().map(|asked| leak(judge, stage, seen, asked, &hidden)));
        let reason = "no server of names is asked over both families or by more than one";
        judge.or_not_applicable(found.collect(), reason)
    }
}

fn told(stage: &Stage) -> Vec<Asked> {
    Family::ALL.into_iter().flat_map(|family| names::questions(stage, family)).collect()
}

/// Of names that are for the inside, by those who are outside.
fn hidden(stage: &Stage) -> Vec<Asked> {
    Family::ALL.into_iter().flat_map(|family| names::hidden(stage, family)).collect()
}

fn questions(stage: &Stage) -> Vec<Asked> {
    told(stage).into_iter().chain(hidden(stage)).collect()
}

/// Whether somebody outside is told of what is for the inside alone.
fn leak(judge: Judge, stage: &Stage, seen: &Seen<'_>, asked: &Asked, all: &[Asked]) -> Judgement {
    let subject = asked.subject();
    let Heard::Reply(id, _) = names::heard(seen, &asked.probe) else {
        return judge.blocked(subject, "the server was not heard", []);
    };
    let views = views(seen, &[asked]);
    if views.iter().all(|view| view.told.is_empty()) {
        return judge.absent(subject, "it is for the inside alone, and nobody else is told", [id]);
    }
    let told = |other: &&Asked| {
        let view = self::views(seen, &[*other]);
        other.server.kind == ServiceKind::Dns
            && other.published.name == asked.published.name
            && view.iter().any(|view| !view.told.is_empty())
    };
    if asked.server.kind == ServiceKind::Resolver && all.iter().any(|other| told(&other)) {
        return judge.blocked(subject, "it passes on what the name server answers", [id]);
    }
    let complaint = complaint(stage, &views);
    judge.fail(subject, [id], Complaint { case: "leak".to_owned(), ..complaint })
}

/// The questions for one type of one name at one server, where there is more than one.
fn subjects(all: &[Asked]) -> Vec<Vec<&Asked>> {
    let mut groups = Vec::<Vec<&Asked>>::new();
    for asked in all {
        let same = |group: &&mut Vec<&Asked>| {
            let first = group[0];
            (&first.server.node, &first.server.service)
                == (&asked.server.node, &asked.server.service)
                && first.published.name == asked.published.name
                && first.family == asked.family
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(asked),
            None => groups.push(vec![asked]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// What the askers were told, as far as they were told anything.
fn views<'a>(seen: &Seen<'_>, group: &[&'a Asked]) -> Vec<View<'a>> {
    let told = |asked: &&'a Asked| match names::heard(seen, &asked.probe) {
        Heard::Reply(id, reply) if names::is_in_order(reply) => {
            Some(View { asked, id, told: names::addresses_in(reply, asked.family) })
        }
        _ => None,
    };
    group.iter().filter_map(told).collect()
}

fn differ(views: &[View<'_>]) -> bool {
    views.iter().any(|view| view.told != views[0].told)
}

fn of_one(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    group: &[&Asked],
    all: &[Asked],
) -> Judgement {
    let Asked { server, published, family, .. } = group[0];
    let subject = format!("{} {} at {}", published.name, family.record_type(), server.node);
    let views = views(seen, group);
    let evidence: Vec<_> = views.iter().map(|view| view.id).collect();
    if views.len() < 2 {
        let reason = "fewer than two were given an answer that is in order";
        return judge.blocked(subject, reason, evidence);
    }
    if !differ(&views) {
        return judge.pass(subject, evidence);
    }
    if server.kind == ServiceKind::Resolver && of_upstream(seen, group[0], all) {
        return judge.blocked(subject, "it passes on what the name server answers", evidence);
    }
    judge.fail(subject, evidence, complaint(stage, &views))
}

/// Whether the servers that a resolver asks do not all say the same, each at all times.
fn of_upstream(seen: &Seen<'_>, asked: &Asked, all: &[Asked]) -> bool {
    let is_upstream = |other: &&Asked| {
        other.server.kind == ServiceKind::Dns
            && other.published.name == asked.published.name
            && other.family == asked.family
    };
    let upstream: Vec<_> = all.iter().filter(is_upstream).collect();
    differ(&views(seen, &upstream))
}

/// What is told is a matter of something that the askers have: all that have it alike are told alike.
fn is_matter_of<T: PartialEq>(views: &[View<'_>], of: impl Fn(&View<'_>) -> T) -> bool {
    let split = |one: &View<'_>, other: &View<'_>| of(one) == of(other) && one.told != other.told;
    !views.iter().any(|one| views.iter().any(|other| split(one, other)))
}

fn complaint(stage: &Stage, views: &[View<'_>]) -> Complaint {
    let over = |view: &View<'_>| Family::of(view.asked.server.at.ip());
    let by = |view: &View<'_>| view.asked.server.asker.clone();
    let case = match (is_matter_of(views, over), is_matter_of(views, by)) {
        (true, _) => "family",
        (false, true) => "side",
        (false, false) => "unsteady",
    };
    // The odd ones are those who are not told what is planned, or else those who are told otherwise than the first.
    let first = views[0].asked;
    let planned = first.published.of(first.family);
    let right =
        if views.iter().any(|view| view.told == planned) { &planned } else { &views[0].told };
    // Of what is for the inside, all who are told are odd.
    let odd: Vec<_> = views.iter().filter(|view| view.told != *right || views.len() == 1).collect();
    let odd_over = odd.first().map_or(Family::V6, |view| over(view));
    let words = |addresses: &BTreeSet<IpAddr>| {
        let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        if words.is_empty() { "no address".to_owned() } else { words.join(", ") }
    };
    let told = |view: &View<'_>| {
        format!("{} at {}: {}", by(view), view.asked.server.at.ip(), words(&view.told))
    };
    let scope = Scope { name: Some(first.published.owner.clone()), ..Scope::default() };
    let culprit =
        if first.server.kind == ServiceKind::Resolver { first.answers() } else { first.record() };
    let mut complaint = reading::complaint(stage, case, culprit, scope, first.args());
    let askers: BTreeSet<_> = odd.iter().map(|view| by(view).to_string()).collect();
    for (key, value) in [
        ("planned", words(&planned)),
        ("over", odd_over.to_string()),
        ("others", odd_over.other().to_string()),
        ("odd", askers.into_iter().collect::<Vec<_>>().join(" and ")),
        ("views", views.iter().map(told).collect::<Vec<_>>().join("; ")),
    ] {
        complaint.args.insert(key.to_owned(), value);
    }
    Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        depth: Depth::Read,
        bites_in: reading::bites(stage, first.family),
        ..complaint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            CHECKS, cause,
            fixture::{self, Network, domain},
        },
        model::{
            answer::Answer,
            phase::Phase,
            probe::{Probe, Question},
            record::RecordType,
        },
    };

    /// The name server hides the AAAA record of the portal from some.
    fn hiding(from: impl Fn(&Probe, IpAddr) -> bool + 'static) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            let Question::Lookup { server, name, rtype: RecordType::Aaaa, recurse: false, .. } =
                &probe.question
            else {
                return;
            };
            if *name == domain("portal.dc.test")
                && from(probe, server.ip())
                && let Answer::Dns { reply: Some(reply), .. } = answer
            {
                reply.answers.clear();
                reply.has_soa = true;
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&ViewParity);
    }

    #[test]
    fn a_view_for_askers_over_one_family_is_found() {
        let network = hiding(|_, server| server.is_ipv4());
        let found = fixture::complaints(&ViewParity, &network);
        let culprit = "ns (record AAAA portal.dc.test)".to_owned();
        assert_eq!(found, [("family".to_owned(), culprit)]);
    }

    #[test]
    fn a_view_for_one_side_is_one_finding_beside_the_missing_record() {
        let network = hiding(|probe, _| probe.from.as_str() == "public-dns");
        let judgements = network.ask(CHECKS);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        let heads: Vec<_> =
            found.iter().map(|one| (one.check.as_str(), one.case.as_str())).collect();
        assert_eq!(heads, [("dns.view-parity", "side")], "{found:#?}");
        assert_eq!(found[0].args["odd"], "public-dns");
    }

    fn two_views() -> Network {
        let text = include_str!("../../../tests/faults/testbeds/two-views.toml");
        let testbed = crate::input::testbed("two-views.toml", text).expect("a testbed");
        Network::of(Stage::new(&testbed.into(), Phase::DualStack))
    }

    #[test]
    fn a_planned_difference_is_silent_and_what_is_for_the_inside_leaks_nowhere() {
        assert_eq!(fixture::complaints(&ViewParity, &two_views()), []);
        let leaking = two_views().with(|live| {
            let zones = live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap();
            zones.1.iter_mut().for_each(|zone| zone.inside = None);
        });
        let found = fixture::complaints(&ViewParity, &leaking);
        let culprit =
            |family: &str| ("leak".to_owned(), format!("ns (record {family} wiki.example.test)"));
        assert!(found.contains(&culprit("A")) && found.contains(&culprit("AAAA")), "{found:?}");
        assert!(found.iter().all(|(case, who)| case == "leak" && who.starts_with("ns ")));
    }

    #[test]
    fn a_record_that_is_missing_for_everybody_is_no_matter_of_views() {
        let found = fixture::complaints(&ViewParity, &hiding(|_, _| true));
        assert_eq!(found, []);
    }
}
