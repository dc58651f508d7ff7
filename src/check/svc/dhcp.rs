//! Does DHCPv6 give hosts what is planned, and do the routers say that it does?

use std::collections::BTreeSet;

use crate::{
    check::{
        Case, Check, Text, UseCase, advertisement, ask,
        dhcp::{self, Served},
        reading::{Judge, REPETITIONS, complaint},
    },
    model::{
        answer::Answer,
        dhcp::HeardDhcp,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        phase::Phase,
        probe::{Aspect, Probe},
        service::{Port, Transport},
        tap::{Tap, Watch},
        verdict::Judgement,
    },
    stage::{Path, Stage, StagedInterface},
};

/// Asks on every link that is served, as each host that lives by it, and compares with the plan, with the host and with
/// what the routers announce.
pub(in crate::check) struct Dhcp;

const TEXT: Text = Text {
    id: "svc.dhcpv6",
    title: "DHCPv6 gives what is planned",
    section: "S2 3.2, S3",
    use_case: UseCase::NetworkServices,
    question: "Does the planned DHCPv6 server answer every host, with the planned address, resolvers and domains, as the routers announce?",
    good: "Every host is given what is planned, by one and the same server.",
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
        let hosts = subjects(stage).into_iter().map(|s| ask::inspect(s.asker, Aspect::Addresses));
        let asked: Vec<_> = questions.chain(hosts).collect();
        if asked.is_empty() {
            return Vec::new();
        }
        vec![Experiment::of_probes(asked), advertisement::solicit(stage)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let unheard = subjects(stage)
            .into_iter()
            .filter(|subject| subject.heard(stage, seen).is_ok_and(|(_, heard)| heard.is_empty()));
        unheard.flat_map(|subject| subject.search(stage)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let mut found: Vec<_> =
            subjects(stage).iter().map(|subject| subject.judge(stage, seen)).collect();
        for served in dhcp::served(stage) {
            found.extend(flags(stage, seen, &served));
            found.extend(identity(stage, seen, &served));
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

    /// The way between relay and server.
    fn relayed(&self, stage: &Stage) -> Option<Path> {
        let servers =
            stage.addresses(self.served.server, crate::model::segment::Plane::Data, Family::V6);
        servers.into_iter().find_map(|to| stage.path(self.served.relay?, to).ok())
    }

    fn taps(&self, stage: &Stage) -> Vec<Tap> {
        let Some(path) = self.relayed(stage) else { return Vec::new() };
        let port = Some(Port { transport: Transport::Udp, number: 547 });
        let tap = |segment: &_, back: bool| {
            let (from, to) = (path.source, path.destination);
            let (source, destination) = if back { (to, from) } else { (from, to) };
            Tap {
                segment: Clone::clone(segment),
                watch: Watch::Packets {
                    family: Family::V6,
                    source: Some(source),
                    destination: Some(destination),
                    port,
                },
                label: format!("relayed {}", self.served.segment),
            }
        };
        path.segments.iter().flat_map(|segment| [tap(segment, false), tap(segment, true)]).collect()
    }

    /// The question once more, with taps between relay and server, and a control.
    fn search(&self, stage: &Stage) -> Vec<Experiment> {
        let rounds = (1..=REPETITIONS).map(|round| self.question(round)).collect();
        let again = Experiment { taps: self.taps(stage), probes: rounds, ..Experiment::default() };
        vec![again, Experiment::of_probes(self.control(stage))]
    }

    /// Is who speaks on the link there at all?
    fn control(&self, stage: &Stage) -> Option<Probe> {
        let speaker = &stage.nodes[self.served.speaker()];
        let on = speaker.interfaces.iter().find(|i| i.segment == *self.served.segment)?;
        let address = on.addresses.iter().find(|a| a.family() == Family::V6)?;
        Some(ask::ping(self.asker, address.ip()))
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

    fn judge_silence(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        mut evidence: Vec<EvidenceId>,
    ) -> Judgement {
        let judge = Judge(&TEXT);
        let control = self.control(stage).and_then(|probe| seen.answer(&probe));
        evidence.extend(control.map(|(id, _)| id));
        if !control.is_some_and(|(_, answer)| answer.is_answered()) {
            let reason = format!("{} does not answer pings either", self.served.speaker());
            return judge.blocked(self.name(), reason, evidence);
        }
        let times = evidence.len() - 1;
        let (culprit, place) = self.where_lost(stage, seen, &mut evidence);
        let by = self.served.relay.map_or_else(String::new, |relay| format!(" by way of {relay}"));
        let args = [
            ("asker", self.asker.to_string()),
            ("segment", self.served.segment.to_string()),
            ("server", self.served.server.to_string()),
            ("by", by),
            ("speaker", self.served.speaker().to_string()),
            ("times", times.to_string()),
            ("place", place),
            ("culprit", culprit.to_string()),
        ];
        let part =
            if Some(&culprit) == self.served.relay { "DHCPv6 relay" } else { "DHCPv6 server" };
        let is_end = culprit == *self.served.server || Some(&culprit) == self.served.relay;
        let part = if is_end { part } else { "what passes between relay and server of DHCPv6" };
        let complaint = Complaint {
            severity: self.severity(stage),
            confidence: Confidence::High,
            depth: Depth::Located,
            ..complaint(stage, "silent", Culprit::node(&culprit, part), self.scope(), args)
        };
        judge.fail(self.name(), evidence, complaint)
    }

    /// The node that is to blame for silence, and how that is known.
    fn where_lost(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        evidence: &mut Vec<EvidenceId>,
    ) -> (NodeName, String) {
        let server = self.served.server;
        let (Some(relay), Some(path)) = (self.served.relay, self.relayed(stage)) else {
            return (server.clone(), format!("{server} is on the link and does not answer"));
        };
        let readings: Option<Vec<_>> =
            self.taps(stage).iter().map(|tap| seen.reading(tap)).collect();
        let trusted = |all: &Vec<(EvidenceId, &crate::model::tap::Reading)>| {
            all.iter().all(|(_, reading)| reading.is_trustworthy())
        };
        let Some(readings) = readings.filter(trusted) else {
            return (server.clone(), "between relay and server nobody could listen".to_owned());
        };
        evidence.extend(readings.iter().map(|(id, _)| *id));
        let links = path.segments.len();
        let saw = |at: usize, back: bool| readings[2 * at + usize::from(back)].1.frames > 0;
        let there = (0..links).take_while(|at| saw(*at, false)).count();
        if there == 0 {
            return (relay.clone(), format!("{relay} relays nothing to {server}"));
        }
        if there < links {
            let node = path.nodes[there].clone();
            let last = &path.segments[there - 1];
            return (node, format!("what {relay} relays is seen on {last} and not beyond"));
        }
        let back = (0..links).rev().take_while(|at| saw(*at, true)).count();
        if back == 0 {
            return (
                server.clone(),
                format!("what {relay} relays reaches {server}, which says nothing"),
            );
        }
        if back < links {
            let node = path.nodes[links - back].clone();
            return (
                node,
                format!(
                    "what {server} answers is seen on {} and not beyond",
                    path.segments[links - back]
                ),
            );
        }
        (relay.clone(), format!("{relay} gets answers and does not hand them on"))
    }

    fn planned(&self) -> Option<std::net::Ipv6Addr> {
        let mine = self.served.link.leases.iter().find(|(mac, _)| *mac == self.interface.mac);
        mine.map(|(_, address)| *address)
    }

    fn other_address(&self, stage: &Stage, said: &HeardDhcp) -> Option<Complaint> {
        let planned = self.planned().filter(|_| self.stateful)?;
        if said.addresses == [planned] {
            return None;
        }
        let list: Vec<_> = said.addresses.iter().map(ToString::to_string).collect();
        let offered = match (list.is_empty(), said.status) {
            (true, Some(status)) => format!("no address (status {status})"),
            (true, None) => "no address".to_owned(),
            (false, _) => list.join(", "),
        };
        let args = [
            ("server", self.served.server.to_string()),
            ("asker", self.asker.to_string()),
            ("segment", self.served.segment.to_string()),
            ("offered", offered),
            ("planned", planned.to_string()),
            ("prefix", self.served.link.prefix.to_string()),
        ];
        Some(Complaint {
            severity: self.severity(stage),
            ..self.of_server(stage, "address", "DHCPv6 addresses", args)
        })
    }

    fn other_options(&self, stage: &Stage, said: &HeardDhcp) -> Option<Complaint> {
        let link = self.served.link;
        let list = |items: Vec<String>| {
            if items.is_empty() { "none".to_owned() } else { items.join(", ") }
        };
        let servers =
            |all: &[std::net::Ipv6Addr]| list(all.iter().map(ToString::to_string).collect());
        let domains = |all: &[crate::model::name::DomainName]| {
            list(all.iter().map(ToString::to_string).collect())
        };
        let mut differences = Vec::new();
        if said.dns != link.dns {
            differences.push(format!("resolvers {}", servers(&said.dns)));
        }
        if said.search != link.search {
            differences.push(format!("domains {}", domains(&said.search)));
        }
        if differences.is_empty() {
            return None;
        }
        let args = [
            ("server", self.served.server.to_string()),
            ("segment", self.served.segment.to_string()),
            ("differences", differences.join(" and ")),
            ("dns", servers(&link.dns)),
            ("search", domains(&link.search)),
        ];
        Some(self.of_server(stage, "options", "DHCPv6 options", args))
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

    /// Whether the host has what it is offered. Where it was not given so, that has been complained of.
    fn not_held(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<Complaint> {
        let planned = self.planned().filter(|_| self.stateful)?;
        let (id, Answer::Addresses(links)) =
            seen.answer(&ask::inspect(self.asker, Aspect::Addresses))?
        else {
            return None;
        };
        evidence.push(id);
        let link = links.iter().find(|link| link.name == self.interface.name.as_str());
        let addresses = || link.into_iter().flat_map(|link| &link.addresses);
        if addresses().any(|held| held.net.addr() == planned && !held.dad_failed) {
            return None;
        }
        let held: Vec<_> = addresses().map(|held| held.net.to_string()).collect();
        let args = [
            ("asker", self.asker.to_string()),
            ("server", self.served.server.to_string()),
            ("planned", planned.to_string()),
            ("interface", self.interface.name.to_string()),
            ("held", if held.is_empty() { "nothing".to_owned() } else { held.join(", ") }),
        ];
        let scope = Scope {
            family: Some(Family::V6),
            nodes: vec![self.asker.clone()],
            segments: vec![self.served.segment.clone()],
            ..Scope::default()
        };
        let culprit = Culprit::node(self.asker, format!("address {planned}"));
        Some(Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            depth: Depth::Foundation,
            ..complaint(stage, "not-held", culprit, scope, args)
        })
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

/// What the routers of a link announce about DHCPv6, against what answers there.
fn flags(stage: &Stage, seen: &Seen<'_>, served: &Served<'_>) -> Option<Judgement> {
    let judge = Judge(&TEXT);
    let name = format!("{}/flags", served.segment);
    advertisement::planned(stage, served.segment).first()?;
    let (mut evidence, routers) = match advertisement::heard(stage, seen, served.segment) {
        Ok(heard) => heard,
        Err(reason) => return Some(judge.not_testable(name, reason, [])),
    };
    let of_link = subjects(stage).into_iter().filter(|s| s.served.segment == served.segment);
    let mut gives = BTreeSet::new();
    for subject in of_link {
        let Ok((ids, heard)) = subject.heard(stage, seen) else { continue };
        evidence.extend(ids);
        let has_addresses = heard.iter().any(|said| !said.addresses.is_empty());
        gives.extend(has_addresses.then_some("addresses"));
        gives.extend((!heard.is_empty()).then_some("the rest"));
    }
    let planned = |mac| advertisement::may_announce(stage, served.segment, mac);
    let router = routers.iter().find(|said| said.mac.is_some_and(planned))?;
    if gives.is_empty() {
        return Some(judge.blocked(name, "no server answers", evidence));
    }
    let wrong = router.managed != gives.contains("addresses") || !router.managed && !router.other;
    if !wrong {
        return Some(judge.pass(name, evidence));
    }
    let set = [("M", router.managed), ("O", router.other)];
    let set: Vec<_> = set.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag).collect();
    let flags = match set.as_slice() {
        [] => "neither flag M nor flag O".to_owned(),
        set => format!("flag {}", set.join(" and ")),
    };
    let gives: Vec<_> = gives.into_iter().collect();
    let args = [
        ("segment", served.segment.to_string()),
        ("flags", flags),
        ("answers", format!("{} gives {}", served.server, gives.join(" and "))),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        segments: vec![served.segment.clone()],
        ..Scope::default()
    };
    let culprit = Culprit::segment(served.segment, "flags M and O of the routers");
    let complaint = Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Read,
        ..complaint(stage, "flags", culprit, scope, args)
    };
    Some(judge.fail(name, evidence, complaint))
}

/// Whether a server has one name in all its answers on a link.
fn identity(stage: &Stage, seen: &Seen<'_>, served: &Served<'_>) -> Option<Judgement> {
    let of_link = subjects(stage).into_iter().filter(|s| s.served.segment == served.segment);
    let (mut evidence, mut duids) = (Vec::new(), BTreeSet::new());
    for subject in of_link {
        let Ok((ids, heard)) = subject.heard(stage, seen) else { continue };
        evidence.extend(ids);
        duids.extend(heard.into_iter().map(|said| said.server));
    }
    let judge = Judge(&TEXT);
    let name = format!("{}/identity", served.segment);
    match duids.len() {
        0 => None,
        1 => Some(judge.pass(name, evidence)),
        count => {
            let args = [
                ("server", served.server.to_string()),
                ("segment", served.segment.to_string()),
                ("count", count.to_string()),
                ("duids", duids.into_iter().collect::<Vec<_>>().join(", ")),
            ];
            let scope = Scope {
                family: Some(Family::V6),
                segments: vec![served.segment.clone()],
                packets: Some(Packets::RouterDiscovery),
                ..Scope::default()
            };
            let culprit = Culprit::node(served.server, "DUID");
            let complaint = Complaint {
                severity: Severity::Minor,
                confidence: Confidence::High,
                depth: Depth::Read,
                ..complaint(stage, "identity", culprit, scope, args)
            };
            Some(judge.fail(name, evidence, complaint))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network, assert_silent_when_healthy, complaints},
        model::{
            dhcp::{DhcpDuty, DhcpPlan},
            node::Origin,
            probe::Question,
        },
    };

    /// The workplace gets its address from the name server in the DMZ, by way of the firewall.
    pub(crate) fn with_dhcp(phase: Phase) -> Network {
        let mut testbed = (*fixture::testbed()).clone();
        let lan = testbed.segments.get_mut("lan").unwrap();
        lan.dhcp = Some(DhcpPlan {
            server: fixture::node("ns"),
            relay: Some(fixture::node("firewall")),
            dns: vec![fixture::node("resolver")],
            search: vec![fixture::domain("dc.test")],
        });
        let advertise = lan.advertise.as_mut().unwrap();
        (advertise.managed, advertise.other) = (true, true);
        let workplace = testbed.nodes.get_mut("workplace").unwrap();
        for address in workplace.interfaces.iter_mut().flat_map(|i| &mut i.addresses) {
            if address.origin == Origin::Slaac {
                address.origin = Origin::Dhcp;
            }
        }
        Network::of(Stage::new(&testbed.into(), phase))
    }

    fn one(network: &Network, case: &str, culprit: &str) {
        let mut found = complaints(&Dhcp, network);
        found.dedup();
        assert_eq!(found, [(case.to_owned(), culprit.to_owned())]);
    }

    #[test]
    fn where_nothing_is_planned_and_where_all_is_well_it_is_silent() {
        assert_silent_when_healthy(&Dhcp);
        for phase in Phase::ALL {
            assert_eq!(complaints(&Dhcp, &with_dhcp(phase)), [], "{phase}");
        }
        let judged = with_dhcp(Phase::DualStack).ask(&[&Dhcp]);
        assert!(judged.len() >= 4, "{judged:#?}");
    }

    #[test]
    fn a_relay_that_is_silent_is_told_from_a_server_that_is() {
        let silent = |frames: u64| {
            with_dhcp(Phase::DualStack)
                .bend(|_, answer| {
                    if let Answer::Dhcp { heard } = answer {
                        heard.clear();
                    }
                })
                .bend_tap(move |tap, reading| {
                    if tap.label.starts_with("relayed")
                        && matches!(&tap.watch, Watch::Packets { source: Some(source), .. }
                            if source.to_string().starts_with("2001:db8:d::1"))
                    {
                        reading.frames = frames;
                    }
                })
        };
        let of = |node: &str, what: &str| format!("{node} (DHCPv6 {what})");
        one(&silent(0), "silent", &of("firewall", "relay"));
        one(&silent(1), "silent", &of("ns", "server"));
    }

    fn bend(change: fn(&mut HeardDhcp)) -> Network {
        with_dhcp(Phase::Ipv6Only).bend(move |_, answer| {
            if let Answer::Dhcp { heard } = answer {
                heard.iter_mut().for_each(change);
            }
        })
    }

    #[test]
    fn an_answer_is_compared_with_the_plan() {
        let outside = |said: &mut HeardDhcp| {
            said.addresses.iter_mut().for_each(|a| *a = "2001:db8:bad::1".parse().unwrap());
        };
        one(&bend(outside), "address", "ns (DHCPv6 addresses for lan)");
        one(&bend(|said| said.dns.clear()), "options", "ns (DHCPv6 options for lan)");
        one(&bend(|said| said.search.clear()), "options", "ns (DHCPv6 options for lan)");
        let kinds = |said: &mut HeardDhcp| said.server.push_str(&said.kind.clone());
        one(&bend(kinds), "identity", "ns (DUID)");
    }

    #[test]
    fn routers_that_announce_something_else_than_what_answers_are_found() {
        let mute = with_dhcp(Phase::DualStack).bend(|probe, answer| {
            if let (Question::Solicit { .. }, Answer::Advertisements { heard }) =
                (&probe.question, answer)
            {
                for said in heard {
                    (said.managed, said.other) = (false, false);
                }
            }
        });
        one(&mute, "flags", "lan (flags M and O of the routers)");
    }

    #[test]
    fn a_host_that_does_not_take_its_address_is_found() {
        let homeless = with_dhcp(Phase::DualStack).with(|live| {
            let workplace = live.nodes.get_mut("workplace").unwrap();
            for interface in &mut workplace.interfaces {
                interface.addresses.retain(|address| address.origin != Origin::Dhcp);
            }
        });
        let found = complaints(&Dhcp, &homeless);
        assert!(found.iter().all(|(case, _)| case == "not-held"), "{found:?}");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_stage_derives_relay_and_server() {
        let stage = with_dhcp(Phase::DualStack).plan;
        let [DhcpDuty::Serve(link)] = stage.nodes["ns"].dhcp.as_slice() else { panic!() };
        assert_eq!((link.interface.as_ref(), link.leases.len(), link.dns.len()), (None, 1, 1));
        let [DhcpDuty::Relay { server, .. }] = stage.nodes["firewall"].dhcp.as_slice() else {
            panic!()
        };
        assert_eq!(
            Some((*server).into()),
            stage
                .addresses(&fixture::node("ns"), crate::model::segment::Plane::Data, Family::V6)
                .first()
                .copied()
        );
        assert!(Stage::new(&stage.testbed, Phase::Ipv4Only).nodes["ns"].dhcp.is_empty());
    }
}
