//! The directory (RFC 4511): lets everybody bind and shows its root DSE. It holds no entries. And whoever asks one for that.

use std::{collections::BTreeSet, io};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::speaker::Speaker;
use crate::{
    model::{family::Family, fault::Reference, name::DomainName},
    wire::{
        ber,
        ldap::{self, BadLdap, Found, Request},
    },
};

/// The most octets of one message.
const MOST: usize = 64 << 10;

pub(super) async fn converse(
    speaker: &Speaker,
    mut stream: TcpStream,
    family: Family,
) -> io::Result<()> {
    let service = speaker.premises.node.service(speaker.service.as_str());
    let contexts = service.map(|service| contexts(&service.names)).unwrap_or_default();
    let mut held = Vec::new();
    while let Some(octets) = message(&mut stream, &mut held).await? {
        let Ok((id, request)) = ldap::read_request(&octets) else { return Ok(()) };
        if request == Request::Unbind {
            return Ok(());
        }
        speaker.hold_back(family).await;
        let behaviour = speaker.premises.behaviour();
        let others: Vec<_> = behaviour.refers(&speaker.service, Reference::Refers).collect();
        stream.write_all(&answer(id, &request, &contexts, &others)).await?;
    }
    Ok(())
}

/// What a directory says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// The names of what it holds.
    pub(crate) contexts: Vec<String>,
    /// The servers that it names or sends on to, as URLs. Foreign text.
    pub(crate) others: Vec<String>,
}

/// Asks a directory for its root DSE, which is whole once the search is over, and then for what it does not hold: some send on
/// whoever asks for that.
pub(crate) async fn ask(mut stream: TcpStream) -> io::Result<Shown> {
    let (mut held, mut shown) = (Vec::new(), Shown::default());
    let (code, has_entry) = search(&mut stream, &mut held, (1, ""), &mut shown).await?;
    if code != ldap::SUCCESS {
        return Err(io::Error::other(BadLdap::Result(code)));
    }
    if !has_entry {
        return Err(io::Error::other("the directory shows no root DSE"));
    }
    search(&mut stream, &mut held, (2, ldap::ELSEWHERE), &mut shown).await?;
    Ok(shown)
}

/// The result code, and whether an entry came.
async fn search(
    stream: &mut TcpStream,
    held: &mut Vec<u8>,
    (id, base): (u32, &str),
    shown: &mut Shown,
) -> io::Result<(u32, bool)> {
    stream.write_all(&ldap::search(id, base)).await?;
    let mut has_entry = false;
    loop {
        let Some(octets) = message(stream, held).await? else {
            let what = "the connection was closed before an answer was whole";
            return Err(io::Error::other(what));
        };
        match ldap::read_found(&octets, id).map_err(io::Error::other)? {
            Found::Entry { contexts, others } => {
                has_entry = true;
                shown.contexts.extend(contexts);
                shown.others.extend(others);
            }
            Found::Reference(others) => shown.others.extend(others),
            Found::Done { code, others } => {
                shown.others.extend(others);
                return Ok((code, has_entry));
            }
        }
    }
}

/// The next message; `None` where nothing more comes.
async fn message(stream: &mut TcpStream, held: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        match ber::extent(held).map_err(io::Error::other)? {
            Some(length) if held.len() >= length => {
                return Ok(Some(held.drain(..length).collect()));
            }
            _ if held.len() > MOST => {
                return Err(io::Error::other("a message is longer than any about a root DSE"));
            }
            _ if stream.read_buf(held).await? == 0 => return Ok(None),
            _ => {}
        }
    }
}

fn answer(id: u32, request: &Request, contexts: &[String], others: &[&str]) -> Vec<u8> {
    let (entry, code) = match request {
        Request::Search { base } if base.is_empty() => {
            (ldap::root_dse(id, contexts), ldap::SUCCESS)
        }
        Request::Search { .. } if !others.is_empty() => (Vec::new(), ldap::REFERRAL),
        Request::Search { .. } => (Vec::new(), ldap::NO_SUCH_OBJECT),
        Request::Bind => (Vec::new(), ldap::SUCCESS),
        Request::Unbind | Request::Other => (Vec::new(), ldap::UNWILLING),
    };
    let others = if code == ldap::REFERRAL { others } else { &[] };
    let result = ldap::result(id, request, code, others).unwrap_or_default();
    [entry, result].concat()
}

/// The domains of names under which a service is published, as names of a directory (RFC 2247): each once, and what lies
/// within another before that.
pub(super) fn contexts(names: &[DomainName]) -> Vec<String> {
    let domains: BTreeSet<Vec<&str>> = names
        .iter()
        .map(|name| name.as_str().split('.').skip(1).collect())
        .filter(|labels: &Vec<_>| !labels.is_empty())
        .collect();
    let mut domains: Vec<_> = domains.into_iter().collect();
    domains.sort_by_key(|labels| std::cmp::Reverse(labels.len()));
    let name = |labels: &Vec<&str>| {
        let labels: Vec<_> = labels.iter().map(|label| format!("dc={label}")).collect();
        labels.join(",")
    };
    domains.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_is_held_once_and_the_narrower_ones_first() {
        let names = ["users.test", "ldap.dc.test", "directory.dc.test", "alone"];
        let names: Vec<DomainName> = names.iter().map(|name| name.parse().unwrap()).collect();
        assert_eq!(contexts(&names), ["dc=dc,dc=test", "dc=test"]);
    }
}
