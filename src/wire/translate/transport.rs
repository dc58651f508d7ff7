//! What is carried: TCP, UDP and echo from one family into the other (RFC 7915 sections 4.5 and 5.5). Checksums are
//! adjusted and not made anew, so that what was damaged before stays damaged.

use std::net::{IpAddr, SocketAddr};

use super::datagram::Datagram;
use crate::{
    model::{family::Family, translation::Translated},
    wire::{checksum::Checksum, icmp},
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where a datagram comes from and goes to, with ports; an echo has its identifier in both places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) what: Translated,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

fn put(octets: &mut [u8], at: usize, word: u16) {
    if let Some(place) = octets.get_mut(at..at + 2) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

/// The flow that a datagram is of; `None` for what is not translated.
pub(super) fn flow(datagram: &Datagram) -> Option<Flow> {
    let family = datagram.family();
    let payload = &datagram.payload;
    let (what, ports) = match datagram.protocol {
        TCP => (Translated::Tcp, [word(payload, 0)?, word(payload, 2)?]),
        UDP => (Translated::Udp, [word(payload, 0)?, word(payload, 2)?]),
        protocol if protocol == icmp::protocol(family) => {
            let kind = *payload.first()?;
            let echoes = [icmp::echo_request_type(family), icmp::echo_reply_type(family)];
            echoes.contains(&kind).then_some(())?;
            let identifier = word(payload, 4)?;
            (Translated::Echo, [identifier; 2])
        }
        _ => return None,
    };
    Some(Flow {
        what,
        source: SocketAddr::new(datagram.source, ports[0]),
        destination: SocketAddr::new(datagram.destination, ports[1]),
    })
}

/// The flags of a TCP segment.
pub(super) fn tcp_flags(datagram: &Datagram) -> u8 {
    datagram.payload.get(13).copied().unwrap_or(0)
}

/// A datagram in the other family, with other ends. `None` for what may not be: UDP over IPv6 without a checksum (RFC 8200
/// section 8.1), and what is shorter than its header.
pub(super) fn carry(datagram: &Datagram, old: Flow, new: Flow) -> Option<Datagram> {
    let mut payload = datagram.payload.clone();
    let protocol = match old.what {
        Translated::Tcp => {
            ports(&mut payload, new);
            adjust(&mut payload, 16, ends(old), ends(new));
            TCP
        }
        Translated::Udp => {
            udp(datagram, &mut payload, old, new)?;
            UDP
        }
        Translated::Echo => {
            echo(datagram, &mut payload, old, new)?;
            icmp::protocol(Family::of(new.source.ip()))
        }
    };
    Some(headed(datagram, new.source.ip(), new.destination.ip(), protocol, payload))
}

/// The header in the other family (RFC 7915 sections 4.1 and 5.1).
pub(super) fn headed(
    like: &Datagram,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: Vec<u8>,
) -> Datagram {
    /// An IPv6 packet of at most this length may become an IPv4 packet that routers may split: its sender knows of no
    /// smaller path than 1280 octets, less the difference of the headers.
    const NEVER_TOO_BIG: usize = 1280;
    let declared = like.declared + payload.len() - like.payload.len();
    let may_be_split = match like.family() {
        Family::V4 => like.may_be_split,
        Family::V6 => like.may_be_split || like.length() <= NEVER_TOO_BIG,
    };
    Datagram { source, destination, protocol, may_be_split, declared, payload, ..like.clone() }
}

fn ports(payload: &mut [u8], new: Flow) {
    put(payload, 0, new.source.port());
    put(payload, 2, new.destination.port());
}

fn udp(datagram: &Datagram, payload: &mut [u8], old: Flow, new: Flow) -> Option<()> {
    ports(payload, new);
    let is_whole = payload.len() == datagram.declared;
    match word(payload, 6) {
        Some(0) if datagram.family() == Family::V6 => return None,
        Some(0) if is_whole => {
            let length = u32::try_from(payload.len()).ok()?;
            let (source, destination) = (new.source.ip(), new.destination.ip());
            let sum = Checksum::of_pseudo_header(source, destination, UDP, length).plus(payload);
            put(payload, 6, never_zero(sum.finish()));
        }
        Some(0) | None => {}
        Some(_) => {
            adjust(payload, 6, ends(old), ends(new));
            let sum = word(payload, 6)?;
            put(payload, 6, never_zero(sum));
        }
    }
    Some(())
}

/// Zero means that there is no checksum (RFC 768).
fn never_zero(sum: u16) -> u16 {
    if sum == 0 { 0xffff } else { sum }
}

fn echo(datagram: &Datagram, payload: &mut [u8], old: Flow, new: Flow) -> Option<()> {
    let (from, to) = (datagram.family(), Family::of(new.source.ip()));
    let is_request = *payload.first()? == icmp::echo_request_type(from);
    let kind = if is_request { icmp::echo_request_type(to) } else { icmp::echo_reply_type(to) };
    let covered = |family, flow: Flow, payload: &[u8]| {
        let head = [payload[0], payload[1], payload[4], payload[5]];
        pseudo_header(family, flow, datagram.declared).plus(&head)
    };
    (payload.len() >= icmp::ECHO_HEADER).then_some(())?;
    let before = covered(from, old, payload);
    payload[0] = kind;
    put(payload, 4, new.source.port());
    let after = covered(to, new, payload);
    adjust(payload, 2, before, after);
    Some(())
}

/// What the checksum of ICMP covers beside the message: nothing in IPv4, the pseudo-header in IPv6 (RFC 4443 section 2.3).
fn pseudo_header(family: Family, flow: Flow, length: usize) -> Checksum {
    match family {
        Family::V4 => Checksum::default(),
        Family::V6 => Checksum::of_pseudo_header(
            flow.source.ip(),
            flow.destination.ip(),
            icmp::protocol(family),
            u32::try_from(length).unwrap_or(u32::MAX),
        ),
    }
}

/// What the checksums of TCP and UDP cover that changes. Protocol and length are the same in both families.
fn ends(flow: Flow) -> Checksum {
    Checksum::of_pseudo_header(flow.source.ip(), flow.destination.ip(), 0, 0)
        .plus(&flow.source.port().to_be_bytes())
        .plus(&flow.destination.port().to_be_bytes())
}

/// RFC 1624 section 3, equation 3.
fn adjust(payload: &mut [u8], at: usize, before: Checksum, after: Checksum) {
    let Some(sum) = word(payload, at) else { return };
    let adjusted = Checksum::default()
        .plus(&(!sum).to_be_bytes())
        .plus(&before.finish().to_be_bytes())
        .plus(&(!after.finish()).to_be_bytes());
    put(payload, at, adjusted.finish());
}
