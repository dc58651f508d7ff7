//! Resolvers that hosts beside a tunnel were told of by others than the plan: Router Advertisements (RFC 8106).

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use super::{DNS, a_name};
use crate::{
    check::{
        advertisement, ask,
        couples::{self, Couple},
        legs, neighbour,
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::{DomainName, NodeName, SegmentName},
        probe::{Aspect, Probe, Question},
        record::RecordType,
        service::Transport,
        tap::{Tap, Watch},
        verdict::Judgement,
    },
    stage::Stage,
};

/// A host that a tunnel couples with others, and what it would ask for there.
pub(super) struct Host {
    node: NodeName,
    segment: SegmentName,
    couple: Couple,
    name: DomainName,
    rtype: RecordType,
}

/// Every host with an IPv6 address that is coupled, each once: that is how advertisements tell.
pub(super) fn hosts(stage: &Stage) -> Vec<Host> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for couple in couples::of_stage(stage).into_iter().filter(|c| c.inner() == Family::V6) {
        let Some((name, addresses)) = a_name(stage, &couple) else { continue };
        let rtype = if addresses.is_empty() { RecordType::Soa } else { RecordType::Aaaa };
        for (node, staged) in &stage.nodes {
            let mut interfaces = staged.interfaces.iter();
            let coupled = interfaces
                .find(|i| i.addresses.iter().any(|a| couple.relation.here.contains(&a.ip())));
            let Some(interface) = coupled else { continue };
            if !stage.testbed.nodes[node].role.forwards() && known.insert(node.clone()) {
                let (node, segment) = (node.clone(), interface.segment.clone());
                let (couple, name) = (couple.clone(), name.clone());
                found.push(Host { node, segment, couple, name, rtype });
            }
        }
    }
    legs::sample(found, legs::SAMPLE)
}

impl Host {
    pub(super) fn look(&self) -> Probe {
        ask::inspect(&self.node, Aspect::Resolvers)
    }

    /// The resolvers that it asks. `Err` says why they are not known.
    fn used<'e>(&self, seen: &Seen<'e>) -> Result<(EvidenceId, &'e [IpAddr]), String> {
        match seen.answer(&self.look()) {
            Some((id, Answer::Resolvers(used))) => Ok((id, used)),
            Some((_, other)) => {
                Err(other.not_asked().unwrap_or("the answer is of another kind").to_owned())
            }
            None => Err("its resolvers were not read".to_owned()),
        }
    }

    /// The first that nobody planned.
    fn unplanned(&self, stage: &Stage, used: &[IpAddr]) -> Option<IpAddr> {
        let planned = &stage.nodes[&self.node].resolvers;
        used.iter().copied().find(|one| one.is_ipv6() && !planned.contains(one))
    }

    fn question(&self, resolver: IpAddr) -> Probe {
        let question = Question::Lookup {
            server: SocketAddr::new(resolver, DNS.number),
            transport: Transport::Udp,
            name: self.name.clone(),
            rtype: self.rtype,
            edns: None,
            recurse: true,
            mixed_case: false,
        };
        ask::probe(&self.node, question)
    }

    fn tap(&self, segment: &SegmentName, resolver: IpAddr) -> Tap {
        let watch = Watch::Packets {
            family: Family::V6,
            source: None,
            destination: Some(resolver),
            port: Some(DNS),
        };
        let label = format!("questions for names of {} to {resolver}", self.node);
        Tap { segment: segment.clone(), watch, label }
    }

    /// Asks the resolver that nobody planned for a name of the other side, and the link for who tells of it. Alone: others of the
    /// link may have been told the same.
    pub(super) fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let Ok((_, used)) = self.used(seen) else { return Vec::new() };
        let Some(resolver) = self.unplanned(stage, used) else { return Vec::new() };
        let links = self.couple.outside(stage).into_iter();
        let taps = links.map(|link| self.tap(link, resolver)).collect();
        let probes = vec![self.question(resolver)];
        let asked = Experiment { taps, probes, alone: true, ..Experiment::default() };
        let routers = advertisement::solicitation(stage, &self.segment, 0);
        vec![asked, Experiment::of_probes(routers)]
    }

    pub(super) fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}: resolvers of {}", self.couple.end.tunnel, self.node);
        let (id, used) = match self.used(seen) {
            Ok(read) => read,
            Err(reason) => return judge.not_testable(subject, reason, []),
        };
        let Some(resolver) = self.unplanned(stage, used) else {
            return judge.pass(subject, [id]);
        };
        let Some((asked, answer)) = seen.answer(&self.question(resolver)) else {
            return judge.not_testable(subject, format!("{resolver} was not asked"), [id]);
        };
        let mut evidence = vec![id, asked];
        let frames: Vec<_> = self
            .couple
            .outside(stage)
            .into_iter()
            .map(|link| {
                let (id, reading) = seen.reading(&self.tap(link, resolver))?;
                evidence.push(id);
                reading.is_trustworthy().then_some((link, reading.frames))
            })
            .collect();
        if let Some((link, frames)) = frames.iter().flatten().find(|(_, frames)| *frames > 0) {
            let (who, heard) = self.who_tells(stage, seen, resolver);
            evidence.extend(heard);
            let complaint = self.complaint(stage, (resolver, used), link, *frames, who);
            return judge.fail(subject, evidence, complaint);
        }
        if frames.contains(&None) {
            return judge.not_testable(subject, "a tap was not alive throughout", evidence);
        }
        let said = reading::describe(answer);
        let note = format!(
            "{} asks {resolver}, which nobody planned, and no question is seen outside: {said}",
            self.node
        );
        judge.info(subject, note, evidence)
    }

    /// Who tells of a resolver, as it was heard on the link.
    fn who_tells(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        resolver: IpAddr,
    ) -> (String, Vec<EvidenceId>) {
        let (evidence, heard) =
            advertisement::heard(stage, seen, &self.segment).unwrap_or_default();
        let tells = heard.iter().find(|router| router.dns.contains(&resolver));
        let who = tells.map(|router| {
            let planned =
                router.mac.and_then(|mac| neighbour::owner_of_mac(stage, &self.segment, mac));
            planned.map_or_else(|| router.router.to_string(), ToString::to_string)
        });
        let who = who.map_or_else(
            || "nobody was heard who tells of it".to_owned(),
            |who| format!("{who} tells of it by Router Advertisement"),
        );
        (who, evidence)
    }

    fn complaint(
        &self,
        stage: &Stage,
        (resolver, used): (IpAddr, &[IpAddr]),
        segment: &SegmentName,
        frames: u64,
        who: String,
    ) -> Complaint {
        let scope = Scope {
            family: Some(Family::V6),
            from: Some(self.node.clone()),
            address: Some(resolver),
            port: Some(DNS),
            ..Scope::default()
        };
        let args = [
            ("client", self.node.to_string()),
            ("resolver", resolver.to_string()),
            ("name", self.name.to_string()),
            ("segment", segment.to_string()),
            ("tunnel", self.couple.end.tunnel.to_string()),
            ("who", who),
            ("planned", list(&stage.nodes[&self.node].resolvers)),
            ("used", list(used)),
            ("frames", frames.to_string()),
        ];
        let culprit = Culprit::node(&self.node, format!("resolver {resolver}"));
        Complaint {
            severity: Severity::Critical,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..reading::complaint(stage, "told", culprit, scope, args)
        }
    }
}

fn list(addresses: &[IpAddr]) -> String {
    match addresses {
        [] => "no resolver".to_owned(),
        all => all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            fixture::{Network, complaints},
            vpn::dns_inside::DnsInside,
        },
        model::{answer::HeardAdvertisement, phase::Phase, verdict::Verdict},
    };

    const TOLD: &str = "2001:db8:bad::53";

    /// The desk asks this resolver first.
    fn told(resolver: &'static str) -> Network {
        Network::tunnelled(Phase::DualStack).bend(move |probe, answer| match answer {
            Answer::Resolvers(used) if probe.from.as_str() == "desk" => {
                used.insert(0, resolver.parse().unwrap());
            }
            Answer::Advertisements { heard } => heard.push(HeardAdvertisement {
                router: "fe80::1".parse().unwrap(),
                mac: None,
                hop_limit: 255,
                managed: false,
                other: false,
                lifetime_s: 0,
                preference: "medium".to_owned(),
                mtu: None,
                prefixes: Vec::new(),
                dns: vec![TOLD.parse().unwrap()],
                pref64: Vec::new(),
            }),
            _ => {}
        })
    }

    #[test]
    fn a_resolver_outside_that_a_router_tells_of_is_found_with_who_tells() {
        let leaks = told(TOLD).bend_tap(|tap, reading| {
            let of_told = matches!(&tap.watch, Watch::Packets { destination: Some(to), .. }
                if *to == TOLD.parse::<IpAddr>().unwrap());
            reading.frames = u64::from(of_told && tap.segment.as_str() == "transit-a");
        });
        let judgements = leaks.ask(&[&DnsInside]);
        let complaints: Vec<_> = judgements.into_iter().filter_map(|j| j.complaint).collect();
        let [complaint] = complaints.as_slice() else { panic!("{complaints:#?}") };
        assert_eq!(complaint.case, "told");
        assert_eq!(complaint.culprit.to_string(), format!("desk (resolver {TOLD})"));
        assert_eq!(complaint.args["who"], "fe80::1 tells of it by Router Advertisement");
    }

    #[test]
    fn one_that_is_planned_or_never_asked_outside_is_no_fault() {
        let of = |network: &Network| {
            let judgements = network.ask(&[&DnsInside]);
            let of_desk = judgements.iter().find(|j| j.subject.ends_with("resolvers of desk"));
            of_desk.map(|judgement| judgement.verdict)
        };
        let planned = Network::tunnelled(Phase::DualStack).plan.nodes["desk"].resolvers[0];
        let planned: &'static str = Box::leak(planned.to_string().into_boxed_str());
        assert_eq!(of(&told(planned)), Some(Verdict::Pass));
        assert_eq!(of(&told(TOLD)), Some(Verdict::Info));
        assert_eq!(complaints(&DnsInside, &told(TOLD)), []);
    }
}
