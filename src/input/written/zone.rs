//! `[[zone]]`

use super::words::{ADDRESS, DOMAIN, MAIL, NODES};
use crate::{
    input::{
        diagnostic::Span,
        shape::{Key, Shape, key, required},
        table::{At, Entry},
    },
    model::{
        name::{DomainName, NodeName},
        record::RecordData,
    },
};

pub(in crate::input) const KEYS: &[Key] = &[
    required("origin", DOMAIN, "The name of the zone, for example `dc.test`."),
    required("servers", NODES, "Its name servers: nodes with a service of kind `dns`."),
    key(
        "records",
        Shape::Tables { noun: "record", of: RECORD_KEYS, most: 2000 },
        "Records besides those that follow from services.",
    ),
    key("inside", Shape::Table(INSIDE_KEYS), "A view of its own for the inside."),
];

const INSIDE_KEYS: &[Key] = &[
    required(
        "to",
        Shape::List { of: &Shape::Text, most: 64 },
        "Who is inside: nodes, segments, sites.",
    )
    .filled(),
    required(
        "names",
        Shape::List { of: &DOMAIN, most: 2000 },
        "The names that they alone are told of.",
    )
    .filled(),
];

const RECORD_KEYS: &[Key] = &[
    required("name", DOMAIN, "The owner of the record."),
    key("address", ADDRESS, "An A or AAAA record, by the family of the address."),
    key("alias", DOMAIN, "A CNAME record."),
    key("pointer", DOMAIN, "A PTR record."),
    key("mail", MAIL, "An MX record: where mail to the name is brought; `.` where it takes none."),
    key(
        "text",
        Shape::LongText { most: 4000 },
        "A TXT record; beyond 1232 octets its answer does not fit one packet.",
    ),
    key(
        "https",
        Shape::Word(|| vec!["hints"]),
        "An HTTPS record (RFC 9460) that hints at the addresses of the name in each phase.",
    ),
];

/// A zone as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Zone {
    pub origin: At<DomainName>,
    pub servers: Vec<At<NodeName>>,
    pub records: Vec<Record>,
    pub inside: Option<Inside>,
}

/// What the inside alone is told, as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Inside {
    pub at: Span,
    pub to: Vec<At<String>>,
    pub names: Vec<At<DomainName>>,
}

impl Inside {
    fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        Some(Self { at: entry.at.clone(), to: table.list("to"), names: table.domains("names") })
    }
}

/// A record as written; it is to have one kind of data.
#[derive(Clone, Debug)]
pub(in crate::input) struct Record {
    pub name: At<DomainName>,
    pub data: Vec<At<RecordData>>,
    pub at: Span,
}

impl Zone {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        Some(Self {
            origin: table.domain("origin").or_else(|| entry.needed("origin"))?,
            servers: table.references("servers"),
            inside: table.entry("inside").and_then(Inside::read),
            records: table.items("records").iter().filter_map(Record::read).collect(),
        })
    }
}

impl Record {
    fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        Some(Self { name: table.domain("name")?, data: data(&table), at: entry.span() })
    }
}

/// Each kind of data that was written.
pub(in crate::input) fn data(table: &crate::input::table::Table<'_>) -> Vec<At<RecordData>> {
    let domain = |key| table.domain(key);
    [
        table.one("address").map(|ip| At { is: RecordData::Address(ip.is), at: ip.at }),
        domain("alias").map(|name| At { is: RecordData::Alias(name.is), at: name.at }),
        domain("pointer").map(|name| At { is: RecordData::Pointer(name.is), at: name.at }),
        table
            .one::<String>("mail")
            .map(|to| At { is: RecordData::Mail(to.is.parse().ok()), at: to.at }),
        table.one("text").map(|text| At { is: RecordData::Text(text.is), at: text.at }),
        table.entry("https").map(|word| At { is: RecordData::Https([].into()), at: word.span() }),
        table.entry("hints").map(|list| At {
            is: RecordData::Https(table.list("hints").into_iter().map(|hint| hint.is).collect()),
            at: list.span(),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}
