//! `out.v4-front-for-v6-only`: users of the family that a site does not have reach it through its front.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        fronted::{self, Through},
        reading::{self, Judge, Reached},
    },
    model::{
        answer::{Answer, Outcome, Page},
        evidence::Seen,
        experiment::Experiment,
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        probe::Probe,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct FrontForOthers;

static TEXT: Text = Text {
    id: "out.v4-front-for-v6-only",
    title: "Sites behind an inbound proxy",
    section: "S4 Inbound Proxy",
    use_case: UseCase::OutsideToInside,
    question: "Do users of the family that a site does not have get the page of that site, and of no other, from the front that \
               stands for it: by the Host header, and by the server name of TLS?",
    good: "Every front passes its users on to the site that they ask for.",
    references: &["RFC 7381 section 3.4", "RFC 6066 section 3"],
    cases: &[
        Case {
            name: "no-entry",
            finding: "{front} does not pass users of {family} on to {site}: only users of the other family reach it.",
            expected: "The page of {site} for {name} at {address}.",
            observed: "{observed}. {control}.",
            remedy: "Give the front an entry for {name}, and watch each site over both families all the time: who has the other \
                     family does not notice.",
        },
        Case {
            name: "other-site",
            finding: "{front} passes users of {family} who ask for {name} on to another site.",
            expected: "The page of {site} for {name} at {address}.",
            observed: "{observed}. {control}.",
            remedy: "Correct the entry for {name} in the front: over TLS its users see the certificate of somebody else.",
        },
    ],
};

/// The page that is asked for.
const PATH: &str = "/";

impl Check for FrontForOthers {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(fronted::all(stage).iter().map(|one| one.page(PATH)))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let all = fronted::all(stage);
        let probes: Vec<_> = all.iter().map(|one| one.page(PATH)).collect();
        let wrong = all.iter().filter(|one| !is_right(one, page(seen, &one.page(PATH))));
        let controls: Vec<_> = wrong.filter_map(|one| one.control(PATH)).collect();
        let mut experiments = reading::repeat_unanswered(seen, &probes);
        if !controls.is_empty() {
            experiments.push(Experiment::of_probes(controls));
        }
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let all = fronted::all(stage);
        let found = all.iter().map(|one| of_one(judge, stage, seen, one)).collect();
        judge.or_not_applicable(found, "no front stands for a site in a family that it has not")
    }
}

fn page<'e>(seen: &Seen<'e>, probe: &Probe) -> Option<&'e Page> {
    match seen.answer(probe)? {
        (_, Answer::Page { page, .. }) => page.as_ref(),
        _ => None,
    }
}

/// Whether a page is one of the site that was asked for.
fn is_right(one: &Through<'_>, page: Option<&Page>) -> bool {
    let by =
        page.and_then(|page| page.served_by.as_deref()).and_then(|by| by.split(['/', ' ']).next());
    by == Some(one.site.node.as_str())
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, one: &Through<'_>) -> Judgement {
    let subject = one.subject();
    let probe = one.page(PATH);
    let Some(asked) = reading::consensus(seen, &probe) else {
        return judge.not_testable(subject, "it was not asked", []);
    };
    let mut evidence = asked.evidence.clone();
    if let Reached::Unknown(reason) = asked.reached() {
        return judge.not_testable(subject, reason, evidence);
    }
    let shown = page(seen, &probe);
    if is_right(one, shown) {
        return judge.pass(subject, evidence);
    }
    let connected = asked.telling.attempt().is_some_and(|attempt| {
        matches!(attempt.outcome, Outcome::Answered | Outcome::Stalled | Outcome::Garbled { .. })
    });
    if !connected {
        return judge.blocked(subject, "the front itself is not reached", evidence);
    }
    let control = one.control(PATH);
    let Some((id, itself)) = control.as_ref().and_then(|control| seen.answer(control)) else {
        return judge.not_testable(subject, "the site itself was not asked", evidence);
    };
    evidence.push(id);
    if !control.is_some_and(|control| is_right(one, page(seen, &control))) {
        let reason = "the site does not answer its front as it should, without any user";
        return judge.blocked(subject, reason, evidence);
    }
    let elsewhere = shown.filter(|page| page.status == 200).and_then(|p| p.served_by.clone());
    let case = if elsewhere.is_some() { "other-site" } else { "no-entry" };
    let observed = match (shown, elsewhere) {
        (_, Some(by)) => format!("a page of {by}"),
        (Some(page), None) => format!("status {}", page.status),
        (None, None) => reading::describe(asked.telling),
    };
    let complaint = complaint(stage, one, case, observed, &reading::describe(itself));
    judge.fail(subject, evidence, complaint)
}

fn complaint(
    stage: &Stage,
    one: &Through<'_>,
    case: &str,
    observed: String,
    itself: &str,
) -> Complaint {
    let args = [
        ("front", one.front.name.to_string()),
        ("site", one.site.node.to_string()),
        ("name", one.name()),
        ("family", one.way.family().to_string()),
        ("address", one.way.destination.to_string()),
        ("observed", observed),
        ("control", format!("{} asked by {} itself: {itself}", one.site.node, one.front.name)),
    ];
    let entry = format!("entry of {} in {}", one.site.node, one.service.name);
    let culprit = Culprit::node(&one.front.name, entry);
    Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, case, culprit, one.scope(), args)
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
        fixture::assert_silent_when_healthy(&FrontForOthers);
    }

    #[test]
    fn every_site_is_asked_for_by_every_front_while_somebody_needs_it() {
        for (phase, asked) in [(Phase::Ipv4Only, 0), (Phase::DualStack, 4), (Phase::Ipv6Only, 4)] {
            let found = Network::of(fixture::hosting(phase)).ask(&[&FrontForOthers]);
            let passed = found.iter().filter(|j| j.verdict == Verdict::Pass).count();
            assert_eq!(passed, asked, "{phase}: {found:#?}");
        }
    }

    #[test]
    fn a_forgotten_entry_and_an_entry_that_leads_elsewhere_are_found() {
        let front = |live: &mut crate::stage::Stage| {
            let fronts = &mut live.nodes.get_mut("front").unwrap().fronts;
            fronts.passes.iter_mut().find(|(name, _)| name.as_str() == "https").unwrap().1.clone()
        };
        let put = |live: &mut crate::stage::Stage, fronted| {
            let fronts = &mut live.nodes.get_mut("front").unwrap().fronts;
            fronts.passes.iter_mut().find(|(name, _)| name.as_str() == "https").unwrap().1 =
                fronted;
        };
        let culprit = "front (entry of shop in https)".to_owned();
        let forgotten = Network::of(fixture::hosting(Phase::DualStack)).with(|live| {
            let mut fronted = front(live);
            fronted.sites.retain(|site| site.node.as_str() != "shop");
            put(live, fronted);
        });
        let found = fixture::complaints(&FrontForOthers, &forgotten);
        assert_eq!(found, [("no-entry".to_owned(), culprit.clone())]);
        let elsewhere = Network::of(fixture::hosting(Phase::DualStack)).with(|live| {
            let mut fronted = front(live);
            let shop = fronted.sites.iter().position(|s| s.node.as_str() == "shop").unwrap();
            let blog = fronted.sites.iter().position(|s| s.node.as_str() == "blog").unwrap();
            fronted.sites[shop].node = fronted.sites[blog].node.clone();
            put(live, fronted);
        });
        let found = fixture::complaints(&FrontForOthers, &elsewhere);
        assert_eq!(found, [("other-site".to_owned(), culprit)]);
    }
}
