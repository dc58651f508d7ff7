//! Faults of a filter: what a filter becomes when someone has tampered with it.

use crate::model::{
    family::Family,
    fault::Sabotage,
    policy::{Action, Chain, Filter, Hook, Match, Rule},
};

/// The filter after the fault; `None` where the fault is of another kind. An error says why the filter cannot be bent so.
pub(super) fn filter(mut filter: Filter, fault: &Sabotage) -> Option<Result<Filter, String>> {
    Some(match fault {
        Sabotage::AddRule { hook, rule, .. } => {
            chain(&mut filter, *hook).rules.insert(0, rule.clone());
            Ok(filter)
        }
        Sabotage::RemoveRule { label, family, .. } => without(filter, label, *family),
        Sabotage::OpenPolicy { hook, family, .. } => {
            open(chain(&mut filter, *hook), *family);
            Ok(filter)
        }
        _ => return None,
    })
}

/// The chain of a hook. A node without one gets one that lets everything pass.
fn chain(filter: &mut Filter, hook: Hook) -> &mut Chain {
    if let Some(at) = filter.chains.iter().position(|chain| chain.hook == hook) {
        return &mut filter.chains[at];
    }
    filter.chains.push(Chain { hook, policy: Action::Accept, rules: Vec::new() });
    filter.chains.last_mut().expect("just pushed")
}

/// A rule that holds in both families keeps holding in the other.
fn without(mut filter: Filter, label: &str, family: Option<Family>) -> Result<Filter, String> {
    let mut found = false;
    for chain in &mut filter.chains {
        let rules = std::mem::take(&mut chain.rules);
        for mut rule in rules {
            let hit = rule.label == label
                && (family.is_none() || rule.family().is_none_or(|of| Some(of) == family));
            found |= hit;
            match family.filter(|_| hit && rule.family().is_none()) {
                Some(family) => {
                    rule.matches.insert(0, Match::Family(family.other()));
                    chain.rules.push(rule);
                }
                None if hit => {}
                None => chain.rules.push(rule),
            }
        }
    }
    if found { Ok(filter) } else { Err(format!("its filter has no rule `{label}`")) }
}

fn open(chain: &mut Chain, family: Option<Family>) {
    match family {
        None => chain.policy = Action::Accept,
        Some(family) => chain.rules.push(Rule {
            label: "opened".to_owned(),
            matches: vec![Match::Family(family)],
            action: Action::Accept,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(label: &str, matches: Vec<Match>) -> Rule {
        Rule { label: label.to_owned(), matches, action: Action::Accept }
    }

    #[test]
    fn a_rule_taken_out_in_one_family_keeps_holding_in_the_other() {
        let both = rule("web", vec![]);
        let v6 = rule("web", vec![Match::Family(Family::V6)]);
        let rules = vec![both, v6, rule("ssh", vec![])];
        let filter =
            Filter { chains: vec![Chain { hook: Hook::Forward, policy: Action::Drop, rules }] };
        let bent = without(filter.clone(), "web", Some(Family::V6)).unwrap();
        let left = vec![rule("web", vec![Match::Family(Family::V4)]), rule("ssh", vec![])];
        assert_eq!(bent.chains[0].rules, left);
        assert_eq!(without(filter.clone(), "web", None).unwrap().chains[0].rules, left[1..]);
        assert!(without(filter, "mail", None).is_err());
    }
}
