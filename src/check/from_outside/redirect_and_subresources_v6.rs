//! `out.redirect-and-subresources-v6`: what pages send their readers on to, and what they load, has IPv6 too.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        names::{self, Heard},
        pages::{self, Site},
        reading::{self, Judge},
    },
    model::{
        answer::{Answer, Page},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Severity},
        name::DomainName,
        phase::Phase,
        probe::Probe,
        verdict::Judgement,
    },
    stage::Stage,
    wire::reference::{self, Host},
};

/// The check.
pub(super) struct References;

static TEXT: Text = Text {
    id: "out.redirect-and-subresources-v6",
    title: "What pages lead to and load",
    section: "S4",
    use_case: UseCase::OutsideToInside,
    question: "Does everything that a page sends its readers on to, or loads from elsewhere, have IPv6? What scripts load in their \
               turn is not seen.",
    good: "Pages refer to nothing that users with IPv6 alone do not get.",
    references: &["RFC 6586 section 6", "RFC 7381 section 2.4.3", "RFC 3986 section 3.2.2"],
    cases: &[
        Case {
            name: "redirect",
            finding: "{what} sends its readers on to {odd}: who has IPv6 alone gets nothing of it.",
            expected: "A redirect to a name with an AAAA record.",
            observed: "{address} answers {status}, Location {odd}. {why}.",
            remedy: "Redirect to a name, and give the name an AAAA record once its service answers over IPv6.",
        },
        Case {
            name: "subresource",
            finding: "The page of {what} loads {odd}: for users with IPv6 alone it stays incomplete, however well it is reached \
                      itself.",
            expected: "Everything that the page loads comes from hosts with IPv6.",
            observed: "The page at {address} refers to {odd}. {why}.",
            remedy: "Serve it from a host of your own with IPv6, ask whoever serves it for IPv6, or accept it and write it down.",
        },
    ],
};

impl Check for References {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let sites = sites(stage);
        vec![Experiment::of_probes(sites.iter().filter_map(question))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let sites = sites(stage);
        let pages: Vec<_> = sites.iter().filter_map(question).collect();
        let mut experiments = reading::repeat_unanswered(seen, &pages);
        let lookups = sites.iter().flat_map(|site| {
            let names = page(seen, site).into_iter().flat_map(|(_, page)| names_in(page));
            let asked = names.flat_map(|name| lookups(stage, site, &name));
            asked.collect::<Vec<_>>()
        });
        let lookups: Vec<_> = lookups.collect();
        experiments.extend(reading::repeat_unanswered(seen, &lookups));
        experiments.push(Experiment::of_probes(lookups));
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let sites = sites(stage);
        let found = sites.iter().map(|site| of_one(judge, stage, seen, site)).collect();
        judge.or_not_applicable(found, "no page is shown over IPv6 in this phase")
    }
}

/// The sites that are seen over IPv6.
fn sites(stage: &Stage) -> Vec<Site<'_>> {
    let mut sites = pages::sites(stage);
    sites.retain(|site| site.way(Family::V6).is_some());
    sites
}

fn question(site: &Site<'_>) -> Option<Probe> {
    Some(site.fetch(site.way(Family::V6)?.destination, 0))
}

/// The page, over all rounds.
fn page<'e>(seen: &Seen<'e>, site: &Site<'_>) -> Option<(EvidenceId, &'e Page)> {
    let first = question(site)?;
    (0..=reading::REPETITIONS).find_map(|round| {
        match seen.answer(&Probe { round, ..first.clone() })? {
            (id, Answer::Page { page: Some(page), .. }) => Some((id, page)),
            _ => None,
        }
    })
}

/// What a page refers to: the redirect first.
fn references(page: &Page) -> impl Iterator<Item = (&'static str, &String)> {
    let redirect = page.location.iter().map(|url| ("redirect", url));
    redirect.chain(page.loads.iter().map(|url| ("subresource", url)))
}

fn names_in(page: &Page) -> Vec<DomainName> {
    let hosts = references(page).filter_map(|(_, url)| reference::host(url).ok());
    hosts
        .filter_map(|host| match host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        })
        .collect()
}

/// What a reader asks for a name.
fn lookups(stage: &Stage, site: &Site<'_>, name: &DomainName) -> Vec<Probe> {
    let server = names::resolvers_of(stage, &site.user).next();
    server.map_or_else(Vec::new, |server| names::both_families(&server, name).into())
}

/// What is known of a reference.
enum Known {
    /// It has IPv6, or leads nowhere in either family: that is another matter.
    Fine,
    /// It has IPv4 alone, and why that is known.
    Odd(String),
    /// Nothing.
    Unknown,
}

fn known(
    stage: &Stage,
    seen: &Seen<'_>,
    site: &Site<'_>,
    url: &str,
    evidence: &mut Vec<EvidenceId>,
) -> Known {
    let name = match reference::host(url) {
        // A path of its own.
        Err(_) | Ok(Host::Address(std::net::IpAddr::V6(_))) => return Known::Fine,
        Ok(Host::Address(address)) => return Known::Odd(format!("{address} is IPv4 by itself")),
        Ok(Host::Name(name)) => name,
    };
    let asked = lookups(stage, site, &name);
    let heard = asked.iter().filter_map(|probe| match names::heard(seen, probe) {
        Heard::Reply(id, reply) => Some((id, reply)),
        _ => None,
    });
    let heard: Vec<_> = heard.collect();
    evidence.extend(heard.iter().map(|(id, _)| *id));
    let [(_, new), (_, old)] = heard.as_slice() else { return Known::Unknown };
    let has = |reply, family| !names::addresses_in(reply, family).is_empty();
    match (has(new, Family::V6), has(old, Family::V4)) {
        (false, true) => Known::Odd(format!("{name} has an A record and no AAAA record")),
        _ if new.rcode == "ServFail" => Known::Unknown,
        _ => Known::Fine,
    }
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, site: &Site<'_>) -> Judgement {
    let subject = site.subject();
    let Some((id, page)) = page(seen, site) else {
        return judge.blocked(subject, "the page did not come over IPv6", []);
    };
    let mut evidence = vec![id];
    let mut unknown = None;
    for (case, url) in references(page) {
        match known(stage, seen, site, url, &mut evidence) {
            Known::Fine => {}
            Known::Unknown => unknown = Some(url),
            Known::Odd(_) if stage.phase == Phase::Partial => {
                let reason = format!("it refers to {url}, which has no IPv6");
                return judge.info(subject, reason, evidence);
            }
            Known::Odd(why) => {
                let complaint = complaint(stage, site, page, case, (url, why));
                return judge.fail(subject, evidence, complaint);
            }
        }
    }
    match unknown {
        Some(url) => {
            let reason = format!("the names in {url} could not be looked up");
            judge.not_testable(subject, reason, evidence)
        }
        None => judge.pass(subject, evidence),
    }
}

fn complaint(
    stage: &Stage,
    site: &Site<'_>,
    page: &Page,
    case: &str,
    (url, why): (&String, String),
) -> Complaint {
    let address = site.way(Family::V6).map(|way| way.destination.to_string());
    let args = [
        ("what", format!("{} of {}", site.service.name, site.node.name)),
        ("odd", url.clone()),
        ("why", why),
        ("address", address.unwrap_or_default()),
        ("status", page.status.to_string()),
    ];
    let culprit = site.culprit("references");
    let alone = |phase: &Phase| phase.permits().has(Family::V6) && !phase.permits().is_dual();
    let now = std::iter::once(stage.phase).chain(stage.phase.later());
    Complaint {
        severity: if alone(&stage.phase) { Severity::Major } else { Severity::Minor },
        confidence: Confidence::High,
        depth: Depth::Read,
        // Whoever has IPv4 beside it does not notice.
        bites_in: now.filter(alone).collect(),
        ..reading::complaint(stage, case, culprit, site.scope(Family::V6), args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{probe::Question, verdict::Verdict},
    };

    /// The pages of the portal load something, or send readers on.
    fn referring(loads: &'static [&'static str], location: Option<&'static str>) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            if let (Question::Fetch { .. }, Answer::Page { page: Some(page), .. }) =
                (&probe.question, answer)
            {
                page.loads = loads.iter().map(|url| (*url).to_owned()).collect();
                page.location = location.map(str::to_owned);
            }
        })
    }

    fn cases(network: &Network) -> Vec<(String, String)> {
        let mut found = fixture::complaints(&References, network);
        found.dedup();
        found
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&References);
    }

    #[test]
    fn literals_and_names_with_ipv4_alone_are_found() {
        let network = referring(&["http://10.2.0.9/logo.png"], None);
        let found = cases(&network);
        assert!(!found.is_empty());
        assert!(found.iter().all(|(case, _)| case == "subresource"), "{found:?}");
        let culprit = &found[0].1;
        assert!(culprit.starts_with("portal (references of http"), "{culprit}");
        let away = cases(&referring(&[], Some("https://192.0.2.9/")));
        assert!(!away.is_empty() && away.iter().all(|(case, _)| case == "redirect"), "{away:?}");
    }

    #[test]
    fn what_has_ipv6_or_leads_nowhere_at_all_is_silent() {
        let urls =
            &["https://portal.dc.test/a.js", "https://[2001:db8::1]/", "https://no.dc.test/"];
        let judgements = referring(urls, Some("/login")).ask(&[&References]);
        assert!(judgements.iter().all(|one| one.verdict == Verdict::Pass), "{judgements:#?}");
    }
}
