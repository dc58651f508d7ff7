//! The translator: one packet at a time, either way.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use ipnet::Ipv4Net;

use super::{
    bindings::Bindings,
    datagram::{Datagram, Unreadable},
    error::Error,
    reassembly::{Reassembly, Whole},
    transport::{self, Flow},
};
use crate::{
    model::{
        family::Family,
        translation::{self, Mapping, Pref64, Timers, Translated},
    },
    wire::{checksum::Checksum, icmp, packet::overhead},
};

/// The longest packet towards IPv6 that is made of one that routers may split: nothing tells its sender if it were too big
/// (RFC 7915 section 4, `lowest-ipv6-mtu`).
const NEVER_TOO_BIG: usize = 1280;
/// The longest ICMP error of each family (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4).
const LONGEST_ERROR: [usize; 2] = [576, 1280];
/// A packet is never longer.
const LONGEST: usize = 65_535;

/// A stateful translator (RFC 6146).
#[derive(Debug)]
pub struct Translator {
    prefix: Pref64,
    pool: Vec<Ipv4Addr>,
    timers: Timers,
    bindings: Bindings,
    reassembly: Reassembly,
    identification: u32,
}

/// Why nothing comes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It is a fragment, and the others are not there yet.
    #[error("the rest of it is not there yet")]
    Waiting,
    /// It is not for the translator, or may not be translated.
    #[error("its addresses are not to be translated")]
    Address,
    /// What it carries is not translated.
    #[error("what it carries is not translated")]
    Protocol,
    /// Nobody has asked for it, or the pool is used up.
    #[error("nobody stands behind it")]
    Unbound,
}

impl Translator {
    /// A translator that has learned nothing yet.
    pub fn new(told: &translation::Translator, timers: Timers) -> Self {
        Self {
            prefix: told.prefix,
            pool: told.pool.clone(),
            timers,
            bindings: Bindings::new(told.pool.clone(), timers),
            reassembly: Reassembly::default(),
            identification: 0,
        }
    }

    /// Who has which address of the pool.
    pub fn mappings(&self, now: Duration) -> Vec<Mapping> {
        self.bindings.mappings(now)
    }

    /// Keeps what it learns from now on for so long.
    pub fn keep(&mut self, timers: Timers) {
        self.timers = timers;
        self.bindings.timers = timers;
    }

    /// What comes of a packet: one in the other family, or several where it had to be split. Nothing is translated to or from
    /// what is refused.
    pub fn take(
        &mut self,
        packet: &[u8],
        refuses: &[Ipv4Net],
        now: Duration,
    ) -> Result<Vec<Vec<u8>>, Dropped> {
        let datagram = Datagram::read(packet)?;
        self.check(&datagram, refuses)?;
        let patience = Duration::from_secs(self.timers.fragment_s);
        let whole = self.reassembly.take(datagram, now, patience).ok_or(Dropped::Waiting)?;
        let made = match transport::flow(&whole.datagram) {
            Some(flow) => self.carry(&whole.datagram, flow, now)?,
            None => self.report(&whole.datagram)?,
        };
        Ok(self.write(made, &whole))
    }

    /// Whether it may be translated at all.
    fn check(&self, datagram: &Datagram, refuses: &[Ipv4Net]) -> Result<(), Dropped> {
        let allowed = match (datagram.source, datagram.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                // A source of the prefix would be translated twice (RFC 6146 section 3.5).
                self.prefix.extract(source).is_none()
                    && self
                        .prefix
                        .extract(destination)
                        .is_some_and(|host| self.may_reach(host, refuses))
            }
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.pool.contains(&destination) && self.may_reach(source, refuses)
            }
            _ => false,
        };
        allowed.then_some(()).ok_or(Dropped::Address)
    }

    fn may_reach(&self, host: Ipv4Addr, refuses: &[Ipv4Net]) -> bool {
        let special = host.is_loopback()
            || host.is_multicast()
            || host.is_link_local()
            || host.octets()[0] == 0
            || host.octets()[0] >= 240;
        !special && !self.pool.contains(&host) && !refuses.iter().any(|net| net.contains(&host))
    }

    /// TCP, UDP and echo.
    fn carry(
        &mut self,
        datagram: &Datagram,
        flow: Flow,
        now: Duration,
    ) -> Result<Datagram, Dropped> {
        let flags = if flow.what == Translated::Tcp { transport::tcp_flags(datagram) } else { 0 };
        let new = self.turned(flow, flags, now).ok_or(Dropped::Unbound)?;
        transport::carry(datagram, flow, new).ok_or(Dropped::Protocol)
    }

    fn turned(&mut self, flow: Flow, flags: u8, now: Duration) -> Option<Flow> {
        let (source, destination) = (flow.source, flow.destination);
        match (source.ip(), destination.ip()) {
            (IpAddr::V6(user), IpAddr::V6(host)) => {
                let host = self.prefix.extract(host)?;
                let user = (user, source.port());
                let to = (host, destination.port());
                let shown = self.bindings.leave(flow.what, user, to, flags, now)?;
                Some(ends(flow, shown, to))
            }
            (IpAddr::V4(host), IpAddr::V4(shown)) => {
                let shown = (shown, destination.port());
                let from = (host, source.port());
                let user = self.bindings.arrive(flow.what, shown, from, flags, now)?;
                Some(ends(flow, (self.prefix.embed(host), source.port()), user))
            }
            _ => None,
        }
    }

    /// An ICMP error: what it quotes is turned round to find who it is for.
    fn report(&self, datagram: &Datagram) -> Result<Datagram, Dropped> {
        let from = datagram.family();
        if datagram.protocol != icmp::protocol(from) {
            return Err(Dropped::Protocol);
        }
        let (error, quoted) = Error::read(from, &datagram.payload).ok_or(Dropped::Protocol)?;
        let quoted = Datagram::read_quoted(quoted)?;
        let error = error.translated(from, quoted.length()).ok_or(Dropped::Protocol)?;
        let flow = transport::flow(&quoted).ok_or(Dropped::Protocol)?;
        let turned = self.quoted(flow).ok_or(Dropped::Unbound)?;
        let quoted = transport::carry(&quoted, flow, turned).ok_or(Dropped::Protocol)?;
        let to = from.other();
        // It goes to whoever sent what it quotes, and comes from where it came, or from where that was to go, for senders
        // that have no address in the other family.
        let source = match datagram.source {
            IpAddr::V4(router) => self.prefix.embed(router).into(),
            IpAddr::V6(router) => {
                self.prefix.extract(router).map_or(turned.destination.ip(), IpAddr::V4)
            }
        };
        let destination = turned.source.ip();
        let headers = overhead(to) + 8;
        let mut quoted = quoted.write_quoted();
        quoted.truncate(LONGEST_ERROR[usize::from(to == Family::V6)] - headers);
        let mut message = error.write(&quoted);
        let sum = match to {
            Family::V4 => Checksum::default(),
            Family::V6 => Checksum::of_pseudo_header(
                source,
                destination,
                icmp::protocol(to),
                u32::try_from(message.len()).unwrap_or(u32::MAX),
            ),
        };
        let sum = sum.plus(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let protocol = icmp::protocol(to);
        let made = transport::headed(datagram, source, destination, protocol, message);
        Ok(Datagram { declared: made.payload.len(), ..made })
    }

    /// The ends of what an error quotes, in the other family: it went the opposite way.
    fn quoted(&self, flow: Flow) -> Option<Flow> {
        let (source, destination) = (flow.source, flow.destination);
        match (source.ip(), destination.ip()) {
            (IpAddr::V6(host), IpAddr::V6(user)) => {
                let shown = self.bindings.shown(flow.what, (user, destination.port()))?;
                Some(ends(flow, (self.prefix.extract(host)?, source.port()), shown))
            }
            (IpAddr::V4(shown), IpAddr::V4(host)) => {
                let user = self.bindings.user(flow.what, (shown, source.port()), host)?;
                Some(ends(flow, user, (self.prefix.embed(host), destination.port())))
            }
            _ => None,
        }
    }

    fn write(&mut self, made: Datagram, whole: &Whole) -> Vec<Vec<u8>> {
        let to = made.family();
        let most = match to {
            Family::V6 => NEVER_TOO_BIG,
            Family::V4 => whole.largest_piece.map_or(LONGEST, |piece| piece + overhead(to)),
        };
        let named = whole.largest_piece.is_some();
        let identification = match to {
            Family::V4 if named => made.identification & 0xffff,
            Family::V6 => made.identification,
            Family::V4 => {
                self.identification = self.identification.wrapping_add(1);
                self.identification
            }
        };
        Datagram { identification, ..made }.write(most)
    }
}

/// The same flow between other ends. An echo has one identifier: the user's, or what is shown of it.
fn ends<S: Into<IpAddr>, D: Into<IpAddr>>(
    flow: Flow,
    (source, from): (S, u16),
    (destination, to): (D, u16),
) -> Flow {
    let (source, destination) = (source.into(), destination.into());
    let (from, to) = match flow.what {
        Translated::Tcp | Translated::Udp => (from, to),
        Translated::Echo => {
            // The side that changes is the one that is not the host's.
            let changed = if from == flow.source.port() { to } else { from };
            (changed, changed)
        }
    };
    Flow {
        what: flow.what,
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        icmp::EchoId,
        packet::{self, udp},
    };

    const USER: &str = "2001:db8:a:1::10";
    const HOST: &str = "203.0.113.10";
    const POOL: &str = "192.0.2.66";

    fn prefix() -> Pref64 {
        Pref64::try_from("2001:db8:64::/96".parse::<ipnet::Ipv6Net>().unwrap()).unwrap()
    }

    fn take(nat: &mut Translator, packet: &[u8], now: Duration) -> Result<Vec<Vec<u8>>, Dropped> {
        nat.take(packet, &["10.9.0.0/24".parse().unwrap()], now)
    }

    fn translator() -> Translator {
        let told = translation::Translator {
            translation: "nat64".parse().unwrap(),
            interface: "nat64".parse().unwrap(),
            gateway: "2001:db8:64::1".parse().unwrap(),
            prefix: prefix(),
            pool: vec![POOL.parse().unwrap()],
            refuses: Vec::new(),
            engine: None,
        };
        Translator::new(&told, Timers::default())
    }

    fn seen(host: &str) -> IpAddr {
        prefix().embed(host.parse().unwrap()).into()
    }

    fn socket(address: IpAddr, port: u16) -> SocketAddr {
        SocketAddr::new(address, port)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Whether every checksum of a packet is right, by another implementation.
    fn is_sound(packet: &[u8]) -> bool {
        let headers = etherparse::PacketHeaders::from_ip_slice(packet).unwrap();
        let payload = headers.payload.slice();
        match (headers.net.unwrap(), headers.transport.unwrap()) {
            (etherparse::NetHeaders::Ipv4(ip, _), transport) => {
                let sum = match &transport {
                    etherparse::TransportHeader::Udp(h) => {
                        h.calc_checksum_ipv4(&ip, payload).unwrap() == h.checksum
                    }
                    etherparse::TransportHeader::Tcp(h) => {
                        h.calc_checksum_ipv4(&ip, payload).unwrap() == h.checksum
                    }
                    etherparse::TransportHeader::Icmpv4(h) => {
                        h.icmp_type.calc_checksum(payload) == h.checksum
                    }
                    _ => false,
                };
                sum && ip.calc_header_checksum() == ip.header_checksum
            }
            (etherparse::NetHeaders::Ipv6(ip, _), transport) => match &transport {
                etherparse::TransportHeader::Udp(h) => {
                    h.calc_checksum_ipv6(&ip, payload).unwrap() == h.checksum
                }
                etherparse::TransportHeader::Tcp(h) => {
                    h.calc_checksum_ipv6(&ip, payload).unwrap() == h.checksum
                }
                etherparse::TransportHeader::Icmpv6(h) => {
                    h.icmp_type.calc_checksum(ip.source, ip.destination, payload).unwrap()
                        == h.checksum
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn one(made: Result<Vec<Vec<u8>>, Dropped>) -> Vec<u8> {
        let mut made = made.unwrap();
        assert_eq!(made.len(), 1);
        made.remove(0)
    }

    /// An echo as a packet of either family.
    fn echo(from: IpAddr, to: IpAddr, kind: u8, id: u16, size: usize) -> Vec<u8> {
        let family = Family::of(to);
        let id = EchoId { identifier: id, sequence: 3 };
        let mut message = icmp::echo_request(family, id, size);
        message[0] = kind;
        message[2..4].fill(0);
        let length = u16::try_from(message.len()).unwrap();
        let protocol = icmp::protocol(family);
        let sum = match family {
            Family::V4 => Checksum::default(),
            Family::V6 => Checksum::of_pseudo_header(from, to, protocol, length.into()),
        };
        let sum = sum.plus(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut packet = packet::header(from, to, protocol, 64, length).unwrap();
        packet.extend(message);
        packet
    }

    fn now() -> Duration {
        Duration::from_secs(1)
    }

    #[test]
    fn a_datagram_and_its_answer() {
        let mut nat = translator();
        let sent = udp(socket(ip(USER), 4000), socket(seen(HOST), 53), b"question").unwrap();
        let out = one(take(&mut nat, &sent, now()));
        assert!(is_sound(&out));
        let shown = udp(socket(ip(POOL), 4000), socket(ip(HOST), 53), b"question").unwrap();
        assert_eq!(out[20..], shown[20..], "as if the pool had sent it");
        let answer = udp(socket(ip(HOST), 53), socket(ip(POOL), 4000), b"answer").unwrap();
        let back = one(take(&mut nat, &answer, now()));
        let expected = udp(socket(seen(HOST), 53), socket(ip(USER), 4000), b"answer").unwrap();
        assert_eq!(back, expected);
    }

    #[test]
    fn a_datagram_without_checksum_gets_one() {
        let mut nat = translator();
        let sent = udp(socket(ip(USER), 4000), socket(seen(HOST), 53), b"question").unwrap();
        take(&mut nat, &sent, now()).unwrap();
        let mut answer = udp(socket(ip(HOST), 53), socket(ip(POOL), 4000), b"answer").unwrap();
        answer[26..28].fill(0);
        let back = one(take(&mut nat, &answer, now()));
        assert!(is_sound(&back));
        let mut without = sent;
        without[46..48].fill(0);
        assert_eq!(take(&mut nat, &without, now()), Err(Dropped::Protocol), "not in IPv6");
    }

    #[test]
    fn an_echo_goes_there_and_back_under_its_identifier() {
        let mut nat = translator();
        let out = one(take(&mut nat, &echo(ip(USER), seen(HOST), 128, 77, 40), now()));
        assert!(is_sound(&out));
        assert_eq!((out[20], out[24], out[25]), (8, 0, 77));
        let back = one(take(&mut nat, &echo(ip(HOST), ip(POOL), 0, 77, 40), now()));
        assert!(is_sound(&back));
        assert_eq!((back[40], back[44], back[45]), (129, 0, 77));
        let neighbour = ip("2001:db8:a:1::11");
        let out = one(take(&mut nat, &echo(neighbour, seen(HOST), 128, 77, 40), now()));
        let theirs = u16::from_be_bytes([out[24], out[25]]);
        assert_ne!(theirs, 77, "taken by another user");
        assert!(is_sound(&out));
        let back = one(take(&mut nat, &echo(ip(HOST), ip(POOL), 0, theirs, 40), now()));
        assert_eq!(Datagram::read(&back).unwrap().destination, neighbour);
        assert_eq!((back[44], back[45]), (0, 77));
        assert!(is_sound(&back));
    }

    /// RFC 7915 section 4.2: what a router on the IPv4 side says of a packet that came from IPv6.
    #[test]
    fn fragmentation_needed_becomes_packet_too_big() {
        let mut nat = translator();
        let large = udp(socket(ip(USER), 4000), socket(seen(HOST), 53), &[7; 1400]).unwrap();
        let out = one(take(&mut nat, &large, now()));
        assert_eq!(out[6] & 0x40, 0x40, "DF: its sender looks for the path MTU");
        let router = ip("203.0.113.1");
        let mut message = vec![3, 4, 0, 0, 0, 0];
        message.extend(1300_u16.to_be_bytes());
        message.extend(&out[..28]);
        let sum = Checksum::default().plus(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let length = u16::try_from(message.len()).unwrap();
        let mut said = packet::header(router, ip(POOL), 1, 64, length).unwrap();
        said.extend(message);
        let back = one(take(&mut nat, &said, now()));
        assert!(is_sound(&back));
        let heard = Datagram::read(&back).unwrap();
        assert_eq!((heard.source, heard.destination), (seen("203.0.113.1"), ip(USER)));
        assert_eq!(heard.payload[..8][..2], [2, 0]);
        assert_eq!(heard.payload[4..8], 1320_u32.to_be_bytes());
        let quoted = Datagram::read_quoted(&heard.payload[8..]).unwrap();
        assert_eq!((quoted.source, quoted.destination), (ip(USER), seen(HOST)));
        assert_eq!(quoted.payload[..6], large[40..46]);
        assert_eq!(quoted.declared, 1408);
    }

    /// RFC 7915 section 5.2: what a router on the IPv6 side says of a packet that came from IPv4.
    #[test]
    fn packet_too_big_becomes_fragmentation_needed() {
        let mut nat = translator();
        let sent = udp(socket(ip(USER), 4000), socket(seen(HOST), 53), b"question").unwrap();
        take(&mut nat, &sent, now()).unwrap();
        let answer = udp(socket(ip(HOST), 53), socket(ip(POOL), 4000), &[7; 1400]).unwrap();
        let back = one(take(&mut nat, &answer, now()));
        let router = ip("2001:db8:f::1");
        let mut message = vec![2, 0, 0, 0];
        message.extend(1400_u32.to_be_bytes());
        message.extend(&back[..1200]);
        let length = u16::try_from(message.len()).unwrap();
        let sum = Checksum::of_pseudo_header(router, seen(HOST), 58, length.into());
        let sum = sum.plus(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut said = packet::header(router, seen(HOST), 58, 64, length).unwrap();
        said.extend(message);
        let out = one(take(&mut nat, &said, now()));
        assert!(is_sound(&out));
        assert!(out.len() <= 576);
        let heard = Datagram::read(&out).unwrap();
        assert_eq!((heard.source, heard.destination), (ip(POOL), ip(HOST)));
        assert_eq!(heard.payload[..2], [3, 4]);
        assert_eq!(heard.payload[4..8], 1380_u32.to_be_bytes());
        let quoted = Datagram::read_quoted(&heard.payload[8..]).unwrap();
        assert_eq!((quoted.source, quoted.destination), (ip(HOST), ip(POOL)));
        assert_eq!(quoted.payload[..8], answer[20..28], "with its own checksum");
    }

    #[test]
    fn what_routers_may_split_is_split_for_the_smallest_ipv6_link() {
        let mut nat = translator();
        let sent = udp(socket(ip(USER), 4000), socket(seen(HOST), 53), b"question").unwrap();
        take(&mut nat, &sent, now()).unwrap();
        let answer = udp(socket(ip(HOST), 53), socket(ip(POOL), 4000), &[7; 3000]).unwrap();
        let answer =
            Datagram { may_be_split: true, identification: 9, ..Datagram::read(&answer).unwrap() };
        let mut made = Vec::new();
        for part in answer.write(1500) {
            match take(&mut nat, &part, now()) {
                Ok(packets) => made.extend(packets),
                Err(why) => assert_eq!(why, Dropped::Waiting),
            }
        }
        assert!(made.len() > 2 && made.iter().all(|packet| packet.len() <= 1280));
        let mut waiting = Reassembly::default();
        let parts = made.iter().map(|packet| Datagram::read(packet).unwrap());
        let mut whole = parts.filter_map(|part| waiting.take(part, now(), now()));
        let whole = whole.next().unwrap().datagram;
        assert_eq!(whole.payload.len(), 3008);
        let packet = Datagram { may_be_split: false, ..whole }.write(LONGEST).remove(0);
        assert!(is_sound(&packet));
    }

    #[test]
    fn small_packets_may_be_split_later_and_large_ones_may_not() {
        let mut nat = translator();
        let mut flags = |size: usize| {
            let sent = udp(socket(ip(USER), 4000), socket(seen(HOST), 53), &vec![7; size]).unwrap();
            one(take(&mut nat, &sent, now()))[6] & 0x40
        };
        assert_eq!(flags(1280 - 48), 0);
        assert_eq!(flags(1281 - 48), 0x40);
    }

    #[test]
    fn whoever_asks_for_what_is_refused_is_told_so() {
        let gateway: std::net::Ipv6Addr = "2001:db8:64::1".parse().unwrap();
        let sent = udp(socket(ip(USER), 4000), socket(seen("10.9.0.10"), 53), b"x").unwrap();
        let said = super::super::prohibited(&sent, gateway).unwrap();
        assert!(is_sound(&said));
        let heard = Datagram::read(&said).unwrap();
        assert_eq!((heard.source, heard.destination), (gateway.into(), ip(USER)));
        assert_eq!(heard.payload[..2], [1, 1]);
        assert_eq!(super::super::prohibited(&said, gateway), None, "an error about an error");
    }

    #[test]
    fn nobody_reaches_what_is_not_for_users() {
        let mut nat = translator();
        for host in ["10.9.0.10", "127.0.0.1", "224.0.0.1", POOL, "0.0.0.1", "255.255.255.255"] {
            let sent = udp(socket(ip(USER), 4000), socket(seen(host), 53), b"x").unwrap();
            assert_eq!(take(&mut nat, &sent, now()), Err(Dropped::Address), "{host}");
        }
        let looped = udp(socket(seen(HOST), 4000), socket(seen(HOST), 53), b"x").unwrap();
        assert_eq!(take(&mut nat, &looped, now()), Err(Dropped::Address));
        let unasked = udp(socket(ip(HOST), 53), socket(ip(POOL), 4000), b"x").unwrap();
        assert_eq!(take(&mut nat, &unasked, now()), Err(Dropped::Unbound));
    }

    proptest! {
        /// TCP goes there and back unchanged but for its ends, with checksums that another implementation finds right.
        #[test]
        fn segments_keep_what_they_carry(payload in prop::collection::vec(any::<u8>(), 0..1200), port: u16) {
            let mut nat = translator();
            let mut header = etherparse::TcpHeader::new(port.max(1024), 443, 7, 1000);
            header.syn = true;
            let segment = |from: IpAddr, to: IpAddr, header: &etherparse::TcpHeader| {
                let sum = match (from, to) {
                    (IpAddr::V4(f), IpAddr::V4(t)) => header.calc_checksum_ipv4_raw(f.octets(), t.octets(), &payload),
                    (IpAddr::V6(f), IpAddr::V6(t)) => header.calc_checksum_ipv6_raw(f.octets(), t.octets(), &payload),
                    _ => unreachable!(),
                };
                let header = etherparse::TcpHeader { checksum: sum.unwrap(), ..header.clone() };
                let length = u16::try_from(header.header_len() + payload.len()).unwrap();
                let mut packet = packet::header(from, to, 6, 64, length).unwrap();
                packet.extend(header.to_bytes());
                packet.extend(&payload);
                packet
            };
            let out = one(take(&mut nat, &segment(ip(USER), seen(HOST), &header), now()));
            prop_assert!(is_sound(&out));
            prop_assert_eq!(&out[40..], &payload[..]);
            let mut answer = etherparse::TcpHeader::new(443, header.source_port, 9, 1000);
            answer.syn = true;
            let back = one(take(&mut nat, &segment(ip(HOST), ip(POOL), &answer), now()));
            prop_assert!(is_sound(&back));
            prop_assert_eq!(back, segment(seen(HOST), ip(USER), &answer));
        }

        #[test]
        fn hostile_packets_never_panic(mut octets: Vec<u8>, v6: bool) {
            let mut nat = translator();
            let sent = udp(socket(ip(USER), 4000), socket(seen(HOST), 53), b"question").unwrap();
            take(&mut nat, &sent, now()).unwrap();
            let (from, to) = if v6 { (ip(USER), seen(HOST)) } else { (ip(HOST), ip(POOL)) };
            octets.truncate(1400);
            let length = u16::try_from(octets.len()).unwrap();
            for protocol in [icmp::protocol(Family::of(to)), 6, 17, 44] {
                let mut packet = packet::header(from, to, protocol, 64, length).unwrap();
                packet.extend(&octets);
                let _ = take(&mut nat, &packet, now());
            }
            let _ = take(&mut nat, &octets, now());
        }
    }
}
