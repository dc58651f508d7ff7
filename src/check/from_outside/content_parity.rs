//! `out.content-parity`: users of both families see the same page, equally fresh.

use std::collections::BTreeSet;

use crate::{
    check::{
        Case, Check, Text, UseCase,
        pages::{self, Site},
        reading::{self, Judge},
    },
    model::{
        answer::{Answer, Page},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Severity},
        phase::Phase,
        probe::Probe,
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// The check.
pub(super) struct ContentParity;

/// Rounds of this check, apart from those of questions that are repeated because they failed.
const ROUNDS: [u8; 3] = [10, 11, 12];

const EXPECTED: &str =
    "The same status, redirect, certificate, headers and body over both families, equally fresh.";

static TEXT: Text = Text {
    id: "out.content-parity",
    title: "Same page over both families",
    section: "S2 5.1",
    use_case: UseCase::OutsideToInside,
    question: "Do status, redirect, certificate, headers, body and freshness of a page agree between the families, three \
               times in turn?",
    good: "Both families show the same page, equally fresh.",
    references: &["RFC 9110"],
    cases: &[
        Case {
            name: "status",
            finding: "{node} answers users of one family with another status.",
            expected: EXPECTED,
            observed: "IPv4 {v4}; IPv6 {v6} (from {from}).",
            remedy: "Look at the back end or virtual host that serves the family with the worse status.",
        },
        Case {
            name: "certificate",
            finding: "{node} shows another certificate to users of one family.",
            expected: EXPECTED,
            observed: "IPv4 {v4}; IPv6 {v6} (from {from}).",
            remedy: "Install the same certificate in every front end of the service.",
        },
        Case {
            name: "body",
            finding: "{node} shows another page to users of one family.",
            expected: EXPECTED,
            observed: "IPv4 {v4}; IPv6 {v6} (from {from}).",
            remedy: "Find the back end of each family and bring them to the same state.",
        },
        Case {
            name: "headers",
            finding: "{node} sends other headers to users of one family.",
            expected: EXPECTED,
            observed: "IPv4 {v4}; IPv6 {v6} (from {from}).",
            remedy: "Compare the configuration of the front ends of both families.",
        },
        Case {
            name: "stale",
            finding: "{node} shows an old copy of the page to users of one family.",
            expected: EXPECTED,
            observed: "Stamps over IPv4 {v4}; over IPv6 {v6} (from {from}, asked in turn).",
            remedy: "Replicate to the back end that lags behind, or take it out of service.",
        },
    ],
};

impl Check for ContentParity {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(subjects(stage).iter().flat_map(Site::first_looks))]
    }

    /// Compared only where every address answers at all: silence in turn takes long and tells nothing new.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let in_turn = |site: &Site<'_>| Experiment {
            probes: in_turn(site).into_iter().map(|(_, probe)| probe).collect(),
            in_order: true,
            ..Experiment::default()
        };
        subjects(stage).iter().filter(|site| site.is_shown(seen)).map(in_turn).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = subjects(stage).iter().map(|site| of_site(judge, stage, seen, site)).collect();
        judge.or_not_applicable(found, "no page is offered over both families in this phase")
    }
}

fn subjects(stage: &Stage) -> Vec<Site<'_>> {
    let both = |site: &Site<'_>| Family::ALL.iter().all(|family| site.way(*family).is_some());
    match stage.phase {
        Phase::Ipv4Only | Phase::Ipv6Only => Vec::new(),
        Phase::Partial | Phase::DualStack => pages::sites(stage).into_iter().filter(both).collect(),
    }
}

/// Every address of both families, one after the other, round by round.
fn in_turn<'s>(site: &'s Site<'_>) -> Vec<(&'s Path, Probe)> {
    let of_round =
        |round| site.ways.iter().map(move |path| (path, site.fetch(path.destination, round)));
    ROUNDS.into_iter().flat_map(of_round).collect()
}

/// A page that came, in the order asked.
struct Shown<'e> {
    family: Family,
    page: &'e Page,
}

fn of_site(judge: Judge, stage: &Stage, seen: &Seen<'_>, site: &Site<'_>) -> Judgement {
    let subject = site.subject();
    let mut evidence = Vec::<EvidenceId>::new();
    let mut shown = Vec::new();
    for (path, probe) in in_turn(site) {
        let Some((id, answer)) = seen.answer(&probe) else { continue };
        evidence.push(id);
        if let Answer::Page { page: Some(page), .. } = answer {
            shown.push(Shown { family: path.family(), page });
        }
    }
    if !Family::ALL.iter().all(|family| shown.iter().any(|s| s.family == *family)) {
        return judge.blocked(subject, "one of the families showed no page at all", evidence);
    }
    match difference(&shown) {
        None => judge.pass(subject, evidence),
        Some((case, worse)) => {
            let complaint = complaint(stage, site, case, worse, &shown);
            judge.fail(subject, evidence, complaint)
        }
    }
}

/// In which way the families differ, and which of them is the worse. Families differ in a value only if they have none in
/// common: a service behind several back ends may show several values to each.
fn difference(shown: &[Shown<'_>]) -> Option<(&'static str, Family)> {
    for case in ["status", "certificate", "body", "headers"] {
        let [v4, v6] = Family::ALL.map(|family| values(shown, family, case));
        if v4.is_disjoint(&v6) {
            return Some((case, worse(shown, case)));
        }
    }
    lagging(shown).map(|family| ("stale", family))
}

fn values(shown: &[Shown<'_>], family: Family, case: &str) -> BTreeSet<String> {
    let of_family = shown.iter().filter(|s| s.family == family);
    of_family.map(|s| value(s.page, case)).collect()
}

fn value(page: &Page, case: &str) -> String {
    match case {
        "status" => {
            let to = page.location.as_ref().map_or_else(String::new, |l| format!(" to {l}"));
            format!("{}{to}", page.status)
        }
        "certificate" => {
            let key = page.certificate_sha256.as_deref().unwrap_or("none");
            let error = page.tls_error.as_ref().map_or_else(String::new, |e| format!(" ({e})"));
            format!("{key}{error}, {}", page.tls_version.as_deref().unwrap_or("no TLS"))
        }
        // Without its length: the stamp in it, which may differ, has digits.
        "body" => format!("SHA-256 {}", page.body_sha256),
        "headers" => {
            // The length follows from the body.
            let told = page.headers.iter().filter(|(name, _)| *name != "content-length");
            let headers = told.map(|(name, value)| format!("{name}: {value}"));
            headers.collect::<Vec<_>>().join("; ")
        }
        _ => page.stamp.clone().unwrap_or_else(|| "none".to_owned()),
    }
}

/// The family with an error where the other has none; otherwise IPv6, the one that came later.
fn worse(shown: &[Shown<'_>], case: &str) -> Family {
    let is_bad = |s: &Shown<'_>| match case {
        "status" => s.page.status >= 400,
        _ => s.page.tls_error.is_some(),
    };
    let bad = |family| shown.iter().filter(|s| s.family == family).any(is_bad);
    if bad(Family::V4) && !bad(Family::V6) { Family::V4 } else { Family::V6 }
}

/// The family whose pages are always older than the page that the other showed just before.
fn lagging(shown: &[Shown<'_>]) -> Option<Family> {
    let behind = |pair: &[Shown<'_>]| is_older(pair[1].page, pair[0].page);
    Family::ALL.into_iter().rev().find(|family| {
        let follows = |pair: &&[Shown<'_>]| pair[0].family != *family && pair[1].family == *family;
        let mut pairs = shown.windows(2).filter(follows).peekable();
        pairs.peek().is_some() && pairs.all(behind)
    })
}

/// Stamps are compared as numbers where they are numbers, as text otherwise (ISO 8601 sorts as text).
fn is_older(page: &Page, before: &Page) -> bool {
    let (Some(mine), Some(theirs)) = (&page.stamp, &before.stamp) else { return false };
    match (mine.parse::<f64>(), theirs.parse::<f64>()) {
        (Ok(mine), Ok(theirs)) => mine < theirs,
        _ => mine < theirs,
    }
}

fn complaint(
    stage: &Stage,
    site: &Site<'_>,
    case: &str,
    worse: Family,
    shown: &[Shown<'_>],
) -> Complaint {
    let list = |family| values(shown, family, case).into_iter().collect::<Vec<_>>().join(" or ");
    let args = [
        ("node", site.node.name.to_string()),
        ("from", site.user.to_string()),
        ("v4", list(Family::V4)),
        ("v6", list(Family::V6)),
    ];
    Complaint {
        severity: match case {
            "headers" => Severity::Notice,
            "status" | "certificate" => Severity::Major,
            _ => Severity::Minor,
        },
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, case, site.culprit("content"), site.scope(worse), args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{self, Network};

    fn showing(family: Family, change: impl Fn(&mut Page) + 'static) -> Network {
        Network::healthy(Phase::DualStack).bend(move |_, answer| {
            if let Answer::Page { attempt, page: Some(page) } = answer
                && attempt.family == family
            {
                change(page);
            }
        })
    }

    fn cases(network: &Network) -> Vec<(String, String)> {
        let mut found = fixture::complaints(&ContentParity, network);
        found.dedup();
        found
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&ContentParity);
    }

    #[test]
    fn each_difference_has_its_case() {
        let of = |case: &str| {
            let one = |service| (case.to_owned(), format!("portal (content of {service})"));
            vec![one("http"), one("https")]
        };
        let mut status = cases(&showing(Family::V6, |page| page.status = 503));
        let mut body = cases(&showing(Family::V4, |page| page.body_sha256 = "other".to_owned()));
        let mut stale = cases(&showing(Family::V6, |page| page.stamp = Some("900".to_owned())));
        for (found, case) in [(&mut status, "status"), (&mut body, "body"), (&mut stale, "stale")] {
            found.sort();
            assert_eq!(*found, of(case));
        }
        let other = |page: &mut Page| {
            if let Some(key) = &mut page.certificate_sha256 {
                key.push('x');
            }
        };
        let found = cases(&showing(Family::V6, other));
        assert!(found.iter().all(|one| one.0 == "certificate" && one.1.ends_with("https)")));
        assert!(!found.is_empty());
    }

    #[test]
    fn an_old_copy_for_users_of_ipv4_is_found_and_a_clock_that_moves_on_is_fine() {
        let network = showing(Family::V4, |page| page.stamp = Some("900".to_owned()));
        let scopes: Vec<_> =
            network.ask(&[&ContentParity]).into_iter().filter_map(|j| j.complaint).collect();
        assert!(scopes.iter().all(|c| c.case == "stale" && c.scope.family == Some(Family::V4)));
        assert!(!scopes.is_empty());
        let moving = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            if let Answer::Page { attempt, page: Some(page) } = answer {
                let later = u64::from(probe.round) * 10 + u64::from(attempt.family == Family::V6);
                page.stamp = Some((1000 + later).to_string());
            }
        });
        assert_eq!(cases(&moving), []);
    }
}
