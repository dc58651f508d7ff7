//! The messages that put a filter in the place of our table, all or nothing.

use std::collections::BTreeSet;

use super::{
    TABLE,
    attribute::Writer,
    canonical::canonical,
    compile::compile,
    kernel::{MAX_EXPRESSIONS, flag, message, nfproto, object},
    message::{Header, append},
};
use crate::model::policy::{Action, Chain, Filter, Hook, Rule};

/// The subsystem of the messages of a batch (`NFNL_SUBSYS_NFTABLES`).
const SUBSYSTEM: u16 = 10;
/// The kernel keeps 256 octets of user data for a rule: two of header, the label, one NUL.
const LONGEST_LABEL: usize = 253;
const FILTERING: &str = "filter";

/// Why a filter cannot be written as rules of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// Two chains at one hook.
    #[error("the filter has two chains at hook {0:?}; join them")]
    TwoChains(Hook),
    /// A chain that refuses by default.
    #[error("the policy of hook {0:?} is `{1}`; a policy is accept or drop, so end with a rule")]
    Policy(Hook, Action),
    /// A label that does not fit a comment.
    #[error("the label `{0}` does not fit a comment: at most 253 octets without NUL")]
    Label(String),
    /// A rule with too many conditions.
    #[error("rule `{label}` needs {needed} expressions, the kernel takes 128; split it")]
    TooLong {
        /// The label of the rule.
        label: String,
        /// What it would need.
        needed: usize,
    },
}

/// Messages that the kernel carries out all or not at all, and what each of them does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The messages, to be sent at once.
    pub bytes: Vec<u8>,
    /// What each does, in the order of their numbers, for messages to the user.
    subjects: Vec<String>,
}

impl Batch {
    /// The number of its first message; a refusal with this number is one of the whole batch.
    pub const FIRST: u32 = 1;

    /// The batch after which our table holds exactly this filter; without chains, after which there is no table.
    pub fn replacing(filter: &Filter) -> Result<Self, Unwritable> {
        check(filter)?;
        let filter = canonical(filter);
        let mut batch = Self { bytes: Vec::new(), subjects: Vec::new() };
        batch.add(message::BATCH_BEGIN, 0, "the batch", &Writer::default());
        batch.clear(filter.chains.is_empty());
        if !filter.chains.is_empty() {
            batch.fill(&filter)?;
        }
        batch.add(message::BATCH_END, 0, "the end of the batch", &Writer::default());
        Ok(batch)
    }

    /// The number of the last message that the kernel answers; when that answer is there, there will be no other.
    pub fn last(&self) -> u32 {
        u32::try_from(self.subjects.len()).expect("few messages") - 1
    }

    /// What the message of a number does.
    pub fn subject(&self, sequence: u32) -> &str {
        let index = sequence.saturating_sub(Self::FIRST) as usize;
        self.subjects.get(index).map_or("a message that is not ours", String::as_str)
    }

    /// Deleting what is not there is an error, so the table is made first.
    fn clear(&mut self, for_good: bool) {
        let acknowledge = if for_good { flag::ACKNOWLEDGE } else { 0 };
        self.add(message::NEW_TABLE, flag::CREATE, "our table", &table());
        self.add(message::DELETE_TABLE, acknowledge, "removing our table", &table());
    }

    /// Only the last message asks for an acknowledgement; refusals come unasked and before it.
    fn fill(&mut self, filter: &Filter) -> Result<(), Unwritable> {
        self.add(message::NEW_TABLE, flag::CREATE, "our table", &table());
        let mut sets = 0;
        for chain in &filter.chains {
            let subject = format!("chain {}", chain_name(chain.hook));
            self.add(message::NEW_CHAIN, flag::CREATE, &subject, &chain_of(chain));
            for (index, rule) in chain.rules.iter().enumerate() {
                let place = format!("rule {} of chain {}", index + 1, chain_name(chain.hook));
                self.rule(chain.hook, rule, &place, &mut sets)?;
            }
        }
        self.add(message::NEW_TABLE, flag::ACKNOWLEDGE, "our table", &table());
        Ok(())
    }

    fn rule(
        &mut self,
        hook: Hook,
        rule: &Rule,
        place: &str,
        sets: &mut u32,
    ) -> Result<(), Unwritable> {
        let compiled = compile(rule, *sets);
        let needed = compiled.expressions.len();
        if needed > MAX_EXPRESSIONS {
            return Err(Unwritable::TooLong { label: rule.label.clone(), needed });
        }
        let subject = format!("{place}, `{}` ({rule})", rule.label);
        for set in &compiled.sets {
            let flags = flag::CREATE;
            self.add(message::NEW_SET, flags, &subject, &set.write(TABLE));
            self.add(message::NEW_ELEMENTS, flags, &subject, &set.write_elements(TABLE));
            *sets += 1;
        }
        let mut attributes = Writer::default();
        attributes.text(object::RULE_TABLE, TABLE);
        attributes.text(object::RULE_CHAIN, chain_name(hook));
        attributes.nest(object::RULE_EXPRESSIONS, |list| {
            compiled.expressions.iter().for_each(|expression| expression.write(list));
        });
        attributes.octets(object::RULE_USERDATA, &comment(&rule.label));
        self.add(message::NEW_RULE, flag::CREATE | flag::APPEND, &subject, &attributes);
        Ok(())
    }

    fn add(&mut self, kind: u16, flags: u16, subject: &str, attributes: &Writer) {
        let sequence = Self::FIRST + u32::try_from(self.subjects.len()).expect("few messages");
        let marks = matches!(kind, message::BATCH_BEGIN | message::BATCH_END);
        let (family, resource) = if marks { (0, SUBSYSTEM) } else { (nfproto::INET, 0) };
        let header = Header { kind, flags, sequence, family, resource };
        append(&mut self.bytes, &header, attributes);
        self.subjects.push(subject.to_owned());
    }
}

fn check(filter: &Filter) -> Result<(), Unwritable> {
    let mut hooks = BTreeSet::new();
    for chain in &filter.chains {
        if !hooks.insert(chain.hook) {
            return Err(Unwritable::TwoChains(chain.hook));
        }
        if !matches!(chain.policy, Action::Accept | Action::Drop) {
            return Err(Unwritable::Policy(chain.hook, chain.policy));
        }
        let fits = |label: &str| label.len() <= LONGEST_LABEL && !label.contains('\0');
        if let Some(rule) = chain.rules.iter().find(|rule| !fits(&rule.label)) {
            return Err(Unwritable::Label(rule.label.clone()));
        }
    }
    Ok(())
}

fn table() -> Writer {
    let mut table = Writer::default();
    table.text(object::TABLE_NAME, TABLE);
    table
}

fn chain_name(hook: Hook) -> &'static str {
    match hook {
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
    }
}

/// The number of a hook (`NF_INET_*`).
pub(super) fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
    }
}

fn chain_of(chain: &Chain) -> Writer {
    let mut attributes = Writer::default();
    attributes.text(object::CHAIN_TABLE, TABLE);
    attributes.text(object::CHAIN_NAME, chain_name(chain.hook));
    attributes.nest(object::CHAIN_HOOK, |hook| {
        hook.number(object::HOOK_NUMBER, hook_number(chain.hook));
        hook.number(object::HOOK_PRIORITY, 0);
    });
    attributes.number(object::CHAIN_POLICY, u32::from(chain.policy == Action::Accept));
    attributes.text(object::CHAIN_TYPE, FILTERING);
    attributes
}

fn comment(label: &str) -> Vec<u8> {
    let length = u8::try_from(label.len() + 1).expect("checked to fit");
    [&[object::USERDATA_COMMENT, length], label.as_bytes(), &[0]].concat()
}
