//! `ux.family-truth`: what users get, with each family pinned and as their stack chooses. Happy Eyeballs hides a dead
//! family; the pinned runs do not.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, management,
        pages::{self, Site},
        reading::{self, Judge},
    },
    model::{
        answer::{Answer, Attempt, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Culprit, Packets, Scope, Severity},
        name::DomainName,
        probe::{Probe, Question},
        service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct FamilyTruth;

static TEXT: Text = Text {
    id: "ux.family-truth",
    title: "What users get, family by family",
    section: "S2 5.3",
    use_case: UseCase::InsideToOutside,
    question: "Does a user get the page by its name with each family pinned, and by IPv6 where the stack may choose?",
    good: "Every pinned run works, and IPv6 is what users get where it is planned.",
    references: &["RFC 8305 section 9.3", "RFC 6724"],
    cases: &[
        Case {
            name: "hidden",
            finding: "{from} gets {name}, but not over {family}: the fallback to the other family hides it.",
            expected: "The page with {family} pinned.",
            observed: "Pinned: {observed}. As the stack chooses: {default}.",
            remedy: "Repair the way that the pinned run shows; do not lengthen the timers of Happy Eyeballs.",
        },
        Case {
            name: "cut-off",
            finding: "{from} does not get {name} at all.",
            expected: "The page over {family}.",
            observed: "Pinned: {observed}. As the stack chooses: {default}.",
            remedy: "Repair the way that the pinned run shows.",
        },
        Case {
            name: "not-chosen",
            finding: "{from} gets {name} over IPv4 although IPv6 works.",
            expected: "IPv6 as the stack chooses.",
            observed: "As the stack chooses: {default}, three times. Pinned: {observed}.",
            remedy: "Look at the delay of connections over IPv6, at resolvers that answer late about AAAA (RFC 8305 section 3), and \
                     at the address selection of the host (RFC 6724).",
        },
    ],
};

impl Check for FamilyTruth {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let sites = subjects(stage);
        vec![Experiment::of_probes(sites.iter().flat_map(|site| {
            let pinned = families(site).iter().map(|family| journey(site, Some(family), 0));
            pinned.chain([journey(site, None, 0)]).collect::<Vec<_>>()
        }))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let again = subjects(stage).into_iter().flat_map(|site| {
            let mut pins: Vec<_> = families(&site).iter().map(Some).collect();
            pins.push(None);
            let wanted = |pin: &Option<Family>| !is_as_planned(stage, &site, seen, *pin, 0);
            let pins: Vec<_> = pins.into_iter().filter(wanted).collect();
            let rounds = 1..=reading::REPETITIONS;
            let probes = rounds
                .flat_map(|round| pins.iter().map(move |pin| (*pin, round)))
                .map(|(pin, round)| journey(&site, pin, round));
            probes.collect::<Vec<_>>()
        });
        vec![Experiment::of_probes(again)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let sites = subjects(stage);
        let found = sites.iter().flat_map(|site| {
            let pinned = families(site);
            let pinned = pinned.iter().map(|family| of_pinned(judge, stage, seen, site, family));
            pinned.chain([of_choice(judge, stage, seen, site)]).collect::<Vec<_>>()
        });
        judge.or_not_applicable(found.collect(), "no user is to reach a page in this phase")
    }
}

/// Pages that have a name, and users that can resolve it.
fn subjects(stage: &Stage) -> Vec<Site<'_>> {
    let sites = pages::sites(stage).into_iter();
    sites
        .filter(|site| !site.service.names.is_empty())
        .filter(|site| !stage.nodes[&site.user].resolvers.is_empty())
        .collect()
}

fn families(site: &Site<'_>) -> Families {
    site.ways.iter().map(crate::stage::Path::family).collect()
}

fn name<'s>(site: &'s Site<'_>) -> &'s DomainName {
    &site.service.names[0]
}

fn journey(site: &Site<'_>, pinned: Option<Family>, round: u8) -> Probe {
    let question = Question::Journey {
        name: name(site).clone(),
        port: site.service.port,
        tls: site.service.kind == ServiceKind::Https,
        path: site.service.path.clone(),
        pinned,
    };
    Probe { round, ..ask::probe(&site.user, question) }
}

/// How a journey ended.
struct Ride<'e> {
    id: EvidenceId,
    resolved: Families,
    attempts: &'e [Attempt],
    /// The family that won, where a page came.
    won: Option<Family>,
    words: String,
}

fn ride<'e>(
    site: &Site<'_>,
    seen: &Seen<'e>,
    pinned: Option<Family>,
    round: u8,
) -> Option<Ride<'e>> {
    let (id, answer) = seen.answer(&journey(site, pinned, round))?;
    let Answer::Journey { resolved, attempts, page, total_us, failure, .. } = answer else {
        return None;
    };
    let answered = attempts.iter().rev().find(|a| a.outcome == Outcome::Answered);
    let won = page.as_ref().and(answered).map(|attempt| attempt.family);
    let words = match (won, failure) {
        (Some(family), _) => format!("a page over {family} after {} ms", total_us / 1000),
        (None, Some(failure)) => failure.clone(),
        (None, None) => "no page".to_owned(),
    };
    let resolved = resolved.iter().map(|address| Family::of(*address)).collect();
    Some(Ride { id, resolved, attempts, won, words })
}

fn is_as_planned(
    stage: &Stage,
    site: &Site<'_>,
    seen: &Seen<'_>,
    pinned: Option<Family>,
    round: u8,
) -> bool {
    let planned = pinned.or_else(|| preferred(stage, site));
    ride(site, seen, pinned, round).is_some_and(|ride| ride.won.is_some() && ride.won == planned)
}

/// IPv6 where it is planned (RFC 6724 section 2.1), also where it leads through a translator because the resolver
/// synthesizes addresses.
fn preferred(stage: &Stage, site: &Site<'_>) -> Option<Family> {
    let is_alone = !stage.ipv4_alone(site.node, site.service).is_empty();
    if is_alone && stage.is_led_through_translation(&site.user) {
        return Some(Family::V6);
    }
    let families = families(site);
    [Family::V6, Family::V4].into_iter().find(|family| families.has(*family))
}

fn of_pinned(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    site: &Site<'_>,
    family: Family,
) -> Judgement {
    let subject = format!("{}/{}", site.subject(), family.word());
    let rides: Vec<_> = (0..=reading::REPETITIONS)
        .filter_map(|round| ride(site, seen, Some(family), round))
        .collect();
    let evidence: Vec<_> = rides.iter().map(|ride| ride.id).collect();
    let Some(last) = rides.last() else {
        return judge.not_testable(subject, "the journey was not made", evidence);
    };
    if rides.iter().any(|ride| ride.won == Some(family)) {
        return judge.pass(subject, evidence);
    }
    if !last.resolved.has(family) {
        let reason =
            "the name did not resolve to an address of this family: see the checks of names";
        return judge.blocked(subject, reason, evidence);
    }
    let default = ride(site, seen, None, 0);
    let case = match default.as_ref().and_then(|ride| ride.won) {
        Some(_) => "hidden",
        None => "cut-off",
    };
    let complaint = complaint(stage, site, case, family, last, default.as_ref());
    judge.fail(subject, evidence, complaint)
}

fn of_choice(judge: Judge, stage: &Stage, seen: &Seen<'_>, site: &Site<'_>) -> Judgement {
    let subject = format!("{}/chosen", site.subject());
    let rides: Vec<_> =
        (0..=reading::REPETITIONS).filter_map(|round| ride(site, seen, None, round)).collect();
    let evidence: Vec<_> = rides.iter().map(|ride| ride.id).collect();
    let Some(last) = rides.last() else {
        return judge.not_testable(subject, "the journey was not made", evidence);
    };
    let planned = preferred(stage, site);
    if rides.iter().any(|ride| ride.won.is_some() && ride.won == planned) {
        return judge.pass(subject, evidence);
    }
    let pinned = planned.and_then(|family| ride(site, seen, Some(family), 0));
    match (planned, pinned) {
        (Some(family), Some(pinned)) if pinned.won == Some(family) && last.won.is_some() => {
            let mut complaint = complaint(stage, site, "not-chosen", family, &pinned, Some(last));
            complaint.severity = Severity::Minor;
            // Where there is one family, there is nothing to choose.
            complaint.bites_in = management::dual_phases(stage);
            judge.degraded(subject, "the other family was chosen every time", evidence, complaint)
        }
        _ => judge.blocked(subject, "the pinned run does not work either", evidence),
    }
}

fn complaint(
    stage: &Stage,
    site: &Site<'_>,
    case: &str,
    family: Family,
    pinned: &Ride<'_>,
    default: Option<&Ride<'_>>,
) -> Complaint {
    let args = [
        ("from", site.user.to_string()),
        ("name", name(site).to_string()),
        ("family", family.to_string()),
        ("observed", pinned.words.clone()),
        ("default", default.map_or_else(|| "not tried".to_owned(), |ride| ride.words.clone())),
    ];
    let stalled = pinned.attempts.iter().any(|attempt| attempt.outcome == Outcome::Stalled);
    let scope = Scope {
        name: Some(name(site).clone()),
        packets: stalled.then_some(Packets::Large),
        ..site.scope(family)
    };
    let culprit = Culprit {
        node: None,
        segment: None,
        part: format!("somewhere between {} and {}", site.user, name(site)),
    };
    Complaint {
        severity: if case == "cut-off" { Severity::Critical } else { Severity::Major },
        confidence: Confidence::Medium,
        ..reading::complaint(stage, case, culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            cause,
            dns::aaaa_dead::AaaaDead,
            fixture::{self, Network},
            from_outside::service_reach::SERVICE_REACH,
            svc::listen_families::ListenFamilies,
        },
        model::phase::Phase,
    };

    #[test]
    fn a_healthy_network_is_silent_and_ipv6_wins() {
        fixture::assert_silent_when_healthy(&FamilyTruth);
    }

    #[test]
    fn happy_eyeballs_hide_a_deaf_listener_and_the_pinned_run_shows_it() {
        let network = Network::healthy(Phase::DualStack).deafen("portal", "https", Family::V6);
        let found = fixture::complaints(&FamilyTruth, &network);
        assert!(found.iter().all(|one| one.0 == "hidden"), "{found:?}");
        assert_eq!(found.len(), 2, "the visitor and the workplace");
        let checks: [&dyn Check; 4] = [&FamilyTruth, &SERVICE_REACH, &ListenFamilies, &AaaaDead];
        let judgements = network.ask(&checks);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].culprit.to_string(), "portal (listener https)");
    }

    #[test]
    fn without_a_fallback_users_are_cut_off() {
        let network = Network::healthy(Phase::Ipv6Only).deafen("portal", "https", Family::V6);
        let found = fixture::complaints(&FamilyTruth, &network);
        assert!(found.iter().all(|one| one.0 == "cut-off"), "{found:?}");
        assert!(!found.is_empty());
    }

    #[test]
    fn losing_the_race_once_is_nothing_and_always_is_something() {
        let lazy = |rounds: u8| {
            Network::healthy(Phase::DualStack).bend(move |probe, answer| {
                if let Answer::Journey { attempts, .. } = answer
                    && matches!(probe.question, Question::Journey { pinned: None, .. })
                    && probe.round < rounds
                {
                    for attempt in attempts {
                        attempt.family = Family::V4;
                    }
                }
            })
        };
        assert_eq!(fixture::complaints(&FamilyTruth, &lazy(1)), []);
        let found = fixture::complaints(&FamilyTruth, &lazy(3));
        assert!(found.iter().all(|one| one.0 == "not-chosen"), "{found:?}");
        assert!(!found.is_empty());
    }
}
