//! Do filtering nodes stop packets whose source cannot be true?

use std::net::IpAddr;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        crossing::{self, Crossing, Side},
        passage::{Own, Passage},
        reading::{Judge, complaint},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        flow::Traffic,
        name::NodeName,
        node::Address,
        probe::{Probe, Question},
        segment::Plane,
        service::Transport,
        tap::Watch,
        verdict::Judgement,
    },
    stage::Stage,
};

/// Sends datagrams with a source of the other side (from anywhere), and with a source that is nobody's (from inside a
/// site), towards ports that a flow leaves open: they must come to the filtering node and not leave it.
pub(super) struct AntiSpoof;

const TEXT: Text = Text {
    id: "pol.anti-spoof",
    title: "False sources are stopped",
    section: "S1, S2 2.2.1",
    use_case: UseCase::Policies,
    question: "Does every filtering node drop packets that come in with a source address from elsewhere?",
    good: "Packets with a false source are stopped by every filtering node.",
    references: &["RFC 2827", "RFC 7381 section 3.2", "RFC 9099 section 3.1"],
    cases: &[Case {
        name: "passed",
        finding: "{by} forwards {family} packets with the {kind} source {source} that come from {before}.",
        expected: "{by} drops packets from {before} with the source {source}.",
        observed: "{frames} packets with that source from {from} to {to} were seen on {after}.",
        remedy: "Drop what does not come from where its source lies, in both families (BCP 38). Linux has rp_filter for IPv4 only: IPv6 needs a rule such as `fib saddr . iif oif missing drop`.",
    }],
};

/// Addresses of prefixes that are nobody's (RFC 5737, RFC 2544, RFC 3849): the first that the testbed does not use.
const NOBODY: [&str; 5] =
    ["203.0.113.254", "198.51.100.254", "192.0.2.254", "198.18.0.254", "2001:db8:ffff:ffff::bad"];

/// A port that is used where no flow names one for UDP.
const SOME_PORT: u16 = 33_533;

impl Check for AntiSpoof {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let all = forgeries(stage).into_iter();
        all.map(|forgery| forgery.passage().experiment(forgery.probe())).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let found = forgeries(stage).iter().map(|forgery| forgery.judge(stage, seen)).collect();
        Judge(&TEXT).or_not_applicable(found, "no way leads through a filtering node")
    }
}

/// A datagram with a false source.
struct Forgery {
    side: Side,
    way: Crossing,
    source: IpAddr,
    /// `internal` or `foreign`.
    kind: &'static str,
    port: u16,
}

fn forgeries(stage: &Stage) -> Vec<Forgery> {
    let mut found = Vec::new();
    for family in stage.phase.permits().iter() {
        for (side, ways) in crossing::by_side(stage, family) {
            let Some((way, port)) = open_way(stage, &ways) else { continue };
            let forgery =
                |source, kind| Forgery { side: side.clone(), way: way.clone(), source, kind, port };
            found.extend(trusted_elsewhere(stage, &side, &ways, family).or_else(|| {
                other_side(stage, way, family).map(|source| forgery(source, "internal"))
            }));
            let inside = stage.testbed.segments[&side.before].site.is_some();
            let nobody = nobody(stage, family).filter(|_| inside);
            found.extend(nobody.map(|source| forgery(source, "foreign")));
        }
    }
    found
}

/// A source that a flow trusts, so that the filtering node has a rule for it, and that lies elsewhere than where the packet
/// comes in: nothing but a look at where the source lies can stop it.
fn trusted_elsewhere(
    stage: &Stage,
    side: &Side,
    ways: &[Crossing],
    family: Family,
) -> Option<Forgery> {
    let comes_elsewhere = |from: &NodeName, to: IpAddr| {
        let crossings = stage.path(from, to).map(|path| crossing::of_path(stage, &path));
        let mut here = crossings.into_iter().flatten().filter(|crossing| crossing.by == side.by);
        here.next().is_some_and(|crossing| *crossing.before() != side.before)
    };
    ways.iter().find_map(|way| {
        let to = way.path.destination;
        let services = stage.testbed.nodes[way.to()].services.iter();
        let udp = services.flat_map(crate::model::service::Service::ports);
        let mut open = udp.filter(|port| port.transport == Transport::Udp).flat_map(|port| {
            let traffic = Traffic::Port { word: port.to_string(), port };
            let trusts = move |name: &&NodeName| stage.is_allowed(name, way.to(), &traffic);
            stage.nodes.keys().filter(trusts).map(move |name| (name, port.number))
        });
        open.find_map(|(name, port)| {
            let source = stage.addresses(name, Plane::Data, family).first().copied()?;
            let fits = name != way.to() && *name != way.by && comes_elsewhere(name, to);
            let (side, way) = (side.clone(), way.clone());
            fits.then_some(Forgery { side, way, source, kind: "internal", port })
        })
    })
}

/// The way of a side on which a flow leaves a UDP port open, and that port: there, only the source can be the reason to
/// drop. Else the first way.
fn open_way<'w>(stage: &Stage, ways: &'w [Crossing]) -> Option<(&'w Crossing, u16)> {
    let open = ways.iter().find_map(|way| {
        let services = stage.testbed.nodes[way.to()].services.iter();
        let mut ports = services.flat_map(crate::model::service::Service::ports);
        let port = ports.find(|port| {
            let traffic = Traffic::Port { word: port.to_string(), port: *port };
            port.transport == Transport::Udp && stage.is_allowed(way.from(), way.to(), &traffic)
        })?;
        Some((way, port.number))
    });
    open.or_else(|| ways.first().map(|way| (way, SOME_PORT)))
}

/// An address that lies behind the filtering node: another one on the target's link, or else the target's own.
fn other_side(stage: &Stage, way: &Crossing, family: Family) -> Option<IpAddr> {
    let segment = way.path.segments.last()?;
    let ends = [way.from(), way.to(), &way.by];
    let on = stage.nodes.iter().filter(|(name, _)| !ends.contains(name));
    let interfaces = on.flat_map(|(_, node)| &node.interfaces).filter(|i| i.segment == *segment);
    let mut addresses = interfaces.flat_map(|interface| &interface.addresses);
    let other = addresses.find(|a| a.family() == family).map(Address::ip);
    Some(other.unwrap_or_else(|| neighbour_of(way.path.destination)))
}

/// The address beside one: on the same link, and nobody's.
fn neighbour_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => std::net::Ipv4Addr::from(u32::from(v4) ^ 1).into(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::from(u128::from(v6) ^ 1).into(),
    }
}

/// An address that lies in no segment of the testbed.
fn nobody(stage: &Stage, family: Family) -> Option<IpAddr> {
    let all = NOBODY.iter().map(|text| text.parse::<IpAddr>().expect("a constant address"));
    let mut of_family = all.filter(|address| Family::of(*address) == family);
    of_family.find(|address| {
        let mut prefixes = stage.testbed.segments.values().flat_map(|s| &s.prefixes);
        !prefixes.any(|prefix| prefix.contains(address))
    })
}

impl Forgery {
    fn subject(&self) -> String {
        format!("{}/{} {}", self.side, self.kind, Family::of(self.source).word())
    }

    /// What taps look for. It holds nothing but names of the testbed.
    fn token(&self) -> String {
        let Side { by, before, after } = &self.side;
        let family = Family::of(self.source).word();
        format!("sixwalk-spoof-{by}-{before}-{after}-{}-{family}", self.kind)
    }

    fn probe(&self) -> Probe {
        let to = std::net::SocketAddr::new(self.way.path.destination, self.port);
        let question = Question::Spoof { source: self.source, to, token: self.token() };
        ask::probe(self.sender(), question)
    }

    /// The node just before the filter: from farther away, another filter might stop the packet first.
    fn sender(&self) -> &NodeName {
        &self.way.path.nodes[self.way.at - 1]
    }

    fn passage(&self) -> Passage {
        let watch = Watch::Payload { family: Some(Family::of(self.source)), token: self.token() };
        Passage::new(&self.way, watch, self.subject())
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&TEXT);
        let Some((id, answer)) = seen.answer(&self.probe()) else {
            return judge.not_testable(self.subject(), "it was not tried", []);
        };
        // The token tells its packets from all others.
        let Some(sight) = self.passage().read(seen, Own::All) else {
            return judge.not_testable(self.subject(), "nobody watched it", [id]);
        };
        let evidence = [[id].as_slice(), &sight.evidence].concat();
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(self.subject(), reason, evidence);
        }
        // A sender with a leg on another link may have sent by that, where the source is in place.
        if sight.passed > 0 && sight.came > 0 {
            return judge.fail(self.subject(), evidence, self.complaint(stage, sight.passed));
        }
        sight.stopped(judge, &self.way, self.subject(), evidence)
    }

    fn complaint(&self, stage: &Stage, frames: u64) -> Complaint {
        let family = Family::of(self.source);
        let path = &self.way.path;
        let scope = Scope {
            family: Some(family),
            to: Some(self.way.to().clone()),
            address: Some(path.destination),
            port: None,
            from: Some(self.sender().clone()),
            nodes: path.nodes.clone(),
            segments: path.segments.clone(),
            carried: crate::check::reading::carrier(path),
            ..Scope::default()
        };
        let args = [
            ("by", self.way.by.to_string()),
            ("family", family.to_string()),
            ("kind", self.kind.to_owned()),
            ("source", self.source.to_string()),
            ("before", self.side.before.to_string()),
            ("after", self.side.after.to_string()),
            ("from", self.sender().to_string()),
            ("to", path.destination.to_string()),
            ("frames", frames.to_string()),
        ];
        let culprit = Culprit::node(&self.way.by, format!("anti-spoofing of {family}"));
        Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..complaint(stage, "passed", culprit, scope, args)
        }
    }
}
