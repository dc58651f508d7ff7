//! `dns64.prefix-discovery`: hosts learn the prefix of the translator, from their resolver and from their router, and both say the
//! same.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use super::dns64_synth;
use crate::{
    check::{
        Case, Check, Text, UseCase, advertisement,
        names::{self, Heard, Server},
        reading::{self, Judge},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::{DomainName, NodeName, SegmentName},
        probe::Probe,
        record::RecordType,
        service::{ServiceKind, Transport},
        translation::Pref64,
        verdict::Judgement,
    },
    stage::{Stage, StagedAdvertisement, StagedInterface},
};

/// The check.
pub(super) struct PrefixDiscovery;

/// The addresses of the name by which the prefix is found (RFC 7050 section 2.2).
const KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

static TEXT: Text = Text {
    id: "dns64.prefix-discovery",
    title: "How hosts learn the translation prefix",
    section: "S4 NAT64",
    use_case: UseCase::NetworkServices,
    question: "Do the AAAA records of ipv4only.arpa at every resolver with DNS64, and the Router Advertisements of every link, tell \
               the prefix of the translator?",
    good: "Resolvers and routers tell the prefix of the translator.",
    references: &["RFC 7050", "RFC 8880", "RFC 8781"],
    cases: &[
        Case {
            name: "resolver",
            finding: "{server} tells hosts that ask for ipv4only.arpa another translation prefix than that of the translator.",
            expected: "{planned}.",
            observed: "{found}.",
            remedy: "Give the resolver and the translator the same prefix, and let the resolver synthesize ipv4only.arpa like any \
                     other name.",
        },
        Case {
            name: "router",
            finding: "The Router Advertisements of {server} on {segment} do not tell the prefix of the translator.",
            expected: "{planned}.",
            observed: "{found}.",
            remedy: "Announce the prefix with the PREF64 option (RFC 8781): hosts that do not trust the resolver, or validate by \
                     themselves, know it from there alone.",
        },
    ],
};

impl Check for PrefixDiscovery {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let lookups = servers(stage).into_iter().map(|(server, _)| question(&server));
        let mut experiments = vec![Experiment::of_probes(lookups)];
        if routers(stage).next().is_some() {
            experiments.push(advertisement::solicit(stage));
        }
        experiments
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let lookups: Vec<_> = servers(stage).iter().map(|(server, _)| question(server)).collect();
        reading::repeat_unanswered(seen, &lookups)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let resolvers = servers(stage);
        let resolvers =
            resolvers.iter().map(|(s, prefix)| of_server(judge, stage, seen, s, *prefix));
        let routers = routers(stage).map(|router| router.judge(judge, stage, seen));
        let found = resolvers.chain(routers).collect();
        judge.or_not_applicable(found, "nothing is translated in this phase")
    }
}

/// The resolvers that synthesize, each at every address with one node that asks.
fn servers(stage: &Stage) -> Vec<(Server, Pref64)> {
    let mut found = Vec::<(Server, Pref64)>::new();
    for server in names::servers(stage) {
        let Some((service, prefix)) = stage.synthesis(&server.node) else { continue };
        let known = found.iter().any(|(other, _)| other.at == server.at);
        if server.kind == ServiceKind::Resolver && *service == server.service && !known {
            found.push((server, prefix));
        }
    }
    found
}

fn question(server: &Server) -> Probe {
    let name: DomainName = "ipv4only.arpa".parse().expect("a constant that is a name");
    names::lookup(server, &name, RecordType::of(Family::V6), Transport::Udp, None)
}

fn of_server(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    server: &Server,
    prefix: Pref64,
) -> Judgement {
    let subject = format!("{} {} from {}", server.node, server.at.ip(), server.asker);
    let (id, reply) = match names::heard(seen, &question(server)) {
        Heard::Reply(id, reply) => (id, reply),
        Heard::Silence(id) | Heard::Unheard(id) => {
            return judge.blocked(subject, "the resolver was not heard", [id]);
        }
        Heard::NotSent => return judge.not_testable(subject, "the question was not sent", []),
    };
    let told: BTreeSet<_> = reply.addresses().filter_map(prefix_of).collect();
    if told == BTreeSet::from([prefix]) {
        return judge.pass(subject, [id]);
    }
    let found =
        if told.is_empty() { format!("{} and no prefix", reply.rcode) } else { words(&told) };
    let blamed = dns64_synth::blamed(stage, seen, &server.node);
    // It follows from how addresses are synthesized, where that is wrong already.
    let depth = if blamed.is_some() { Depth::Symptom } else { Depth::Read };
    let own = || Culprit::node(&server.node, "prefix of ipv4only.arpa");
    let culprit = blamed.unwrap_or_else(own);
    let complaint = complaint(stage, "resolver", culprit, None, prefix, found);
    judge.fail(subject, [id], Complaint { depth, confidence: Confidence::Medium, ..complaint })
}

/// The prefix that an address of the name was made with (RFC 7050 section 3).
fn prefix_of(address: IpAddr) -> Option<Pref64> {
    match address {
        IpAddr::V6(address) => KNOWN.into_iter().find_map(|held| Pref64::found_in(address, held)),
        IpAddr::V4(_) => None,
    }
}

fn words(prefixes: &BTreeSet<Pref64>) -> String {
    let words: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
    if words.is_empty() { "no translation prefix".to_owned() } else { words.join(", ") }
}

/// A router that is to tell prefixes on a link.
struct Router<'s> {
    segment: &'s SegmentName,
    name: &'s NodeName,
    interface: &'s StagedInterface,
    planned: &'s StagedAdvertisement,
}

fn routers(stage: &Stage) -> impl Iterator<Item = Router<'_>> {
    let of_link = move |segment| {
        let planned = advertisement::planned(stage, segment).into_iter();
        planned.map(move |(name, interface, planned)| Router { segment, name, interface, planned })
    };
    advertisement::links(stage).flat_map(of_link).filter(|router| !router.planned.pref64.is_empty())
}

impl Router<'_> {
    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}/{}", self.segment, self.name);
        let (evidence, heard) = match advertisement::heard(stage, seen, self.segment) {
            Ok(heard) => heard,
            Err(reason) => return judge.not_testable(subject, reason, []),
        };
        let mine = heard.iter().rfind(|h| advertisement::is_from(h, self.interface.mac));
        let Some(mine) = mine else {
            return judge.blocked(subject, "the router says nothing at all", evidence);
        };
        let (told, planned): (BTreeSet<_>, BTreeSet<_>) =
            (mine.pref64.iter().copied().collect(), self.planned.pref64.iter().copied().collect());
        if told == planned {
            return judge.pass(subject, evidence);
        }
        let part = format!("PREF64 on {}", self.interface.name);
        let culprit = Culprit::node(self.name, part);
        let prefix = self.planned.pref64[0];
        let found = words(&told);
        let complaint = complaint(stage, "router", culprit, Some(self.segment), prefix, found);
        judge.fail(subject, evidence, complaint)
    }
}

fn complaint(
    stage: &Stage,
    case: &str,
    culprit: Culprit,
    segment: Option<&SegmentName>,
    planned: Pref64,
    found: String,
) -> Complaint {
    let server = culprit.node.as_ref().map_or_else(String::new, ToString::to_string);
    let args = [
        ("server", server),
        ("segment", segment.map_or_else(String::new, ToString::to_string)),
        ("planned", planned.to_string()),
        ("found", found),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        segments: segment.into_iter().cloned().collect(),
        // Hosts learn a wrong prefix; what is asked for under the planned one does not fail for that.
        packets: Some(if segment.is_some() { Packets::Content } else { Packets::Names }),
        ..Scope::default()
    };
    Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        depth: Depth::Read,
        ..reading::complaint(stage, case, culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::phase::Phase,
    };

    #[test]
    fn a_network_without_translation_is_asked_nothing() {
        fixture::assert_silent_when_healthy(&PrefixDiscovery);
        let network = Network::healthy(Phase::Ipv6Only);
        let probes: usize = PrefixDiscovery.ask(&network.plan).iter().map(|e| e.probes.len()).sum();
        assert_eq!(probes, 0);
    }

    #[test]
    fn the_prefix_is_found_at_every_length() {
        for net in ["2001:db8:64::/96", "2001:db8::/32", "2001:db8:1:2::/64"] {
            let net: ipnet::Ipv6Net = net.parse().unwrap();
            let prefix = Pref64::try_from(net).unwrap();
            let address = prefix.embed(KNOWN[1]);
            assert_eq!(prefix_of(address.into()), Some(prefix));
        }
        assert_eq!(prefix_of("2001:db8::1".parse().unwrap()), None);
    }
}
