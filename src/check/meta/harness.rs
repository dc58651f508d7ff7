//! The harness checks itself: `meta.settled`, `meta.no-residue`, `meta.control-probe`, `meta.family-proof` and
//! `meta.repeatable`. What they find withholds results; it is no finding about the network.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reach::Leg,
        reading::{self, Judge, Reached},
    },
    model::{
        answer::{Answer, Attempt, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Severity},
        name::NodeName,
        probe::{Aspect, Probe, Question},
        verdict::{Judgement, Verdict},
    },
    stage::Stage,
};

/// `meta.settled`.
pub(super) struct Settled;
/// `meta.no-residue`.
pub(super) struct NoResidue;
/// `meta.control-probe`.
pub(super) struct ControlProbe;
/// `meta.family-proof`.
pub(super) struct FamilyProof;
/// `meta.repeatable`.
pub(super) struct Repeatable;

static SETTLED: Text = Text {
    id: "meta.settled",
    title: "IPv6 has settled",
    section: "S2 5.2",
    use_case: UseCase::Harness,
    question: "Is duplicate address detection over on every node, link-local addresses included?",
    good: "No address is tentative.",
    references: &["RFC 4862 section 5.4"],
    cases: &[Case {
        name: "tentative",
        finding: "{node} had not finished duplicate address detection.",
        expected: "No tentative address when the first question is asked.",
        observed: "{what}.",
        remedy: "Wait longer before the first question, or find the duplicate address.",
    }],
};

static NO_RESIDUE: Text = Text {
    id: "meta.no-residue",
    title: "No residue of the phase before",
    section: "S2 2.2.2",
    use_case: UseCase::Harness,
    question: "Is every node free of learned path MTUs that the present phase cannot have taught it?",
    good: "Nothing is left of the phase before.",
    references: &["RFC 8201 section 4"],
    cases: &[Case {
        name: "stale",
        finding: "{node} remembers a path MTU of the phase before.",
        expected: "No learned path MTU for a destination that is not live.",
        observed: "{what}.",
        remedy: "Flush route exceptions when a phase is entered.",
    }],
};

static CONTROL: Text = Text {
    id: "meta.control-probe",
    title: "Controls beside silence",
    section: "S1",
    use_case: UseCase::Harness,
    question: "Did something else from the same node in the same family work where a question met silence?",
    good: "Every silence stands beside a control that worked.",
    references: &["RFC 4443 section 2.4"],
    cases: &[Case {
        name: "lost",
        finding: "{node} heard nothing at all over {family}; results from there are not testable.",
        expected: "At least one answer from the same node in the same family.",
        observed: "{what}.",
        remedy: "Repeat the phase when the vantage is back.",
    }],
};

static FAMILY: Text = Text {
    id: "meta.family-proof",
    title: "Family really used",
    section: "S2 2.3",
    use_case: UseCase::Harness,
    question: "Was the family on the wire the family that was asked for, in every attempt?",
    good: "Every attempt used the family that was asked for.",
    references: &["RFC 4291 section 2.5.5.2"],
    cases: &[Case {
        name: "other",
        finding: "A probe asked for one family and another was used.",
        expected: "The family of the literal destination.",
        observed: "{what}.",
        remedy: "Drop the result and pin the family of the probe.",
    }],
};

static REPEATABLE: Text = Text {
    id: "meta.repeatable",
    title: "Same answer each time",
    section: "S0",
    use_case: UseCase::Harness,
    question: "Does every question that failed fail again when it is repeated twice?",
    good: "Every repeated question had the same answer each time.",
    references: &["RFC 4443 section 2.4"],
    cases: &[Case {
        name: "flaky",
        finding: "{from} gets an answer from {to} only some of the time.",
        expected: "The same answer each time.",
        observed: "{answered} of {asked} attempts were answered; one that was not: {observed}.",
        remedy: "Look for loss before judging anything else.",
    }],
};

impl Check for Settled {
    fn text(&self) -> &'static Text {
        &SETTLED
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let probes = stage.nodes.keys().map(|node| ask::inspect(node, Aspect::Addresses));
        vec![Experiment::of_probes(probes)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&SETTLED);
        stage.nodes.keys().map(|node| settled(judge, seen, node)).collect()
    }
}

/// A duplicate that detection has found is settled too: `l2.dad` reports it.
fn settled(judge: Judge, seen: &Seen<'_>, node: &NodeName) -> Judgement {
    let answer = seen.answer(&ask::inspect(node, Aspect::Addresses));
    let Some((id, Answer::Addresses(links))) = answer else {
        return judge.not_testable(node.as_str(), "the addresses could not be read", []);
    };
    let addresses = links.iter().flat_map(|link| link.addresses.iter().map(move |a| (link, a)));
    let tentative = addresses.filter(|(_, address)| address.tentative && !address.dad_failed);
    let tentative: Vec<_> =
        tentative.map(|(link, address)| format!("{} on {}", address.net, link.name)).collect();
    if tentative.is_empty() {
        return judge.pass(node.as_str(), [id]);
    }
    let reason = format!("duplicate address detection is not over for {}", tentative.join(", "));
    harness_error(judge, node.as_str(), reason, vec![id])
}

/// The harness itself did not work: no finding about the network.
fn harness_error(
    judge: Judge,
    subject: &str,
    reason: String,
    evidence: Vec<EvidenceId>,
) -> Judgement {
    let judgement = judge.not_testable(subject, reason, evidence);
    Judgement { verdict: Verdict::HarnessError, ..judgement }
}

impl Check for NoResidue {
    fn text(&self) -> &'static Text {
        &NO_RESIDUE
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let probes = stage.nodes.keys().map(|node| ask::inspect(node, Aspect::Routes));
        vec![Experiment::of_probes(probes)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&NO_RESIDUE);
        stage.nodes.keys().map(|node| residue(judge, stage, seen, node)).collect()
    }
}

/// Path MTUs that are learned in this very phase are healthy, and `path.pmtu` reads them. Residue is what was learned for
/// a destination that the phase does not have.
fn residue(judge: Judge, stage: &Stage, seen: &Seen<'_>, node: &NodeName) -> Judgement {
    let answer = seen.answer(&ask::inspect(node, Aspect::Routes));
    let Some((id, Answer::Routes(routes))) = answer else {
        return judge.not_testable(node.as_str(), "the routes could not be read", []);
    };
    let learned = routes.iter().filter_map(|route| Some((route.to, route.learned_mtu?)));
    let stale = learned.filter(|(to, _)| stage.owner(to.addr()).is_none());
    let stale: Vec<_> =
        stale.map(|(to, (mtu, left))| format!("{mtu} octets for {to} ({left} s left)")).collect();
    if stale.is_empty() {
        return judge.pass(node.as_str(), [id]);
    }
    let reason = format!("a path MTU of the phase before is remembered: {}", stale.join(", "));
    harness_error(judge, node.as_str(), reason, vec![id])
}

impl Check for ControlProbe {
    fn text(&self) -> &'static Text {
        &CONTROL
    }

    fn ask(&self, _stage: &Stage) -> Vec<Experiment> {
        Vec::new()
    }

    /// The nearest router of every node and family that met silence.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let silent = seen.answers().filter(|(_, _, answer)| is_silence(answer));
        let controls = silent.filter_map(|(_, probe, _)| leg(stage, probe)?.control(stage));
        vec![Experiment::of_probes(controls.collect::<BTreeSet<_>>())]
    }

    fn judge(&self, _stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&CONTROL);
        let mut vantages = BTreeMap::<_, Vantage>::new();
        for (id, probe, answer) in seen.answers() {
            let Some(attempt) = answer.attempt() else { continue };
            let vantage = vantages.entry((probe.from.clone(), attempt.family)).or_default();
            vantage.count(id, answer);
        }
        let found = vantages.into_iter().filter(|(_, vantage)| !vantage.silent.is_empty());
        let found = found.map(|((node, family), vantage)| vantage.judge(judge, &node, family));
        judge.or_not_applicable(found.collect(), "no question met silence")
    }
}

/// What a node met in a family.
#[derive(Default)]
struct Vantage {
    silent: BTreeSet<EvidenceId>,
    heard: BTreeSet<EvidenceId>,
}

impl Vantage {
    fn count(&mut self, id: EvidenceId, answer: &Answer) {
        if is_silence(answer) {
            self.silent.insert(id);
        } else if answer.not_asked().is_none() && answer.attempt().is_some_and(came_back) {
            self.heard.insert(id);
        }
    }

    fn judge(self, judge: Judge, node: &NodeName, family: Family) -> Judgement {
        let subject = format!("{node}/{}", family.word());
        let silent = self.silent.len();
        let evidence: Vec<_> =
            self.heard.iter().take(1).chain(self.silent.iter().take(8)).copied().collect();
        if self.heard.is_empty() {
            let reason = format!("nothing at all was heard; {silent} results are not testable");
            return judge.not_testable(subject, reason, evidence);
        }
        judge.pass(subject, evidence)
    }
}

/// Something came from the network: an answer, a reset or an ICMP error.
fn came_back(attempt: &Attempt) -> bool {
    attempt.icmp.is_some()
        || matches!(attempt.outcome, Outcome::Answered | Outcome::Refused | Outcome::Garbled { .. })
}

fn is_silence(answer: &Answer) -> bool {
    answer.attempt().is_some_and(|attempt| attempt.outcome == Outcome::TimedOut)
}

fn leg(stage: &Stage, probe: &Probe) -> Option<Leg> {
    let path = stage.path(&probe.from, probe.question.destination()?).ok()?;
    Some(Leg::new(path, probe.clone()))
}

impl Check for FamilyProof {
    fn text(&self) -> &'static Text {
        &FAMILY
    }

    fn ask(&self, _stage: &Stage) -> Vec<Experiment> {
        Vec::new()
    }

    fn judge(&self, _stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&FAMILY);
        let mut tally = BTreeMap::<Family, Tallied>::new();
        for (id, probe, answer) in seen.answers() {
            let (Some(to), Some(attempt)) = (probe.question.destination(), answer.attempt()) else {
                continue;
            };
            let asked = Family::of(to);
            let Tallied { right, others, wrong } = tally.entry(asked).or_default();
            if uses(attempt, asked) {
                right.insert(id);
                continue;
            }
            others.insert(id);
            wrong.push(format!("{to} was asked for and {} was used ({id})", attempt.family));
        }
        let found = tally.into_iter().map(|(family, Tallied { right, others, mut wrong })| {
            if wrong.is_empty() {
                return judge.pass(family.word(), Vec::from_iter(right));
            }
            wrong.sort();
            let evidence = others.into_iter().collect();
            harness_error(judge, family.word(), wrong.join("; "), evidence)
        });
        judge.or_not_applicable(found.collect(), "no attempt was made")
    }
}

/// The attempts in which one family was asked for.
#[derive(Default)]
struct Tallied {
    right: BTreeSet<EvidenceId>,
    others: BTreeSet<EvidenceId>,
    wrong: Vec<String>,
}

/// Source, destination and frame are of the family asked for; a mapped address counts as IPv4.
fn uses(attempt: &Attempt, asked: Family) -> bool {
    let source = attempt.source.map_or(asked, |source| Family::of(source.ip()));
    attempt.family == asked && source == asked && Family::of(attempt.destination.ip()) == asked
}

impl Check for Repeatable {
    fn text(&self) -> &'static Text {
        &REPEATABLE
    }

    fn ask(&self, _stage: &Stage) -> Vec<Experiment> {
        Vec::new()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&REPEATABLE);
        let repeated = seen.answers().filter(|(_, probe, _)| probe.round == 1);
        // A canary is sent while something is done to a tunnel, again and again until it has turned to another way.
        let repeated = repeated.filter(|(_, probe, answer)| {
            answer.attempt().is_some() && !matches!(probe.question, Question::Canary { .. })
        });
        let first = repeated.map(|(_, probe, _)| first_round(seen, probe));
        let first: BTreeSet<_> = first.collect();
        let mut subjects = BTreeMap::new();
        let found = first.iter().filter_map(|probe| {
            let subject = numbered(subject(stage, probe)?, &mut subjects);
            repeatable(judge, stage, seen, probe, subject)
        });
        judge.or_not_applicable(found.collect(), "no question had to be repeated")
    }
}

/// Who asked whom.
fn subject(stage: &Stage, probe: &Probe) -> Option<String> {
    let to = probe.question.destination()?;
    let port = leg(stage, probe).and_then(|leg| leg.port);
    let port = port.map_or_else(String::new, |port| format!("/{port}"));
    Some(format!("{}->{to}{port}", probe.from))
}

/// Different questions to the same place are numbered in their order, which is the same in every run.
fn numbered(subject: String, before: &mut BTreeMap<String, usize>) -> String {
    let number = before.entry(subject.clone()).or_default();
    *number += 1;
    if *number == 1 { subject } else { format!("{subject} ({number})") }
}

/// The first round of a repetition: repetitions of connections also watch the hop limit.
fn first_round(seen: &Seen<'_>, repeated: &Probe) -> Probe {
    let same = Probe { round: 0, ..repeated.clone() };
    if seen.answer(&same).is_some() {
        return same;
    }
    let mut first = same;
    if let Question::Connect { watch, .. } = &mut first.question {
        *watch = false;
    }
    first
}

fn repeatable(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    probe: &Probe,
    subject: String,
) -> Option<Judgement> {
    let to = probe.question.destination()?;
    let rounds = reading::consensus(seen, probe)?;
    let evidence = rounds.evidence.clone();
    Some(match rounds.reached() {
        Reached::Yes | Reached::No => judge.pass(subject, evidence),
        Reached::Unknown(reason) => judge.not_testable(subject, reason, evidence),
        // One miss among repetitions that succeed is recorded; it takes two to speak of loss.
        Reached::Sometimes { answered, asked } if answered + 1 >= asked => {
            judge.info(subject, format!("answered {answered} of {asked} times"), evidence)
        }
        Reached::Sometimes { answered, asked } => {
            let reason = format!("answered {answered} of {asked} times");
            let Some(leg) = leg(stage, probe) else {
                return Some(judge.info(subject, reason, evidence));
            };
            let culprit = leg.read(stage, seen)?.culprit(&leg);
            let args = [
                ("from", probe.from.to_string()),
                ("to", to.to_string()),
                ("answered", answered.to_string()),
                ("asked", asked.to_string()),
                ("observed", reading::describe(rounds.telling)),
            ];
            let complaint = Complaint {
                severity: Severity::Minor,
                ..reading::complaint(stage, "flaky", culprit, leg.scope(), args)
            };
            judge.degraded(subject, reason, evidence, complaint)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            fixture::{self, Network},
            from_outside::service_reach::SERVICE_REACH,
        },
        model::phase::Phase,
    };

    fn verdicts(network: &Network, check: &dyn Check) -> Vec<(String, Verdict)> {
        let judgements = network.ask(&[&SERVICE_REACH, check]);
        let own = judgements.into_iter().filter(|j| j.check == check.text().id);
        own.filter(|j| j.verdict != Verdict::Pass).map(|j| (j.subject, j.verdict)).collect()
    }

    #[test]
    fn a_healthy_network_is_silent() {
        for check in [&Settled as &dyn Check, &NoResidue, &ControlProbe, &FamilyProof, &Repeatable]
        {
            fixture::assert_silent_when_healthy(check);
        }
    }

    #[test]
    fn a_tentative_address_withholds_results_and_a_found_duplicate_does_not() {
        for (dad_failed, expected) in [(false, 1), (true, 0)] {
            let network = Network::healthy(Phase::DualStack).bend(move |probe, answer| {
                if let Answer::Addresses(links) = answer
                    && probe.from.as_str() == "portal"
                {
                    links[1].addresses[1].tentative = true;
                    links[1].addresses[1].dad_failed = dad_failed;
                }
            });
            assert_eq!(verdicts(&network, &Settled).len(), expected);
        }
    }

    #[test]
    fn a_path_mtu_for_an_address_that_is_not_live_is_residue() {
        let with = |to: &'static str| {
            Network::healthy(Phase::Ipv6Only).bend(move |probe, answer| {
                if let Answer::Routes(routes) = answer
                    && probe.from.as_str() == "portal"
                {
                    routes[0].to = to.parse().unwrap();
                    routes[0].learned_mtu = Some((1400, 597));
                }
            })
        };
        let old = verdicts(&with("198.51.100.10/32"), &NoResidue);
        assert_eq!(old, [("portal".to_owned(), Verdict::HarnessError)]);
        assert_eq!(verdicts(&with("2001:db8:f::a/128"), &NoResidue), []);
    }

    #[test]
    fn a_vantage_that_hears_nothing_is_lost() {
        let network = Network::healthy(Phase::DualStack).bend(|_, answer| {
            if let Answer::Connection { attempt, .. }
            | Answer::Dns { attempt, .. }
            | Answer::Time { attempt, .. }
            | Answer::Echo { attempt } = answer
                && attempt.family == Family::V6
            {
                attempt.outcome = Outcome::TimedOut;
            }
        });
        let found = verdicts(&network, &ControlProbe);
        assert!(found.contains(&("visitor/ipv6".to_owned(), Verdict::NotTestable)), "{found:?}");
        assert!(!found.iter().any(|(subject, _)| subject.ends_with("ipv4")));
    }

    #[test]
    fn another_family_than_asked_for_is_an_error_of_the_harness() {
        let network = Network::healthy(Phase::DualStack).bend(|_, answer| {
            if let Answer::Connection { attempt, .. } = answer
                && attempt.family == Family::V6
            {
                attempt.family = Family::V4;
            }
        });
        let found = verdicts(&network, &FamilyProof);
        assert_eq!(found, [("ipv6".to_owned(), Verdict::HarnessError)]);
    }

    #[test]
    fn two_misses_of_three_are_flaky_and_one_is_recorded() {
        for (misses, verdict) in [(2, Verdict::Degraded), (1, Verdict::Info)] {
            let network = Network::healthy(Phase::DualStack).bend(move |probe, answer| {
                if let Answer::Connection { attempt, .. } = answer
                    && attempt.family == Family::V6
                    && probe.round < misses
                {
                    attempt.outcome = Outcome::TimedOut;
                }
            });
            let found = verdicts(&network, &Repeatable);
            assert!(found.iter().all(|(_, found)| *found == verdict), "{found:?}");
            assert!(!found.is_empty());
        }
    }
}
