//! `dns.aaaa-parity`: every published name has the addresses of the phase, and no others.

use std::{collections::BTreeSet, net::IpAddr};

use super::aaaa_bogus::bogus;
use super::aaaa_dead::closed_to;
use super::dns64_synth;
use crate::{
    check::{
        Case, Check, Text, UseCase,
        names::{self, Asked, Heard},
        reading::{self, Judge},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Severity},
        phase::Phase,
        service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct AaaaParity;

static TEXT: Text = Text {
    id: "dns.aaaa-parity",
    title: "A and AAAA of published names",
    section: "S2 2.1.1",
    use_case: UseCase::NetworkServices,
    question: "Does every published name have exactly the A and AAAA records that the phase plans, at every server?",
    good: "Every published name has the addresses of the phase.",
    references: &["RFC 3596", "RFC 7381 section 4.4"],
    cases: &[
        Case {
            name: "missing",
            finding: "{name} has no {type} record although its service is offered over that family.",
            expected: "{type} {planned}.",
            observed: "{server} ({address}) answers {found}.",
            remedy: "Publish the record once the service answers over that family (RFC 7381 section 4.4).",
        },
        Case {
            name: "unplanned",
            finding: "{name} has an {type} record that the phase does not plan.",
            expected: "{type} {planned}.",
            observed: "{server} ({address}) answers {found}.",
            remedy: "Withdraw the record, or plan the family for the service: clients will try this address.",
        },
        Case {
            name: "elsewhere",
            finding: "The {type} record of {name} leads somewhere else than planned.",
            expected: "{type} {planned}.",
            observed: "{server} ({address}) answers {found}.",
            remedy: "Correct the record.",
        },
        Case {
            name: "alias",
            finding: "The alias {alias} leads to {target} instead of {owner}.",
            expected: "{name} leads to {owner}: {type} {planned}.",
            observed: "{server} ({address}) answers CNAME {target}, {type} {found}.",
            remedy: "Correct the alias; the records of {owner} are another matter.",
        },
    ],
};

impl Check for AaaaParity {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        names::ask(&subjects(stage))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        names::repeat(seen, &subjects(stage))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let subjects = subjects(stage);
        let found =
            subjects.iter().map(|asked| of_one(judge, stage, seen, asked, &subjects)).collect();
        judge.or_not_applicable(found, "no names are published in this phase")
    }
}

fn subjects(stage: &Stage) -> Vec<Asked> {
    Family::ALL.into_iter().flat_map(|family| names::questions(stage, family)).collect()
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, asked: &Asked, all: &[Asked]) -> Judgement {
    let subject = asked.subject();
    if dns64_synth::prefix(stage, asked).is_some() {
        return judge.info(subject, "what it synthesizes is judged by dns64.synth", []);
    }
    let (id, reply) = match names::heard(seen, &asked.probe) {
        Heard::Reply(id, reply) => (id, reply),
        Heard::Silence(id) | Heard::Unheard(id) => {
            return judge.blocked(subject, "the server was not heard", [id]);
        }
        Heard::NotSent => return judge.not_testable(subject, "the question was not sent", []),
    };
    let judged_elsewhere = asked.family == Family::V6 || stage.phase != Phase::Ipv4Only;
    if !names::is_in_order(reply) && judged_elsewhere && !asked.is_gone(seen) {
        let reason = format!("the answer is not in order: {}", reply.rcode);
        return judge.blocked(subject, reason, [id]);
    }
    let planned = asked.published.of(asked.family);
    let found = names::addresses_in(reply, asked.family);
    let mut odd = found.difference(&planned);
    if odd.any(|address| bogus(stage, *address).is_some()) {
        return judge.blocked(subject, "the address is not one that can be used", [id]);
    }
    let case = match (planned.is_subset(&found), found.is_subset(&planned)) {
        (true, true) if planned.is_empty() => {
            return judge.absent(
                subject,
                "no address of this family is planned, and none is there",
                [id],
            );
        }
        (true, true) => return judge.pass(subject, [id]),
        _ if planned.is_empty() => "unplanned",
        (false, true) => "missing",
        _ => "elsewhere",
    };
    if asked.server.kind == ServiceKind::Resolver {
        return of_resolver(judge, stage, seen, asked, all, case, (&planned, &found));
    }
    let mut complaint = complaint(stage, asked, case, &planned, &found);
    if let Some((alias, target)) = asked.stray_alias(reply) {
        "alias".clone_into(&mut complaint.case);
        (complaint.culprit, complaint.scope) = asked.alias(alias);
        let owner = &asked.published.owner;
        for (name, value) in [("alias", alias), ("target", target), ("owner", owner)] {
            complaint.args.insert(name.to_owned(), value.to_string());
        }
    }
    judge.fail(subject, [id], complaint)
}

/// A resolver repeats what the zone holds: it is to blame only for what the authoritative servers answer otherwise.
fn of_resolver(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    asked: &Asked,
    all: &[Asked],
    case: &str,
    (planned, found): (&BTreeSet<IpAddr>, &BTreeSet<IpAddr>),
) -> Judgement {
    let upstream = all.iter().filter(|other| {
        other.server.kind == ServiceKind::Dns
            && other.published.name == asked.published.name
            && other.family == asked.family
    });
    let replies = upstream.filter_map(|other| match names::heard(seen, &other.probe) {
        Heard::Reply(id, reply) => Some((id, names::addresses_in(reply, asked.family))),
        _ => None,
    });
    let replies: Vec<_> = replies.collect();
    let evidence: Vec<_> = match names::heard(seen, &asked.probe) {
        Heard::Reply(id, _) => vec![id],
        _ => Vec::new(),
    };
    if replies.is_empty() {
        let reason = "no name server of the zone was heard either";
        return judge.blocked(asked.subject(), reason, evidence);
    }
    if let Some((id, _)) = replies.iter().find(|(_, addresses)| addresses != planned) {
        let reason = "it passes on what the name server of the zone answers";
        return judge.blocked(asked.subject(), reason, [evidence, vec![*id]].concat());
    }
    let complaint =
        Complaint { culprit: asked.answers(), ..complaint(stage, asked, case, planned, found) };
    judge.fail(asked.subject(), evidence, complaint)
}

fn complaint(
    stage: &Stage,
    asked: &Asked,
    case: &str,
    planned: &BTreeSet<IpAddr>,
    found: &BTreeSet<IpAddr>,
) -> Complaint {
    let mut complaint =
        reading::complaint(stage, case, asked.record(), asked.record_scope(), asked.args());
    complaint.args.insert("planned".to_owned(), list(planned));
    let found: Vec<_> = found.iter().map(|address| whose(stage, asked, *address)).collect();
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    complaint.args.insert("found".to_owned(), found);
    complaint.severity = severity(stage, case);
    complaint.confidence = Confidence::High;
    complaint.depth = Depth::Read;
    complaint
}

/// An address, and what is known of it where it is not one of the name's.
fn whose(stage: &Stage, asked: &Asked, address: IpAddr) -> String {
    let owner = stage.owner(address).filter(|_| !asked.published.addresses.contains(&address));
    let Some((owner, _)) = owner else { return address.to_string() };
    match closed_to(stage, &asked.published, address) {
        Some(user) => {
            format!("{address} (an address of {owner}, which {user} may not reach there)")
        }
        None => format!("{address} (an address of {owner})"),
    }
}

fn severity(stage: &Stage, case: &str) -> Severity {
    match (case, stage.phase) {
        ("unplanned", _) => Severity::Minor,
        (_, Phase::Ipv4Only | Phase::Ipv6Only) => Severity::Critical,
        _ => Severity::Major,
    }
}

fn list(addresses: &BTreeSet<IpAddr>) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            cause,
            fixture::{self, Network, domain},
        },
        model::record::{Record, RecordData},
    };

    /// Takes the AAAA records of the portal out of the zone and puts another in their place.
    fn with_aaaa(phase: Phase, instead: Option<&str>) -> Network {
        Network::healthy(phase).with(|live| {
            let ns = live.nodes.get_mut("ns").unwrap();
            let zone = &mut ns.zones.as_mut().unwrap().1[0];
            let portal = domain("portal.dc.test");
            let is_v6 = |data: &RecordData| matches!(data, RecordData::Address(a) if a.is_ipv6());
            zone.extra.retain(|record| record.name != portal || !is_v6(&record.data));
            if let Some(text) = instead {
                let data = RecordData::Address(text.parse().unwrap());
                zone.extra.push(Record { name: portal, data });
            }
        })
    }

    fn cases(network: &Network) -> Vec<(String, String)> {
        let mut found = fixture::complaints(&AaaaParity, network);
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&AaaaParity);
    }

    #[test]
    fn a_missing_record_is_one_trouble_also_for_the_aliases_of_its_name() {
        let found = cases(&with_aaaa(Phase::DualStack, None));
        assert_eq!(found, [("missing".to_owned(), "ns (record AAAA portal.dc.test)".to_owned())]);
    }

    #[test]
    fn a_record_that_leads_elsewhere_or_comes_too_early_is_found() {
        let found = cases(&with_aaaa(Phase::DualStack, Some("2001:db8:d::dead")));
        assert_eq!(found[0].0, "elsewhere");
        let found = cases(&with_aaaa(Phase::Ipv4Only, Some("2001:db8:d::a")));
        assert_eq!(found[0].0, "unplanned");
    }

    #[test]
    fn an_alias_that_leads_elsewhere_is_one_trouble_of_both_families() {
        let network = Network::healthy(Phase::DualStack).with(|live| {
            let zone = &mut live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1[0];
            let www = domain("www.dc.test");
            zone.extra.retain(|record| record.name != www);
            zone.extra.push(Record { name: www, data: RecordData::Alias(domain("ns.dc.test")) });
        });
        let judgements = network.ask(&[&AaaaParity]);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].case, "alias");
        assert_eq!(found[0].culprit.to_string(), "ns (record CNAME www.dc.test)");
    }
}
