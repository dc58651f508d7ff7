//! `out.literal-url`: a web service answers a URL with an IPv6 address in brackets.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        pages::{self, Site},
        reading::{self, Judge},
    },
    model::{
        answer::{Answer, Page},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Scope, Severity},
        probe::{Probe, Question},
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// The check.
pub(super) struct LiteralUrl;

static TEXT: Text = Text {
    id: "out.literal-url",
    title: "URLs with an IPv6 address",
    section: "S3",
    use_case: UseCase::OutsideToInside,
    question: "Does a web service answer a request whose Host header is an IPv6 address in brackets, with a page of more \
               than one packet?",
    good: "Bracketed Host headers are understood.",
    references: &["RFC 3986 section 3.2.2", "RFC 5952 section 6", "RFC 9110 section 7.2"],
    cases: &[Case {
        name: "refused",
        finding: "{node} answers {status} to a bracketed Host header.",
        expected: "A status below 400, as for the name ({named}).",
        observed: "{status} for Host {host}, asked from {from}.",
        remedy: "Mend the parsing of the Host header, and give the server a default virtual host.",
    }],
};

impl Check for LiteralUrl {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let sites = pages::sites(stage);
        let both = sites.iter().filter_map(|site| {
            let way = site.way(Family::V6)?;
            Some([literal(site, way), by_name(site, way)])
        });
        vec![Experiment::of_probes(both.flatten().collect::<Vec<_>>())]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let sites = pages::sites(stage);
        let found = sites.iter().filter_map(|site| {
            let way = site.way(Family::V6)?;
            Some(of_site(judge, stage, seen, site, way))
        });
        judge.or_not_applicable(found.collect(), "no page is offered over IPv6 in this phase")
    }
}

/// The page by the address. Whether the certificate holds for an address is not asked here.
fn literal(site: &Site<'_>, way: &Path) -> Probe {
    let mut probe = by_name(site, way);
    if let Question::Fetch { host, .. } = &mut probe.question {
        *host = ask::url_host(way.destination);
    }
    probe
}

fn by_name(site: &Site<'_>, way: &Path) -> Probe {
    site.fetch(way.destination, 0)
}

fn page<'e>(seen: &Seen<'e>, probe: &Probe) -> Option<(EvidenceId, &'e Page)> {
    match seen.answer(probe)? {
        (id, Answer::Page { page: Some(page), .. }) => Some((id, page)),
        _ => None,
    }
}

fn of_site(judge: Judge, stage: &Stage, seen: &Seen<'_>, site: &Site<'_>, way: &Path) -> Judgement {
    let subject = site.subject();
    let Some((control, named)) = page(seen, &by_name(site, way)) else {
        return judge.blocked(subject, "there is no page under the name either", []);
    };
    let Some((id, shown)) = page(seen, &literal(site, way)) else {
        return judge.not_testable(subject, "the second request brought no page", [control]);
    };
    if shown.status < 400 {
        return judge.pass(subject, [control, id]);
    }
    if named.status >= 400 {
        let reason = "the service answers with an error under its name too";
        return judge.blocked(subject, reason, [control, id]);
    }
    let args = [
        ("node", site.node.name.to_string()),
        ("from", site.user.to_string()),
        ("status", shown.status.to_string()),
        ("named", named.status.to_string()),
        ("host", ask::url_host(way.destination)),
    ];
    let complaint = Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(
            stage,
            "refused",
            site.culprit("Host header"),
            Scope { from: None, ..site.scope(Family::V6) },
            args,
        )
    };
    judge.fail(subject, [control, id], complaint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::phase::Phase,
    };

    fn answering(only_brackets: bool) -> Network {
        Network::healthy(Phase::Ipv6Only).bend(move |probe, answer| {
            if let Question::Fetch { host, .. } = &probe.question
                && (host.starts_with('[') || !only_brackets)
                && let Answer::Page { page: Some(page), .. } = answer
            {
                page.status = 400;
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&LiteralUrl);
    }

    #[test]
    fn a_server_that_refuses_brackets_is_found_and_one_that_refuses_everything_is_not_mistaken() {
        let found = fixture::complaints(&LiteralUrl, &answering(true));
        assert!(
            found.contains(&("refused".to_owned(), "portal (Host header of https)".to_owned()))
        );
        assert_eq!(fixture::complaints(&LiteralUrl, &answering(false)), []);
    }
}
