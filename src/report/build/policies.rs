//! Sections 2.2.4 and 2.3.7: the rules that filters have, and what became of each flow, phase by phase (S2 sections 2.2.1 and
//! 2.3.2): planned beside observed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Page, Source, cell, phrase,
    phrase::{and, code, foreign, joined, words},
};
use crate::{
    check::{exchanged, translated},
    model::{
        answer::Answer,
        evidence::{About, Evidence, EvidenceId},
        family::Family,
        flow::{Flow, Intent, Traffic},
        name::NodeName,
        phase::Phase,
        policy::{Filter, Hook, Rule},
        probe::{Aspect, Probe, Question},
        service::ServiceKind,
        verdict::Judgement,
    },
    report::document::{Inline, Line},
    stage::{Exchange, Expect, Stage},
};

/// How many pieces of evidence a cell names where no check has judged.
const MOST_EVIDENCE: usize = 2;

/// A phase that was walked: the plan, what was judged, and what was read and asked.
struct Walked<'r> {
    stage: Stage,
    /// What was said of each subject.
    said: HashMap<&'r str, Vec<&'r Judgement>>,
    /// The filters as the kernel held them when they were read last.
    held: BTreeMap<&'r NodeName, &'r Filter>,
    evidence: &'r [Evidence],
    /// Who reaches whom through a translator, which no flow of a family tells.
    translated: BTreeSet<(NodeName, NodeName)>,
}

impl<'r> Walked<'r> {
    fn all(source: Source<'r>) -> Vec<Self> {
        let testbed = Arc::new(source.run.testbed.clone());
        let walked = source.run.phases.iter().map(|walked| {
            let mut said = HashMap::<_, Vec<_>>::new();
            for judgement in &walked.judgements {
                said.entry(judgement.subject.as_str()).or_default().push(judgement);
            }
            let stage = Stage::new(&testbed, walked.phase);
            Self {
                translated: translated_in(&stage),
                stage,
                said,
                held: held(source.evidence, walked.phase),
                evidence: source.evidence,
            }
        });
        walked.collect()
    }

    fn of(all: &[Self], phase: Phase) -> Option<&Self> {
        all.iter().find(|walked| walked.stage.phase == phase)
    }
}

fn translated_in(stage: &Stage) -> BTreeSet<(NodeName, NodeName)> {
    translated::uses(stage).into_iter().map(|one| (one.from().clone(), one.to)).collect()
}

fn held(evidence: &[Evidence], phase: Phase) -> BTreeMap<&NodeName, &Filter> {
    let of_phase = evidence.iter().filter(|piece| piece.phase == phase);
    let filters = of_phase.filter_map(|piece| match &piece.about {
        About::Probe {
            probe: Probe { from, question: Question::Inspect(Aspect::Filter), .. },
            answer: Answer::Filter { filter, .. },
        } => Some((from, filter)),
        _ => None,
    });
    filters.collect()
}

// --- The rules (2.2.4) ----------------------------------------------------------------------------------------------

/// Rules of a label on a hook of a node.
type Place = (NodeName, &'static str, String);

/// How many of them are for IPv4 alone, for IPv6 alone, and for both at once.
type Count = [usize; 3];

pub(super) fn rules(page: &mut Page, source: Source<'_>) {
    let walked = Walked::all(source);
    let planned: Vec<_> = walked
        .iter()
        .map(|one| {
            let nodes = one.stage.nodes.iter();
            counts(nodes.map(|(name, node)| (name, &node.filter)))
        })
        .collect();
    let found: Vec<_> =
        walked.iter().map(|one| counts(one.held.iter().map(|(n, f)| (*n, *f)))).collect();
    authoring(page, source);
    let places: BTreeSet<_> = planned.iter().chain(&found).flat_map(BTreeMap::keys).collect();
    if places.is_empty() {
        page.words("No node of the testbed filters packets.");
        return;
    }
    page.line([
        Inline::text(
            "The packet filters follow from the flows: what no flow allows is dropped. A rule that \
             exists in one family only is where IPv4 and IPv6 policy can drift apart. ",
        ),
        Inline::see("policies"),
        Inline::text(
            " gives the number of rules in each phase as planned, node by node, and marks where the \
             kernel was read to hold others. Whether packets meet them shows ",
        ),
        Inline::see("policy-flows"),
        Inline::text("."),
    ]);
    let rows = places.into_iter().map(|place| {
        let cell = |phase| {
            let Some(at) = walked.iter().position(|one| one.stage.phase == phase) else {
                return words("not walked");
            };
            let of = |all: &BTreeMap<Place, Count>| all.get(place).copied().unwrap_or_default();
            let was_read = walked[at].held.contains_key(&place.0);
            rules_cell(of(&planned[at]), was_read.then(|| of(&found[at])))
        };
        let (node, hook, label) = place;
        let [a, b, c, d] = Phase::ALL.map(cell);
        [code(node.as_str()), words(*hook), foreign(label), a, b, c, d]
    });
    page.table(
        "policies",
        "Rules per family in each phase, by what they come from",
        ["Node", "Packets", "Comes from", "IPv4-only", "Partial", "Dual-stack", "IPv6-only"],
        rows.collect(),
    );
}

/// What S2 section 2.2.5 asks beside it, and why there is no answer.
fn authoring(page: &mut Page, source: Source<'_>) {
    let nodes = source.run.testbed.nodes.values();
    let mut services = nodes.flat_map(|node| &node.services);
    let why = if services.any(|service| service.kind == ServiceKind::Manager) {
        "The simulated management product keeps what is entered and makes no rule of another, so an answer would be about \
         the simulation and not about any product"
    } else {
        "The testbed has no management software in which rules are entered"
    };
    page.words(&format!(
        "How rules come to be written was not put to the test: whether IPv6 rules are added by themselves once an IPv4 rule \
         is entered, are held by a place-holder for which the operator is asked, or have to be added by hand later on (GEN6 \
         D3.6.4, section 2.2.5). {why}. It has to be asked of the product that will be used: enter one rule for IPv4, and \
         look at what there is for IPv6. Where rules are added by hand, the comparison of both families below is what finds \
         the one that was forgotten."
    ));
}

fn counts<'f>(
    filters: impl IntoIterator<Item = (&'f NodeName, &'f Filter)>,
) -> BTreeMap<Place, Count> {
    let mut counts = BTreeMap::<Place, Count>::new();
    for (name, filter) in filters {
        for chain in &filter.chains {
            let hook = match chain.hook {
                Hook::Input => "to the node",
                Hook::Forward => "forwarded",
                Hook::Output => "from the node",
            };
            for rule in &chain.rules {
                let key = (name.clone(), hook, rule.label.clone());
                counts.entry(key).or_default()[slot(rule)] += 1;
            }
        }
    }
    counts
}

fn slot(rule: &Rule) -> usize {
    match rule.family() {
        Some(Family::V4) => 0,
        Some(Family::V6) => 1,
        None => 2,
    }
}

fn rules_cell(planned: Count, held: Option<Count>) -> Line {
    let mut line = words(told(planned));
    if let Some(held) = held.filter(|held| *held != planned) {
        line.push(Inline::text(". "));
        line.push(Inline::strong("Differs:"));
        line.push(Inline::text(format!(" the kernel holds {}", told(held))));
    }
    line
}

/// `2 each`, `1 IPv6`, `1 for both`.
fn told([v4, v6, both]: Count) -> String {
    let mut parts = Vec::new();
    match (v4, v6) {
        (0, 0) => {}
        (v4, 0) => parts.push(format!("{v4} IPv4")),
        (0, v6) => parts.push(format!("{v6} IPv6")),
        (v4, v6) if v4 == v6 => parts.push(format!("{v4} each")),
        (v4, v6) => parts.push(format!("{v4} IPv4, {v6} IPv6")),
    }
    if both > 0 {
        parts.push(format!("{both} for both"));
    }
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

// --- What became of the flows (2.3.7) --------------------------------------------------------------------------------

pub(super) fn flows(page: &mut Page, source: Source<'_>) {
    let flows = &source.run.testbed.flows;
    let walked = Walked::all(source);
    if flows.is_empty() || walked.is_empty() {
        return;
    }
    page.heading(4, "2.3.7 Policies");
    page.line([
        Inline::see("policy-flows"),
        Inline::text(
            " follows each flow through the phases, family by family: the verdict says whether what was tried came out as \
             planned, passed or stopped. A flow may be sampled: one pair of nodes stands for others on the same way. Where \
             flows that deny take something away from one that allows, or where nothing has the family at an end, the cell \
             says so. A filter that was read to hold other rules for the flow than planned is named, at either end.",
        ),
    ]);
    let rows = flows.iter().map(|flow| row(flow, &walked));
    page.table(
        "policy-flows",
        "Flows in each phase, planned and observed",
        ["Flow", "Plan", "Filtered at", "IPv4-only", "Partial", "Dual-stack", "IPv6-only"],
        rows.collect(),
    );
}

fn row(flow: &Flow, walked: &[Walked<'_>]) -> [Line; 7] {
    // A word may stand for several ports.
    let mut traffic: Vec<_> = flow.traffic.iter().map(Traffic::to_string).collect();
    traffic.dedup();
    let intent = match (flow.intent, traffic.len()) {
        (Intent::Allow, 1) => "passes",
        (Intent::Allow, _) => "pass",
        (Intent::Deny, 1) => "is stopped",
        (Intent::Deny, _) => "are stopped",
    };
    let of_flow = |filter: &Filter| {
        filter.chains.iter().flat_map(|chain| &chain.rules).any(|rule| rule.label == flow.name)
    };
    let filters: BTreeSet<_> = walked
        .iter()
        .flat_map(|one| &one.stage.nodes)
        .filter(|(_, node)| of_flow(&node.filter))
        .map(|(name, _)| name)
        .collect();
    let cell = |phase| match Walked::of(walked, phase) {
        None => words("not walked"),
        Some(one) => one.cell(flow, &filters),
    };
    let [a, b, c, d] = Phase::ALL.map(cell);
    [
        foreign(&flow.name),
        words(format!("{} {intent}", and(&traffic))),
        if filters.is_empty() {
            words("no filter")
        } else {
            joined(filters.iter().map(|name| code(name.as_str())))
        },
        a,
        b,
        c,
        d,
    ]
}

/// What a flow comes to in a family.
#[derive(Default)]
struct Outcome<'r> {
    passes: usize,
    stopped: usize,
    judged: Vec<&'r Judgement>,
    /// Questions that went the way of the flow and that no check has judged as such, and whether they were answered.
    asked: Vec<(EvidenceId, bool)>,
}

impl<'r> Walked<'r> {
    fn cell(&self, flow: &Flow, filters: &BTreeSet<&NodeName>) -> Line {
        let exchanges: Vec<_> =
            self.stage.exchanges().into_iter().filter(|one| one.flow == flow.name).collect();
        let mut line = Line::new();
        for family in self.stage.phase.permits().iter() {
            let outcome = self.outcome(&exchanges, family);
            if !line.is_empty() {
                line.push(Inline::text("; "));
            }
            line.push(Inline::text(format!("{family} ")));
            let goes_translated = || {
                exchanges.iter().any(|e| self.translated.contains(&(e.from.clone(), e.to.clone())))
            };
            if family == Family::V6 && outcome.is_nothing() && goes_translated() {
                line.push(Inline::text("by translation, see "));
                line.push(Inline::see("translation-reached"));
            } else {
                line.extend(outcome.told(flow.intent));
            }
        }
        for node in filters {
            let Some(held) = self.held.get(node) else { continue };
            let count = |filter: &Filter| {
                let rules = filter.chains.iter().flat_map(|chain| &chain.rules);
                let mut count = Count::default();
                rules
                    .filter(|rule| rule.label == flow.name)
                    .for_each(|rule| count[slot(rule)] += 1);
                count
            };
            let (planned, held) = (count(&self.stage.nodes[*node].filter), count(held));
            if planned != held {
                line.push(Inline::text(". "));
                line.push(Inline::strong(format!("Differs at {node}:")));
                let (planned, held) = (told(planned), told(held));
                line.push(Inline::text(format!(" rules planned {planned}, held {held}")));
            }
        }
        line
    }

    fn outcome(&self, exchanges: &[Exchange], family: Family) -> Outcome<'r> {
        let mut outcome = Outcome::default();
        for exchange in exchanges {
            for to in self.stage.targets(exchange, family) {
                let passes = match self.stage.expect(exchange, to) {
                    Expect::Reach(_) => true,
                    Expect::Blocked { .. } => false,
                    Expect::Absent(_) => continue,
                };
                outcome.passes += usize::from(passes);
                outcome.stopped += usize::from(!passes);
                let subjects = exchanged::subjects(exchange, to, passes);
                let judged = subjects.iter().filter_map(|subject| self.said.get(subject.as_str()));
                let before = outcome.judged.len();
                outcome.judged.extend(judged.flatten());
                if passes && outcome.judged.len() == before {
                    outcome.asked.extend(self.asked(exchange, to));
                }
            }
        }
        outcome
    }

    /// What was asked along an exchange, whatever for.
    fn asked(&self, exchange: &Exchange, to: IpAddr) -> impl Iterator<Item = (EvidenceId, bool)> {
        let of_phase = self.evidence.iter().filter(|piece| piece.phase == self.stage.phase);
        of_phase.filter_map(move |piece| {
            let About::Probe { probe, answer } = &piece.about else { return None };
            let same = match &exchange.traffic {
                Traffic::Port { port, .. } => probe.question.port() == Some(*port),
                Traffic::Ping => matches!(probe.question, Question::Ping { .. }),
                Traffic::Any => false,
            };
            let is_it = probe.from == exchange.from
                && probe.question.destination() == Some(to)
                && same
                && answer.not_asked().is_none();
            is_it.then(|| (piece.id, answer.is_answered()))
        })
    }
}

impl Outcome<'_> {
    /// Nothing of the family is there by plan.
    fn is_nothing(&self) -> bool {
        (self.passes, self.stopped) == (0, 0)
    }

    fn told(&self, intent: Intent) -> Line {
        let otherwise = match (intent, self.passes, self.stopped) {
            _ if self.is_nothing() => return words("none by plan"),
            (Intent::Allow, _, 0) | (Intent::Deny, 0, _) => "",
            (_, 0, _) => " (stopped by plan)",
            (_, _, 0) => " (passes by plan)",
            _ => " (in part stopped by plan)",
        };
        let mut line = if self.judged.is_empty() {
            let answered = self.asked.iter().filter(|(_, answered)| *answered).count();
            let mut line = words(match self.asked.len() {
                0 => "not tried".to_owned(),
                all => format!("{} answered ", phrase::of(answered, all)),
            });
            let ids: Vec<_> = self.asked.iter().map(|(id, _)| *id).collect();
            if !ids.is_empty() {
                line.extend(phrase::evidence(&ids, MOST_EVIDENCE));
            }
            line
        } else {
            cell::judged(self.judged.iter().copied())
        };
        if !otherwise.is_empty() {
            line.push(Inline::text(otherwise));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CHECKS, Check, fixture::Network};

    /// What the filters and the flows of the reference testbed look like in the dual-stack phase.
    fn told_of(bend: impl Fn(&mut Filter)) -> BTreeMap<String, String> {
        let text = include_str!("../../../testbed/fokus.toml");
        let testbed = crate::input::testbed("fokus.toml", text).expect("the reference testbed");
        let stage = Stage::new(&Arc::new(testbed), Phase::DualStack);
        let gateway: NodeName = "gateway-b".parse().expect("a name");
        let network = Network::of(stage.clone()).with(|live| {
            bend(&mut live.nodes.get_mut(&gateway).expect("a node").filter);
        });
        let about = |check: &&&dyn Check| check.text().id.starts_with("pol.");
        let checks: Vec<_> = CHECKS.iter().filter(about).copied().collect();
        let (evidence, judgements) = network.walk(&checks);
        let mut said = HashMap::<_, Vec<_>>::new();
        for judgement in &judgements {
            said.entry(judgement.subject.as_str()).or_default().push(judgement);
        }
        let held = held(&evidence, Phase::DualStack);
        let translated = translated_in(&stage);
        let walked = [Walked { stage, said, held, evidence: &evidence, translated }];
        let plain = |line: &Line| line.iter().map(Inline::plain).collect::<String>();
        let flows = walked[0].stage.testbed.flows.clone();
        flows.iter().map(|flow| (flow.name.clone(), plain(&row(flow, &walked)[5]))).collect()
    }

    #[test]
    fn a_flow_is_told_in_both_families_and_a_filter_that_differs_is_named_at_its_end() {
        let healthy = told_of(|_| {});
        let app = &healthy["admin-lan->app"];
        assert!(app.starts_with("IPv4 \u{2714} pass 3 of 3 E-"), "{app}");
        assert!(app.contains("; IPv6 \u{2714} pass 3 of 3 E-"), "{app}");
        let register = &healthy["admin-lan->register"];
        assert!(register.ends_with("IPv6 none by plan"), "{register}");
        assert!(healthy.values().all(|cell| !cell.contains("Differs")), "{healthy:#?}");

        let bent = told_of(|filter| {
            for chain in &mut filter.chains {
                let of_flow = |rule: &Rule| {
                    rule.label == "admin-lan->app" && rule.family() == Some(Family::V6)
                };
                chain.rules.retain(|rule| !of_flow(rule));
            }
        });
        let app = &bent["admin-lan->app"];
        assert!(app.contains("IPv6 \u{2718} fail 2 of 3"), "{app}");
        let differs = "Differs at gateway-b: rules planned 1 each, held 1 IPv4";
        assert!(app.ends_with(differs), "{app}");
    }

    #[test]
    fn counts_of_rules_are_told_in_few_words() {
        for (count, said) in [
            ([0, 0, 0], "none"),
            ([2, 2, 0], "2 each"),
            ([3, 0, 0], "3 IPv4"),
            ([0, 1, 2], "1 IPv6, 2 for both"),
            ([1, 2, 0], "1 IPv4, 2 IPv6"),
        ] {
            assert_eq!(told(count), said);
        }
        let cell = rules_cell([1, 1, 0], Some([1, 0, 0]));
        let cell: String = cell.iter().map(Inline::plain).collect();
        assert_eq!(cell, "1 each. Differs: the kernel holds 1 IPv4");
    }
}
