//! A page over a connection that stands, whole.

use std::io;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    HeaderMap, Request,
    body::Bytes,
    client::conn::http1,
    header::{HOST, LOCATION, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};

use super::tls::Handshake;
use crate::{
    model::answer::Page,
    wire::{
        hexadecimal, log_in,
        page::{SERVED_BY, STAMP, without_mark},
        reference,
    },
};

/// The largest body that is read: far above what the built-in services serve, and no way to fill the memory.
const LARGEST_BODY: usize = 16 << 20;
/// Headers that differ from one moment to the next, or stand in a field of their own.
const NOT_COMPARED: [&str; 8] =
    ["date", "age", "expires", "last-modified", "set-cookie", "location", STAMP, SERVED_BY];

/// Asks for a page and reads it to the end.
pub(super) async fn get<S>(
    stream: S,
    host: &str,
    path: &str,
    handshake: Handshake,
) -> io::Result<Page>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("sixwalk/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends by itself when the sender is dropped or the peer closes.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(io::Error::other)?;
    let body = body.to_bytes();
    Ok(Page {
        status: parts.status.as_u16(),
        location: value(&parts.headers, LOCATION.as_str()),
        headers: compared(&parts.headers),
        octets: u64::try_from(body.len()).unwrap_or(u64::MAX),
        body_sha256: hexadecimal::digits(&Sha256::digest(without_mark(&body))),
        rows: log_in::rows(&String::from_utf8_lossy(&body)),
        loads: reference::loaded(&String::from_utf8_lossy(&body)),
        listed: reference::listed(&String::from_utf8_lossy(&body)),
        revocation: handshake.revocation,
        stamp: value(&parts.headers, STAMP),
        served_by: value(&parts.headers, SERVED_BY),
        certificate_sha256: handshake.certificate_sha256,
        tls_version: handshake.version,
        tls_error: handshake.error,
    })
}

fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn compared(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut all: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()))
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    all.sort();
    all
}
