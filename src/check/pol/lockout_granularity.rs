//! Are log-ins locked for the network that failures came from, and for nobody else?

use super::visitors::{self, Reception};
use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{self, Judge},
    },
    model::{
        access::Lockout,
        answer::{Answer, Page},
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        phase::Phase,
        probe::Probe,
        service::Service,
        verdict::Judgement,
    },
    stage::{Path, Stage},
    wire::log_in::{self, Proof},
};

/// Fails to log in from one host until the log-in must be locked, and then logs in with the right password from there, from
/// a neighbour and from elsewhere. Each family of each phase has a user of its own, so that nobody else is locked out.
pub(in crate::check) struct LockoutGranularity;

static TEXT: Text = Text {
    id: "pol.lockout-granularity",
    title: "Locked log-ins are locked for the right network",
    section: "S4",
    use_case: UseCase::Policies,
    question: "After too many failed log-ins, is the user locked for the whole network that they came from (a /64 of IPv6), \
               and for no other?",
    good: "Failed log-ins lock the network that they came from, and no other.",
    references: &["RFC 8981", "RFC 7721 section 4", "RFC 9099 section 2.6"],
    cases: &[
        Case {
            name: "never",
            finding: "{what} locks nobody over {family}: after {after} failed log-ins the next one from {from} is accepted.",
            expected: "Status 429 for {source}.",
            observed: "Status {status} for {source}.",
            remedy: "Count failed log-ins over IPv6 as over IPv4, by the /64 that they come from.",
        },
        Case {
            name: "each-address",
            finding: "{what} locks single {family} addresses: {from}, in the network that was to be locked, logs in.",
            expected: "Status 429 for {source} too, which is in the same {net}.",
            observed: "Status {status} for {source}.",
            remedy: "Count failures by the /64: whoever guesses takes another address of it for every attempt (RFC 8981).",
        },
        Case {
            name: "everybody",
            finding: "{what} locks out users of {family} who did nothing: {from} is in another network than the failures.",
            expected: "Status 200 for {source}, which is not in {net}.",
            observed: "Status {status} for {source}.",
            remedy: "Keep the source of failures whole: a column for IPv4 holds one value for all of IPv6. Lock the /64.",
        },
    ],
};

impl Check for LockoutGranularity {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let all = attempts(stage);
        let guesses = all.iter().flat_map(Attempt::guesses);
        vec![Experiment::of_probes(guesses)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let all = attempts(stage).into_iter().filter(|attempt| attempt.doubt(seen).is_none());
        let after = all.flat_map(|attempt| {
            let comers = attempt.comers.clone();
            comers.into_iter().map(move |comer| attempt.log_in(&comer.from, Proof::Right, 0))
        });
        vec![Experiment::of_probes(after)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let of = |reception: &Reception<'_>| match attempt(stage.phase, reception) {
            Some(attempt) => attempt.judge(stage, seen),
            None => vec![unvisited(reception)],
        };
        let found = locking(stage).iter().flat_map(of).collect();
        Judge(&TEXT).or_not_applicable(found, "no web service of this phase locks log-ins")
    }
}

/// An attempt to have a log-in locked.
pub(in crate::check) struct Attempt {
    /// Who fails.
    pub(in crate::check) guesser: NodeName,
    /// What the service was told.
    pub(in crate::check) lockout: Lockout,
    what: String,
    node: NodeName,
    service: Service,
    phase: Phase,
    way: Path,
    comers: Vec<Comer>,
}

/// Somebody who logs in with the right password afterwards.
#[derive(Clone)]
struct Comer {
    from: NodeName,
    way: Path,
    /// Whether the lock must hold for it.
    is_locked: bool,
}

/// One attempt for each family of each service that locks log-ins, where somebody can make it.
pub(in crate::check) fn attempts(stage: &Stage) -> Vec<Attempt> {
    locking(stage).iter().filter_map(|reception| attempt(stage.phase, reception)).collect()
}

/// Every service that locks log-ins, with whom its own access list lets in: nobody else comes as far as a log-in.
fn locking(stage: &Stage) -> Vec<Reception<'_>> {
    let mut all = visitors::receptions(stage, |service| service.lockout.is_some());
    for reception in &mut all {
        let admitted = reception.ways.iter().filter(|way| reception.admits(way)).cloned();
        reception.ways = admitted.collect();
    }
    all
}

/// From a host that has a neighbour, if some has one; the log-in is tried from it, from the neighbour and from elsewhere.
fn attempt(phase: Phase, reception: &Reception<'_>) -> Option<Attempt> {
    let lockout = reception.service.lockout?;
    let ways = &reception.ways;
    let link = |way: &Path| way.segments.first().cloned();
    let near = |way: &Path| ways.iter().find(|other| *other != way && link(other) == link(way));
    let first = ways.iter().find(|way| near(way).is_some());
    let way = first.or(ways.first())?.clone();
    let net = lockout.source(way.source);
    let is_out = |other: &&Path| !net.contains(&other.source);
    let mut far = ways.iter().filter(|other| link(other) != link(&way));
    let far = far.clone().find(is_out).or_else(|| far.next());
    let comer = |way: &Path| Comer {
        from: visitors::visitor(way).clone(),
        way: way.clone(),
        is_locked: net.contains(&way.source),
    };
    let comers = [Some(&way), near(&way), far].into_iter().flatten().map(comer).collect();
    Some(Attempt {
        guesser: visitors::visitor(&way).clone(),
        lockout,
        what: what(reception),
        node: reception.node.name.clone(),
        service: reception.service.clone(),
        phase,
        comers,
        way,
    })
}

fn what(reception: &Reception<'_>) -> String {
    format!("{} of {}", reception.service.name, reception.node.name)
}

/// A service that nobody can be locked out of, because nobody can come and fail.
fn unvisited(reception: &Reception<'_>) -> Judgement {
    let subject = format!("{}/{}", what(reception), Family::of(reception.address));
    let reason = "nobody whom it lets in comes to it, so nobody could fail to log in";
    Judge(&TEXT).not_testable(subject, reason, [])
}

impl Attempt {
    fn family(&self) -> Family {
        self.way.family()
    }

    /// Locks last as long as the lab, and the way of a guesser may begin elsewhere in the next phase: each has its own user.
    fn user(&self) -> String {
        let (phase, family) = (self.phase.word(), self.family().word());
        format!("locked-{}-{}-{phase}-{family}", self.node, self.service.name)
    }

    /// Whether it is about this user.
    #[cfg(test)]
    pub(in crate::check) fn is_of(&self, user: &str) -> bool {
        self.user() == user
    }

    fn log_in(&self, from: &NodeName, proof: Proof, turn: u8) -> Probe {
        let (user, word) = (self.user(), proof.word());
        let path = format!("{}?user={user}&token={from}-{turn}&password={word}", log_in::LOGIN);
        ask::fetch(from, &self.service, self.way.destination, &path)
    }

    fn guesses(&self) -> impl Iterator<Item = Probe> + '_ {
        (1..=self.lockout.after).map(|turn| self.log_in(&self.guesser, Proof::Wrong, turn))
    }

    fn subject(&self, comer: &Comer) -> String {
        format!("{}->{}/{}", comer.from, self.what, self.family())
    }

    /// Why nothing follows from what comes after the guesses; `None` if all of them failed as they should.
    fn doubt(&self, seen: &Seen<'_>) -> Option<String> {
        self.guesses().find_map(|guess| match seen.answer(&guess) {
            None => Some("the log-in was not tried".to_owned()),
            Some((_, Answer::Page { page: Some(Page { status: 401 | 429, .. }), .. })) => None,
            Some((_, Answer::Page { page: Some(page), .. })) => {
                Some(format!("a wrong password was answered with status {}", page.status))
            }
            Some((_, other)) => {
                Some(format!("a failed log-in got no answer: {}", reading::describe(other)))
            }
        })
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let guesses: Vec<_> =
            self.guesses().filter_map(|guess| Some(seen.answer(&guess)?.0)).collect();
        let doubt = self.doubt(seen);
        let of = |comer: &Comer| {
            let subject = self.subject(comer);
            if let Some(reason) = &doubt {
                return judge.not_testable(subject, reason, guesses.clone());
            }
            let Some((id, answer)) = seen.answer(&self.log_in(&comer.from, Proof::Right, 0)) else {
                return judge.not_testable(subject, "it was not tried", []);
            };
            let evidence = [guesses.as_slice(), &[id]].concat();
            let Answer::Page { page: Some(page), .. } = answer else {
                return judge.not_testable(subject, reading::describe(answer), evidence);
            };
            match (comer.is_locked, page.status) {
                (true, 429) => judge.absent(subject, "locked, as planned", evidence),
                (false, 200) => judge.pass(subject, evidence),
                (true, 200) | (false, 429) => {
                    judge.fail(subject, evidence, self.complaint(stage, comer, page.status))
                }
                (_, status) => {
                    let reason = format!("the log-in was answered with status {status}");
                    judge.not_testable(subject, reason, evidence)
                }
            }
        };
        self.comers.iter().map(of).chain(self.unasked()).collect()
    }

    /// The parts of the question for which nobody is there: they have not passed.
    fn unasked(&self) -> Vec<Judgement> {
        let net = self.lockout.source(self.way.source);
        let is_wide = net.prefix_len() < net.max_prefix_len();
        let others = || self.comers.iter().filter(|comer| comer.from != self.guesser);
        let neighbour = (is_wide && !others().any(|comer| comer.is_locked)).then(|| {
            let reason = format!(
                "{} has no neighbour in {net} that could try whether all of it is locked",
                self.guesser
            );
            ("a neighbour", reason)
        });
        let stranger = (!others().any(|comer| !comer.is_locked)).then(|| {
            let reason = format!(
                "nobody outside of {net} is let in who could try whether others are locked out"
            );
            ("a stranger", reason)
        });
        let judge = Judge(&TEXT);
        let of = |(who, reason): (&str, String)| {
            let subject = format!("{who}->{}/{}", self.what, self.family());
            judge.not_testable(subject, reason, [])
        };
        [neighbour, stranger].into_iter().flatten().map(of).collect()
    }

    fn complaint(&self, stage: &Stage, comer: &Comer, status: u16) -> Complaint {
        let case = match (comer.is_locked, comer.from == self.guesser) {
            (true, true) => "never",
            (true, false) => "each-address",
            (false, _) => "everybody",
        };
        let scope = Scope {
            family: Some(self.family()),
            to: Some(self.node.clone()),
            address: Some(self.way.destination),
            port: self.service.ports().next(),
            from: Some(comer.from.clone()),
            nodes: comer.way.nodes.clone(),
            segments: comer.way.segments.clone(),
            packets: Some(Packets::Content),
            ..Scope::default()
        };
        let args = [
            ("what", self.what.clone()),
            ("family", self.family().to_string()),
            ("after", self.lockout.after.to_string()),
            ("from", comer.from.to_string()),
            ("source", comer.way.source.to_string()),
            ("net", self.lockout.source(self.way.source).to_string()),
            ("status", status.to_string()),
        ];
        let culprit =
            Culprit::node(&self.node, format!("lock of log-ins of {}", self.service.name));
        Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..reading::complaint(stage, case, culprit, scope, args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network, node},
        model::verdict::Verdict,
    };

    /// What somebody gets who logs in over IPv6 with the right password.
    fn with_status(from: &'static str, status: u16) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            let v6 = probe.question.destination().is_some_and(|to| to.is_ipv6());
            let right = format!("{:?}", probe.question).contains(Proof::Right.word());
            if let (Answer::Page { page: Some(page), .. }, true) =
                (answer, v6 && right && probe.from == node(from))
            {
                page.status = status;
            }
        })
    }

    fn cases(network: &Network) -> Vec<String> {
        let found = fixture::complaints(&LockoutGranularity, network);
        let culprit = "portal (lock of log-ins of https)";
        assert!(found.iter().all(|(_, who)| who == culprit), "{found:?}");
        found.into_iter().map(|(case, _)| case).collect()
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&LockoutGranularity);
    }

    #[test]
    fn the_guesser_its_neighbour_and_somebody_else_are_tried_in_both_families() {
        let judgements = Network::healthy(Phase::DualStack).ask(&[&LockoutGranularity]);
        assert_eq!(judgements.len(), 6, "{judgements:#?}");
        assert!(judgements.iter().all(|judgement| judgement.verdict == Verdict::Pass));
    }

    #[test]
    fn the_locks_of_a_phase_are_of_nobody_who_logs_in_in_the_next() {
        let users = |phase| {
            let all = attempts(&Network::healthy(phase).plan);
            all.iter().map(Attempt::user).collect::<std::collections::BTreeSet<_>>()
        };
        let phases = Phase::ALL.map(users);
        let of_each = phases.iter().map(std::collections::BTreeSet::len);
        let all: std::collections::BTreeSet<_> = phases.iter().flatten().collect();
        assert!(of_each.sum::<usize>() == all.len() && all.len() > 4, "{all:?}");
    }

    #[test]
    fn each_way_to_be_wrong_is_its_own_case() {
        let all = attempts(&Network::healthy(Phase::DualStack).plan);
        let v6 = all.iter().find(|attempt| attempt.family() == Family::V6).unwrap();
        let [own, near, far] = v6.comers.as_slice() else { panic!("three come") };
        assert!(own.is_locked && near.is_locked && !far.is_locked);
        let from = |comer: &Comer| &*comer.from.to_string().leak();
        assert_eq!(cases(&with_status(from(own), 200)), ["never"]);
        assert_eq!(cases(&with_status(from(near), 200)), ["each-address"]);
        assert_eq!(cases(&with_status(from(far), 429)), ["everybody"]);
    }

    /// The fixture, where the access list of the portal names these.
    fn admitting(nets: &[&str]) -> Stage {
        let mut testbed = fixture::testbed();
        let nodes = &mut std::sync::Arc::make_mut(&mut testbed).nodes;
        let services = &mut nodes.get_mut("portal").unwrap().services;
        let web = services.iter_mut().find(|service| service.lockout.is_some()).unwrap();
        web.admits = nets.iter().map(|net| net.parse().unwrap()).collect();
        Stage::new(&testbed, Phase::DualStack)
    }

    /// What is not testable, where the rest passes.
    fn untested(stage: Stage) -> Vec<String> {
        let judgements = Network::of(stage).ask(&[&LockoutGranularity]);
        assert!(judgements.iter().any(|j| j.verdict == Verdict::Pass), "{judgements:#?}");
        let rest = judgements.into_iter().filter(|j| j.verdict != Verdict::Pass);
        rest.inspect(|j| assert_eq!(j.verdict, Verdict::NotTestable)).map(|j| j.subject).collect()
    }

    #[test]
    fn what_nobody_is_there_to_try_has_not_passed() {
        let one_each =
            ["198.51.100.10/32", "203.0.113.53/32", "2001:db8:f::a/128", "2001:db8:d::35/128"];
        assert_eq!(untested(admitting(&one_each)), ["a neighbour->https of portal/IPv6"]);
        let one_link = ["198.51.100.0/24", "2001:db8:f::/64"];
        assert_eq!(untested(admitting(&one_link)), ["a stranger->https of portal/IPv6"]);
    }

    #[test]
    fn whoever_guesses_is_let_in_by_the_access_list() {
        let lan = ["10.0.0.0/24", "2001:db8:a::/64"];
        let attempts = attempts(&admitting(&lan));
        let guessers: Vec<_> = attempts.iter().map(|a| a.guesser.as_str()).collect();
        assert_eq!(guessers, ["resolver", "resolver"]);
        assert_eq!(untested(admitting(&["198.51.100.0/24"])), ["https of portal/IPv6"]);
    }

    #[test]
    fn what_is_not_answered_says_nothing_of_locks() {
        let network = Network::healthy(Phase::DualStack).deafen("portal", "https", Family::V6);
        let judgements = network.ask(&[&LockoutGranularity]);
        let v6 = judgements.iter().filter(|judgement| judgement.subject.ends_with("IPv6"));
        assert!(v6.clone().count() == 3 && v6.clone().all(|j| j.verdict == Verdict::NotTestable));
    }
}
