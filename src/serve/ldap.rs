//! The directory (RFC 4511): lets everybody bind and shows its root DSE. It holds no entries.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::speaker::Speaker;
use crate::{
    model::{family::Family, name::DomainName},
    wire::{
        ber,
        ldap::{self, Request},
    },
};

/// The most octets of one request.
const MOST: usize = 64 << 10;

pub(super) async fn converse(
    speaker: &Speaker,
    mut stream: TcpStream,
    family: Family,
) -> io::Result<()> {
    let contexts = contexts(speaker);
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

/// The next message; `None` at the end, or where what comes is none.
async fn message(stream: &mut TcpStream, held: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        match ber::extent(held) {
            Ok(Some(length)) if held.len() >= length => {
                return Ok(Some(held.drain(..length).collect()));
            }
            Ok(_) if held.len() < MOST => {}
            _ => return Ok(None),
        }
        if stream.read_buf(held).await? == 0 {
            return Ok(None);
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

/// The domains of the names under which the service is published, as names of a directory (RFC 2247).
fn contexts(speaker: &Speaker) -> Vec<String> {
    let service = speaker.premises.node.service(speaker.service.as_str());
    service.into_iter().flat_map(|service| service.names.iter().map(context)).collect()
}

fn context(name: &DomainName) -> String {
    let labels: Vec<_> =
        name.as_str().split('.').skip(1).map(|label| format!("dc={label}")).collect();
    labels.join(",")
}
