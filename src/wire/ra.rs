//! Router discovery on the wire (RFC 4861 sections 4.1 and 4.2, with the options of RFC 4191, RFC 8106 and RFC 8781): Router
//! Solicitations and Router Advertisements as ICMPv6 messages, without the IPv6 header. The checksum is left to the
//! kernel, which fills it in on raw ICMPv6 sockets (RFC 3542 section 3.1).

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use crate::model::{
    answer::{HeardAdvertisement, HeardPrefix},
    mac::Mac,
    translation::Pref64,
};

/// All routers of a link (RFC 4291 section 2.7.1): where Router Solicitations go.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// ICMPv6 type of a Router Solicitation.
pub const ROUTER_SOLICITATION: u8 = 133;
/// ICMPv6 type of a Router Advertisement.
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// The hop limit that every message of neighbour discovery is sent with and must arrive with, so that it proves that the
/// sender is on the link (RFC 4861 section 3.1).
pub const HOP_LIMIT: u8 = 255;

/// The preference of a default router that others come before (RFC 4191 section 2.1).
const LOW_PREFERENCE: u8 = 0b11 << 3;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_PREFIX: u8 = 3;
const OPTION_MTU: u8 = 5;
const OPTION_DNS: u8 = 25;
const OPTION_PREF64: u8 = 38;
/// The lengths of a translation prefix by their codes (RFC 8781 section 4).
const PREF64_LENGTHS: [u8; 6] = [96, 64, 56, 48, 40, 32];

/// What a router announces on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The hop limit that hosts are to send with.
    pub hop_limit: u8,
    /// Flag M: addresses by DHCPv6.
    pub managed: bool,
    /// Flag O: other configuration by DHCPv6.
    pub other: bool,
    /// For how long it is a default router, in seconds; 0 is not at all.
    pub lifetime_s: u16,
    /// Whether hosts are to prefer others (RFC 4191 section 2.1).
    pub standby: bool,
    /// Its link-layer address.
    pub mac: Mac,
    /// The MTU of the link in octets, where it is announced.
    pub mtu: Option<u32>,
    /// The prefixes. Those of IPv4 cannot be announced and are left out.
    pub prefixes: Vec<HeardPrefix>,
    /// The recursive DNS servers.
    pub dns: Vec<Ipv6Addr>,
    /// For how long these servers may be used, in seconds.
    pub dns_lifetime_s: u32,
    /// Translation prefixes, and for how long each may be used, in seconds.
    pub pref64: Vec<(Pref64, u16)>,
}

impl Announcement {
    /// The announcement as an ICMPv6 message, checksum zero.
    pub fn encode(&self) -> Vec<u8> {
        let mut flags = (u8::from(self.managed) << 7) | (u8::from(self.other) << 6);
        // Who is no default router at all has no preference (RFC 4191 section 2.2).
        if self.standby && self.lifetime_s > 0 {
            flags |= LOW_PREFERENCE;
        }
        let mut out = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, self.hop_limit, flags];
        out.extend(self.lifetime_s.to_be_bytes());
        out.extend([0; 8]); // reachable and retransmission time: left to the host
        out.extend([OPTION_SOURCE_MAC, 1]);
        out.extend(self.mac.0);
        if let Some(mtu) = self.mtu {
            out.extend([OPTION_MTU, 1, 0, 0]);
            out.extend(mtu.to_be_bytes());
        }
        for prefix in &self.prefixes {
            encode_prefix(prefix, &mut out);
        }
        encode_dns(&self.dns, self.dns_lifetime_s, &mut out);
        for (prefix, lifetime_s) in &self.pref64 {
            encode_pref64(*prefix, *lifetime_s, &mut out);
        }
        out
    }
}

fn encode_prefix(prefix: &HeardPrefix, out: &mut Vec<u8>) {
    let IpNet::V6(net) = prefix.prefix else { return };
    let flags = (u8::from(prefix.on_link) << 7) | (u8::from(prefix.autonomous) << 6);
    out.extend([OPTION_PREFIX, 4, net.prefix_len(), flags]);
    out.extend(prefix.valid_s.to_be_bytes());
    out.extend(prefix.preferred_s.to_be_bytes());
    out.extend([0; 4]);
    out.extend(net.network().octets());
}

/// An option holds at most 127 servers, because its length is one octet.
fn encode_dns(servers: &[Ipv6Addr], lifetime_s: u32, out: &mut Vec<u8>) {
    for servers in servers.chunks(127) {
        let units = u8::try_from(1 + 2 * servers.len()).expect("127 servers are 255 units");
        out.extend([OPTION_DNS, units, 0, 0]);
        out.extend(lifetime_s.to_be_bytes());
        out.extend(servers.iter().flat_map(Ipv6Addr::octets));
    }
}

/// The lifetime goes in units of eight seconds, beside the code of the length (RFC 8781 section 4).
fn encode_pref64(prefix: Pref64, lifetime_s: u16, out: &mut Vec<u8>) {
    let net = prefix.net();
    let code = PREF64_LENGTHS.iter().position(|length| *length == net.prefix_len());
    let code = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
    let scaled = lifetime_s.div_ceil(8).min(0x1fff) << 3;
    out.extend([OPTION_PREF64, 2]);
    out.extend((scaled | code).to_be_bytes());
    out.extend(&net.network().octets()[..12]);
}

/// A Router Solicitation, checksum zero. The link-layer address must be left out when it is sent from the unspecified
/// address (RFC 4861 section 4.1).
pub fn solicitation(mac: Option<Mac>) -> Vec<u8> {
    let mut out = vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    if let Some(mac) = mac {
        out.extend([OPTION_SOURCE_MAC, 1]);
        out.extend(mac.0);
    }
    out
}

/// Why octets are no valid message of router discovery (RFC 4861 sections 6.1.1 and 6.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RaError {
    /// Another type of ICMPv6.
    #[error("ICMPv6 type {kind} code {code} is not the message that was expected")]
    OtherMessage {
        /// The type.
        kind: u8,
        /// The code, which must be 0.
        code: u8,
    },
    /// It ends before its fixed part does.
    #[error("the message ends after {octets} octets")]
    Short {
        /// How many octets there are.
        octets: usize,
    },
    /// An option of length zero, or one that reaches beyond the end.
    #[error("option {kind} at octet {at} has the impossible length {units}")]
    BadOption {
        /// The type of the option.
        kind: u8,
        /// Where it begins.
        at: usize,
        /// Its length in units of eight octets.
        units: u8,
    },
    /// A prefix longer than an address.
    #[error("a prefix has {0} bits")]
    BadPrefixLength(u8),
}

/// Reads a Router Solicitation: the link-layer address of who asks, where it is given.
pub fn decode_solicitation(icmp: &[u8]) -> Result<Option<Mac>, RaError> {
    expect_type(icmp, ROUTER_SOLICITATION)?;
    let mut mac = None;
    for option in options(icmp, 8)? {
        if option.kind == OPTION_SOURCE_MAC {
            mac = option.mac();
        }
    }
    Ok(mac)
}

/// Reads a Router Advertisement. `mac` is the sender on the frame, where the frame was seen; otherwise the router's own
/// word counts. A hop limit other than 255 is kept and not refused, because it is a finding.
pub fn decode(
    icmp: &[u8],
    router: IpAddr,
    mac: Option<Mac>,
    hop_limit: u8,
) -> Result<HeardAdvertisement, RaError> {
    expect_type(icmp, ROUTER_ADVERTISEMENT)?;
    let options = options(icmp, 16)?;
    let flags = icmp[5];
    let mut heard = HeardAdvertisement {
        router,
        mac,
        hop_limit,
        managed: flags & 0x80 != 0,
        other: flags & 0x40 != 0,
        lifetime_s: u16::from_be_bytes([icmp[6], icmp[7]]),
        preference: preference(flags).to_owned(),
        mtu: None,
        prefixes: Vec::new(),
        dns: Vec::new(),
        pref64: Vec::new(),
    };
    for option in options {
        match option.kind {
            OPTION_SOURCE_MAC => heard.mac = heard.mac.or(option.mac()),
            OPTION_PREFIX => heard.prefixes.extend(option.prefix()?),
            OPTION_MTU => heard.mtu = option.word(4).or(heard.mtu),
            OPTION_DNS => heard.dns.extend(option.dns()),
            OPTION_PREF64 => heard.pref64.extend(option.pref64()),
            _ => {}
        }
    }
    Ok(heard)
}

/// RFC 4191 section 2.1; the reserved value counts as medium (section 2.2).
fn preference(flags: u8) -> &'static str {
    match (flags >> 3) & 3 {
        0b01 => "high",
        0b11 => "low",
        _ => "medium",
    }
}

fn expect_type(icmp: &[u8], kind: u8) -> Result<(), RaError> {
    match icmp {
        [found, 0, ..] if *found == kind => Ok(()),
        [kind, code, ..] => Err(RaError::OtherMessage { kind: *kind, code: *code }),
        _ => Err(RaError::Short { octets: icmp.len() }),
    }
}

/// An option with its two octets of header.
struct NdOption<'m> {
    kind: u8,
    octets: &'m [u8],
}

/// The options behind the fixed part of a message.
fn options(icmp: &[u8], fixed: usize) -> Result<Vec<NdOption<'_>>, RaError> {
    let mut rest = icmp.get(fixed..).ok_or(RaError::Short { octets: icmp.len() })?;
    let mut found = Vec::new();
    while let [kind, units, ..] = *rest {
        let length = usize::from(units) * 8;
        if length == 0 || length > rest.len() {
            return Err(RaError::BadOption { kind, at: icmp.len() - rest.len(), units });
        }
        let (octets, behind) = rest.split_at(length);
        found.push(NdOption { kind, octets });
        rest = behind;
    }
    if rest.is_empty() { Ok(found) } else { Err(RaError::Short { octets: icmp.len() }) }
}

impl NdOption<'_> {
    fn mac(&self) -> Option<Mac> {
        self.octets.get(2..8)?.try_into().ok().map(Mac)
    }

    /// The 32 bits at an offset.
    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.octets.get(at..at + 4)?.try_into().ok()?))
    }

    fn address(&self, at: usize) -> Option<Ipv6Addr> {
        let octets: [u8; 16] = self.octets.get(at..at + 16)?.try_into().ok()?;
        Some(octets.into())
    }

    /// `None` where the option is too short to be one; it is then ignored as an unknown one would be.
    fn prefix(&self) -> Result<Option<HeardPrefix>, RaError> {
        let (Some(address), Some(valid_s), Some(preferred_s)) =
            (self.address(16), self.word(4), self.word(8))
        else {
            return Ok(None);
        };
        let net = Ipv6Net::new(address, self.octets[2])
            .map_err(|_| RaError::BadPrefixLength(self.octets[2]))?;
        Ok(Some(HeardPrefix {
            prefix: IpNet::V6(net.trunc()),
            on_link: self.octets[3] & 0x80 != 0,
            autonomous: self.octets[3] & 0x40 != 0,
            valid_s,
            preferred_s,
        }))
    }

    /// The translation prefix; none when its lifetime is over, or its length has a code that is not known (RFC 8781 section 4).
    fn pref64(&self) -> Option<Pref64> {
        let scaled = u16::from_be_bytes(*self.octets.get(2..4)?.first_chunk()?);
        (scaled >> 3 > 0).then_some(())?;
        let length = *PREF64_LENGTHS.get(usize::from(scaled & 7))?;
        let mut octets = [0; 16];
        octets[..12].copy_from_slice(self.octets.get(4..16)?);
        Pref64::try_from(Ipv6Net::new(octets.into(), length).ok()?).ok()
    }

    /// The servers; none when their lifetime is over (RFC 8106 section 5.1).
    fn dns(&self) -> Vec<IpAddr> {
        if self.word(4).is_none_or(|lifetime| lifetime == 0) {
            return Vec::new();
        }
        (8..self.octets.len())
            .step_by(16)
            .filter_map(|at| self.address(at))
            .map(IpAddr::V6)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn announcement() -> Announcement {
        Announcement {
            hop_limit: 64,
            managed: false,
            other: true,
            lifetime_s: 1800,
            standby: false,
            mac: Mac([2, 0, 0, 0, 0, 10]),
            mtu: Some(1400),
            prefixes: vec![HeardPrefix {
                prefix: "2001:db8:a::/64".parse().unwrap(),
                on_link: true,
                autonomous: true,
                valid_s: 2_592_000,
                preferred_s: 604_800,
            }],
            dns: vec!["2001:db8::53".parse().unwrap()],
            dns_lifetime_s: 39,
            pref64: vec![(
                Pref64::try_from("2001:db8:64::/96".parse::<Ipv6Net>().unwrap()).unwrap(),
                1800,
            )],
        }
    }

    fn router() -> IpAddr {
        "fe80::1".parse().unwrap()
    }

    /// Written by hand from the figures of RFC 4861 section 4.2 and 4.6, RFC 8106 section 5.1.
    #[test]
    fn the_octets_are_those_of_the_figures() {
        let expected = [
            "86000000 40400708 00000000 00000000",
            "0101 02000000000a",
            "05010000 00000578",
            "030440c0 00278d00 00093a80 00000000 20010db8000a0000 0000000000000000",
            "19030000 00000027 20010db800000000 0000000000000053",
            "26020708 20010db8 00640000 00000000",
        ];
        let digits = expected.concat().replace(' ', "");
        let octets = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let expected: Vec<u8> = (0..digits.len()).step_by(2).map(octets).collect();
        assert_eq!(announcement().encode(), expected);
    }

    #[test]
    fn what_cannot_be_a_message_is_an_error() {
        let whole = announcement().encode();
        let read = |octets: &[u8]| decode(octets, router(), None, 255).map(|_| ());
        assert_eq!(read(&[]), Err(RaError::Short { octets: 0 }));
        assert_eq!(read(&whole[..15]), Err(RaError::Short { octets: 15 }));
        assert_eq!(
            read(&whole[..whole.len() - 1]),
            Err(RaError::BadOption { kind: OPTION_PREF64, at: 88, units: 2 })
        );
        let mut zero = whole.clone();
        zero[17] = 0;
        assert_eq!(read(&zero), Err(RaError::BadOption { kind: 1, at: 16, units: 0 }));
        let mut long = whole.clone();
        long[34] = 129;
        assert_eq!(read(&long), Err(RaError::BadPrefixLength(129)));
        assert_eq!(
            read(&solicitation(None)),
            Err(RaError::OtherMessage { kind: ROUTER_SOLICITATION, code: 0 })
        );
    }

    #[test]
    fn a_solicitation_tells_who_asks() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        assert_eq!(decode_solicitation(&solicitation(Some(mac))), Ok(Some(mac)));
        assert_eq!(decode_solicitation(&solicitation(None)), Ok(None));
    }

    fn prefixes() -> impl Strategy<Value = HeardPrefix> {
        (any::<[u8; 16]>(), 0..=128u8, any::<(bool, bool, u32, u32)>()).prop_map(
            |(address, length, (on_link, autonomous, valid_s, preferred_s))| HeardPrefix {
                prefix: IpNet::V6(Ipv6Net::new(address.into(), length).unwrap().trunc()),
                on_link,
                autonomous,
                valid_s,
                preferred_s,
            },
        )
    }

    fn pref64() -> impl Strategy<Value = Pref64> {
        (any::<[u8; 16]>(), prop::sample::select(&Pref64::LENGTHS[..])).prop_map(
            |(mut octets, length)| {
                // RFC 6052 section 2.2.
                octets[8] = 0;
                Pref64::try_from(Ipv6Net::new(octets.into(), length).unwrap()).unwrap()
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_announced_is_heard(
            (managed, other, standby, lifetime_s, mac) in any::<(bool, bool, bool, u16, [u8; 6])>(),
            mtu in any::<Option<u32>>(),
            prefixes in prop::collection::vec(prefixes(), 0..4),
            dns in prop::collection::vec(any::<[u8; 16]>().prop_map(Ipv6Addr::from), 0..200),
            dns_lifetime_s in 1..=u32::MAX,
            pref64 in prop::collection::vec((pref64(), 1..=u16::MAX), 0..3),
        ) {
            let said = Announcement {
                hop_limit: 64, managed, other, lifetime_s, standby, mac: Mac(mac), mtu,
                prefixes: prefixes.clone(), dns: dns.clone(), dns_lifetime_s, pref64: pref64.clone(),
            };
            let heard = decode(&said.encode(), router(), None, 255).unwrap();
            prop_assert_eq!(heard, HeardAdvertisement {
                router: router(), mac: Some(Mac(mac)), hop_limit: 255, managed, other, lifetime_s,
                preference: if standby && lifetime_s > 0 { "low" } else { "medium" }.to_owned(), mtu, prefixes,
                dns: dns.into_iter().map(IpAddr::V6).collect(),
                pref64: pref64.into_iter().map(|(prefix, _)| prefix).collect(),
            });
        }

        #[test]
        fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut advertisement = octets.clone();
            advertisement.splice(..2.min(octets.len()), [ROUTER_ADVERTISEMENT, 0]);
            let _ = decode(&advertisement, router(), None, 255);
            let _ = decode_solicitation(&octets);
        }
    }
}
