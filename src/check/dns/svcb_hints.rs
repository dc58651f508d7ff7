//! `dns.svcb-hints`: the addresses that HTTPS records hint at are those that the name has.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase,
        names::{self, Asked, Heard},
        reading::{self, Judge},
    },
    model::{
        answer::DnsReply,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        probe::Probe,
        record::{RecordData, RecordType},
        service::{ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Hints;

static TEXT: Text = Text {
    id: "dns.svcb-hints",
    title: "Addresses in HTTPS records",
    section: "S0",
    use_case: UseCase::NetworkServices,
    question: "Does each HTTPS record hint at addresses alone that the A and AAAA records of its name hold, at none of a family \
               that the name does not have in this phase, and not at IPv4 alone where the name has both?",
    good: "HTTPS records hint at the addresses that their names have.",
    references: &["RFC 9460 section 7.3", "RFC 8305"],
    cases: &[
        Case {
            name: "stale",
            finding: "The HTTPS record of {name} hints at {odd}, which the name does not have: browsers that go by it lose time, \
                      or reach somebody else.",
            expected: "Hints among {addresses}.",
            observed: "{server} ({address}) answers HTTPS with {found}.",
            remedy: "Make the hints from the A and AAAA records, by the same hand and at the same time; or leave them out.",
        },
        Case {
            name: "family",
            finding: "The HTTPS record of {name} hints at {odd}, although the name has no address of {family} in this phase.",
            expected: "Hints among {addresses}.",
            observed: "{server} ({address}) answers HTTPS with {found}.",
            remedy: "Publish and withdraw hints of a family together with its A or AAAA records.",
        },
        Case {
            name: "old-alone",
            finding: "The HTTPS record of {name} hints at IPv4 alone, and the name has {odd} too: browsers that go by the hint begin \
                      with IPv4.",
            expected: "Hints among {addresses}, those of IPv6 with those of IPv4.",
            observed: "{server} ({address}) answers HTTPS with {found}.",
            remedy: "Give the record an `ipv6hint` wherever it has an `ipv4hint` (RFC 9460 section 7.3), or neither.",
        },
    ],
};

impl Check for Hints {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(probes(&subjects(stage)))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        reading::repeat_unanswered(seen, &probes(&subjects(stage)))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let subjects = subjects(stage);
        let found = subjects.iter().map(|asked| of_one(judge, stage, seen, asked, &subjects));
        judge.or_not_applicable(found.collect(), "no HTTPS record is planned in this phase")
    }
}

/// The names that have an HTTPS record, at every server that is to know them.
fn subjects(stage: &Stage) -> Vec<Asked> {
    let zones = names::forward_zones(stage);
    let records = zones.iter().flat_map(|zone| &zone.extra);
    let hinted = records.filter(|record| matches!(record.data, RecordData::Https(_)));
    let hinted: BTreeSet<_> = hinted.map(|record| &record.name).collect();
    let mut subjects = names::questions(stage, Family::V6);
    subjects.retain(|asked| hinted.contains(&asked.published.name));
    subjects
}

fn https(asked: &Asked) -> Probe {
    let name = &asked.published.name;
    names::lookup(&asked.server, name, RecordType::Https, Transport::Udp, None)
}

fn addresses(asked: &Asked, family: Family) -> Probe {
    let (name, rtype) = (&asked.published.name, RecordType::of(family));
    names::lookup(&asked.server, name, rtype, Transport::Udp, None)
}

fn probes(subjects: &[Asked]) -> Vec<Probe> {
    let of_one = |asked| {
        let others = Family::ALL.map(|family| addresses(asked, family));
        std::iter::once(https(asked)).chain(others)
    };
    subjects.iter().flat_map(of_one).collect()
}

fn hints_in(reply: &DnsReply) -> Option<BTreeSet<IpAddr>> {
    reply.answers.iter().find_map(|record| match &record.data {
        RecordData::Https(hints) => Some(hints.clone()),
        _ => None,
    })
}

/// The addresses that the server itself gives for the name.
fn given(seen: &Seen<'_>, asked: &Asked, evidence: &mut Vec<EvidenceId>) -> BTreeSet<IpAddr> {
    let mut given = BTreeSet::new();
    for family in Family::ALL {
        if let Heard::Reply(id, reply) = names::heard(seen, &addresses(asked, family)) {
            evidence.push(id);
            given.extend(names::addresses_in(reply, family));
        }
    }
    given
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, asked: &Asked, all: &[Asked]) -> Judgement {
    let subject = format!(
        "{} HTTPS at {} {} from {}",
        asked.published.name,
        asked.server.node,
        asked.server.at.ip(),
        asked.server.asker
    );
    let (id, reply) = match names::heard(seen, &https(asked)) {
        Heard::Reply(id, reply) => (id, reply),
        Heard::Silence(id) | Heard::Unheard(id) => {
            return judge.blocked(subject, "the server was not heard", [id]);
        }
        Heard::NotSent => return judge.not_testable(subject, "the question was not sent", []),
    };
    if !names::is_in_order(reply) {
        let reason = format!("the answer is not in order: {}", reply.rcode);
        return judge.blocked(subject, reason, [id]);
    }
    let Some(hints) = hints_in(reply).filter(|hints| !hints.is_empty()) else {
        return judge.absent(subject, "there are no hints that could be wrong", [id]);
    };
    let mut evidence = vec![id];
    let given = given(seen, asked, &mut evidence);
    let left_out = left_out(asked, &hints, &given);
    if hints.is_subset(&given) && !left_out.is_empty() && !passes_on(seen, asked, all, &hints) {
        let complaint = complaint(stage, asked, "old-alone", (&left_out, &hints, &given));
        return judge.fail(
            subject,
            evidence,
            Complaint { severity: Severity::Notice, ..complaint },
        );
    }
    if hints.is_subset(&given) {
        return judge.pass(subject, evidence);
    }
    let is_planned = |hint: &&IpAddr| asked.published.addresses.contains(*hint);
    let odd: BTreeSet<_> =
        hints.difference(&given).filter(|hint| !is_planned(hint)).copied().collect();
    let Some(first) = odd.first() else {
        let reason = "the hints are as planned, and the addresses of the name are not";
        return judge.blocked(subject, reason, evidence);
    };
    if passes_on(seen, asked, all, &hints) {
        return judge.blocked(subject, "it passes on what the zone holds", evidence);
    }
    let family = Family::of(*first);
    let unplanned = asked.published.of(family).is_empty();
    let case = if unplanned { "family" } else { "stale" };
    judge.fail(subject, evidence, complaint(stage, asked, case, (&odd, &hints, &given)))
}

/// The IPv6 addresses of a name whose hints are of IPv4 alone. What a resolver has made of IPv4 (DNS64) is nothing to hint at.
fn left_out(asked: &Asked, hints: &BTreeSet<IpAddr>, given: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let planned = asked.published.of(Family::V6);
    let new = given.iter().filter(|address| planned.contains(address)).copied();
    if hints.iter().all(IpAddr::is_ipv4) { new.collect() } else { BTreeSet::new() }
}

/// Whether a resolver gives the hints that an authoritative server of the name gives too.
fn passes_on(seen: &Seen<'_>, asked: &Asked, all: &[Asked], hints: &BTreeSet<IpAddr>) -> bool {
    let mut upstream = all.iter().filter(|other| {
        asked.server.kind == ServiceKind::Resolver
            && other.server.kind == ServiceKind::Dns
            && other.published.name == asked.published.name
    });
    upstream.any(|other| match names::heard(seen, &https(other)) {
        Heard::Reply(_, reply) => hints_in(reply).as_ref() == Some(hints),
        _ => false,
    })
}

fn complaint(
    stage: &Stage,
    asked: &Asked,
    case: &str,
    (odd, hints, given): (&BTreeSet<IpAddr>, &BTreeSet<IpAddr>, &BTreeSet<IpAddr>),
) -> Complaint {
    let words = |addresses: &BTreeSet<IpAddr>| {
        let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        if words.is_empty() { "no address".to_owned() } else { words.join(", ") }
    };
    let family = odd.first().map_or(asked.family, |address| Family::of(*address));
    let name = asked.published.name.clone();
    let culprit = Culprit::node(&asked.server.node, format!("record HTTPS {name}"));
    let scope = Scope { family: Some(family), name: Some(name), ..Scope::default() };
    let mut complaint = reading::complaint(stage, case, culprit, scope, asked.args());
    for (key, value) in [
        ("odd", words(odd)),
        ("found", words(hints)),
        ("addresses", words(given)),
        ("family", family.to_string()),
    ] {
        complaint.args.insert(key.to_owned(), value);
    }
    Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Read,
        ..complaint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network, domain},
        model::{phase::Phase, verdict::Verdict},
    };

    /// The server says something else about the shop than planned.
    fn hinting(phase: Phase, change: impl Fn(&mut BTreeSet<IpAddr>)) -> Network {
        Network::of(fixture::hosting(phase)).with(|live| {
            let zones = &mut live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1;
            for record in zones.iter_mut().flat_map(|zone| &mut zone.extra) {
                if record.name == domain("shop.hosting.test")
                    && let RecordData::Https(hints) = &mut record.data
                {
                    change(hints);
                }
            }
        })
    }

    #[test]
    fn hints_that_are_the_addresses_of_the_phase_are_silent() {
        fixture::assert_silent_when_healthy(&Hints);
        for phase in Phase::ALL {
            let found = Network::of(fixture::hosting(phase)).ask(&[&Hints]);
            let passed = found.iter().filter(|one| one.verdict == Verdict::Pass).count();
            assert!(found.iter().all(|one| !one.verdict.is_bad()), "{phase}: {found:#?}");
            assert_eq!(passed > 0, phase != Phase::Ipv4Only, "{phase}: {found:#?}");
        }
    }

    #[test]
    fn a_hint_at_a_retired_address_is_the_fault_of_the_zone_and_not_of_the_resolver() {
        let network = hinting(Phase::DualStack, |hints| {
            hints.insert("2001:db8:b:1::99".parse().unwrap());
        });
        let found = fixture::complaints(&Hints, &network);
        let culprit = "ns (record HTTPS shop.hosting.test)".to_owned();
        assert!(!found.is_empty());
        assert!(found.iter().all(|one| *one == ("stale".to_owned(), culprit.clone())), "{found:?}");
    }

    #[test]
    fn an_address_that_is_missing_is_not_the_fault_of_the_hint() {
        let network = Network::of(fixture::hosting(Phase::DualStack)).with(|live| {
            let zones = &mut live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1;
            let shop = domain("shop.hosting.test");
            let is_new = |data: &RecordData| matches!(data, RecordData::Address(a) if a.is_ipv6());
            for zone in zones {
                zone.extra.retain(|record| record.name != shop || !is_new(&record.data));
            }
        });
        assert_eq!(fixture::complaints(&Hints, &network), []);
    }

    #[test]
    fn hints_at_ipv4_alone_are_found_where_the_name_has_both() {
        let network = hinting(Phase::DualStack, |hints| hints.retain(IpAddr::is_ipv4));
        let found = fixture::complaints(&Hints, &network);
        let culprit = "ns (record HTTPS shop.hosting.test)".to_owned();
        assert!(!found.is_empty());
        assert!(
            found.iter().all(|one| *one == ("old-alone".to_owned(), culprit.clone())),
            "{found:?}"
        );
    }

    #[test]
    fn fewer_hints_than_addresses_and_none_at_all_are_silent() {
        let changes: [fn(&mut BTreeSet<IpAddr>); 2] =
            [|hints| hints.retain(IpAddr::is_ipv6), BTreeSet::clear];
        for change in changes {
            let network = hinting(Phase::DualStack, change);
            assert_eq!(fixture::complaints(&Hints, &network), []);
        }
    }
}
