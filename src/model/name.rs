//! Names: parsed once at the door; afterwards the type is the proof that the name is safe in a path, a log line,
//! a DNS zone and an interface.

use std::{borrow::Borrow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} name `{text}` {rule}")]
pub struct BadName {
    /// Which kind of name was expected, for example `node`.
    pub what: &'static str,
    /// What was written.
    pub text: String,
    /// What the rule is, as the end of a sentence.
    pub rule: &'static str,
}

/// Words that would be misread on the command line, in a firewall or by the kernel.
const RESERVED: [&str; 9] =
    ["all", "any", "default", "host", "localhost", "lo", "self", "none", "everywhere"];

fn check(what: &'static str, text: &str, longest: usize) -> Result<(), BadName> {
    let bad = |rule| Err(BadName { what, text: text.to_owned(), rule });
    let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > longest || !text.chars().all(safe) {
        return bad(match longest {
            15 => "must be 1 to 15 characters from a-z, 0-9 and `-`",
            _ => "must be 1 to 32 characters from a-z, 0-9 and `-`",
        });
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || text.ends_with('-') {
        return bad("must begin with a letter and must not end with `-`");
    }
    if RESERVED.contains(&text) {
        return bad("is reserved; choose another word");
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $longest:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// What kind of name this is, for messages.
            pub const WHAT: &'static str = $what;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                check($what, text, $longest)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a node: 1 to 32 characters from a-z, 0-9 and `-`.
    NodeName, "node", 32
);
name!(
    /// The name of a segment: 1 to 32 characters from a-z, 0-9 and `-`.
    SegmentName, "segment", 32
);
name!(
    /// The name of a site: 1 to 32 characters from a-z, 0-9 and `-`.
    SiteName, "site", 32
);
name!(
    /// The name of a tunnel: 1 to 32 characters from a-z, 0-9 and `-`.
    TunnelName, "tunnel", 32
);
name!(
    /// The name of a translation: 1 to 32 characters from a-z, 0-9 and `-`.
    TranslationName, "translation", 32
);
name!(
    /// The name of an interface of a node: at most 15 characters, as the kernel's `IFNAMSIZ` asks.
    InterfaceName, "interface", 15
);
name!(
    /// The name of a service of a node: 1 to 32 characters from a-z, 0-9 and `-`.
    ServiceName, "service", 32
);
name!(
    /// The name of an engine: a program that stands in for a built-in service.
    EngineName, "engine", 32
);
name!(
    /// The name of a planted fault: 1 to 32 characters from a-z, 0-9 and `-`.
    FaultName, "fault", 32
);

/// A domain name of at most 253 characters in lower case, without the final dot (RFC 1035, RFC 1123).
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct DomainName(String);

impl DomainName {
    /// The name as text, without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is `zone` itself or stands below it.
    pub fn is_within(&self, zone: &Self) -> bool {
        self.0 == zone.0 || self.0.strip_suffix(&zone.0).is_some_and(|before| before.ends_with('.'))
    }
}

impl FromStr for DomainName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |rule| Err(BadName { what: "domain", text: text.to_owned(), rule });
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return bad(
                "must be labels of at most 63 characters of a-z, 0-9 and `-` with dots between, 253 in all, without a final dot",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for DomainName {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_and_reserved_names_are_refused() {
        for bad in ["", "Portal", "a b", "../x", "-a", "a-", "1a", "all", "lo", "a\n", "ä", "%eth0"]
        {
            assert!(bad.parse::<NodeName>().is_err(), "`{bad}` must not be a name");
        }
        assert!("portal-2".parse::<NodeName>().is_ok());
        assert!("a-name-of-sixteen".parse::<InterfaceName>().is_err());
    }

    #[test]
    fn a_name_is_within_its_zone_only_at_a_dot() {
        let name = |text: &str| text.parse::<DomainName>().unwrap();
        assert!(name("portal.dc.test").is_within(&name("dc.test")));
        assert!(!name("portalsdc.test").is_within(&name("dc.test")));
    }
}
