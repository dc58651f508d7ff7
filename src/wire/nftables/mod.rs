//! nf_tables, the packet filter of the kernel: from [`Filter`](crate::model::policy::Filter) to the messages that load
//! it, and from what the kernel dumps back to a filter. Numbers and layouts are those of the kernel's user interface
//! (`linux/netfilter/nf_tables.h`); the order of expressions is the one that the program `nft` writes, so that
//! `nft list ruleset` shows our rules as if it had loaded them.

mod attribute;
mod batch;
mod canonical;
mod compile;
mod compose;
mod expression;
mod kernel;
mod lift;
mod message;
mod reply;
mod request;
mod ruleset;
mod set;
#[cfg(test)]
mod tests;

pub use attribute::Malformed;
pub use batch::{Batch, Unwritable};
pub use canonical::{canonical, difference};
pub use reply::{Refusal, Reply, replies};
pub use request::Request;
pub use ruleset::{Counter, Ruleset};

/// The name of the table that is ours. It is of family `inet`; nothing else in a namespace is ever changed.
pub const TABLE: &str = "sixwalk";
