//! Zones and the names in them.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{DomainName, NodeName};

/// A zone and who serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Zone {
    /// Its origin.
    pub origin: DomainName,
    /// Its authoritative servers: nodes with a service of kind `dns`.
    pub servers: Vec<NodeName>,
    /// What the inside alone is told, where the zone has such a view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
    /// Records that the file gives besides those that follow from services.
    pub extra: Vec<Record>,
}

/// A view of a zone: names of which nobody outside is told anything (RFC 4472 section 4.1, RFC 8499 section 6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inside {
    /// The prefixes from which the inside asks.
    #[schemars(with = "Vec<String>")]
    pub nets: Vec<IpNet>,
    /// The names.
    pub names: Vec<DomainName>,
}

impl Zone {
    /// Whether who asks from an address is told what the zone holds of a name.
    pub fn tells(&self, name: &DomainName, asker: IpAddr) -> bool {
        self.inside.as_ref().is_none_or(|inside| {
            !inside.names.contains(name) || inside.nets.iter().any(|net| net.contains(&asker))
        })
    }
}

/// The name of a name server in its zone: `ns.dc.test` for the node `ns` in the zone `dc.test`.
pub fn server_name(node: &NodeName, origin: &DomainName) -> DomainName {
    format!("{node}.{origin}").parse().expect("a node name is a label")
}

/// A record of a zone.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Record {
    /// The owner.
    pub name: DomainName,
    /// What it says.
    pub data: RecordData,
}

/// What a record says.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RecordData {
    /// An address: A or AAAA by its family. An IPv4-mapped address is an AAAA (a fault that checks look for).
    Address(IpAddr),
    /// An alias (CNAME).
    Alias(DomainName),
    /// A pointer (PTR) from a reverse name.
    Pointer(DomainName),
    /// A name server (NS): at the cut where a zone below begins, whom to ask for it.
    Server(DomainName),
    /// Where the mail of a domain is brought (MX); nowhere where it takes none (RFC 7505).
    Mail(Option<DomainName>),
    /// A text of any length; split into strings of 255 octets.
    Text(String),
    /// How a web service is reached (HTTPS, RFC 9460), with the addresses that it hints at. As written in a testbed it hints at
    /// nothing yet: in each phase it gets the addresses of the name.
    Https(BTreeSet<IpAddr>),
}

/// The preference of every place where mail is brought: all are equally good.
pub const MAIL_PREFERENCE: u16 = 10;

/// The type of a record in a question (RFC 1035 section 3.2.2, RFC 3596).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// An alias.
    Cname,
    /// A pointer.
    Ptr,
    /// A text.
    Txt,
    /// Where mail is brought.
    Mx,
    /// The start of authority.
    Soa,
    /// A name server.
    Ns,
    /// How a web service is reached (RFC 9460).
    Https,
}

impl RecordType {
    /// The type that holds addresses of a family.
    pub fn of(family: super::family::Family) -> Self {
        match family {
            super::family::Family::V4 => Self::A,
            super::family::Family::V6 => Self::Aaaa,
        }
    }
}
