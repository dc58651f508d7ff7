//! `dns64.synth`: resolvers that are to synthesize addresses do it with the prefix of the translator, for names without IPv6
//! alone.

use std::{collections::BTreeSet, net::IpAddr};

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
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        name::NodeName,
        probe::Probe,
        record::RecordType,
        service::{ServiceKind, Transport},
        translation::Pref64,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Synth;

static TEXT: Text = Text {
    id: "dns64.synth",
    title: "Synthesized addresses",
    section: "S4 NAT64",
    use_case: UseCase::NetworkServices,
    question: "Does each resolver with DNS64 answer with addresses of the translator's prefix for names that have IPv4 addresses \
               alone, and with the native ones for all others?",
    good: "Addresses are synthesized where there is no native one, and nowhere else.",
    references: &["RFC 6147 section 5.1", "RFC 6052"],
    cases: &[
        Case {
            name: "missing",
            finding: "{server} synthesizes no address for {name}: users with IPv6 alone cannot reach it.",
            expected: "AAAA {planned}.",
            observed: "{server} ({address}) answers {found}.",
            remedy: "Switch DNS64 on in the resolver, for the clients that have IPv6 alone.",
        },
        Case {
            name: "prefix",
            finding: "{server} synthesizes addresses for {name} that lead to no translator.",
            expected: "AAAA {planned}, of the prefix {prefix}.",
            observed: "{server} ({address}) answers {found}.",
            remedy: "Give resolver and translator the same prefix, from one place.",
        },
        Case {
            name: "over-native",
            finding: "{server} synthesizes addresses for {name} although it has IPv6: its users are led through the translator.",
            expected: "AAAA {planned}.",
            observed: "{server} ({address}) answers {found}.",
            remedy: "Let the resolver synthesize only where there is no AAAA record (RFC 6147 section 5.1.4).",
        },
    ],
};

impl Check for Synth {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let everyone = names::questions(stage, Family::V6);
        if everyone.iter().any(|asked| prefix(stage, asked).is_some()) {
            let mut experiments = names::ask(&everyone);
            let upstream = everyone.iter().filter(|asked| asked.server.kind == ServiceKind::Dns);
            experiments.push(Experiment::of_probes(upstream.map(old)));
            experiments
        } else {
            Vec::new()
        }
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let everyone = names::questions(stage, Family::V6);
        if everyone.iter().any(|asked| prefix(stage, asked).is_some()) {
            names::repeat(seen, &everyone)
        } else {
            Vec::new()
        }
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let everyone = names::questions(stage, Family::V6);
        let of_resolvers = everyone.iter().filter_map(|asked| {
            Some(of_one(judge, stage, seen, asked, prefix(stage, asked)?, &everyone))
        });
        judge.or_not_applicable(of_resolvers.collect(), "no resolver synthesizes in this phase")
    }
}

/// The prefix that the server is to synthesize with, where it is to.
pub(super) fn prefix(stage: &Stage, asked: &Asked) -> Option<Pref64> {
    let is_resolver = asked.server.kind == ServiceKind::Resolver && asked.family == Family::V6;
    let (service, prefix) = stage.synthesis(&asked.server.node).filter(|_| is_resolver)?;
    (*service == asked.server.service).then_some(prefix)
}

/// What a resolver is blamed for that synthesizes wrongly.
const PART: &str = "synthesis of AAAA";

/// Who is to blame where a resolver answers other addresses than those that it is to synthesize; whatever else it says of
/// the prefix then comes from the same.
pub(super) fn blamed(stage: &Stage, seen: &Seen<'_>, resolver: &NodeName) -> Option<Culprit> {
    let everyone = names::questions(stage, Family::V6);
    let own = everyone.iter().filter(|asked| asked.server.node == *resolver);
    let mut verdicts = own.filter_map(|asked| {
        Some(of_one(Judge(&TEXT), stage, seen, asked, prefix(stage, asked)?, &everyone))
    });
    let complaint = verdicts.find_map(|judgement| judgement.complaint)?;
    (complaint.case != "over-native").then_some(complaint.culprit)
}

/// The addresses of IPv6 that a resolver is to answer: the native ones, or else those made of the others.
fn planned(asked: &Asked, prefix: Pref64) -> BTreeSet<IpAddr> {
    let native = asked.published.of(Family::V6);
    if !native.is_empty() {
        return native;
    }
    made(prefix, &asked.published.of(Family::V4))
}

/// What is made of IPv4 addresses.
fn made(prefix: Pref64, old: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let embed = |address: &IpAddr| match address {
        IpAddr::V4(address) => Some(prefix.embed(*address).into()),
        IpAddr::V6(_) => None,
    };
    old.iter().filter_map(embed).collect()
}

/// Whether an address is made with a prefix.
fn is_made(prefix: Pref64, address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if prefix.extract(address).is_some())
}

/// A question for the IPv4 addresses of a name at the server that is asked for the others.
fn old(asked: &Asked) -> Probe {
    names::lookup(&asked.server, &asked.published.name, RecordType::A, Transport::Udp, None)
}

/// The addresses that a resolver has to answer by what the name servers themselves say to it; `None` where they were not heard
/// or do not agree.
fn follows(
    seen: &Seen<'_>,
    asked: &Asked,
    prefix: Pref64,
    all: &[Asked],
) -> Option<BTreeSet<IpAddr>> {
    let upstream = all.iter().filter(|other| {
        other.server.kind == ServiceKind::Dns
            && other.server.asker == asked.server.node
            && other.published.name == asked.published.name
    });
    let told = |other: &Asked| {
        let addresses = |probe: &Probe, family| match names::heard(seen, probe) {
            Heard::Reply(_, reply) if names::is_in_order(reply) => {
                Some(names::addresses_in(reply, family))
            }
            _ => None,
        };
        let native = addresses(&other.probe, Family::V6)?;
        if !native.is_empty() {
            return Some(native);
        }
        Some(made(prefix, &addresses(&old(other), Family::V4)?))
    };
    let mut told = upstream.map(told);
    let first = told.next()??;
    told.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

fn of_one(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    asked: &Asked,
    prefix: Pref64,
    all: &[Asked],
) -> Judgement {
    let subject = asked.subject();
    let (id, reply) = match names::heard(seen, &asked.probe) {
        Heard::Reply(id, reply) => (id, reply),
        Heard::Silence(id) | Heard::Unheard(id) => {
            return judge.blocked(subject, "the resolver was not heard", [id]);
        }
        Heard::NotSent => return judge.not_testable(subject, "the question was not sent", []),
    };
    let planned = planned(asked, prefix);
    let found = names::addresses_in(reply, Family::V6);
    if planned == found {
        return judge.pass(subject, [id]);
    }
    if !names::is_in_order(reply) && !reply.answers.is_empty()
        || asked.hangs_on_another(seen, all, names::plain)
    {
        return judge.blocked(subject, "it passes on what the name server answers", [id]);
    }
    if follows(seen, asked, prefix, all).as_ref() == Some(&found) {
        let reason = "it follows from what the name server answers: see dns.aaaa-parity";
        return judge.blocked(subject, reason, [id]);
    }
    if found.is_empty() && !names::is_in_order(reply) && !asked.is_gone(seen) {
        let reason = format!("it answers {}: see dns.aaaa-rcode", reply.rcode);
        return judge.blocked(subject, reason, [id]);
    }
    let case = match asked.published.of(Family::V6).is_empty() {
        false if found.iter().any(|address| is_made(prefix, *address)) => "over-native",
        false => return judge.blocked(subject, "it is judged with the native addresses", [id]),
        true if found.is_empty() => "missing",
        true => "prefix",
    };
    let words = |addresses: &BTreeSet<IpAddr>| {
        let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        if words.is_empty() { format!("{} and no address", reply.rcode) } else { words.join(", ") }
    };
    let culprit = Culprit::node(&asked.server.node, PART);
    let mut complaint =
        reading::complaint(stage, case, culprit, asked.record_scope(), asked.args());
    for (key, value) in
        [("planned", words(&planned)), ("found", words(&found)), ("prefix", prefix.to_string())]
    {
        complaint.args.insert(key.to_owned(), value);
    }
    let complaint = Complaint {
        severity: if case == "over-native" { Severity::Major } else { Severity::Critical },
        confidence: Confidence::High,
        depth: Depth::Read,
        ..complaint
    };
    judge.fail(subject, [id], complaint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::phase::Phase,
    };

    #[test]
    fn a_network_without_synthesis_has_nothing_to_judge() {
        fixture::assert_silent_when_healthy(&Synth);
        let network = Network::healthy(Phase::Ipv6Only);
        assert!(Synth.ask(&network.plan).is_empty(), "and nothing is asked");
    }
}
