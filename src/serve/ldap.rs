//! The directory (RFC 4511): lets everybody bind and shows its root DSE. It holds no entries. And whoever asks one for that.

use std::{collections::BTreeSet, io};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::speaker::Speaker;
use crate::{
    model::{family::Family, name::DomainName},
    wire::{
        ber,
        ldap::{self, Found, Request},
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
        stream.write_all(&answer(id, &request, &contexts)).await?;
    }
    Ok(())
}

/// Asks a directory for its root DSE: the names of what it holds. The answer is whole once the search is over.
pub(crate) async fn ask(mut stream: TcpStream) -> io::Result<Vec<String>> {
    const ID: u32 = 1;
    stream.write_all(&ldap::root_dse_query(ID)).await?;
    let (mut held, mut shown) = (Vec::new(), None);
    loop {
        let Some(octets) = message(&mut stream, &mut held).await? else {
            let what = "the connection was closed before an answer was whole";
            return Err(io::Error::other(what));
        };
        match ldap::read_found(&octets, ID).map_err(io::Error::other)? {
            Found::Entry(contexts) => shown = Some(contexts),
            Found::Done => {
                let missing = || io::Error::other("the directory shows no root DSE");
                return shown.ok_or_else(missing);
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

fn answer(id: u32, request: &Request, contexts: &[String]) -> Vec<u8> {
    let (entry, code) = match request {
        Request::Search { base } if base.is_empty() => {
            (ldap::root_dse(id, contexts), ldap::SUCCESS)
        }
        Request::Search { .. } => (Vec::new(), ldap::NO_SUCH_OBJECT),
        Request::Bind => (Vec::new(), ldap::SUCCESS),
        Request::Unbind | Request::Other => (Vec::new(), ldap::UNWILLING),
    };
    let result = ldap::result(id, request, code).unwrap_or_default();
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
