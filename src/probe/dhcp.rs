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
const REPEAT: Duration = Duration::from_secs(1);

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
    let port = Port { transport: Transport::Udp, number: CLIENT_PORT };
    let hand = Hand::open(at, interface, &filter::to_port(Family::V6, port))?;
    let mac = hand.interface.mac.ok_or_else(|| io::Error::other("it has no link-layer address"))?;
    let source = hand
        .interface
        .link_local()
        .ok_or_else(|| io::Error::other("it has no link-local address to ask from"))?;
    let kind = if stateful { Kind::Solicit } else { Kind::InformationRequest };
    let question = Message {
        client: duid(mac),
        association: stateful.then(|| Association { id: 1, ..Association::default() }),
        wanted: WANTED.to_vec(),
        ..Message::new(kind, fresh_word())
    };
    let from = SocketAddr::new(IpAddr::V6(source), CLIENT_PORT);
    let to = SocketAddr::new(IpAddr::V6(ALL_SERVERS), SERVER_PORT);
    let mut sent = ethernet(mac, neighbour::group_mac(ALL_SERVERS), Family::V6.ethertype());
    sent.extend(
        packet::udp(from, to, &question.encode())
            .ok_or_else(|| io::Error::other("the question is too long"))?,
    );
    let mut heard: Vec<HeardDhcp> = Vec::new();
    let mut buffer = vec![0; 65_550];
    while heard.is_empty() && !deadline.has_passed() {
        hand.send(&sent)?;
        let mut until = deadline.or_after(REPEAT);
        while let Ok(length) = within(until, hand.hear(&mut buffer)).await {
            let Some(said) = read(&buffer[..length?], source, question.transaction) else {
                continue;
            };
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

/// An answer to this very question.
fn read(octets: &[u8], to: Ipv6Addr, transaction: u32) -> Option<HeardDhcp> {
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
    (destination == to && message.transaction == transaction).then(|| HeardDhcp {
        from,
        mac: note.source_mac,
        server: hexadecimal::digits(&message.server),
        kind: kind.to_owned(),
        status: message.refusal(),
        addresses: message
            .association
            .iter()
            .flat_map(|association| association.addresses.iter().map(|leased| leased.address))
            .collect(),
        dns: message.dns,
        search: message.search,
    })
}
