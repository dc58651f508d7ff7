//! `Question::Dhcp`: who answers for DHCPv6 on a link. Asked as the host itself would, with its DUID, but by hand: nothing is
//! taken, and whoever answers shows its link-layer address.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use super::{Deadline, Vantage, by_hand::Hand, call::fresh_word, not_asked, within};
use crate::{
    model::{
        answer::Answer,
        dhcp::HeardDhcp,
        family::Family,
        mac::Mac,
        name::InterfaceName,
        service::{Port, Transport},
    },
    wire::{
        dhcpv6::{ALL_SERVERS, Association, CLIENT_PORT, Kind, Message, SERVER_PORT, WANTED, duid},
        filter,
        frame::{self, ethernet},
        hexadecimal, neighbour, packet,
    },
};

/// How long others are waited for after the first: hosts wait a second for better offers (RFC 8415 section 18.2.1).
const AFTER_FIRST: Duration = Duration::from_secs(1);
/// How long an answer is waited for before the question is repeated (RFC 8415 section 7.6, `SOL_TIMEOUT`).
pub(super) const REPEAT: Duration = Duration::from_secs(1);

/// The association that hosts of the lab ask for: they have one.
pub(super) const ASSOCIATION: u32 = 1;

pub(super) async fn ask(
    at: &Vantage,
    interface: &InterfaceName,
    stateful: bool,
    deadline: Deadline,
) -> Answer {
    match solicit(at, interface, stateful, deadline).await {
        Ok(heard) => Answer::Dhcp { heard },
        Err(error) => not_asked(format!(
            "cannot ask for DHCPv6 servers on `{interface}` of node `{}`: {error}",
            at.node
        )),
    }
}

async fn solicit(
    at: &Vantage,
    interface: &InterfaceName,
    stateful: bool,
    deadline: Deadline,
) -> io::Result<Vec<HeardDhcp>> {
    let host = Host::at(at, interface)?;
    let kind = if stateful { Kind::Solicit } else { Kind::InformationRequest };
    let association = stateful.then(|| Association { id: ASSOCIATION, ..Association::default() });
    let question = Message { association, ..host.question(kind) };
    let mut heard: Vec<HeardDhcp> = Vec::new();
    while heard.is_empty() && !deadline.has_passed() {
        host.send(&question)?;
        let mut until = deadline.or_after(REPEAT);
        while let Some((said, _)) = host.hear(&question, until).await? {
            if heard.is_empty() {
                until = deadline.or_after(AFTER_FIRST);
            }
            if !heard.contains(&said) {
                heard.push(said);
            }
        }
    }
    Ok(heard)
}

/// A host that asks by hand, on one interface.
pub(super) struct Host {
    hand: Hand,
    mac: Mac,
    source: Ipv6Addr,
}

impl Host {
    pub(super) fn at(at: &Vantage, interface: &InterfaceName) -> io::Result<Self> {
        let port = Port { transport: Transport::Udp, number: CLIENT_PORT };
        let hand = Hand::open(at, interface, &filter::to_port(Family::V6, port))?;
        let (mac, source) = (hand.interface.mac, hand.interface.link_local());
        let mac = mac.ok_or_else(|| io::Error::other("it has no link-layer address"))?;
        let source =
            source.ok_or_else(|| io::Error::other("it has no link-local address to ask from"))?;
        Ok(Self { hand, mac, source })
    }

    /// A question of its own, for everything that hosts want.
    pub(super) fn question(&self, kind: Kind) -> Message {
        Message {
            client: duid(self.mac),
            wanted: WANTED.to_vec(),
            ..Message::new(kind, fresh_word())
        }
    }

    pub(super) fn send(&self, question: &Message) -> io::Result<()> {
        let from = SocketAddr::new(IpAddr::V6(self.source), CLIENT_PORT);
        let to = SocketAddr::new(IpAddr::V6(ALL_SERVERS), SERVER_PORT);
        let group = neighbour::group_mac(ALL_SERVERS);
        let mut frame = ethernet(self.mac, group, Family::V6.ethertype());
        frame.extend(
            packet::udp(from, to, &question.encode())
                .ok_or_else(|| io::Error::other("the question is too long"))?,
        );
        self.hand.send(&frame)
    }

    /// The next answer to a question; `None` if none comes in time.
    pub(super) async fn hear(
        &self,
        question: &Message,
        until: Deadline,
    ) -> io::Result<Option<(HeardDhcp, Message)>> {
        let mut buffer = vec![0; 65_550];
        while let Ok(length) = within(until, self.hand.hear(&mut buffer)).await {
            let said = read(&buffer[..length?], self.source, question.transaction);
            if said.is_some() {
                return Ok(said);
            }
        }
        Ok(None)
    }
}

/// An answer to this very question.
fn read(octets: &[u8], to: Ipv6Addr, transaction: u32) -> Option<(HeardDhcp, Message)> {
    let note = frame::decode(octets, 0)?;
    let (IpAddr::V6(from), IpAddr::V6(destination)) = (note.source?, note.destination?) else {
        return None;
    };
    let message = Message::decode(frame::udp_payload(octets)?).ok()?;
    let kind = match message.kind {
        Kind::Advertise => "advertise",
        Kind::Reply => "reply",
        _ => return None,
    };
    if destination != to || message.transaction != transaction {
        return None;
    }
    // An address that may be used no longer is none (RFC 8415 section 18.3.4).
    let given = message.association.iter().flat_map(|association| &association.addresses);
    let given = given.filter(|leased| leased.valid_s > 0);
    let heard = HeardDhcp {
        from,
        mac: note.source_mac,
        server: hexadecimal::digits(&message.server),
        kind: kind.to_owned(),
        status: message.refusal(),
        addresses: given.map(|leased| leased.address).collect(),
        dns: message.dns.clone(),
        search: message.search.clone(),
    };
    Some((heard, message))
}
