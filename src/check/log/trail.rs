//! The trail of a log-in: from the connection through the access log of the service and the table that the sink makes of
//! it, to the page that shows users their last log-ins (S2 section 4.2). Each stage is held against what it was given, so
//! that the one which spoils an address is named, and not those after it.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::{
    check::{
        ask, legs,
        reach::Leg,
        reading::{self, Judge},
    },
    model::{
        answer::{Answer, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::NodeName,
        node::Node,
        probe::{Keeper, Probe, Question},
        service::{Port, Service, ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::{Expect, Path, Stage},
    wire::log_in,
};

/// As many log-ins as the page shows.
const MOST: usize = log_in::SHOWN;

/// The log-ins at one web service whose node sends its log to a sink.
pub(in crate::check) struct Trail {
    pub(in crate::check) node: NodeName,
    pub(in crate::check) service: Service,
    pub(in crate::check) sink: NodeName,
    sink_at: SocketAddr,
    /// The way of the messages to the sink.
    to_sink: Path,
    pub(in crate::check) log_ins: Vec<LogIn>,
    page: Option<Probe>,
}

/// One log-in.
#[derive(Clone)]
pub(in crate::check) struct LogIn {
    path: Path,
    user: String,
    number: usize,
}

/// What a stage made of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::check) enum Kept {
    /// It is as it was given.
    AsGiven,
    /// It is not there at all.
    Missing,
    /// The same address in another spelling than RFC 5952 section 4 wants.
    Spelt,
    /// Only its beginning.
    Cut,
    /// Another address, or none.
    Other,
}

/// What one stage did.
pub(in crate::check) struct Step {
    /// The node, and what of it keeps the address: `access log of https`.
    pub(in crate::check) at: (NodeName, String),
    pub(in crate::check) kept: Kept,
    pub(in crate::check) given: String,
    pub(in crate::check) now: String,
    pub(in crate::check) evidence: Vec<EvidenceId>,
    scope: Scope,
}

/// The trails of a stage that flows let reach their sink.
pub(in crate::check) fn all(stage: &Stage) -> Vec<Trail> {
    let mut all = planned(stage);
    all.retain(|trail| trail.closed(stage).is_none());
    all
}

/// Those whose messages no flow lets reach their sink: what is missing there is missing by plan.
pub(in crate::check) fn left_out(judge: Judge, stage: &Stage) -> Vec<Judgement> {
    let closed = planned(stage).into_iter().filter_map(|trail| {
        let subject = format!("{}/{} at {}", trail.node, trail.service.name, trail.sink);
        Some(judge.not_applicable(subject, trail.closed(stage)?))
    });
    closed.collect()
}

fn planned(stage: &Stage) -> Vec<Trail> {
    stage.testbed.nodes.values().filter_map(|node| Trail::of(stage, node)).collect()
}

fn web_service(node: &Node) -> Option<&Service> {
    let is_site = |s: &&Service, kind| s.kind == kind && s.front.is_none();
    let of_kind = |kind| node.services.iter().find(move |service| is_site(service, kind));
    of_kind(ServiceKind::Https).or_else(|| of_kind(ServiceKind::Http))
}

/// What to do for all of them: log-ins one after the other, then the page.
pub(in crate::check) fn ask_all(stage: &Stage, round: u8) -> Vec<Experiment> {
    all(stage).iter().map(|trail| trail.experiment(round)).collect()
}

/// Once more, where something was lost on the way: a sink over UDP may miss one.
pub(in crate::check) fn follow_up(stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
    let missing = |trail: &&Trail| {
        trail.log_ins.iter().any(|log_in| {
            let steps = trail.steps(seen, log_in);
            steps.is_none_or(|steps| steps.iter().any(|step| step.kept == Kept::Missing))
        })
    };
    let trails = all(stage);
    trails.iter().filter(missing).map(|trail| trail.experiment(1)).collect()
}

impl Trail {
    fn of(stage: &Stage, node: &Node) -> Option<Self> {
        let sink_at = *stage.nodes[&node.name].log_sinks.first()?;
        let sink = node.logs_to.clone()?;
        let to_sink = stage.path(&node.name, sink_at.ip()).ok()?;
        let service = web_service(node)?.clone();
        let mut paths = ways_to(stage, node, &service);
        // The longest texts of IPv6 addresses first: they are what narrow columns cut. One of IPv4 to compare with.
        paths.sort_by_key(|path| Reverse(path.source.to_string().len()));
        let mut sources = BTreeSet::new();
        paths.retain(|path| sources.insert(path.source));
        let (v6, v4): (Vec<_>, Vec<_>) = paths.into_iter().partition(|p| p.source.is_ipv6());
        let user = format!("{}.{}.{}", node.name, service.name, stage.phase.word());
        let paths = v6.into_iter().take(MOST - 1).chain(v4.into_iter().take(1));
        let log_in = |(number, path)| LogIn { path, user: user.clone(), number };
        let log_ins: Vec<_> = paths.enumerate().map(log_in).collect();
        (!log_ins.is_empty()).then(|| Self {
            page: page(stage, &sink, &user),
            node: node.name.clone(),
            service,
            sink,
            sink_at,
            to_sink,
            log_ins,
        })
    }

    /// Why its messages are not to arrive; `None` where they are.
    fn closed(&self, stage: &Stage) -> Option<String> {
        let port = Port { transport: Transport::Udp, number: self.sink_at.port() };
        legs::closed(stage, &self.to_sink, port)
    }

    fn experiment(&self, round: u8) -> Experiment {
        let log_ins = self.log_ins.iter();
        let mut probes: Vec<_> = log_ins
            .flat_map(|log_in| {
                let keepers = [(&self.node, Keeper::Access), (&self.sink, Keeper::Table)];
                let asked = keepers.map(|(node, keeper)| log_in.kept_at(node, keeper, round));
                std::iter::once(log_in.fetch(&self.service, round)).chain(asked)
            })
            .collect();
        probes.extend(self.page(round));
        Experiment { probes, in_order: true, ..Experiment::default() }
    }

    fn page(&self, round: u8) -> Option<Probe> {
        self.page.as_ref().map(|probe| ask::again(probe, round))
    }

    /// What is judged: `visitor->portal/https/2001:db8::1`.
    pub(in crate::check) fn subject(&self, log_in: &LogIn) -> String {
        format!("{}->{}/{}/{}", log_in.from(), self.node, self.service.name, log_in.path.source)
    }

    /// What the access log and the table made of a log-in; `None` where it did not come about.
    pub(in crate::check) fn steps(&self, seen: &Seen<'_>, log_in: &LogIn) -> Option<[Step; 2]> {
        let second = self.steps_of(seen, log_in, 1);
        second.or_else(|| self.steps_of(seen, log_in, 0))
    }

    fn steps_of(&self, seen: &Seen<'_>, log_in: &LogIn, round: u8) -> Option<[Step; 2]> {
        let (id, answer) = seen.answer(&log_in.fetch(&self.service, round))?;
        let attempt = answer.attempt().filter(|attempt| attempt.outcome == Outcome::Answered)?;
        let real = attempt.source?.ip().to_canonical().to_string();
        let leg = Leg::new(log_in.path.clone(), log_in.fetch(&self.service, round));
        let access = format!("access log of {}", self.service.name);
        let (at_access, by_access) =
            client(seen, &log_in.kept_at(&self.node, Keeper::Access, round))?;
        let (at_table, by_table) = client(seen, &log_in.kept_at(&self.sink, Keeper::Table, round))?;
        let first =
            Step::new((&self.node, access), &real, by_access, vec![id, at_access], leg.scope());
        let evidence = vec![id, at_access, at_table];
        let table = (&self.sink, "table of log-ins".to_owned());
        let scope = self.message_scope(kept(&first.now, &by_table));
        let second = Step::new(table, &first.now, by_table, evidence, scope);
        Some([first, second])
    }

    /// What the message to the sink touches. One that is not there may have been lost anywhere on its way; what is there and
    /// spoilt has arrived.
    fn message_scope(&self, kept: Kept) -> Scope {
        let question = Question::Log { to: self.sink_at, token: String::new() };
        let scope = Leg::new(self.to_sink.clone(), ask::probe(&self.node, question)).scope();
        match kept {
            Kept::Missing => scope,
            _ => Scope { nodes: Vec::new(), segments: Vec::new(), carried: None, ..scope },
        }
    }

    /// What the page shows of a log-in; `None` where it could not be read, or there is none.
    pub(in crate::check) fn shown(&self, seen: &Seen<'_>, log_in: &LogIn) -> Option<Step> {
        let round = u8::from(self.steps_of(seen, log_in, 1).is_some());
        let [_, table] = self.steps_of(seen, log_in, round)?;
        let (id, answer) = seen.answer(&self.page(round)?)?;
        let Answer::Page { page: Some(page), attempt } = answer else { return None };
        let token = format!("{} ", log_in.token(round));
        let shown = page.rows.iter().find_map(|row| row.strip_prefix(token.as_str()));
        let scope = Scope {
            family: Some(attempt.family),
            to: Some(self.sink.clone()),
            address: Some(attempt.destination.ip()),
            ..Scope::default()
        };
        let at = (&self.sink, "page of the last log-ins".to_owned());
        let evidence = [table.evidence.clone(), vec![id]].concat();
        let shown = shown.unwrap_or(log_in::NOTHING).to_owned();
        Some(Step::new(at, &table.now, shown, evidence, scope))
    }

    /// Whether somebody may read the page.
    pub(in crate::check) fn has_page(&self) -> bool {
        self.page.is_some()
    }
}

#[cfg(test)]
impl LogIn {
    /// Whether it goes by this token, in any round.
    pub(in crate::check) fn has(&self, token: &str) -> bool {
        (0..=reading::REPETITIONS).any(|round| self.token(round) == token)
    }

    pub(in crate::check) fn is_of(&self, user: &str) -> bool {
        self.user == user
    }

    pub(in crate::check) fn source(&self) -> IpAddr {
        self.path.source
    }
}

impl LogIn {
    pub(in crate::check) fn from(&self) -> &NodeName {
        &self.path.nodes[0]
    }

    /// How many characters the address has that it comes from.
    pub(in crate::check) fn length(&self) -> usize {
        self.path.source.to_string().len()
    }

    pub(in crate::check) fn token(&self, round: u8) -> String {
        format!("{}.{}.{}.{round}", self.user, self.from(), self.number)
    }

    fn fetch(&self, service: &Service, round: u8) -> Probe {
        let path = format!("{}?user={}&token={}", log_in::LOGIN, self.user, self.token(round));
        ask::fetch(self.from(), service, self.path.destination, &path)
    }

    fn kept_at(&self, node: &NodeName, keeper: Keeper, round: u8) -> Probe {
        ask::probe(node, Question::LogIn { token: self.token(round), keeper })
    }
}

/// The ways by which somebody may come to a service, over every family.
fn ways_to(stage: &Stage, node: &Node, service: &Service) -> Vec<Path> {
    let mut ways = Vec::new();
    for exchange in stage.exchanges() {
        if exchange.to != node.name || exchange.service.as_ref() != Some(&service.name) {
            continue;
        }
        for address in Family::ALL.into_iter().flat_map(|f| stage.targets(&exchange, f)) {
            if let Expect::Reach(path) = stage.expect(&exchange, address) {
                ways.push(path);
            }
        }
    }
    ways
}

/// The page at the sink, by the first who may read it.
fn page(stage: &Stage, sink: &NodeName, user: &str) -> Option<Probe> {
    let node = &stage.testbed.nodes[sink];
    let service = node.services.iter().find(|service| service.kind == ServiceKind::Http)?;
    let path = ways_to(stage, node, service).into_iter().next()?;
    let at = format!("{}?user={user}", log_in::LAST);
    Some(ask::fetch(&path.nodes[0], service, path.destination, &at))
}

/// The address, as text, that a stage knows a log-in by.
fn client(seen: &Seen<'_>, probe: &Probe) -> Option<(EvidenceId, String)> {
    match seen.answer(probe)? {
        (id, Answer::LogIn { clients }) => {
            Some((id, clients.last().cloned().unwrap_or_else(|| log_in::NOTHING.to_owned())))
        }
        _ => None,
    }
}

/// What became of an address.
fn kept(given: &str, now: &str) -> Kept {
    let same = |text: &str| text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    match (same(given), same(now)) {
        _ if now == given => Kept::AsGiven,
        _ if now.is_empty() || now == log_in::NOTHING => Kept::Missing,
        (Some(before), Some(after)) if before == after => Kept::Spelt,
        _ if given.starts_with(now) => Kept::Cut,
        _ => Kept::Other,
    }
}

impl Step {
    fn new(
        (node, part): (&NodeName, String),
        given: &str,
        now: String,
        evidence: Vec<EvidenceId>,
        scope: Scope,
    ) -> Self {
        let kept = kept(given, &now);
        Self { at: (node.clone(), part), kept, given: given.to_owned(), now, evidence, scope }
    }

    /// A complaint about it.
    pub(in crate::check) fn complaint(
        &self,
        stage: &Stage,
        case: &str,
        severity: Severity,
        log_in: &LogIn,
    ) -> Complaint {
        let (node, part) = &self.at;
        let now = if self.now == log_in::NOTHING { "no address" } else { &self.now };
        let args = [
            ("from", log_in.from().to_string()),
            ("what", format!("the {part} of {node}")),
            ("given", self.given.clone()),
            ("kept", now.to_owned()),
            ("length", self.given.chars().count().to_string()),
        ];
        let culprit = Culprit::node(node, part.clone());
        Complaint {
            severity,
            confidence: Confidence::High,
            // What is written in a log explains nothing else.
            depth: Depth::Symptom,
            ..reading::complaint(stage, case, culprit, self.scope.clone(), args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_an_address_is_told_apart() {
        let of = |now| kept("2001:db8::a", now);
        assert_eq!(of("2001:db8::a"), Kept::AsGiven);
        assert_eq!(of("2001:DB8::A"), Kept::Spelt);
        assert_eq!(of("2001:0db8:0000:0000:0000:0000:0000:000a"), Kept::Spelt);
        assert_eq!(of("2001"), Kept::Cut);
        assert_eq!(of("-"), Kept::Missing);
        assert_eq!(of(""), Kept::Missing);
        assert_eq!(of("2001:db8::b"), Kept::Other);
        assert_eq!(kept("192.0.2.1", "::ffff:192.0.2.1"), Kept::Spelt);
    }
}
