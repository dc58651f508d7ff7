//! What the kernel holds: tables, chains, rules and sets from the messages of a dump, or of a batch.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    TABLE,
    attribute::{Attributes, Malformed},
    batch::hook_number,
    compose,
    expression::Expression,
    kernel::{self, family_word, message, nfproto, object},
    lift::lift,
    message::{Message, messages},
    request::Request,
    set::{Element, Set},
};
use crate::model::policy::{Action, Chain, Filter, Hook, Rule};

/// How often a rule of ours has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The label of the rule.
    pub label: String,
    /// Packets.
    pub packets: u64,
    /// Their octets, from the IP header on.
    pub octets: u64,
}

/// Everything that was dumped so far.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    generations: BTreeSet<u16>,
    dormant: BTreeSet<TableName>,
    chains: Vec<BaseChain>,
    rules: Vec<RawRule>,
    sets: BTreeMap<(TableName, String), Set>,
}

/// The messages that carry objects.
const SHOWING: [u16; 5] = [
    message::NEW_TABLE,
    message::NEW_CHAIN,
    message::NEW_RULE,
    message::NEW_SET,
    message::NEW_ELEMENTS,
];

/// The number of the family and the name.
type TableName = (u8, String);

#[derive(Clone, Debug)]
struct BaseChain {
    table: TableName,
    name: String,
    hook: u32,
    priority: i32,
    policy: Action,
    kind: String,
}

#[derive(Clone, Debug)]
struct RawRule {
    table: TableName,
    chain: String,
    handle: u64,
    comment: Option<String>,
    expressions: Vec<Expression>,
}

impl Ruleset {
    /// Reads the objects in some received bytes; other messages are passed over.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        messages(bytes)?.iter().try_for_each(|message| self.object(message))
    }

    fn object(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let family = message.family();
        if SHOWING.contains(&message.kind) {
            self.generations.insert(message.resource());
        }
        let split = |what| Attributes::split(what, message.attributes());
        match message.kind {
            message::NEW_TABLE => self.table(family, &split("a table")?),
            message::NEW_CHAIN => self.chain(family, &split("a chain")?),
            message::NEW_RULE => {
                self.rules.push(RawRule::read(family, &split("a rule")?)?);
                Ok(())
            }
            message::NEW_SET => {
                let attributes = split("a set")?;
                let table = (family, attributes.text(object::SET_TABLE)?);
                let set = Set::read(&attributes)?;
                self.sets.insert((table, set.name.clone()), set);
                Ok(())
            }
            message::NEW_ELEMENTS => self.elements(family, &split("a list of elements")?),
            _ => Ok(()),
        }
    }

    fn table(&mut self, family: u8, attributes: &Attributes<'_>) -> Result<(), Malformed> {
        let name = attributes.text(object::TABLE_NAME)?;
        let flags = attributes.find_number(object::TABLE_FLAGS).unwrap_or(0);
        if flags & object::TABLE_DORMANT != 0 {
            self.dormant.insert((family, name));
        }
        Ok(())
    }

    /// A chain without hook is only reached by a jump, which our words do not have.
    fn chain(&mut self, family: u8, attributes: &Attributes<'_>) -> Result<(), Malformed> {
        let Some(hook) = attributes.find(object::CHAIN_HOOK) else { return Ok(()) };
        let hook = Attributes::split("the hook of a chain", hook)?;
        let kind = attributes.find(object::CHAIN_TYPE).map(|_| attributes.text(object::CHAIN_TYPE));
        self.chains.push(BaseChain {
            table: (family, attributes.text(object::CHAIN_TABLE)?),
            name: attributes.text(object::CHAIN_NAME)?,
            hook: hook.number(object::HOOK_NUMBER)?,
            priority: hook.number(object::HOOK_PRIORITY)?.cast_signed(),
            policy: match attributes.find_number(object::CHAIN_POLICY) {
                Some(0) => Action::Drop,
                _ => Action::Accept,
            },
            kind: kind.transpose()?.unwrap_or_default(),
        });
        Ok(())
    }

    /// An element that has no single value makes its set one that we cannot list.
    fn elements(&mut self, family: u8, attributes: &Attributes<'_>) -> Result<(), Malformed> {
        let table = (family, attributes.text(object::ELEMENTS_TABLE)?);
        let name = attributes.text(object::ELEMENTS_SET)?;
        let Some(set) = self.sets.get_mut(&(table, name)) else { return Ok(()) };
        let Some(list) = attributes.find(object::ELEMENTS_LIST) else { return Ok(()) };
        for element in Attributes::split("a list of elements", list)?.all(object::LIST_ELEMENT) {
            match Element::read(element)? {
                Some(element) => set.elements.push(element),
                None => set.flags |= object::SET_CONCAT,
            }
        }
        Ok(())
    }

    /// Whether everything that was read stood in the kernel at the same moment.
    pub fn is_of_one_moment(&self) -> bool {
        self.generations.len() <= 1
    }

    /// The requests for the elements of the sets that rules look into.
    pub fn missing(&self) -> Vec<Request> {
        let plain = self.sets.iter().filter(|(_, set)| set.is_plain());
        plain
            .map(|(((family, table), set), _)| Request::Elements {
                family: *family,
                table: table.clone(),
                set: set.clone(),
            })
            .collect()
    }

    /// Our own table, and what stands in it that is not from us.
    pub fn own(&self) -> (Filter, Vec<String>) {
        self.filter(|table| *table == own_table())
    }

    /// All that is filtered in the namespace, as one filter, and everything that our words cannot say.
    pub fn all(&self) -> (Filter, Vec<String>) {
        self.filter(|table| !self.dormant.contains(table))
    }

    /// The counters of our rules, in order.
    pub fn counters(&self) -> Vec<Counter> {
        let own = self.rules.iter().filter(|rule| rule.table == own_table());
        own.filter_map(RawRule::counter).collect()
    }

    fn filter(&self, wanted: impl Fn(&TableName) -> bool) -> (Filter, Vec<String>) {
        let mut unread = Vec::new();
        let mut hooks: BTreeMap<Hook, Chain> = BTreeMap::new();
        let mut bases: Vec<_> = self.chains.iter().filter(|base| wanted(&base.table)).collect();
        bases.sort_by_key(|base| base.priority);
        for base in bases {
            let Some(hook) = base.in_words() else {
                unread.extend(self.outside(base));
                continue;
            };
            let next = self.chain_of(base, hook, &mut unread);
            let joined = match hooks.remove(&hook) {
                None => Some(next.clone()),
                Some(first) => compose::after(first, next.clone()),
            };
            hooks.insert(
                hook,
                joined.unwrap_or_else(|| {
                    unread.push(format!("chains before {base}: too many rules to follow together"));
                    next
                }),
            );
        }
        (Filter { chains: hooks.into_values().collect() }, unread)
    }

    fn chain_of(&self, base: &BaseChain, hook: Hook, unread: &mut Vec<String>) -> Chain {
        let family = kernel::family(base.table.0);
        let mut rules = Vec::new();
        for raw in self.rules_of(base) {
            let set = |name: &str| self.sets.get(&(raw.table.clone(), name.to_owned()));
            let rule = |(matches, action)| Rule { label: raw.label(), matches, action };
            match lift(&raw.expressions, family, set) {
                Ok(alternatives) => rules.extend(alternatives.into_iter().map(rule)),
                Err(what) => unread.push(format!("{base}, rule {}: {what}", raw.called())),
            }
        }
        let chain = Chain { hook, policy: base.policy, rules };
        match family {
            Some(family) => compose::limited_to(family, chain),
            None => chain,
        }
    }

    fn rules_of<'a>(&'a self, base: &'a BaseChain) -> impl Iterator<Item = &'a RawRule> {
        let belongs = |rule: &&RawRule| rule.table == base.table && rule.chain == base.name;
        self.rules.iter().filter(belongs)
    }

    /// A chain that does nothing need not be mentioned.
    fn outside(&self, base: &BaseChain) -> Option<String> {
        let rules = self.rules_of(base).count();
        if rules == 0 && base.policy == Action::Accept {
            return None;
        }
        let (kind, hook, policy) = (&base.kind, base.hook, base.policy);
        Some(format!("{base}: type {kind} at hook {hook}, {rules} rules, policy {policy}"))
    }
}

fn own_table() -> TableName {
    (nfproto::INET, TABLE.to_owned())
}

impl BaseChain {
    /// The hook, where this is a chain that our words can describe.
    fn in_words(&self) -> Option<Hook> {
        let layer = matches!(self.table.0, nfproto::INET | nfproto::IPV4 | nfproto::IPV6);
        [Hook::Input, Hook::Forward, Hook::Output]
            .into_iter()
            .find(|hook| layer && self.kind == "filter" && hook_number(*hook) == self.hook)
    }
}

impl std::fmt::Display for BaseChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (family, table) = &self.table;
        write!(f, "table {} {table}, chain {}", family_word(*family), self.name)
    }
}

impl RawRule {
    fn read(family: u8, attributes: &Attributes<'_>) -> Result<Self, Malformed> {
        let list = attributes.find(object::RULE_EXPRESSIONS).unwrap_or_default();
        let list = Attributes::split("the expressions of a rule", list)?;
        Ok(Self {
            table: (family, attributes.text(object::RULE_TABLE)?),
            chain: attributes.text(object::RULE_CHAIN)?,
            handle: attributes.find_long(object::RULE_HANDLE).unwrap_or(0),
            comment: attributes.find(object::RULE_USERDATA).and_then(comment),
            expressions: list
                .all(object::LIST_ELEMENT)
                .map(Expression::read)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The comment, or for want of one where the rule is.
    fn label(&self) -> String {
        let (family, table) = &self.table;
        let place = || format!("{} {table} handle {}", family_word(*family), self.handle);
        self.comment.clone().unwrap_or_else(place)
    }

    fn called(&self) -> String {
        match &self.comment {
            Some(comment) => format!("`{comment}` (handle {})", self.handle),
            None => format!("with handle {}", self.handle),
        }
    }

    fn counter(&self) -> Option<Counter> {
        self.expressions.iter().find_map(|expression| match expression {
            Expression::Counter { packets, octets } => {
                Some(Counter { label: self.label(), packets: *packets, octets: *octets })
            }
            _ => None,
        })
    }
}

/// The comment in the user data of a rule: type, length, value, one after another.
fn comment(mut octets: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = octets {
        let (value, after) = rest.split_at_checked(usize::from(*length))?;
        if *kind == object::USERDATA_COMMENT {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        octets = after;
    }
    None
}
