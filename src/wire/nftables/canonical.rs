//! One way to write each filter, so that what was wanted and what the kernel holds can be compared.

use crate::model::policy::{Chain, Filter, Hook, Match, Rule};

/// The same filter with chains in the order of their hooks, prefixes without host bits, and ICMP types in order.
pub fn canonical(filter: &Filter) -> Filter {
    let mut chains: Vec<_> = filter.chains.iter().map(chain).collect();
    chains.sort_by_key(|chain| chain.hook);
    Filter { chains }
}

fn chain(chain: &Chain) -> Chain {
    let rule = |rule: &Rule| Rule {
        label: rule.label.clone(),
        matches: rule.matches.iter().map(condition).collect(),
        action: rule.action,
    };
    Chain { hook: chain.hook, policy: chain.policy, rules: chain.rules.iter().map(rule).collect() }
}

fn condition(condition: &Match) -> Match {
    match condition {
        Match::Source(net) => Match::Source(net.trunc()),
        Match::Destination(net) => Match::Destination(net.trunc()),
        Match::Icmp { family, types } => {
            let mut types = types.clone();
            types.sort_unstable();
            types.dedup();
            Match::Icmp { family: *family, types }
        }
        other => other.clone(),
    }
}

/// The first thing in which what is there differs from what was wanted, as a sentence; `None` if nothing does.
pub fn difference(wanted: &Filter, there: &Filter) -> Option<String> {
    let (wanted, there) = (canonical(wanted), canonical(there));
    [Hook::Input, Hook::Forward, Hook::Output].into_iter().find_map(|hook| {
        match (wanted.chain(hook), there.chain(hook)) {
            (None, None) => None,
            (Some(_), None) => Some(format!("hook {hook:?} has no chain")),
            (None, Some(_)) => Some(format!("hook {hook:?} has a chain that should not be there")),
            (Some(wanted), Some(there)) => between(wanted, there),
        }
    })
}

fn between(wanted: &Chain, there: &Chain) -> Option<String> {
    let hook = wanted.hook;
    if wanted.policy != there.policy {
        let (wanted, there) = (wanted.policy, there.policy);
        return Some(format!("the policy of hook {hook:?} is `{there}` and not `{wanted}`"));
    }
    let shown = |rule: Option<&Rule>| {
        rule.map_or("nothing".to_owned(), |rule| format!("`{}` ({rule})", rule.label))
    };
    (0..wanted.rules.len().max(there.rules.len())).find_map(|index| {
        let (wanted, there) = (wanted.rules.get(index), there.rules.get(index));
        (wanted != there).then(|| {
            let (wanted, there) = (shown(wanted), shown(there));
            format!("rule {} of hook {hook:?} is {there} and not {wanted}", index + 1)
        })
    })
}
