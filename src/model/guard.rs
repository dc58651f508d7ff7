//! Guards against forged Router Advertisements (RFC 6105): what a switch is said to stop, how it can fail to, and what is
//! sent to find out.

use std::net::Ipv6Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a guard of a switch is worse than RFC 7113 asks for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum GuardFault {
    /// It stops nothing.
    Off,
    /// It looks at the first next header alone, and not behind extension headers (RFC 7113 section 2.1).
    FirstHeader,
    /// It lets every fragment pass (RFC 7113 section 2.2).
    NoFragments,
    /// It looks into first fragments, and lets those pass that end before it can tell what they carry.
    CutChains,
}

/// How an advertisement is forged that must not get through, and what must.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Forgery {
    /// No advertisement at all: a message for experiments (RFC 4443 section 2.1), sent in the same way. It proves that the
    /// way is open.
    Harmless,
    /// As a router would send it.
    Plain,
    /// Behind a destination options header.
    BehindOptions,
    /// In two fragments, of which the first shows what it is.
    InFragments,
    /// In two fragments, of which the first is nothing but a destination options header.
    CutChain,
}

impl Forgery {
    /// Those that a guard must stop, the plainest first.
    pub const FORGED: [Self; 4] =
        [Self::Plain, Self::BehindOptions, Self::InFragments, Self::CutChain];
    /// Who they claim to be from, so that nobody takes them for those of a stranger. With a lifetime of zero and no
    /// prefix, no host takes anything from them.
    pub const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x73, 0x6978, 0x7761, 0x6c6b);
}

/// As an auditor calls it.
impl std::fmt::Display for Forgery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Harmless => "a message for experiments",
            Self::Plain => "a plain one",
            Self::BehindOptions => "one behind a destination options header",
            Self::InFragments => "one in two fragments",
            Self::CutChain => "one whose first fragment ends before it",
        })
    }
}
