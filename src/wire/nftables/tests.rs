//! Filters go out as bytes and come back the same; bytes that nobody wrote are an error at most.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{Batch, Ruleset, Unwritable, canonical, difference, replies};
use crate::model::{
    family::Family,
    policy::{Action, Chain, Filter, Hook, Match, Rule},
    service::Transport,
};

fn net() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u32>(), 0..=32u8).prop_map(|(a, p)| Ipv4Net::new(a.into(), p).unwrap().into());
    let v6 =
        (any::<u128>(), 0..=128u8).prop_map(|(a, p)| Ipv6Net::new(a.into(), p).unwrap().into());
    prop_oneof![v4, v6]
}

fn condition() -> impl Strategy<Value = Match> {
    let family = || select(Family::ALL.to_vec());
    let transport = || select(vec![Transport::Tcp, Transport::Udp]);
    let name = || "[a-z][a-z0-9]{0,14}".prop_filter_map("reserved", |name| name.parse().ok());
    prop_oneof![
        Just(Match::Loopback),
        Just(Match::Established),
        Just(Match::Invalid),
        Just(Match::NotReversePath),
        name().prop_map(Match::InInterface),
        name().prop_map(Match::OutInterface),
        family().prop_map(Match::Family),
        net().prop_map(Match::Source),
        net().prop_map(Match::Destination),
        transport().prop_map(Match::Transport),
        (transport(), any::<u16>())
            .prop_map(|(transport, number)| Match::Port { transport, number }),
        (family(), vec(any::<u8>(), 0..6))
            .prop_map(|(family, types)| Match::Icmp { family, types }),
        select(vec![4, 41, 47, 50]).prop_map(Match::Protocol),
        any::<u16>().prop_map(Match::LongerThan),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let action = select(vec![Action::Accept, Action::Drop, Action::Reject, Action::Reset]);
    ("[ -~äλ]{0,40}", vec(condition(), 0..7), action).prop_map(|(label, matches, action)| Rule {
        label,
        matches,
        action,
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let chain = |hook| {
        (select(vec![Action::Accept, Action::Drop]), vec(rule(), 0..8))
            .prop_map(move |(policy, rules)| Chain { hook, policy, rules })
    };
    let all = (chain(Hook::Input), chain(Hook::Forward), chain(Hook::Output));
    (all, 0..8u8).prop_map(|((input, forward, output), which)| {
        let chains = [output, forward, input].into_iter().enumerate();
        let chosen = chains.filter(|(bit, _)| which & (1 << bit) != 0).map(|(_, chain)| chain);
        Filter { chains: chosen.collect() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_filter_comes_back_as_it_went_out(filter in filter()) {
        let mut ruleset = Ruleset::default();
        ruleset.take(&Batch::replacing(&filter).unwrap().bytes).unwrap();
        prop_assert_eq!(ruleset.own(), (canonical(&filter), Vec::new()));
        let rules: usize = filter.chains.iter().map(|chain| chain.rules.len()).sum();
        prop_assert_eq!(ruleset.counters().len(), rules);
    }

    #[test]
    fn damaged_messages_are_read_or_refused_but_never_a_panic(
        filter in filter(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Batch::replacing(&filter).unwrap().bytes;
        for (index, octet) in damage {
            *index.get_mut(&mut bytes) = octet;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let mut ruleset = Ruleset::default();
        let _ = ruleset.take(&bytes);
        let _ = (ruleset.all(), ruleset.counters(), replies(&bytes));
        let (read, _) = ruleset.own();
        if let Ok(batch) = Batch::replacing(&read) {
            let mut again = Ruleset::default();
            again.take(&batch.bytes).unwrap();
            prop_assert_eq!(again.own(), (canonical(&read), Vec::new()));
        }
    }

    #[test]
    fn a_changed_filter_has_a_named_difference(one in filter(), other in filter()) {
        prop_assert_eq!(difference(&one, &one), None);
        prop_assert_eq!(difference(&one, &other).is_none(), canonical(&one) == canonical(&other));
    }
}

fn with(chains: Vec<Chain>) -> Result<Batch, Unwritable> {
    Batch::replacing(&Filter { chains })
}

#[test]
fn what_the_kernel_has_no_form_for_is_refused_before_anything_is_sent() {
    let chain = |policy, rules| Chain { hook: Hook::Input, policy, rules };
    let rule = |label: String, conditions| Rule {
        label,
        matches: vec![Match::Established; conditions],
        action: Action::Accept,
    };
    let accept = || chain(Action::Accept, Vec::new());
    assert_eq!(with(vec![accept(), accept()]), Err(Unwritable::TwoChains(Hook::Input)));
    assert_eq!(
        with(vec![chain(Action::Reset, Vec::new())]),
        Err(Unwritable::Policy(Hook::Input, Action::Reset))
    );
    let label = "x".repeat(254);
    assert_eq!(
        with(vec![chain(Action::Drop, vec![rule(label.clone(), 1)])]),
        Err(Unwritable::Label(label))
    );
    assert_eq!(
        with(vec![chain(Action::Drop, vec![rule("long".to_owned(), 43)])]),
        Err(Unwritable::TooLong { label: "long".to_owned(), needed: 131 })
    );
}

#[test]
fn a_refusal_is_told_with_the_rule_that_it_is_about() {
    let drop = Rule { label: "web".to_owned(), matches: Vec::new(), action: Action::Drop };
    let chain = Chain { hook: Hook::Input, policy: Action::Accept, rules: vec![drop] };
    let batch = with(vec![chain]).unwrap();
    // 1 begin, 2 make, 3 delete, 4 make, 5 chain, 6 rule, 7 acknowledged, 8 end.
    assert_eq!(batch.subject(6), "rule 1 of chain input, `web` (drop)");
    assert_eq!(batch.last(), 7);
}
