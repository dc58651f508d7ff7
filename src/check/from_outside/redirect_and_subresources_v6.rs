//! `out.redirect-and-subresources-v6`: what pages send their readers on to, and what they load, comes over IPv6 too.

use std::net::{IpAddr, SocketAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        names::{self, Heard},
        pages::{self, Site},
        reach::Leg,
        reading::{self, Judge},
    },
    model::{
        answer::{DnsReply, Page},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Depth, Severity},
        phase::Phase,
        probe::{Probe, Question},
        segment::Plane,
        service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
    wire::reference::{self, Host, Reference},
};

/// The check.
pub(super) struct References;

static TEXT: Text = Text {
    id: "out.redirect-and-subresources-v6",
    title: "What pages lead to and load",
    section: "S4",
    use_case: UseCase::OutsideToInside,
    question: "Does everything that a page sends its readers on to, or loads from elsewhere, have IPv6, and where it has both \
               families, does it answer over IPv6 as it does over IPv4? One step is followed; what scripts load in their turn \
               is not seen.",
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
        Case {
            name: "unreached",
            finding: "{what} refers to {odd}, which answers over IPv4 and not over IPv6: users with IPv6 alone get nothing of it, \
                      and others wait.",
            expected: "An answer over IPv6 as over IPv4.",
            observed: "The page at {address} refers to {odd}. {why}.",
            remedy: "Mend the service or the record behind it, or refer to something else until then.",
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
        let (mut lookups, mut fetches) = (Vec::new(), Vec::new());
        for site in &sites {
            for led in page(seen, site).iter().flat_map(|(_, page)| led_to(page)) {
                lookups.extend(lookups_of(stage, site, &led));
                fetches.extend(fetches_of(stage, seen, site, &led).into_iter().flatten());
            }
        }
        experiments.push(Experiment::of_probes(fetches));
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
    pages::shown(seen, &question(site)?).next()
}

/// What a page refers to: the redirect first.
fn references(page: &Page) -> impl Iterator<Item = (&'static str, &String)> {
    let redirect = page.location.iter().map(|url| ("redirect", url));
    redirect.chain(page.loads.iter().map(|url| ("subresource", url)))
}

/// What can be read of them.
fn led_to(page: &Page) -> Vec<Reference> {
    references(page).filter_map(|(_, url)| reference::read(url).ok()).collect()
}

/// What a reader asks for the name that a reference leads to.
fn lookups_of(stage: &Stage, site: &Site<'_>, led: &Reference) -> Vec<Probe> {
    let Some(name) = led.name() else { return Vec::new() };
    let server = names::resolvers_of(stage, &site.user).next();
    server.map_or_else(Vec::new, |server| names::both_families(&server, name).into())
}

/// The replies to that.
fn replies<'e>(seen: &Seen<'e>, asked: &[Probe]) -> Vec<(EvidenceId, &'e DnsReply)> {
    let heard = asked.iter().filter_map(|probe| match names::heard(seen, probe) {
        Heard::Reply(id, reply) => Some((id, reply)),
        _ => None,
    });
    heard.collect()
}

/// What a reader with both families asks for what a name leads to, IPv4 first, once its addresses of both are known. With
/// one family there is nothing to compare: that a service is not reached at all is the matter of other checks.
fn fetches_of(
    stage: &Stage,
    seen: &Seen<'_>,
    site: &Site<'_>,
    led: &Reference,
) -> Option<[Probe; 2]> {
    if stage.families(&site.user, Plane::Data) != Families::BOTH {
        return None;
    }
    let host = led.name()?.to_string();
    let replies = replies(seen, &lookups_of(stage, site, led));
    let address = |family| {
        replies.iter().find_map(|(_, reply)| names::addresses_in(reply, family).first().copied())
    };
    let tls = led.tls.unwrap_or(site.service.kind == ServiceKind::Https);
    let port = led.port.unwrap_or(if tls { 443 } else { 80 });
    let fetch = |to| {
        let to = SocketAddr::new(to, port);
        let (tls, host, path) = (tls.then(|| host.clone()), host.clone(), led.path.clone());
        ask::probe(&site.user, Question::Fetch { to, tls, host, path })
    };
    let [v4, v6] = Family::ALL.map(address);
    Some([fetch(v4?), fetch(v6?)])
}

/// What is known of a reference.
enum Known {
    /// It has IPv6, or leads nowhere in either family: that is another matter.
    Fine,
    /// It has IPv4 alone, and why that is known.
    Odd(String),
    /// It has both, and answers over IPv4 alone: what was asked over IPv6, and what came of it.
    Unreached(Box<Probe>, String),
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
    let Ok(led) = reference::read(url) else {
        // A path of its own.
        return Known::Fine;
    };
    let name = match &led.host {
        Host::Address(IpAddr::V6(_)) => return Known::Fine,
        Host::Address(address) => return Known::Odd(format!("{address} is IPv4 by itself")),
        Host::Name(name) => name,
    };
    let heard = replies(seen, &lookups_of(stage, site, &led));
    evidence.extend(heard.iter().map(|(id, _)| *id));
    let [(_, new), (_, old)] = heard.as_slice() else { return Known::Unknown };
    let has = |reply, family| !names::addresses_in(reply, family).is_empty();
    match (has(new, Family::V6), has(old, Family::V4)) {
        (false, true) => Known::Odd(format!("{name} has an A record and no AAAA record")),
        (true, true) => fetched(stage, seen, site, &led, evidence),
        _ if new.rcode == "ServFail" => Known::Unknown,
        _ => Known::Fine,
    }
}

/// What came over both families.
fn fetched(
    stage: &Stage,
    seen: &Seen<'_>,
    site: &Site<'_>,
    led: &Reference,
    evidence: &mut Vec<EvidenceId>,
) -> Known {
    let Some([old, new]) = fetches_of(stage, seen, site, led) else { return Known::Fine };
    let (Some((old, came)), Some((id, answer))) = (seen.answer(&old), seen.answer(&new)) else {
        return Known::Unknown;
    };
    evidence.extend([old, id]);
    if !came.is_answered() || answer.is_answered() {
        return Known::Fine;
    }
    Known::Unreached(Box::new(new), reading::describe(answer))
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
            Known::Unreached(asked, why) => {
                let complaint = complaint(stage, site, page, "unreached", (url, why));
                return judge.fail(subject, evidence, unreached(stage, *asked, complaint));
            }
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
            let reason = format!("what {url} leads to could not be looked at");
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

/// What is served by a node of the plan is explained by whatever keeps it from being reached.
fn unreached(stage: &Stage, asked: Probe, complaint: Complaint) -> Complaint {
    let to = asked.question.destination();
    let path = to.and_then(|to| stage.path(&asked.from, to).ok());
    let scope = path.map(|path| Leg::new(path, asked).scope());
    Complaint {
        depth: Depth::Symptom,
        scope: scope.unwrap_or_else(|| complaint.scope.clone()),
        ..complaint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{answer::Answer, probe::Question, verdict::Verdict},
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
    fn what_answers_over_ipv4_alone_is_found() {
        let urls = &["https://portal.dc.test/a.js"];
        let network = referring(urls, None).bend(|probe, answer| {
            if let (Question::Fetch { to, path, .. }, Answer::Page { page, attempt, .. }) =
                (&probe.question, answer)
                && path == "/a.js"
                && to.is_ipv6()
            {
                *page = None;
                attempt.outcome = crate::model::answer::Outcome::TimedOut;
            }
        });
        let found = cases(&network);
        assert!(!found.is_empty());
        assert!(found.iter().all(|(case, _)| case == "unreached"), "{found:?}");
    }

    #[test]
    fn what_has_ipv6_or_leads_nowhere_at_all_is_silent() {
        let urls =
            &["https://portal.dc.test/a.js", "https://[2001:db8::1]/", "https://no.dc.test/"];
        let judgements = referring(urls, Some("/login")).ask(&[&References]);
        assert!(judgements.iter().all(|one| one.verdict == Verdict::Pass), "{judgements:#?}");
    }
}
