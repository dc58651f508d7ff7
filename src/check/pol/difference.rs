//! Differences between the filter that a node is planned to have and the one that it holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::ask,
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Culprit, Packets, Scope},
        name::NodeName,
        policy::{Action, Chain, Filter, Hook, Match, Rule},
        probe::Aspect,
        segment::Plane,
    },
    stage::Stage,
};

/// In which way a chain differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Rules of the plan are not there.
    Missing,
    /// Rules are there that the plan does not have.
    Extra,
    /// What happens to packets that no rule names is not as planned.
    Policy,
}

/// What a difference touches. Each concern belongs to one check, so that one fault is one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Concern {
    /// Everything else: `pol.rule-parity-static`.
    Traffic,
    /// ICMPv6 errors, which must pass (RFC 4890 section 4.3.1): `pol.icmpv6-musts`.
    Errors,
    /// ICMPv6 echo: `pol.icmpv6-musts`.
    Echo,
    /// Neighbour discovery, router discovery and MLD on the link (RFC 4890 section 4.4.1):
    /// `pol.nd-and-mld-not-filtered-on-link`.
    OnLink,
}

/// Rules of one label that a chain of a node lacks or has too much, or its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Where.
    pub(super) node: NodeName,
    /// In which chain.
    pub(super) hook: Hook,
    /// Every chain of the node that differs by the same label in the same way: one change of a rule set.
    pub(super) hooks: Vec<Hook>,
    /// In which way.
    pub(super) kind: Kind,
    /// What it touches.
    pub(super) concern: Concern,
    /// The label of the rules; empty for a policy.
    pub(super) label: String,
    /// What the rules do; what the policy really is.
    pub(super) action: Action,
    /// The families that are touched.
    pub(super) families: Families,
    /// The rules, as planned or as found.
    pub(super) rules: Vec<Rule>,
}

/// What a node's filter was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// It could not be read, for this reason.
    NotRead(String),
    /// It was read.
    Read {
        /// The evidence.
        evidence: EvidenceId,
        /// Where it is not as planned.
        differences: Vec<Difference>,
        /// Rules that cannot be put into words here.
        unread: Vec<String>,
    },
}

/// Reads the filter of every node: a rule on a host stops traffic as well as one on a firewall.
pub(super) fn ask(stage: &Stage) -> Vec<Experiment> {
    let filters = stage.nodes.keys().map(|node| ask::inspect(node, Aspect::Filter));
    vec![Experiment::of_probes(filters)]
}

/// Compares a node's filter with its plan.
pub(super) fn compare(stage: &Stage, seen: &Seen<'_>, node: &NodeName) -> Comparison {
    match seen.answer(&ask::inspect(node, Aspect::Filter)) {
        None => Comparison::NotRead("its filter was not read".to_owned()),
        Some((evidence, Answer::Filter { filter, unread })) => Comparison::Read {
            evidence,
            differences: differences(stage, node, filter),
            unread: unread.clone(),
        },
        Some((_, other)) => {
            let reason = other.not_asked().unwrap_or("the answer is not a filter");
            Comparison::NotRead(format!("its filter could not be read: {reason}"))
        }
    }
}

/// The differences of one concern, over all nodes whose filter could be read.
pub(super) fn of_concern(
    stage: &Stage,
    seen: &Seen<'_>,
    concern: Concern,
) -> Vec<(EvidenceId, Difference)> {
    let read = stage.nodes.keys().map(|node| compare(stage, seen, node));
    read.flat_map(|comparison| match comparison {
        Comparison::Read { evidence, differences, .. } => {
            differences.into_iter().map(|d| (evidence, d)).collect()
        }
        Comparison::NotRead(_) => Vec::new(),
    })
    .filter(|(_, difference)| difference.concern == concern)
    .collect()
}

/// A rule as it works in one family, in a form that can be compared: conditions sorted, the family apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    family: Family,
    matches: Vec<Match>,
    action: Action,
}

fn lines(rule: &Rule) -> Vec<Line> {
    let mut matches: Vec<_> =
        rule.matches.iter().filter(|m| !matches!(m, Match::Family(_))).cloned().collect();
    for condition in &mut matches {
        if let Match::Icmp { types, .. } = condition {
            types.sort_unstable();
        }
    }
    matches.sort();
    matches.dedup();
    let families = rule.family().map_or(Families::BOTH, Families::only);
    let line = |family| Line { family, matches: matches.clone(), action: rule.action };
    families.iter().map(line).collect()
}

fn differences(stage: &Stage, node: &NodeName, held: &Filter) -> Vec<Difference> {
    let planned = &stage.nodes[node].filter;
    let live = stage.families(node, Plane::Data).or(stage.families(node, Plane::Management));
    let mut all: Vec<_> = [Hook::Input, Hook::Forward, Hook::Output]
        .into_iter()
        .flat_map(|hook| of_chain(node, hook, live, planned.chain(hook), held.chain(hook)))
        .collect();
    join_chains(&mut all);
    all
}

/// Tells each difference of the chains that differ by the same label in the same way.
fn join_chains(all: &mut [Difference]) {
    let key = |d: &Difference| (d.kind, d.concern, d.label.clone(), d.action, d.families);
    let keys: Vec<_> = all.iter().map(|d| (key(d), d.hook)).collect();
    for difference in all.iter_mut().filter(|d| d.kind != Kind::Policy) {
        let mine = key(difference);
        let alike = keys.iter().filter(|(key, _)| *key == mine);
        difference.hooks = alike.map(|(_, hook)| *hook).collect();
    }
}

fn of_chain(
    node: &NodeName,
    hook: Hook,
    live: Families,
    planned: Option<&Chain>,
    held: Option<&Chain>,
) -> Vec<Difference> {
    let policy = |chain: Option<&Chain>| chain.map_or(Action::Accept, |chain| chain.policy);
    let mut found = Vec::new();
    if policy(planned) != policy(held) {
        found.push(Difference {
            node: node.clone(),
            hook,
            hooks: vec![hook],
            kind: Kind::Policy,
            concern: Concern::Traffic,
            label: String::new(),
            action: policy(held),
            families: Families::BOTH,
            rules: Vec::new(),
        });
    }
    if held.is_none() && !found.is_empty() {
        return found;
    }
    let rules = |chain: Option<&Chain>| chain.map_or_else(Vec::new, |chain| chain.rules.clone());
    let (planned_rules, held_rules) = (rules(planned), rules(held));
    let missing = only_in(&planned_rules, &held_rules, |line| live.has(line.family));
    let extra = only_in(&held_rules, &planned_rules, |line| match line.action {
        Action::Accept => policy(planned) != Action::Accept,
        Action::Drop | Action::Reject | Action::Reset => live.has(line.family),
    });
    for (kind, rules) in [(Kind::Missing, missing), (Kind::Extra, extra)] {
        found.extend(grouped(node, hook, kind, rules));
    }
    found
}

/// The rules that one chain has and the other has not, with the families in which that matters.
fn only_in(
    here: &[Rule],
    there: &[Rule],
    matters: impl Fn(&Line) -> bool,
) -> Vec<(Rule, Families)> {
    let there: BTreeSet<Line> = there.iter().flat_map(lines).collect();
    let found = here.iter().map(|rule| {
        let alone = lines(rule).into_iter().filter(|l| !there.contains(l) && matters(l));
        (rule.clone(), alone.map(|line| line.family).collect::<Families>())
    });
    found.filter(|(_, families)| !families.is_empty()).collect()
}

fn grouped(
    node: &NodeName,
    hook: Hook,
    kind: Kind,
    rules: Vec<(Rule, Families)>,
) -> Vec<Difference> {
    let mut groups = BTreeMap::<_, Difference>::new();
    for (rule, families) in rules {
        let concern = concern(&rule, hook);
        let key = (rule.label.clone(), concern, rule.action);
        let group = groups.entry(key).or_insert_with(|| Difference {
            node: node.clone(),
            hook,
            hooks: vec![hook],
            kind,
            concern,
            label: rule.label.clone(),
            action: rule.action,
            families: Families::NONE,
            rules: Vec::new(),
        });
        group.families = group.families.or(families);
        group.rules.push(rule);
    }
    groups.into_values().collect()
}

fn concern(rule: &Rule, hook: Hook) -> Concern {
    let types = rule.matches.iter().find_map(|condition| match condition {
        Match::Icmp { family: Family::V6, types } => Some(types),
        _ => None,
    });
    let Some(types) = types else { return Concern::Traffic };
    let any = |wanted: &[u8]| types.iter().any(|kind| wanted.contains(kind));
    if types.is_empty() {
        return if hook == Hook::Forward { Concern::Errors } else { Concern::OnLink };
    }
    if any(&[1, 2, 3, 4]) {
        Concern::Errors
    } else if any(&ECHO) {
        Concern::Echo
    } else if hook != Hook::Forward && any(&ON_LINK) {
        Concern::OnLink
    } else {
        Concern::Traffic
    }
}

/// Echo Request and Echo Reply.
const ECHO: [u8; 2] = [128, 129];
/// MLD, neighbour and router discovery (RFC 4890 section 4.4.1).
const ON_LINK: [u8; 12] = [130, 131, 132, 133, 134, 135, 136, 137, 141, 142, 143, 148];

impl Difference {
    /// Whether it lets pass what should not: a policy opened, an accepting rule too much, a refusing rule too little.
    pub(super) fn opens(&self) -> bool {
        match self.kind {
            Kind::Missing => self.action != Action::Accept,
            Kind::Extra | Kind::Policy => self.action == Action::Accept,
        }
    }

    /// The one family that is touched; `None` if both are.
    pub(super) fn family(&self) -> Option<Family> {
        let mut families = self.families.iter();
        families.next().filter(|_| !self.families.is_dual())
    }

    /// `input`, `forward` or `output`.
    pub(super) fn hook_word(&self) -> &'static str {
        hook_word(self.hook)
    }

    /// `forward chain`, `input and forward chains`.
    pub(super) fn chains(&self) -> String {
        let plural = if self.hooks.len() > 1 { "s" } else { "" };
        format!("{} chain{plural}", self.hook_words())
    }

    fn hook_words(&self) -> String {
        self.hooks.iter().map(|hook| hook_word(*hook)).collect::<Vec<_>>().join(" and ")
    }

    /// Who is to blame: `forward rule visitor->portal` of the node.
    pub(super) fn culprit(&self) -> Culprit {
        let part = match self.kind {
            Kind::Policy => format!("{} policy", self.hook_word()),
            Kind::Missing | Kind::Extra => format!("{} rule {}", self.hook_words(), self.label),
        };
        Culprit::node(&self.node, part)
    }

    /// What it touches.
    pub(super) fn scope(&self, stage: &Stage) -> Scope {
        let port = common(self.rules.iter().map(Rule::port));
        Scope {
            family: self.family(),
            port,
            to: match self.hook {
                Hook::Input => port.map(|_| self.node.clone()),
                Hook::Forward => common(self.rules.iter().map(|rule| destination(stage, rule))),
                Hook::Output => None,
            },
            nodes: vec![self.node.clone()],
            packets: match self.concern {
                Concern::Errors if self.rules.iter().any(stops_echo) => Some(Packets::Icmp),
                Concern::Errors => Some(Packets::IcmpErrors),
                Concern::Echo => Some(Packets::Echo),
                Concern::OnLink => None,
                Concern::Traffic => common(self.rules.iter().map(large)),
            },
            ..Scope::default()
        }
    }

    /// The rules as text, the first three of them.
    pub(super) fn text(&self) -> String {
        const SHOWN: usize = 3;
        let shown: Vec<_> = self.rules.iter().take(SHOWN).map(|r| format!("`{r}`")).collect();
        let more = self.rules.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        shown.join(", ") + &more
    }

    /// What the other family has in its place, by the objects of the testbed: the two families name the same node or
    /// segment by different prefixes.
    pub(super) fn counterpart(&self, stage: &Stage, seen: &Seen<'_>) -> String {
        let Some(family) = self.family() else { return "both families are touched".to_owned() };
        let other = family.other();
        let held = match seen.answer(&ask::inspect(&self.node, Aspect::Filter)) {
            Some((_, Answer::Filter { filter, .. })) => filter.chain(self.hook),
            _ => None,
        };
        let wanted: BTreeSet<_> = self.rules.iter().map(|rule| objects(stage, rule)).collect();
        let of_other = |rule: &&Rule| rule.family().is_none_or(|f| f == other);
        let mut rules = held.into_iter().flat_map(|chain| &chain.rules).filter(of_other);
        if rules.any(|rule| wanted.contains(&objects(stage, rule))) {
            format!("the {other} rule is there")
        } else {
            format!("there is no such {other} rule")
        }
    }
}

fn hook_word(hook: Hook) -> &'static str {
    match hook {
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
    }
}

/// The value that all of them have, if they have one in common.
fn common<T: PartialEq>(values: impl IntoIterator<Item = Option<T>>) -> Option<T> {
    let mut values = values.into_iter();
    let first = values.next()??;
    values.all(|value| value.as_ref() == Some(&first)).then_some(first)
}

/// Whether a rule for ICMPv6 is for echo too: it names the types or none at all.
fn stops_echo(rule: &Rule) -> bool {
    let concerned = |types: &[u8]| types.is_empty() || types.iter().any(|kind| ECHO.contains(kind));
    rule.matches.iter().any(|m| matches!(m, Match::Icmp { types, .. } if concerned(types)))
}

fn large(rule: &Rule) -> Option<Packets> {
    rule.matches.iter().any(|m| matches!(m, Match::LongerThan(_))).then_some(Packets::Large)
}

/// The one node that a rule's destination is an address of.
fn destination(stage: &Stage, rule: &Rule) -> Option<NodeName> {
    rule.matches.iter().find_map(|condition| match condition {
        Match::Destination(net) if net.prefix_len() == net.max_prefix_len() => {
            stage.owner(net.addr()).map(|(node, _)| node.clone())
        }
        _ => None,
    })
}

/// A rule in the words of the testbed instead of prefixes, without its family.
fn objects(stage: &Stage, rule: &Rule) -> BTreeSet<String> {
    let named = |net: &ipnet::IpNet| {
        let owner = stage.testbed.owner(net.addr()).map(|(node, _)| node.name.to_string());
        let of_segment = |segment: &&crate::model::segment::Segment| {
            segment.prefixes.iter().any(|prefix| prefix.trunc() == net.trunc())
        };
        let segment = stage.testbed.segments.values().find(of_segment);
        segment.map(|s| s.name.to_string()).or(owner).unwrap_or_else(|| net.to_string())
    };
    let words = rule.matches.iter().filter_map(|condition| match condition {
        Match::Family(_) => None,
        Match::Source(net) => Some(format!("from {}", named(net))),
        Match::Destination(net) => Some(format!("to {}", named(net))),
        other => Some(other.to_string()),
    });
    words.chain([rule.action.to_string()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(label: &str, matches: Vec<Match>, action: Action) -> Rule {
        Rule { label: label.to_owned(), matches, action }
    }

    fn chain(rules: Vec<Rule>) -> Chain {
        Chain { hook: Hook::Forward, policy: Action::Drop, rules }
    }

    fn diff(live: Families, planned: &Chain, held: &Chain) -> Vec<Difference> {
        of_chain(&"fw".parse().unwrap(), Hook::Forward, live, Some(planned), Some(held))
    }

    #[test]
    fn a_rule_for_both_families_is_missing_in_the_one_that_lost_it() {
        let planned = chain(vec![rule("established", vec![Match::Established], Action::Accept)]);
        let held = chain(vec![rule(
            "established",
            vec![Match::Family(Family::V4), Match::Established],
            Action::Accept,
        )]);
        let found = diff(Families::BOTH, &planned, &held);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].family()), (Kind::Missing, Some(Family::V6)));
        assert_eq!(diff(Families::only(Family::V4), &planned, &held), [], "IPv6 is off");
    }

    #[test]
    fn the_order_of_conditions_and_a_family_said_twice_are_no_difference() {
        let source = || Match::Source("2001:db8::/64".parse().unwrap());
        let port = || Match::Port { transport: crate::model::service::Transport::Tcp, number: 443 };
        let planned = chain(vec![rule("a", vec![source(), port()], Action::Accept)]);
        let held = chain(vec![rule(
            "a",
            vec![port(), Match::Family(Family::V6), source()],
            Action::Accept,
        )]);
        assert_eq!(diff(Families::BOTH, &planned, &held), []);
    }

    #[test]
    fn an_accepting_rule_of_a_family_that_is_off_still_counts_and_a_dropping_one_does_not() {
        let none = chain(Vec::new());
        let v4 = Families::only(Family::V4);
        let open = chain(vec![rule("x", vec![Match::Family(Family::V6)], Action::Accept)]);
        assert!(diff(v4, &none, &open)[0].opens());
        let shut = chain(vec![rule("x", vec![Match::Family(Family::V6)], Action::Drop)]);
        assert_eq!(diff(v4, &none, &shut), []);
    }

    #[test]
    fn each_kind_of_icmpv6_has_its_own_check() {
        let icmp = |types: &[u8]| {
            rule("x", vec![Match::Icmp { family: Family::V6, types: types.to_vec() }], Action::Drop)
        };
        assert_eq!(concern(&icmp(&[2]), Hook::Forward), Concern::Errors);
        assert_eq!(concern(&icmp(&[128]), Hook::Forward), Concern::Echo);
        assert_eq!(concern(&icmp(&[135]), Hook::Input), Concern::OnLink);
        assert_eq!(concern(&icmp(&[]), Hook::Input), Concern::OnLink);
        let v4 = rule("x", vec![Match::Icmp { family: Family::V4, types: vec![3] }], Action::Drop);
        assert_eq!(concern(&v4, Hook::Forward), Concern::Traffic);
    }
}
