//! `vpn.dns-inside`: who asks a resolver on the other side asks it through the tunnel, and no question of his is seen outside; nor
//! does he ask a resolver outside that somebody has told him of.

mod told;

use std::net::{IpAddr, SocketAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::{DomainName, NodeName, SegmentName},
        probe::{Probe, Question},
        record::RecordType,
        segment::Plane,
        service::{Port, Transport},
        tap::{Tap, Watch},
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// The check.
pub(super) struct DnsInside;

const DNS: Port = Port { transport: Transport::Udp, number: 53 };

static TEXT: Text = Text {
    id: "vpn.dns-inside",
    title: "Names are asked for through the tunnel",
    section: "S2 2.2.3",
    use_case: UseCase::Policies,
    question: "Does who asks a resolver on the other side of a tunnel ask it through the tunnel, in every family, is the name \
               answered, and is no question of his seen outside, to whomever it goes? Does nobody there ask a resolver that a \
               router tells of, in place of those of the plan?",
    good: "Questions for names go through the tunnel alone.",
    references: &["RFC 7359 section 6", "RFC 8106", "RFC 9099 section 3.2"],
    cases: &[
        Case {
            name: "clear",
            finding: "{client} asks for {name} over {family} in clear on {segment}, beside the tunnel {tunnel}.",
            expected: "The question on {own} and inside {tunnel}, and nowhere else.",
            observed: "{frames} questions of {client} on {segment}: {observed}.",
            remedy: "Let {gateway} route the resolver into the tunnel, and drop questions for names on every other way out.",
        },
        Case {
            name: "unresolved",
            finding: "{client} asks for {name} through {tunnel} over {family} and does not learn its address.",
            expected: "{expected}.",
            observed: "{observed}.",
            remedy: "Look at the zone and at the resolver that {client} uses.",
        },
        Case {
            name: "told",
            finding: "{client} asks {resolver} for {name} in clear on {segment}, beside the tunnel {tunnel}: {who}.",
            expected: "Questions for names of the other side to {planned} alone.",
            observed: "{client} asks {used}. {frames} questions to {resolver} were seen on {segment}.",
            remedy: "Let {client} take no resolver from Router Advertisements while the tunnel is there, or ask it for no name of the \
                     other side (RFC 7359 section 6); let routers tell of the planned resolvers, and drop questions for names on \
                     every other way out.",
        },
    ],
};

impl Check for DnsInside {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let couples = couples::of_stage(stage);
        let questions = couples.iter().filter_map(|couple| Asking::of(stage, couple));
        let looks = Experiment::of_probes(told::hosts(stage).iter().map(told::Host::look));
        std::iter::once(looks).chain(questions.map(|asking| asking.experiment(stage))).collect()
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        told::hosts(stage).iter().flat_map(|host| host.follow_up(stage, seen)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let couples = couples::of_stage(stage);
        let nobody = |couple: &Couple| {
            let reason = "nobody on this side asks a resolver on the other side";
            judge.not_applicable(couple.subject(), reason)
        };
        let found = couples.iter().map(|couple| {
            let asking = Asking::of(stage, couple);
            asking.map_or_else(|| nobody(couple), |asking| asking.judge(judge, stage, seen))
        });
        let hosts = told::hosts(stage);
        let told = hosts.iter().map(|host| host.judge(judge, stage, seen));
        couples::judged(judge, stage, |_| true, found.chain(told))
    }
}

/// Somebody on one side whose resolver is on the other.
struct Asking<'c> {
    couple: &'c Couple,
    client: NodeName,
    path: Path,
    name: DomainName,
    /// The addresses that the name has; none if it is asked for another record.
    expected: Vec<IpAddr>,
}

impl<'c> Asking<'c> {
    fn of(stage: &Stage, couple: &'c Couple) -> Option<Self> {
        let inside = couple.inside(stage);
        let through = |path: &Path| {
            path.nodes.contains(&couple.gateway)
                && path.segments.contains(inside)
                && path.family() == couple.inner()
                // Of the two gateways, the first that is met.
                && path.nodes.iter().find(|node| [&couple.gateway, &couple.end.peer].contains(node))
                    == Some(&couple.gateway)
        };
        let hosts =
            stage.nodes.iter().filter(|(name, _)| !stage.testbed.nodes[*name].role.forwards());
        let (client, path) = hosts
            .flat_map(|(name, node)| node.resolvers.iter().map(move |resolver| (name, *resolver)))
            .filter_map(|(name, resolver)| Some((name, stage.path(name, resolver).ok()?)))
            .find(|(_, path)| through(path))?;
        let (name, expected) = a_name(stage, couple)?;
        Some(Self { couple, client: client.clone(), path, name, expected })
    }

    fn probe(&self) -> Probe {
        let rtype = match self.expected.as_slice() {
            [] => RecordType::Soa,
            _ => RecordType::of(self.couple.inner()),
        };
        let question = Question::Lookup {
            server: SocketAddr::new(self.path.destination, DNS.number),
            transport: Transport::Udp,
            name: self.name.clone(),
            rtype,
            edns: None,
            recurse: true,
            mixed_case: false,
        };
        ask::probe(&self.client, question)
    }

    /// The questions of the client, to whomever they go.
    fn tap(&self, segment: &SegmentName) -> Tap {
        let watch = Watch::Packets {
            family: self.couple.inner(),
            source: Some(self.path.source),
            destination: None,
            port: Some(DNS),
        };
        Tap { segment: segment.clone(), watch, label: "questions for names".to_owned() }
    }

    /// The own link and the inside, where the question must be seen.
    fn within<'s>(&'s self, stage: &'s Stage) -> [&'s SegmentName; 2] {
        [
            self.path.segments.first().unwrap_or_else(|| self.couple.own_link()),
            self.couple.inside(stage),
        ]
    }

    /// Alone: whatever else the client is asked to look up goes elsewhere by plan.
    fn experiment(&self, stage: &Stage) -> Experiment {
        let links = self.within(stage).into_iter().chain(self.outside(stage));
        let taps = links.map(|link| self.tap(link)).collect();
        let through = Some(self.couple.end.tunnel.clone());
        let probes = vec![self.probe()];
        Experiment { taps, probes, alone: true, through, ..Experiment::default() }
    }

    /// The links that the question does not touch by plan.
    fn outside<'s>(&'s self, stage: &'s Stage) -> Vec<&'s SegmentName> {
        let mut outside = self.couple.outside(stage);
        outside.retain(|link| !self.path.segments.contains(link));
        outside
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = self.couple.subject();
        let Some((id, answer)) = seen.answer(&self.probe()) else {
            return judge.not_testable(subject, "nothing was asked", []);
        };
        let mut evidence = vec![id];
        let mut frames = |link: &SegmentName| {
            let (id, reading) = seen.reading(&self.tap(link))?;
            evidence.push(id);
            reading.is_trustworthy().then_some(reading.frames)
        };
        let outside = self.outside(stage).into_iter().map(|link| (link, frames(link)));
        let outside: Vec<_> = outside.collect();
        let within = self.within(stage).map(&mut frames);
        if let Some((link, Some(frames))) = outside.iter().find(|(_, n)| n.is_some_and(|n| n > 0)) {
            let args = [("frames", frames.to_string()), ("expected", String::new())];
            let complaint = self.complaint(stage, "clear", link, reading::describe(answer), args);
            return judge.fail(subject, evidence, complaint);
        }
        if outside.iter().any(|(_, frames)| frames.is_none()) || within.contains(&None) {
            return judge.not_testable(subject, "a tap was not alive throughout", evidence);
        }
        if within.contains(&Some(0)) {
            let reason = "the question never came to the tunnel: see vpn.matrix";
            return judge.blocked(subject, reason, evidence);
        }
        let Answer::Dns { reply: Some(reply), .. } = answer else {
            let reason = "the resolver did not answer: see dns.server-listens";
            return judge.blocked(subject, reason, evidence);
        };
        let known: Vec<_> = reply.addresses().collect();
        if !self.expected.iter().all(|address| known.contains(address)) {
            let said: Vec<_> = known.iter().map(IpAddr::to_string).collect();
            let said = if said.is_empty() { reply.rcode.clone() } else { said.join(", ") };
            let expected: Vec<_> = self.expected.iter().map(IpAddr::to_string).collect();
            let args = [("frames", "0".to_owned()), ("expected", expected.join(", "))];
            let complaint = self.complaint(stage, "unresolved", self.couple.own_link(), said, args);
            return judge.fail(subject, evidence, complaint);
        }
        judge.absent(subject, format!("{} of {}", self.name, self.client), evidence)
    }

    fn complaint(
        &self,
        stage: &Stage,
        case: &str,
        segment: &SegmentName,
        observed: String,
        known: [(&str, String); 2],
    ) -> Complaint {
        let couple = self.couple;
        let family: Family = couple.inner();
        let args = [
            ("client", self.client.to_string()),
            ("name", self.name.to_string()),
            ("family", family.to_string()),
            ("segment", segment.to_string()),
            ("tunnel", couple.end.tunnel.to_string()),
            ("gateway", couple.gateway.to_string()),
            ("own", self.within(stage)[0].to_string()),
            ("observed", observed),
        ];
        let scope = Scope {
            family: Some(family),
            from: Some(self.client.clone()),
            to: self.path.nodes.last().cloned(),
            nodes: self.path.nodes.clone(),
            segments: self.path.segments.clone(),
            carried: reading::carrier(&self.path),
            name: (case == "unresolved").then(|| self.name.clone()),
            ..Scope::default()
        };
        let clear = case == "clear";
        // The same words for the culprit as `vpn.no-clear` has: it is the same fault.
        let culprit = if clear {
            Culprit::node(&couple.gateway, format!("{family} beside {}", couple.end.tunnel))
        } else {
            // It answered, and did not say what it should: who is behind that, checks of names tell.
            let part = format!("what it answers for {}", self.name);
            Culprit { node: self.path.nodes.last().cloned(), segment: None, part }
        };
        let mut complaint = reading::complaint(stage, case, culprit, scope, args);
        complaint.args.extend(known.map(|(name, value)| (name.to_owned(), value)));
        Complaint {
            severity: if clear { Severity::Critical } else { Severity::Major },
            confidence: Confidence::High,
            depth: if clear { Depth::Located } else { Depth::Symptom },
            ..complaint
        }
    }
}

/// A name of the other side with its addresses; where nothing there has a name, a zone.
fn a_name(stage: &Stage, couple: &Couple) -> Option<(DomainName, Vec<IpAddr>)> {
    let nets: Vec<_> = couple.end.relations.iter().map(|relation| relation.there).collect();
    let beyond = |ip: &IpAddr| nets.iter().any(|net| net.contains(ip));
    let nodes = stage.testbed.nodes.values();
    let named = nodes.flat_map(|node| {
        let services = node.services.iter().filter(|service| !service.names.is_empty());
        services.map(move |service| (node, service))
    });
    let mut known = named.filter_map(|(node, service)| {
        let addresses = stage.addresses(&node.name, Plane::Data, couple.inner());
        let live = stage.listens(node, service, couple.inner());
        (live && addresses.first().is_some_and(beyond))
            .then(|| (service.names[0].clone(), addresses))
    });
    let zone = || Some((stage.testbed.zones.first()?.origin.clone(), Vec::new()));
    known.next().or_else(zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{Network, complaints},
        model::{phase::Phase, verdict::Verdict},
    };

    #[test]
    fn questions_that_stay_inside_are_silent() {
        for phase in Phase::ALL {
            let judgements = Network::tunnelled(phase).ask(&[&DnsInside]);
            let (told, judgements): (Vec<_>, Vec<_>) =
                judgements.into_iter().partition(|j| j.subject.contains(": resolvers of "));
            assert!(told.iter().all(|j| j.verdict == Verdict::Pass), "{phase}: {told:#?}");
            let of = |verdict| judgements.iter().filter(|j| j.verdict == verdict).count();
            let families = if phase == Phase::DualStack { 2 } else { 1 };
            let (pass, none) = (of(Verdict::Pass), of(Verdict::NotApplicable));
            assert_eq!([pass, none], [families; 2], "{phase}: {judgements:#?}");
        }
    }

    #[test]
    fn a_question_outside_is_found_to_whomever_it_goes() {
        let leaking = Network::tunnelled(Phase::DualStack).bend_tap(|tap, reading| {
            let Watch::Packets { family: Family::V6, port: Some(DNS), .. } = tap.watch else {
                return;
            };
            if tap.segment.as_str() == "transit-b" {
                reading.frames = 1;
            }
        });
        let found = complaints(&DnsInside, &leaking);
        assert_eq!(
            found,
            [("clear".to_owned(), "gateway-a (IPv6 beside office-to-centre)".to_owned())]
        );
    }

    #[test]
    fn a_name_that_is_not_known_is_found_and_a_longer_answer_is_not() {
        let bent = |addresses: &'static [&'static str]| {
            Network::tunnelled(Phase::Ipv6Only).bend(move |_, answer| {
                let Answer::Dns { reply: Some(reply), .. } = answer else { return };
                let Some(first) = reply.answers.first().cloned() else { return };
                let records = addresses.iter().map(|address| crate::model::record::Record {
                    data: crate::model::record::RecordData::Address(address.parse().unwrap()),
                    ..first.clone()
                });
                reply.answers = records.collect();
            })
        };
        let found = complaints(&DnsInside, &bent(&["2001:db8:2::dead"]));
        assert!(found.len() == 1 && found[0].0 == "unresolved", "{found:?}");
        let both = bent(&["2001:db8:2::dead", "2001:db8:2::10"]);
        assert_eq!(complaints(&DnsInside, &both), []);
    }
}
