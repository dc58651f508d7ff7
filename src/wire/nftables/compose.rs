//! Several chains at one hook as one. In nf_tables a packet that one chain accepts still goes to the next; only a
//! refusal is final. So each `accept` of the first chain is followed through the second.

use crate::model::{
    family::Family,
    policy::{Action, Chain, Match, Rule},
};

/// Beyond this many rules a combination explains nothing any more.
const MOST_RULES: usize = 4096;

/// The chain that treats every packet as `first` and then `second` do; `None` where it would be too long.
pub(super) fn after(first: Chain, second: Chain) -> Option<Chain> {
    if refuses_nothing(&second) {
        return Some(first);
    }
    if refuses_nothing(&first) {
        return Some(second);
    }
    let mut rules = Vec::new();
    for rule in first.rules {
        match rule.action {
            Action::Accept => rules.extend(through(&rule, &second)),
            _ => rules.push(rule),
        }
        if rules.len() > MOST_RULES {
            return None;
        }
    }
    if first.policy == Action::Accept {
        rules.extend(second.rules);
        return Some(Chain { hook: first.hook, policy: second.policy, rules });
    }
    Some(Chain { hook: first.hook, policy: first.policy, rules })
}

fn refuses_nothing(chain: &Chain) -> bool {
    chain.policy == Action::Accept && chain.rules.iter().all(|rule| rule.action == Action::Accept)
}

/// What `second` does with the packets that a rule of the first chain accepted.
fn through(accepted: &Rule, second: &Chain) -> Vec<Rule> {
    let possible = |rule: &&Rule| match (accepted.family(), rule.family()) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    let both = |rule: &Rule| Rule {
        label: rule.label.clone(),
        matches: accepted.matches.iter().chain(&rule.matches).cloned().collect(),
        action: rule.action,
    };
    let mut rules: Vec<_> = second.rules.iter().filter(possible).map(both).collect();
    rules.push(Rule { action: second.policy, ..accepted.clone() });
    rules
}

/// A chain of a table of one family, as it stands in a table of both: the other family passes it untouched.
pub(super) fn limited_to(family: Family, chain: Chain) -> Chain {
    let limit = |mut rule: Rule| {
        if rule.family() != Some(family) {
            rule.matches.insert(0, Match::Family(family));
        }
        rule
    };
    let mut rules: Vec<_> = chain.rules.into_iter().map(limit).collect();
    if chain.policy != Action::Accept {
        let label = "policy".to_owned();
        rules.push(Rule { label, matches: vec![Match::Family(family)], action: chain.policy });
    }
    Chain { hook: chain.hook, policy: Action::Accept, rules }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{policy::Hook, service::Transport};

    fn chain(policy: Action, rules: &[(&str, u16, Action)]) -> Chain {
        let rule = |(label, number, action): &(&str, u16, Action)| Rule {
            label: (*label).to_owned(),
            matches: vec![Match::Port { transport: Transport::Tcp, number: *number }],
            action: *action,
        };
        Chain { hook: Hook::Forward, policy, rules: rules.iter().map(rule).collect() }
    }

    /// What happens to a packet to a TCP port.
    fn fate(chain: &Chain, port: u16) -> Action {
        let applies = |rule: &&Rule| {
            rule.matches.iter().all(|c| matches!(c, Match::Port { number, .. } if *number == port))
        };
        chain.rules.iter().find(applies).map_or(chain.policy, |rule| rule.action)
    }

    #[test]
    fn a_packet_passes_the_combination_exactly_if_it_passes_both() {
        use Action::{Accept, Drop};
        let chains = [
            chain(Accept, &[]),
            chain(Accept, &[("a", 1, Drop), ("b", 2, Accept)]),
            chain(Drop, &[("c", 1, Accept), ("d", 3, Accept)]),
            chain(Drop, &[("e", 2, Accept), ("f", 3, Drop), ("g", 1, Accept)]),
        ];
        for first in &chains {
            for second in &chains {
                let both = after(first.clone(), second.clone()).unwrap();
                for port in 1..5 {
                    let passes = |chain: &Chain| fate(chain, port) == Accept;
                    assert_eq!(
                        passes(&both),
                        passes(first) && passes(second),
                        "port {port} through {first:?} and {second:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_policy_of_one_family_leaves_the_other_alone() {
        let chain = limited_to(Family::V4, chain(Action::Drop, &[("web", 80, Action::Accept)]));
        assert_eq!(chain.policy, Action::Accept);
        let shown: Vec<_> = chain.rules.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["meta nfproto ipv4 tcp dport 80 accept", "meta nfproto ipv4 drop"]);
    }
}
