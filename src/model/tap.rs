//! Taps: what is counted on a link while probes run, or for a whole phase.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{family::Family, mac::Mac, name::SegmentName, service::Port};

/// The EtherType of the canary frame that proves a tap alive (IEEE 802 local experimental EtherType 1).
pub const CANARY_ETHERTYPE: u16 = 0x88b5;

/// A tap on a segment: it sees every frame that enters the link, once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tap {
    /// The link.
    pub segment: SegmentName,
    /// Which frames count. The kernel filters (classic BPF), so that other traffic costs nothing.
    pub watch: Watch,
    /// Tells taps with the same filter apart, for example the subject of the check.
    pub label: String,
}

/// Which frames count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// Frames of these EtherTypes, for example 0x0800 and 0x0806.
    Ethertypes(Vec<u16>),
    /// Packets of a family, in one direction; every given part must match.
    Packets {
        /// IPv4 or IPv6.
        family: Family,
        /// The source address.
        source: Option<IpAddr>,
        /// The destination address.
        destination: Option<IpAddr>,
        /// The destination port.
        port: Option<Port>,
    },
    /// What comes from a port of an address: answers of the service that is asked there, and nothing else of its node.
    Answers {
        /// The source address.
        source: IpAddr,
        /// The source port.
        port: Port,
    },
    /// Packets of an upper-layer protocol that has no ports, in one direction.
    Protocol {
        /// IPv4 or IPv6.
        family: Family,
        /// The source address.
        source: IpAddr,
        /// The destination address.
        destination: IpAddr,
        /// The number of the protocol.
        number: u8,
    },
    /// ICMP or ICMPv6 of these types.
    Icmp {
        /// Which of the two protocols.
        family: Family,
        /// The types.
        types: Vec<u8>,
        /// From whom, where that matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<IpAddr>,
        /// To whom, where that matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        destination: Option<IpAddr>,
    },
    /// Packets whose payload holds this text.
    Payload {
        /// IPv4 or IPv6; either where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        family: Option<Family>,
        /// What is looked for.
        token: String,
    },
    /// The same of one family, as they leave the link: once for each node that they are sent on to. A switch may have let them
    /// in and no further. Canaries count when they leave, too, so that what entered before them has left by then.
    Delivered {
        /// IPv4 or IPv6.
        family: Family,
        /// What is looked for.
        token: String,
    },
}

/// What a tap has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The canary sent when the tap was opened has been seen: the tap was alive then.
    pub alive_before: bool,
    /// The canary sent before the tap was closed has been seen: the tap was alive to the end.
    pub alive_after: bool,
    /// Frames that matched, canaries not counted.
    pub frames: u64,
    /// The same by EtherType, as four hexadecimal digits.
    pub by_ethertype: BTreeMap<String, u64>,
    /// Frames that the kernel could not hand over (`PACKET_STATISTICS`): above zero, absence proves nothing.
    pub lost: u64,
    /// The first frames that matched, at most 16.
    pub first: Vec<FrameNote>,
    /// Why the tap could not be opened, or the file of a capture does not hold every frame that matched: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Watch {
    /// ICMP or ICMPv6 of these types, whoever sends it.
    pub fn icmp(family: Family, types: &[u8]) -> Self {
        Self::Icmp { family, types: types.to_vec(), source: None, destination: None }
    }
}

impl Reading {
    /// Whether "nothing seen" may be believed.
    pub fn is_trustworthy(&self) -> bool {
        self.alive_before && self.alive_after && self.lost == 0
    }
}

/// What is noted of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameNote {
    /// Microseconds since the run began.
    pub at_us: u64,
    /// Who sent the frame on this link.
    pub source_mac: Mac,
    /// To whom.
    pub destination_mac: Mac,
    /// The EtherType as four hexadecimal digits.
    pub ethertype: String,
    /// Source address of the packet or the ARP sender.
    pub source: Option<IpAddr>,
    /// Destination address of the packet or the ARP target.
    pub destination: Option<IpAddr>,
    /// The upper-layer protocol number, after IPv6 extension headers.
    pub protocol: Option<u8>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
    /// Time to live or hop limit.
    pub hop_limit: Option<u8>,
    /// Traffic class (RFC 8200 section 7), or type of service: the same octet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u8>,
    /// Octets of the frame.
    pub length: u32,
}
