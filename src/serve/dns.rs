//! The authoritative name server (RFC 1034, RFC 1035).
//!
//! It speaks through `hickory-proto` and not through `hickory-server`: that one opens a task per connection which
//! outlives its socket, hides which address was asked, and cannot be made to answer wrongly on purpose. What is needed
//! besides is a look-up in a map.

use std::{net::IpAddr, time::Duration};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{
        RData, Record,
        rdata::{A, AAAA},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    behaviour::Behaviour,
    question::{Question, Unasked},
    resolver::Asker,
    speaker::Speaker,
    synthesis,
    zone::{Catalog, TTL_S},
};
use crate::model::{
    family::Family,
    fault::{ContentFault, WrongAnswer},
    name::ServiceName,
    service::{ServiceKind, Transport},
};

/// How much later an answer comes that is late: more than programs wait for AAAA once they have A.
const LATE: Duration = Duration::from_millis(300);

/// What goes back to a query; `None` is silence.
pub(super) async fn answer(
    speaker: &Speaker,
    octets: &[u8],
    transport: Transport,
    asker: IpAddr,
) -> Option<Vec<u8>> {
    let asker = asker.to_canonical();
    let question = match Question::read(octets, transport) {
        Ok(question) => question,
        Err(Unasked::Ignore) => return None,
        Err(Unasked::Reply(reply)) => return Some(reply),
    };
    speaker.hold_back(Family::of(asker)).await;
    let behaviour = speaker.premises.behaviour();
    let mut wrong = behaviour.wrong(&question);
    if wrong == Some(WrongAnswer::Late) {
        tokio::time::sleep(LATE).await;
        wrong = None;
    }
    let is_lame = behaviour.differs(&speaker.service, Family::of(asker), ContentFault::Lame);
    let reply = match (wrong, speaker.kind) {
        _ if is_lame => question.reply(ResponseCode::Refused),
        (Some(how), _) => question.bent(how, soa_of(&behaviour, &speaker.service, &question))?,
        (None, ServiceKind::Resolver) => {
            let delegations = behaviour.delegations.get(&speaker.service);
            let asker = Asker {
                delegations: delegations.map_or(&[], Vec::as_slice),
                over: behaviour.resolves_over(),
                namespace: &speaker.premises.namespace,
            };
            let synthesis = behaviour.synthesis.get(&speaker.service);
            synthesis::resolve(&question, asker, synthesis).await
        }
        (None, _) => {
            let catalog = behaviour.catalogs.get(&speaker.service);
            let reply = look_up(&question, catalog, asker);
            match behaviour.shown_otherwise(question.name(), question.rtype(), asker) {
                Some(addresses) => shown(&question, reply, &addresses, catalog),
                None => reply,
            }
        }
    };
    Some(question.write(&reply))
}

/// Queries over a connection, one after another, each behind its length (RFC 7766 section 8).
pub(super) async fn converse(
    speaker: &Speaker,
    mut stream: TcpStream,
    asker: IpAddr,
) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await?;
        let Some(reply) = answer(speaker, &query, Transport::Tcp, asker).await else { continue };
        let length = u16::try_from(reply.len()).map_err(std::io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &reply].concat()).await?;
    }
}

/// What those see who see something else: other addresses, or the word that there is none.
fn shown(
    question: &Question,
    mut reply: Message,
    addresses: &[IpAddr],
    catalog: Option<&Catalog>,
) -> Message {
    let data = addresses.iter().map(|address| match *address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    });
    let record = |data| Record::from_rdata(question.name().clone(), TTL_S, data);
    reply.answers = data.map(record).collect();
    if !reply.answers.is_empty() {
        reply.metadata.response_code = ResponseCode::NoError;
    }
    let soa = catalog.and_then(|catalog| catalog.soa(question.name()));
    reply.authorities = soa.into_iter().filter(|_| reply.answers.is_empty()).collect();
    reply
}

fn soa_of(behaviour: &Behaviour, service: &ServiceName, question: &Question) -> Option<Record> {
    behaviour.catalogs.get(service)?.soa(question.name())
}

/// REFUSED outside the zones, as every authoritative server that is asked what is not its business.
fn look_up(question: &Question, catalog: Option<&Catalog>, asker: IpAddr) -> Message {
    let found = catalog.and_then(|catalog| catalog.find(question.name(), question.rtype(), asker));
    let Some(found) = found else { return question.reply(ResponseCode::Refused) };
    let mut reply = question.reply(found.code);
    reply.metadata.authoritative = !found.is_referral();
    reply.answers = found.answers;
    reply.authorities = found.authorities;
    reply.additionals = found.glue;
    reply
}
