//! `log.client-behind-proxy`: a site behind a front knows its client, and not the front alone.

use std::net::IpAddr;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        fronted::{self, Through},
        reading::{self, Judge},
    },
    model::{
        answer::{Answer, Outcome},
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        probe::{Keeper, Probe, Question},
        verdict::Judgement,
    },
    stage::Stage,
    wire::log_in,
};

/// The check.
pub(in crate::check) struct ClientBehindProxy;

/// Log-ins of this check are told apart from those of others by it.
const USER: &str = "behind-front";

static TEXT: Text = Text {
    id: "log.client-behind-proxy",
    title: "Clients in the logs of sites behind a proxy",
    section: "S4 Inbound Proxy",
    use_case: UseCase::OutsideToInside,
    question: "Is the address of a user who comes through a front in the access log of the site, as the front saw it?",
    good: "Sites write down their clients, not their front.",
    references: &["RFC 6302", "RFC 7381 section 3.4"],
    cases: &[
        Case {
            name: "front",
            finding: "{site} writes down {front} in the place of its users: all who come through {front} look alike.",
            expected: "{client}, the address of {from}.",
            observed: "{kept}, an address of {front}.",
            remedy: "Let {front} say who the client is (PROXY protocol, or a header), and let {site} believe it from the addresses \
                     of {front} alone.",
        },
        Case {
            name: "other",
            finding: "{site} writes down another address than that of a user who comes through {front}.",
            expected: "{client}, the address of {from}.",
            observed: "{kept}.",
            remedy: "Compare what the front says with what the site makes of it, stage by stage.",
        },
    ],
};

impl Check for ClientBehindProxy {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let tells =
            |one: &Through<'_>| one.service.front.as_ref().is_some_and(|f| f.tells.is_some());
        let all = fronted::all(stage).into_iter();
        let asked = all.filter(|one| tells(one) && !is_by_engine(stage, one));
        let in_turn = |one: Through<'_>| Experiment {
            probes: vec![log_in(stage, &one), kept(stage, &one)],
            in_order: true,
            ..Experiment::default()
        };
        asked.map(in_turn).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let all = fronted::all(stage);
        let found = all.iter().map(|one| of_one(judge, stage, seen, one)).collect();
        judge.or_not_applicable(found, "no front stands for a site in a family that it has not")
    }
}

/// Whether the site is a program with a log in a form of its own, which is not read here.
fn is_by_engine(stage: &Stage, one: &Through<'_>) -> bool {
    let behind = stage.testbed.nodes[&one.site.node].first_of(one.service.kind);
    behind.is_some_and(|service| service.engine.is_some())
}

fn token(stage: &Stage, one: &Through<'_>) -> String {
    let service = &one.service.name;
    format!("{USER}.{}.{service}.{}.{}", one.site.node, stage.phase.word(), one.from)
}

/// The client that a token is of.
#[cfg(test)]
pub(in crate::check) fn client_of(stage: &Stage, sought: &str) -> Option<IpAddr> {
    let all = fronted::all(stage);
    all.iter().find(|one| token(stage, one) == sought).map(|one| one.way.source)
}

fn log_in(stage: &Stage, one: &Through<'_>) -> Probe {
    one.page(&format!("{}?user={USER}&token={}", log_in::LOGIN, token(stage, one)))
}

fn kept(stage: &Stage, one: &Through<'_>) -> Probe {
    let question = Question::LogIn { token: token(stage, one), keeper: Keeper::Access };
    ask::probe(&one.site.node, question)
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, one: &Through<'_>) -> Judgement {
    let subject = one.subject();
    if one.service.front.as_ref().is_some_and(|front| front.tells.is_none()) {
        let reason =
            "by plan the front does not say who the client is, and the site sees the front alone";
        return judge.absent(subject, reason, []);
    }
    if is_by_engine(stage, one) {
        return judge.info(subject, "the log of the site has a form of its own", []);
    }
    let Some((asked, answer)) = seen.answer(&log_in(stage, one)) else {
        return judge.not_testable(subject, "nobody logged in", []);
    };
    let Answer::Page { attempt, page: Some(page) } = answer else {
        return judge.blocked(subject, "the user was shown no page", [asked]);
    };
    let by = page.served_by.as_deref().and_then(|by| by.split(['/', ' ']).next());
    if by != Some(one.site.node.as_str()) || attempt.outcome != Outcome::Answered {
        return judge.blocked(subject, "the user was passed on to somebody else", [asked]);
    }
    let Some((id, Answer::LogIn { clients })) = seen.answer(&kept(stage, one)) else {
        return judge.not_testable(subject, "the log was not looked at", [asked]);
    };
    let Some(client) = attempt.source.map(|source| source.ip().to_canonical()) else {
        return judge.not_testable(subject, "the address of the user is not known", [asked]);
    };
    let kept = clients.last().cloned().unwrap_or_else(|| log_in::NOTHING.to_owned());
    // How an address is spelt is what `log.canonical` asks.
    if address(&kept) == Some(client) {
        return judge.pass(subject, [asked, id]);
    }
    judge.fail(subject, [asked, id], complaint(stage, one, client, kept))
}

fn address(kept: &str) -> Option<IpAddr> {
    kept.parse().ok().map(|kept: IpAddr| kept.to_canonical())
}

fn complaint(stage: &Stage, one: &Through<'_>, client: IpAddr, kept: String) -> Complaint {
    let is_of_front = address(&kept)
        .is_some_and(|kept| stage.owner(kept).is_some_and(|(owner, _)| *owner == one.front.name));
    let (case, culprit) = if is_of_front {
        let said = format!("what {} tells {}", one.service.name, one.site.node);
        ("front", Culprit::node(&one.front.name, said))
    } else {
        ("other", Culprit::node(&one.site.node, format!("access log of {}", one.service.name)))
    };
    let args = [
        ("site", one.site.node.to_string()),
        ("front", one.front.name.to_string()),
        ("from", one.from.to_string()),
        ("client", client.to_string()),
        ("kept", if kept == log_in::NOTHING { "no address".to_owned() } else { kept }),
    ];
    let scope = Scope {
        family: Some(Family::of(client)),
        from: Some(one.from.clone()),
        to: Some(one.site.node.clone()),
        ..Scope::default()
    };
    Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        // What is written in a log explains nothing else.
        depth: Depth::Symptom,
        ..reading::complaint(stage, case, culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{phase::Phase, verdict::Verdict},
    };

    #[test]
    fn a_network_without_fronts_is_silent() {
        fixture::assert_silent_when_healthy(&ClientBehindProxy);
    }

    fn logging(kept: &'static str) -> Network {
        Network::of(fixture::hosting(Phase::DualStack)).bend(move |probe, answer| {
            let Answer::LogIn { clients } = answer else { return };
            let Question::LogIn { token, .. } = &probe.question else { return };
            if token.starts_with(USER) && token.contains("shop") {
                *clients = vec![kept.to_owned()];
            }
        })
    }

    #[test]
    fn the_address_of_the_client_is_wanted_and_that_of_the_front_is_told() {
        let shop = |network: &Network| {
            let found = network.ask(&[&ClientBehindProxy]).into_iter();
            let of_shop = found.filter(|judgement| judgement.subject.contains("->shop"));
            of_shop
                .map(|j| (j.verdict, j.complaint.map(|c| (c.case, c.culprit.to_string()))))
                .collect::<Vec<_>>()
        };
        for spelling in ["198.51.100.138", "::ffff:198.51.100.138"] {
            let right = shop(&logging(spelling));
            assert!(right.iter().all(|(verdict, _)| *verdict == Verdict::Pass), "{right:?}");
        }
        let front = shop(&logging("2001:db8:b:1::10"));
        let culprit = "front (what https tells shop)".to_owned();
        assert!(
            front.iter().any(|(_, said)| *said == Some(("front".to_owned(), culprit.clone()))),
            "{front:?}"
        );
        let other = shop(&logging("192.0.2.99"));
        let culprit = "shop (access log of https)".to_owned();
        assert!(
            other.iter().any(|(_, said)| *said == Some(("other".to_owned(), culprit.clone()))),
            "{other:?}"
        );
    }
}
