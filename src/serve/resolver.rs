//! The recursive resolver of the lab (RFC 1034 section 5.3.3). There is no root in a lab: it is told the zones that no other
//! zone delegates, and their servers, asks these, and follows their referrals. It has no cache, on purpose: every answer is then one of this moment and this way, and a
//! phase or a fault shows at once.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
};

use super::{
    question::{MOST_OCTETS, Question},
    zone::{Delegation, MOST_ALIASES},
};
use crate::{
    model::family::{Families, Family},
    net::{
        namespace::Namespace,
        patience::{Deadline, within},
        socket::{self, Speech},
    },
};

/// How long one server may take. A resolver that waits longer than its users do helps nobody: they give it two seconds,
/// in which a dead server and a live one must both find their place.
const PATIENCE: Duration = Duration::from_millis(800);

/// The longest chain of referrals that is followed.
const MOST_REFERRALS: usize = 8;

/// Whom a resolver asks, and from where.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) delegations: &'a [Delegation],
    /// Only over these families.
    pub(super) over: Families,
    pub(super) namespace: &'a Namespace,
}

/// What others said of a name: the aliases from it, what stands at their end, and the SOA where nothing does.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
}

impl Found {
    /// Nothing that could be said.
    pub(super) fn failure() -> Self {
        Self { code: ResponseCode::ServFail, answers: Vec::new(), authorities: Vec::new() }
    }
}

/// The reply to a question; without RD a resolver has nothing to say, because it knows nothing by itself: REFUSED.
pub(super) fn reply(question: &Question, found: Found) -> Message {
    let mut reply = question.reply(found.code);
    reply.metadata.recursion_available = true;
    reply.answers = found.answers;
    reply.authorities = found.authorities;
    reply
}

/// Looks a name up by asking others.
pub(super) async fn look_up(name: &Name, rtype: RecordType, asker: Asker<'_>) -> Found {
    let mut found = Found::failure();
    let mut asked = name.clone();
    for _ in 0..MOST_ALIASES {
        let heard = ask_zone(&asked, rtype, asker).await;
        let Some(heard) = heard else { break };
        let chain = Chain::of(&heard, &asked, rtype);
        found.code = heard.metadata.response_code;
        found.answers.extend(heard.answers);
        match chain {
            Chain::Ends => {
                found.authorities.extend(heard.authorities.into_iter().filter(is_soa));
                return found;
            }
            Chain::GoesOn(target) => asked = target,
            Chain::Loops => break,
        }
    }
    Found::failure()
}

fn is_soa(record: &Record) -> bool {
    record.record_type() == RecordType::SOA
}

/// Where the aliases of an answer lead.
enum Chain {
    /// To the records asked for, or to the word that there are none.
    Ends,
    /// To a name that another server knows.
    GoesOn(Name),
    /// To themselves.
    Loops,
}

impl Chain {
    fn of(heard: &Message, asked: &Name, rtype: RecordType) -> Self {
        if rtype == RecordType::CNAME || heard.authorities.iter().any(is_soa) {
            return Self::Ends;
        }
        let mut end = asked;
        for record in &heard.answers {
            match &record.data {
                RData::CNAME(CNAME(target)) if record.name == *end => end = target,
                _ => {}
            }
        }
        let mut at_end = heard.answers.iter().filter(|record| record.name == *end);
        match at_end.next().map(Record::record_type) {
            Some(RecordType::CNAME) => Self::Loops,
            None if end != asked => Self::GoesOn(end.clone()),
            Some(_) | None => Self::Ends,
        }
    }
}

/// Asks the servers of the zone that a name is in, and those of the zones below that they refer to, until one answers the
/// question.
async fn ask_zone(name: &Name, rtype: RecordType, asker: Asker<'_>) -> Option<Message> {
    let zones = asker.delegations.iter().filter(|(origin, _)| origin.zone_of(name));
    let (mut origin, mut servers) = zones.max_by_key(|(origin, _)| origin.num_labels())?.clone();
    for _ in 0..MOST_REFERRALS {
        let heard = ask_any(&servers, name, rtype, asker).await?;
        let Some(below) = referral(&heard, &origin, name) else { return Some(heard) };
        (origin, servers) = below;
    }
    None
}

/// Asks servers, one after the other, until one answers.
async fn ask_any(
    servers: &[IpAddr],
    name: &Name,
    rtype: RecordType,
    asker: Asker<'_>,
) -> Option<Message> {
    for server in servers.iter().filter(|server| asker.over.has(Family::of(**server))) {
        if let Ok(heard) = ask(asker.namespace, *server, name, rtype).await
            && is_answer(&heard)
        {
            return Some(heard);
        }
    }
    None
}

/// The zone below that a reply refers to, and its servers, IPv6 first. Only what leads nearer to the name counts.
fn referral(heard: &Message, origin: &Name, name: &Name) -> Option<Delegation> {
    let leads = |record: &&Record| {
        let cut = &record.name;
        record.record_type() == RecordType::NS
            && cut.num_labels() > origin.num_labels()
            && origin.zone_of(cut)
            && cut.zone_of(name)
    };
    let cut = heard.authorities.iter().find(leads).filter(|_| heard.answers.is_empty())?;
    let addresses = heard.additionals.iter().filter_map(|record| match record.data {
        RData::A(A(address)) => Some(IpAddr::V4(address)),
        RData::AAAA(AAAA(address)) => Some(IpAddr::V6(address)),
        _ => None,
    });
    let mut servers: Vec<_> = addresses.collect();
    servers.sort_by_key(IpAddr::is_ipv4);
    Some((cut.name.clone(), servers))
}

/// Other codes say that this server cannot help; the next one may.
fn is_answer(heard: &Message) -> bool {
    matches!(heard.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// One query to one server, over TCP where UDP was too small for the answer (RFC 7766 section 5).
async fn ask(
    namespace: &Namespace,
    server: IpAddr,
    name: &Name,
    rtype: RecordType,
) -> io::Result<Message> {
    let server = SocketAddr::new(server, 53);
    let query = query(name, rtype);
    let octets = query.to_vec().map_err(io::Error::other)?;
    let heard =
        within(Deadline::after(PATIENCE), over_udp(namespace, server, &octets, &query)).await??;
    if heard.metadata.truncation {
        return within(Deadline::after(PATIENCE), over_tcp(namespace, server, &octets, &query))
            .await?;
    }
    Ok(heard)
}

fn query(name: &Name, rtype: RecordType) -> Message {
    let mut query = Message::new(random(), MessageType::Query, OpCode::Query);
    query.add_query(Query::query(name.clone(), rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(MOST_OCTETS);
    query.set_edns(edns);
    query
}

/// Keyed anew for each use by the standard library, from the kernel's random numbers.
fn random() -> u16 {
    let [low, high, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}

async fn over_udp(
    namespace: &Namespace,
    server: SocketAddr,
    octets: &[u8],
    query: &Message,
) -> io::Result<Message> {
    // A router's word that there is no way is an error of this socket: the next server is asked at once (RFC 8085 section 5.2).
    let socket = namespace.run(|| {
        let socket = socket::open(Speech::Datagram, server.ip())?;
        socket.connect(&server.into())?;
        UdpSocket::from_std(socket.into())
    })?;
    socket.send(octets).await?;
    let mut again = Deadline::after(PATIENCE / 2);
    loop {
        let mut buffer = vec![0; usize::from(MOST_OCTETS)];
        let Ok(length) = within(again, socket.recv(&mut buffer)).await else {
            // UDP may get lost: what was not answered in half of the time is sent once more.
            again = Deadline::after(PATIENCE);
            socket.send(octets).await?;
            continue;
        };
        buffer.truncate(length?);
        let heard = Message::from_vec(&buffer).map_err(io::Error::other)?;
        if belongs(&heard, query) {
            return Ok(heard);
        }
    }
}

async fn over_tcp(
    namespace: &Namespace,
    server: SocketAddr,
    octets: &[u8],
    query: &Message,
) -> io::Result<Message> {
    let socket = namespace.run(|| match Family::of(server.ip()) {
        Family::V4 => TcpSocket::new_v4(),
        Family::V6 => TcpSocket::new_v6(),
    })?;
    let mut stream = socket.connect(server).await?;
    let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], octets].concat()).await?;
    let mut buffer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut buffer).await?;
    let heard = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if belongs(&heard, query) {
        return Ok(heard);
    }
    Err(io::Error::other("the reply belongs to another question"))
}

/// RFC 5452 section 9.1.
fn belongs(heard: &Message, query: &Message) -> bool {
    heard.metadata.id == query.metadata.id
        && heard.metadata.message_type == MessageType::Response
        && heard.queries == query.queries
}
