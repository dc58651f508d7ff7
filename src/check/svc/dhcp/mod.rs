//! Does DHCPv6 give hosts what is planned, and do the routers say that it does?

mod link;
mod offer;
mod renewal;
mod silence;

use crate::{
    check::{
        Case, Check, Text, UseCase, advertisement, ask,
        dhcp::{self, Served},
        reading::{Judge, complaint},
    },
    model::{
        dhcp::HeardDhcp,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        phase::Phase,
        probe::{Aspect, Probe},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// Asks on every link that is served, as each host that lives by it, and compares with the plan, with the host and with
/// what the routers announce.
pub(in crate::check) struct Dhcp;

const TEXT: Text = Text {
    id: "svc.dhcpv6",
    title: "DHCPv6 gives what is planned",
    section: "S2 3.2, S3",
    use_case: UseCase::NetworkServices,
    question: "Does the planned DHCPv6 server answer every host, with the planned address, resolvers and domains, as the routers \
               announce, and can hosts keep and give back what they got?",
    good: "Every host is given what is planned, by one and the same server, and may keep it and give it back.",
    references: &["RFC 8415", "RFC 3646", "RFC 4861 section 4.2", "RFC 7381 section 4.2"],
    cases: &[
        Case {
            name: "silent",
            finding: "{asker} gets no answer for DHCPv6 on {segment}: {place}.",
            expected: "An answer of {server}{by}.",
            observed: "Nothing came from {speaker}, {times} times. {place}.",
            remedy: "Start the DHCPv6 service of {culprit}; look whether its socket came up before its link-local address was ready.",
        },
        Case {
            name: "address",
            finding: "{server} offers {asker} on {segment} {offered} instead of {planned}.",
            expected: "The address {planned}, within {prefix}.",
            observed: "{offered}.",
            remedy: "Put the address pool and the reservations of {server} in line with the prefix that the routers announce.",
        },
        Case {
            name: "not-held",
            finding: "{asker} does not hold the address {planned} that {server} offers it.",
            expected: "{planned} on {interface}.",
            observed: "{held} on {interface}.",
            remedy: "Look at the DHCPv6 client of {asker}, and whether the address was found to be a duplicate.",
        },
        Case {
            name: "options",
            finding: "{server} tells hosts on {segment} other resolvers or domains than planned: {differences}.",
            expected: "Resolvers (option 23): {dns}. Domains (option 24): {search}.",
            observed: "{differences}.",
            remedy: "Set options 23 and 24 of {server} as planned: without resolvers, hosts in an IPv6-only network resolve no names.",
        },
        Case {
            name: "renewal",
            finding: "{server} gives {asker} on {segment} the address {address}, and does not let it be kept.",
            expected: "A Reply to Renew with {address} and new lifetimes (RFC 8415 section 18.3.4).",
            observed: "To Renew: {observed}.",
            remedy: "Let {server} answer Renew as it answers Request: hosts lose their address when its lifetime is over, hours after \
                     everything has looked well.",
        },
        Case {
            name: "rebinding",
            finding: "{server} lets {asker} on {segment} keep the address {address} only under the name by which it gave it.",
            expected: "A Reply to Rebind, which names no server, with {address} (RFC 8415 section 18.3.5).",
            observed: "To Rebind: {observed}.",
            remedy: "Let {server} answer Rebind: hosts that get no answer to Renew turn to every server by it, and so does who was \
                     handed from a server to its successor.",
        },
        Case {
            name: "release",
            finding: "{server} does not take back the address {address} that {asker} on {segment} releases.",
            expected: "A Reply to Release with status success (RFC 8415 section 18.3.7).",
            observed: "To Release: {observed}.",
            remedy: "Let {server} take back what hosts release: otherwise its pool is used up by those who have left.",
        },
        Case {
            name: "flags",
            finding: "The routers on {segment} announce {flags}, but {answers}.",
            expected: "Flag M where a server gives addresses, flag O where it gives the rest.",
            observed: "{flags}; {answers}.",
            remedy: "Align flags M and O with what the server does: hosts ask only for what the router announces.",
        },
        Case {
            name: "identity",
            finding: "{server} answers on {segment} under {count} names (DUIDs).",
            expected: "One DUID in every answer (RFC 8415 section 11).",
            observed: "{duids}.",
            remedy: "Keep the DUID of {server} on disk: hosts that renew address it by that name.",
        },
    ],
};

impl Check for Dhcp {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let questions = subjects(stage).into_iter().map(|subject| subject.question(0));
        let leases = subjects(stage).into_iter().filter_map(|subject| subject.lease());
        let hosts = subjects(stage).into_iter().map(|s| ask::inspect(s.asker, Aspect::Addresses));
        let asked: Vec<_> = questions.chain(hosts).chain(leases).collect();
        if asked.is_empty() {
            return Vec::new();
        }
        vec![Experiment::of_probes(asked), advertisement::solicit(stage)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let unheard = subjects(stage)
            .into_iter()
            .filter(|subject| subject.heard(stage, seen).is_ok_and(|(_, heard)| heard.is_empty()));
        let mut further: Vec<_> = unheard.flat_map(|subject| subject.search(stage)).collect();
        let leases = subjects(stage).into_iter().flat_map(|subject| subject.lease_again(seen));
        further.push(Experiment::of_probes(leases));
        further
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let mut found: Vec<_> =
            subjects(stage).iter().map(|subject| subject.judge(stage, seen)).collect();
        found.extend(subjects(stage).iter().flat_map(|s| s.judge_lease(stage, seen)));
        for served in dhcp::served(stage) {
            found.extend(link::flags(stage, seen, &served));
            found.extend(link::identity(stage, seen, &served));
        }
        Judge(&TEXT).or_not_applicable(found, "no DHCPv6 is planned in this phase")
    }
}

/// A host that asks, for an address or for everything else.
struct Subject<'s> {
    served: Served<'s>,
    asker: &'s NodeName,
    interface: &'s StagedInterface,
    stateful: bool,
}

/// Each host that lives by the server asks for its address; the first asker on each link also for everything else.
fn subjects(stage: &Stage) -> Vec<Subject<'_>> {
    let mut found = Vec::new();
    for link in dhcp::served(stage) {
        let (segment, stateful) = (link.segment, link.is_stateful());
        let again = || dhcp::served(stage).into_iter().find(|served| served.segment == segment);
        for (at, (asker, interface)) in dhcp::askers(stage, segment).into_iter().enumerate() {
            let modes = [(true, stateful), (false, at == 0)];
            for (stateful, _) in modes.into_iter().filter(|(_, wanted)| *wanted) {
                let Some(served) = again() else { continue };
                found.push(Subject { served, asker, interface, stateful });
            }
        }
    }
    found
}

impl Subject<'_> {
    fn name(&self) -> String {
        let what = if self.stateful { "address" } else { "information" };
        format!("{}/{} {what}", self.served.segment, self.asker)
    }

    fn question(&self, round: u8) -> Probe {
        dhcp::question(self.asker, self.interface, self.stateful, round)
    }

    /// What the planned server or its relay said.
    fn heard(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
    ) -> Result<(Vec<EvidenceId>, Vec<HeardDhcp>), String> {
        let (ids, mut heard) = dhcp::heard(seen, self.asker, self.interface, self.stateful)?;
        let planned = dhcp::planned_mac(stage, &self.served);
        heard.retain(|said| Some(said.mac) == planned);
        Ok((ids, heard))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&TEXT);
        let (mut evidence, heard) = match self.heard(stage, seen) {
            Ok(heard) => heard,
            Err(reason) => return judge.not_testable(self.name(), reason, []),
        };
        let Some(said) = heard.last() else { return self.judge_silence(stage, seen, evidence) };
        if let Some(complaint) = self.other_address(stage, said).or(self.other_options(stage, said))
        {
            return judge.fail(self.name(), evidence, complaint);
        }
        match self.not_held(stage, seen, &mut evidence) {
            Some(complaint) => judge.fail(self.name(), evidence, complaint),
            None => judge.pass(self.name(), evidence),
        }
    }

    fn planned(&self) -> Option<std::net::Ipv6Addr> {
        let mine = self.served.link.leases.iter().find(|(mac, _)| *mac == self.interface.mac);
        mine.map(|(_, address)| *address)
    }

    fn of_server<const N: usize>(
        &self,
        stage: &Stage,
        case: &str,
        part: &str,
        args: [(&str, String); N],
    ) -> Complaint {
        let culprit =
            Culprit::node(self.served.server, format!("{part} for {}", self.served.segment));
        Complaint {
            confidence: Confidence::High,
            depth: Depth::Read,
            ..complaint(stage, case, culprit, self.scope(), args)
        }
    }

    fn scope(&self) -> Scope {
        Scope {
            family: Some(Family::V6),
            segments: vec![self.served.segment.clone()],
            packets: Some(Packets::RouterDiscovery),
            ..Scope::default()
        }
    }

    fn severity(&self, stage: &Stage) -> Severity {
        let lives_by_it = self.served.is_stateful() && stage.phase == Phase::Ipv6Only;
        if lives_by_it { Severity::Critical } else { Severity::Major }
    }
}

#[cfg(test)]
pub(crate) mod tests;
