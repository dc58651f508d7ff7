//! DNS64 (RFC 6147): AAAA records for names that have A records alone, pointers for such addresses, and the name by which
//! hosts learn the prefix (RFC 7050). Native addresses are never replaced.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME},
    },
};

use super::{
    announcement::elsewhere,
    question::Question,
    resolver::{Asker, Found, look_up, reply},
    zone::wire_name,
};
use crate::{
    engine,
    model::{
        fault::{Sabotage, SynthesisFault},
        translation::Pref64,
    },
    stage::zones::reverse,
};

/// The longest time that a synthesized record may be kept where no SOA says less (RFC 6147 section 5.1.7).
const LONGEST_TTL: u32 = 600;
/// The name that has these addresses and no others, everywhere (RFC 7050 section 2.2).
const DISCOVERY: &str = "ipv4only.arpa.";
const DISCOVERY_ADDRESSES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// How a resolver synthesizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Synthesis {
    prefix: Pref64,
    /// What `ipv4only.arpa` tells of it.
    told: Pref64,
    over_native: bool,
}

impl Synthesis {
    /// As planned.
    pub(super) fn planned(prefix: Pref64) -> Self {
        Self { prefix, told: prefix, over_native: false }
    }

    /// As a fault bends it; `None` is not at all.
    pub(super) fn bent(self, fault: &Sabotage) -> Option<Self> {
        let Sabotage::SynthesizeWrongly { how, .. } = fault else { return Some(self) };
        Some(match how {
            SynthesisFault::Off => return None,
            SynthesisFault::OtherPrefix => Self::planned(elsewhere(self.prefix)),
            SynthesisFault::OverNative => Self { over_native: true, ..self },
            SynthesisFault::OtherDiscovery => Self { told: elsewhere(self.told), ..self },
        })
    }

    /// The same for a program.
    pub(super) fn for_engine(self) -> engine::Synthesis {
        let net = self.prefix.net();
        engine::Synthesis {
            prefix: self.prefix,
            reverse: reverse(net.network().into(), net.prefix_len()),
            discovery: DISCOVERY_ADDRESSES.map(|address| self.told.embed(address)).into(),
        }
    }

    /// Addresses that are no native ones: of the prefix itself, and IPv4 in IPv6 clothes (RFC 6147 section 5.1.4).
    fn is_native(&self, record: &Record) -> bool {
        match record.data {
            RData::AAAA(AAAA(address)) => {
                self.prefix.extract(address).is_none() && address.to_ipv4_mapped().is_none()
            }
            _ => false,
        }
    }
}

/// Answers a question.
pub(super) async fn resolve(
    question: &Question,
    asker: Asker<'_>,
    synthesis: Option<&Synthesis>,
) -> Message {
    if !question.wants_recursion() {
        let refused = Found { code: ResponseCode::Refused, ..Found::failure() };
        return reply(question, refused);
    }
    let (name, rtype) = (question.name(), question.rtype());
    let found = match synthesis.filter(|_| !question.validates()) {
        _ if *name == discovery() => discover(name, rtype, synthesis),
        Some(synthesis) if rtype == RecordType::AAAA => synthesize(name, asker, synthesis).await,
        Some(synthesis) if rtype == RecordType::PTR => point(name, asker, synthesis).await,
        _ => look_up(name, rtype, asker).await,
    };
    reply(question, found)
}

fn discovery() -> Name {
    Name::from_ascii(DISCOVERY).expect("a constant that is a name")
}

/// What is known of the name by itself: nobody else is asked (RFC 8880 section 7.1).
fn discover(name: &Name, rtype: RecordType, synthesis: Option<&Synthesis>) -> Found {
    let record = |data| Record::from_rdata(name.clone(), LONGEST_TTL, data);
    let answers = match (rtype, synthesis) {
        (RecordType::A, _) => {
            DISCOVERY_ADDRESSES.map(|address| record(RData::A(A(address)))).into()
        }
        (RecordType::AAAA, Some(synthesis)) => {
            let embed = |address| RData::AAAA(AAAA(synthesis.told.embed(address)));
            DISCOVERY_ADDRESSES.map(|address| record(embed(address))).into()
        }
        _ => Vec::new(),
    };
    Found { code: ResponseCode::NoError, answers, authorities: Vec::new() }
}

/// Native addresses where there are any; else addresses made of those of IPv4. A name that does not exist stays so.
async fn synthesize(name: &Name, asker: Asker<'_>, synthesis: &Synthesis) -> Found {
    let native = look_up(name, RecordType::AAAA, asker).await;
    let has_native = native.answers.iter().any(|record| synthesis.is_native(record));
    if native.code == ResponseCode::NXDomain || has_native && !synthesis.over_native {
        return native;
    }
    let old = look_up(name, RecordType::A, asker).await;
    let is_address = |record: &Record| record.record_type() == RecordType::A;
    if old.code != ResponseCode::NoError || !old.answers.iter().any(is_address) {
        return native;
    }
    let longest = native.authorities.iter().find_map(negative_ttl).unwrap_or(LONGEST_TTL);
    let made = |record: Record| match record.data {
        RData::A(A(address)) => {
            let data = RData::AAAA(AAAA(synthesis.prefix.embed(address)));
            Record::from_rdata(record.name.clone(), record.ttl.min(longest), data)
        }
        _ => record,
    };
    Found {
        code: ResponseCode::NoError,
        answers: old.answers.into_iter().map(made).collect(),
        authorities: Vec::new(),
    }
}

/// How long it may be kept that there is no such record (RFC 2308 section 5).
fn negative_ttl(record: &Record) -> Option<u32> {
    match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    }
}

/// The pointer of a synthesized address is that of the address in it (RFC 6147 section 5.3.1).
async fn point(name: &Name, asker: Asker<'_>, synthesis: &Synthesis) -> Found {
    let Some(held) = address_of(name).and_then(|address| synthesis.prefix.extract(address)) else {
        return look_up(name, RecordType::PTR, asker).await;
    };
    let target = wire_name(&reverse(IpAddr::V4(held), 128));
    let alias = RData::CNAME(CNAME(target.clone()));
    let mut found = look_up(&target, RecordType::PTR, asker).await;
    if found.code != ResponseCode::ServFail {
        found.answers.insert(0, Record::from_rdata(name.clone(), LONGEST_TTL, alias));
    }
    found
}

/// The address of a whole reverse name.
fn address_of(name: &Name) -> Option<Ipv6Addr> {
    let labels: Vec<_> = name.iter().collect();
    let (nibbles, suffix) = labels.split_at_checked(32)?;
    let is_suffix = |(label, word): (&&[u8], &[u8])| label.eq_ignore_ascii_case(word);
    let words: [&[u8]; 2] = [b"ip6", b"arpa"];
    (suffix.len() == 2 && suffix.iter().zip(words).all(is_suffix)).then_some(())?;
    let digit = |label: &&[u8]| {
        let text = std::str::from_utf8(label).ok().filter(|text| text.len() == 1)?;
        u128::from_str_radix(text, 16).ok()
    };
    let mut address = 0;
    for nibble in nibbles.iter().rev() {
        address = address << 4 | digit(nibble)?;
    }
    Some(Ipv6Addr::from_bits(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_reverse_name_is_read_back() {
        let address: Ipv6Addr = "64:ff9b:1::c000:221".parse().unwrap();
        assert_eq!(address_of(&wire_name(&reverse(address.into(), 128))), Some(address));
        assert_eq!(address_of(&wire_name(&reverse(address.into(), 64))), None);
        let old = reverse("192.0.2.33".parse().unwrap(), 128);
        assert_eq!(address_of(&wire_name(&old)), None);
    }
}
