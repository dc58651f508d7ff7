//! The expressions of a rule: small machines that load a register, change it, compare it, or end the rule.

use super::{
    attribute::{Attributes, Malformed, Writer},
    kernel::{VERDICT_REGISTER, conntrack, fib, meta, object, verdict},
};

const NAME: u16 = 1;
const DATA: u16 = 2;

/// One expression. What our words never need is `Other`, which says what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// A property of the packet that is in no header.
    Meta { key: u32, to: u32 },
    /// Octets of a header.
    Payload { header: u32, offset: u32, length: u32, to: u32 },
    /// The bits of the connection tracking state.
    ConntrackState { to: u32 },
    /// Whether the source is reached by the interface that the packet came in by.
    ReversePath { to: u32 },
    /// A number of 32 bits from host to network order.
    NetworkOrder { from: u32, to: u32 },
    /// `to = from & mask`.
    Mask { from: u32, to: u32, mask: Vec<u8> },
    /// The rule goes on only if this holds.
    Compare { from: u32, comparison: u32, data: Vec<u8> },
    /// The rule goes on only if the register is in a set. The number is that of the set in the same batch.
    Lookup { from: u32, set: String, id: u32 },
    /// Counts.
    Counter { packets: u64, octets: u64 },
    /// Accept, drop, continue.
    Verdict(u32),
    /// Refuses.
    Reject { kind: u32, code: u8 },
    /// Changes nothing about what happens to the packet.
    Log,
    /// In words, what it is.
    Other(String),
}

impl Expression {
    /// As an element of the list of a rule.
    pub(super) fn write(&self, list: &mut Writer) {
        list.nest(object::LIST_ELEMENT, |element| {
            element.text(NAME, self.name());
            element.nest(DATA, |data| self.write_data(data));
        });
    }

    fn name(&self) -> &str {
        match self {
            Self::Meta { .. } => "meta",
            Self::Payload { .. } => "payload",
            Self::ConntrackState { .. } => "ct",
            Self::ReversePath { .. } => "fib",
            Self::NetworkOrder { .. } => "byteorder",
            Self::Mask { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Lookup { .. } => "lookup",
            Self::Counter { .. } => "counter",
            Self::Verdict(_) => "immediate",
            Self::Reject { .. } => "reject",
            Self::Log => "log",
            Self::Other(what) => what,
        }
    }

    /// The numbers of the attributes are those of `enum nft_*_attributes` of each expression.
    fn write_data(&self, data: &mut Writer) {
        let value = |data: &mut Writer, kind, octets: &[u8]| {
            data.nest(kind, |value| value.octets(object::DATA_VALUE, octets));
        };
        match self {
            Self::Meta { key, to } => numbers(data, &[(1, *to), (2, *key)]),
            Self::Payload { header, offset, length, to } => {
                numbers(data, &[(1, *to), (2, *header), (3, *offset), (4, *length)]);
            }
            Self::ConntrackState { to } => numbers(data, &[(1, *to), (2, conntrack::STATE)]),
            Self::ReversePath { to } => numbers(
                data,
                &[(1, *to), (2, fib::OUT_INTERFACE), (3, fib::SOURCE_BY_INTERFACE_PRESENT)],
            ),
            Self::NetworkOrder { from, to } => {
                numbers(data, &[(1, *from), (2, *to), (3, TO_NETWORK), (4, 4), (5, 4)]);
            }
            Self::Mask { from, to, mask } => {
                let length = u32::try_from(mask.len()).expect("a mask fits a register");
                numbers(data, &[(1, *from), (2, *to), (3, length)]);
                value(data, 4, mask);
                value(data, 5, &vec![0; mask.len()]);
            }
            Self::Compare { from, comparison, data: octets } => {
                numbers(data, &[(1, *from), (2, *comparison)]);
                value(data, 3, octets);
            }
            Self::Lookup { from, set, id } => {
                data.text(1, set);
                numbers(data, &[(2, *from), (4, *id)]);
            }
            Self::Counter { packets, octets } => {
                data.octets(1, &octets.to_be_bytes());
                data.octets(2, &packets.to_be_bytes());
            }
            Self::Verdict(code) => {
                data.number(1, VERDICT_REGISTER);
                data.nest(2, |inner| {
                    inner.nest(object::DATA_VERDICT, |v| v.number(object::VERDICT_CODE, *code));
                });
            }
            Self::Reject { kind, code } => {
                data.number(1, *kind);
                data.octets(2, &[*code]);
            }
            Self::Log | Self::Other(_) => {}
        }
    }

    /// Reads an element of the list of a rule.
    pub(super) fn read(element: &[u8]) -> Result<Self, Malformed> {
        let element = Attributes::split("an expression", element)?;
        let name = element.text(NAME)?;
        let data = Attributes::split("an expression", element.find(DATA).unwrap_or_default())?;
        match name.as_str() {
            "meta" => meta_of(&data),
            "payload" => payload(&data),
            "ct" => connection(&data),
            "fib" => fib_of(&data),
            "byteorder" => byte_order(&data),
            "bitwise" => mask(&data),
            "cmp" => Ok(Self::Compare {
                from: data.number(1)?,
                comparison: data.number(2)?,
                data: data.nested(3)?.octets(object::DATA_VALUE)?.to_vec(),
            }),
            "lookup" => lookup(&data),
            "counter" => Ok(Self::Counter {
                octets: data.find_long(1).unwrap_or(0),
                packets: data.find_long(2).unwrap_or(0),
            }),
            "immediate" => immediate(&data),
            "reject" => Ok(Self::Reject {
                kind: data.number(1)?,
                code: data.find(2).and_then(|code| code.first().copied()).unwrap_or(0),
            }),
            "log" => Ok(Self::Log),
            _ => Ok(Self::Other(format!("`{name}`"))),
        }
    }
}

/// `NFT_BYTEORDER_HTON`.
const TO_NETWORK: u32 = 1;

fn numbers(data: &mut Writer, list: &[(u16, u32)]) {
    for (kind, value) in list {
        data.number(*kind, *value);
    }
}

fn other(what: impl Into<String>) -> Expression {
    Expression::Other(what.into())
}

fn meta_of(data: &Attributes<'_>) -> Result<Expression, Malformed> {
    let key = data.number(2)?;
    let word = meta::NAMES.get(key as usize).map_or_else(|| format!("key {key}"), |w| (*w).into());
    match data.find_number(1) {
        None => Ok(other(format!("setting `meta {word}`"))),
        Some(to) => match key {
            meta::LENGTH
            | meta::IN_INDEX
            | meta::IN_NAME
            | meta::OUT_NAME
            | meta::NFPROTO
            | meta::L4PROTO => Ok(Expression::Meta { key, to }),
            _ => Ok(other(format!("`meta {word}`"))),
        },
    }
}

fn payload(data: &Attributes<'_>) -> Result<Expression, Malformed> {
    match data.find_number(1) {
        None => Ok(other("writing into a header")),
        Some(to) => Ok(Expression::Payload {
            to,
            header: data.number(2)?,
            offset: data.number(3)?,
            length: data.number(4)?,
        }),
    }
}

fn connection(data: &Attributes<'_>) -> Result<Expression, Malformed> {
    match (data.find_number(1), data.number(2)?) {
        (Some(to), conntrack::STATE) => Ok(Expression::ConntrackState { to }),
        (Some(_), key) => Ok(other(format!("`ct` key {key}"))),
        (None, key) => Ok(other(format!("setting `ct` key {key}"))),
    }
}

fn fib_of(data: &Attributes<'_>) -> Result<Expression, Malformed> {
    match (data.number(2)?, data.number(3)?) {
        (fib::OUT_INTERFACE, fib::SOURCE_BY_INTERFACE_PRESENT) => {
            Ok(Expression::ReversePath { to: data.number(1)? })
        }
        (result, flags) => Ok(other(format!("`fib` with result {result} and flags {flags:#x}"))),
    }
}

fn byte_order(data: &Attributes<'_>) -> Result<Expression, Malformed> {
    match (data.number(3)?, data.number(4)?, data.number(5)?) {
        (TO_NETWORK, 4, 4) => {
            Ok(Expression::NetworkOrder { from: data.number(1)?, to: data.number(2)? })
        }
        _ => Ok(other("`byteorder` of another size than 32 bits")),
    }
}

/// Only the form with mask and xor exists in rules that `nft` writes for prefixes; shifts are something else.
fn mask(data: &Attributes<'_>) -> Result<Expression, Malformed> {
    let (Some(mask), Some(xor)) = (data.find(4), data.find(5)) else {
        return Ok(other("`bitwise` other than a mask"));
    };
    let value = |octets| Attributes::split("an expression", octets)?.octets(object::DATA_VALUE);
    if data.find_number(6).is_some_and(|operation| operation != 0)
        || value(xor)?.iter().any(|octet| *octet != 0)
    {
        return Ok(other("`bitwise` other than a mask"));
    }
    let mask = value(mask)?.to_vec();
    Ok(Expression::Mask { from: data.number(1)?, to: data.number(2)?, mask })
}

fn lookup(data: &Attributes<'_>) -> Result<Expression, Malformed> {
    if data.find(3).is_some() {
        return Ok(other("a lookup in a map"));
    }
    if data.find_number(5).is_some_and(|flags| flags != 0) {
        return Ok(other("a lookup that must not find"));
    }
    let id = data.find_number(4).unwrap_or(0);
    Ok(Expression::Lookup { from: data.number(2)?, set: data.text(1)?, id })
}

fn immediate(data: &Attributes<'_>) -> Result<Expression, Malformed> {
    let value = data.nested(2)?;
    let Some(verdict) = value.find(object::DATA_VERDICT) else {
        return Ok(other("`immediate` into a data register"));
    };
    let attributes = Attributes::split("a verdict", verdict)?;
    let chain = || attributes.text(object::VERDICT_CHAIN).unwrap_or_default();
    match attributes.number(object::VERDICT_CODE)? {
        code @ (verdict::ACCEPT | verdict::DROP | verdict::CONTINUE) => {
            Ok(Expression::Verdict(code))
        }
        verdict::JUMP => Ok(other(format!("`jump {}`", chain()))),
        verdict::GOTO => Ok(other(format!("`goto {}`", chain()))),
        verdict::RETURN => Ok(other("`return`")),
        code => Ok(other(format!("verdict {code:#x}"))),
    }
}
