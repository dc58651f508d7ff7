//! `dns.aaaa-bogus`: AAAA records hold addresses that give IPv6 connectivity.

use std::net::{IpAddr, Ipv6Addr};

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
        service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct AaaaBogus;

static TEXT: Text = Text {
    id: "dns.aaaa-bogus",
    title: "AAAA that cannot work",
    section: "S2 2.1.1",
    use_case: UseCase::NetworkServices,
    question: "Does every AAAA record hold a global IPv6 address in 16 octets, and not a mapped, local, multicast or \
               transition address?",
    good: "Every AAAA record holds an address that can be used.",
    references: &[
        "RFC 4291",
        "RFC 4074 section 4.4",
        "RFC 6147 section 5.1.4",
        "RFC 6586 section 5.7",
    ],
    cases: &[
        Case {
            name: "class",
            finding: "The AAAA record of {name} holds {class}; it gives no IPv6 connectivity.",
            expected: "A global IPv6 address.",
            observed: "{server} ({address}) answers {found}.",
            remedy: "Put the host's real IPv6 address into the record, or withdraw it.",
        },
        Case {
            name: "malformed",
            finding: "{server} answers questions for {type} of {name} with data of the wrong length.",
            expected: "16 octets of address in each AAAA record.",
            observed: "{server} ({address}) answers with the data {found} in hexadecimal.",
            remedy: "Mend the name server or load balancer that puts IPv4 data into AAAA records.",
        },
    ],
};

impl Check for AaaaBogus {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        names::ask(&names::questions(stage, Family::V6))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        names::repeat(seen, &names::questions(stage, Family::V6))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let everyone = names::questions(stage, Family::V6);
        let found = everyone.iter().map(|asked| of_one(judge, stage, seen, asked, &everyone));
        judge.or_not_applicable(found.collect(), "no names are published in this phase")
    }
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, asked: &Asked, all: &[Asked]) -> Judgement {
    let subject = asked.subject();
    let (id, reply) = match names::heard(seen, &asked.probe) {
        Heard::Reply(id, reply) => (id, reply),
        Heard::Silence(id) | Heard::Unheard(id) => {
            return judge.blocked(subject, "the server was not heard", [id]);
        }
        Heard::NotSent => return judge.not_testable(subject, "the question was not sent", []),
    };
    let passes_on = asked.server.kind == ServiceKind::Resolver;
    let mut addresses = reply.addresses();
    let odd = addresses.find_map(|a| Some((a, bogus(stage, a)?)));
    let base = reading::complaint(stage, "", asked.record(), asked.record_scope(), asked.args());
    let base = Complaint {
        depth: Depth::Read,
        confidence: Confidence::High,
        severity: Severity::Major,
        ..base
    };
    match odd {
        Some(_) if passes_on => judge.blocked(subject, "it passes on what the zone holds", [id]),
        Some((address, class)) => {
            let mut complaint = Complaint { case: "class".to_owned(), ..base };
            complaint.args.insert("class".to_owned(), class.to_owned());
            complaint.args.insert("found".to_owned(), address.to_string());
            judge.fail(subject, [id], complaint)
        }
        None if !reply.malformed.is_empty() && asked.hangs_on_another(seen, all, names::plain) => {
            judge.blocked(subject, "it passes on what the name server answers", [id])
        }
        None if !reply.malformed.is_empty() => {
            let mut complaint = Complaint {
                case: "malformed".to_owned(),
                culprit: asked.answers(),
                scope: asked.answers_scope(),
                ..base
            };
            complaint.args.insert("found".to_owned(), reply.malformed.join(", "));
            judge.fail(subject, [id], complaint)
        }
        None => judge.pass(subject, [id]),
    }
}

/// Why an address in an AAAA record gives no IPv6 connectivity; `None` if it may. Prefixes of the testbed are real there,
/// documentation prefixes included.
pub(super) fn bogus(stage: &Stage, address: IpAddr) -> Option<&'static str> {
    let IpAddr::V6(v6) = address else { return None };
    let prefixes = stage.testbed.segments.values().flat_map(|segment| &segment.prefixes);
    if prefixes.into_iter().any(|prefix| prefix.contains(&address)) {
        return None;
    }
    class(v6)
}

/// The class of an address that no public name should lead to (RFC 4291, RFC 6890).
fn class(v6: Ipv6Addr) -> Option<&'static str> {
    let s = v6.segments();
    match s {
        [0, 0, 0, 0, 0, 0xffff, ..] => Some("an IPv4-mapped address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("the unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("the loopback address"),
        [0, 0, 0, 0, 0, 0, ..] => Some("an IPv4-compatible address"),
        [0x64, 0xff9b, ..] => Some("an address of the NAT64 prefix"),
        [0x2001, 0, ..] => Some("a Teredo address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("a documentation address"),
        [0x2002, ..] => Some("a 6to4 address"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("a link-local address"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("a unique local address"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("a multicast address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network, domain},
        model::{
            answer::Answer,
            phase::Phase,
            probe::Question,
            record::{Record, RecordData, RecordType},
        },
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&AaaaBogus);
    }

    #[test]
    fn addresses_have_their_class() {
        for (text, expected) in [
            ("::ffff:192.0.2.1", Some("an IPv4-mapped address")),
            ("::192.0.2.1", Some("an IPv4-compatible address")),
            ("fe80::1", Some("a link-local address")),
            ("fd00::1", Some("a unique local address")),
            ("ff02::1", Some("a multicast address")),
            ("2002:c000:201::1", Some("a 6to4 address")),
            ("2001:0:1::1", Some("a Teredo address")),
            ("64:ff9b::c000:201", Some("an address of the NAT64 prefix")),
            ("2001:db8:ffff::1", Some("a documentation address")),
            ("2a00:1450::1", None),
        ] {
            assert_eq!(class(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_mapped_address_is_found_in_the_zone_and_not_at_the_resolver() {
        let network = Network::healthy(Phase::DualStack).with(|live| {
            let zone = &mut live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1[0];
            let name = domain("portal.dc.test");
            zone.extra.retain(|r| {
                r.name != name || !matches!(r.data, RecordData::Address(a) if a.is_ipv6())
            });
            let data = RecordData::Address("::ffff:203.0.113.10".parse().unwrap());
            zone.extra.push(Record { name, data });
        });
        let found = fixture::complaints(&AaaaBogus, &network);
        assert!(!found.is_empty());
        for one in found {
            assert_eq!(one, ("class".to_owned(), "ns (record AAAA portal.dc.test)".to_owned()));
        }
    }

    #[test]
    fn four_octets_in_an_aaaa_record_are_found() {
        let network = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            let Question::Lookup { rtype: RecordType::Aaaa, recurse: false, .. } = probe.question
            else {
                return;
            };
            if let Answer::Dns { reply: Some(reply), .. } = answer {
                reply.answers.clear();
                reply.malformed = vec!["cb00710a".to_owned()];
            }
        });
        let found = fixture::complaints(&AaaaBogus, &network);
        assert!(found.contains(&("malformed".to_owned(), "ns (answers about AAAA)".to_owned())));
    }
}
