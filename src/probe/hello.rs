//! What is said once a TCP connection stands, to know that the service itself answers: a middlebox that accepts
//! connections for others cannot speak its protocol.

use std::{fmt, io, net::IpAddr, sync::Arc};

use russh::{client, keys::PublicKeyOrCertificate};
use rustls::RootCertStore;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::{call::fresh, tls};
use crate::{
    model::{name::DomainName, probe::Hello},
    serve::ldap,
    wire::hexadecimal,
};

/// The most that is read before the first line of an answer must have ended.
const LONGEST_GREETING: u64 = 8 << 10;

/// What the service answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting {
    /// What it said first.
    pub(super) text: Option<String>,
    /// SHA-256 of its certificate or host key.
    pub(super) key: Option<String>,
    /// The other servers that a directory names, as URLs.
    pub(super) others: Vec<String>,
}

/// Says hello. An error is what was wrong with the answer; that none comes is for the caller's clock.
pub(super) async fn greet(
    roots: &Arc<RootCertStore>,
    stream: TcpStream,
    hello: &Hello,
) -> io::Result<Greeting> {
    match hello {
        Hello::Nothing => Ok(Greeting::default()),
        Hello::Tls { name } => greet_tls(roots, stream, name).await,
        Hello::Http { host, path } => greet_http(stream, host, path).await,
        Hello::Ssh => greet_ssh(stream).await,
        Hello::Echo => greet_echo(stream).await,
        Hello::Ldap { name } => greet_ldap(roots, stream, name).await,
        Hello::Smtp => greet_smtp(roots, stream).await,
    }
}

async fn greet_tls(
    roots: &Arc<RootCertStore>,
    stream: TcpStream,
    name: &str,
) -> io::Result<Greeting> {
    let (_stream, handshake) = tls::handshake(roots, stream, name).await?;
    Ok(Greeting {
        text: handshake.version,
        key: handshake.certificate_sha256,
        ..Greeting::default()
    })
}

async fn greet_http(mut stream: TcpStream, host: &str, path: &str) -> io::Result<Greeting> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let line = first_line(&mut BufReader::new(stream)).await?;
    if !line.starts_with("HTTP/1.") {
        return Err(unexpected("an HTTP status line", &line));
    }
    Ok(Greeting { text: Some(line), ..Greeting::default() })
}

async fn greet_echo(mut stream: TcpStream) -> io::Result<Greeting> {
    let sent = format!("sixwalk {}", fresh());
    stream.write_all(format!("{sent}\n").as_bytes()).await?;
    let line = first_line(&mut BufReader::new(stream)).await?;
    if line != sent {
        return Err(unexpected("the line that was sent", &line));
    }
    Ok(Greeting { text: Some(line), ..Greeting::default() })
}

/// What is offered by STARTTLS is taken, and the server greeted again inside (RFC 3207 section 4.2). As mail servers do among
/// themselves, any certificate is taken; the name that the server gives itself is asked for.
async fn greet_smtp(roots: &Arc<RootCertStore>, stream: TcpStream) -> io::Result<Greeting> {
    let (own, server) = (stream.local_addr()?.ip().to_canonical(), stream.peer_addr()?.ip());
    let own = match own {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    let mut stream = BufReader::new(stream);
    let banner = smtp_reply(&mut stream, "220").await?.swap_remove(0);
    if !introduced(&mut stream, &own).await? {
        stream.write_all(b"QUIT\r\n").await?;
        return Ok(Greeting { text: Some(banner), ..Greeting::default() });
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    smtp_reply(&mut stream, "220").await?;
    if !stream.buffer().is_empty() {
        return Err(io::Error::other("more than a reply came before TLS began"));
    }
    let name = banner.split(' ').nth(1).map(str::to_ascii_lowercase);
    let name = name.filter(|name| name.parse::<DomainName>().is_ok());
    let name = name.unwrap_or_else(|| server.to_canonical().to_string());
    let (stream, handshake) = secured(roots, stream.into_inner(), &name).await?;
    let mut stream = BufReader::new(stream);
    introduced(&mut stream, &own).await?;
    stream.write_all(b"QUIT\r\n").await?;
    stream.flush().await?;
    Ok(Greeting { text: Some(banner), key: handshake.certificate_sha256, ..Greeting::default() })
}

/// Says who one is, and whether STARTTLS is offered in return.
async fn introduced(
    stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin),
    own: &str,
) -> io::Result<bool> {
    stream.write_all(format!("EHLO {own}\r\n").as_bytes()).await?;
    // TLS keeps what the socket does not take at once, and nothing but this sends it.
    stream.flush().await?;
    let offered = smtp_reply(stream, "250").await?;
    let word = |line: &String| line.get(4..).is_some_and(|w| w.eq_ignore_ascii_case("STARTTLS"));
    Ok(offered.iter().any(word))
}

/// The lines of a reply that has this code. RFC 5321 section 4.2: it has one line, or several of which the last has no hyphen
/// after its code.
async fn smtp_reply(
    reader: &mut (impl AsyncBufRead + Unpin),
    code: &str,
) -> io::Result<Vec<String>> {
    const MOST: usize = 64;
    let mut lines = Vec::new();
    while lines.len() < MOST {
        let line = first_line(reader).await?;
        let Some(rest) = line.strip_prefix(code) else {
            return Err(unexpected(&format!("reply {code}"), &line));
        };
        let is_last = !rest.starts_with('-');
        lines.push(line);
        if is_last {
            return Ok(lines);
        }
    }
    Err(io::Error::other("a reply has more lines than any that greets"))
}

/// What is offered inside of a protocol must come about.
async fn secured(
    roots: &Arc<RootCertStore>,
    stream: TcpStream,
    name: &str,
) -> io::Result<(TlsStream<TcpStream>, tls::Handshake)> {
    tls::handshake(roots, stream, name).await.map_err(offered)
}

fn offered(error: impl fmt::Display) -> io::Error {
    io::Error::other(format!("STARTTLS was offered and failed: {error}"))
}

/// What is shown of the answer is what the directory holds. What is offered by StartTLS is taken, and the root DSE asked for
/// again inside (RFC 4511 section 4.14); clients of directories look at the certificate (RFC 4513 section 3.1.3).
async fn greet_ldap(
    roots: &Arc<RootCertStore>,
    stream: TcpStream,
    name: &str,
) -> io::Result<Greeting> {
    let mut client = ldap::Client::new(stream);
    let ldap::Shown { contexts, mut others, offers_tls } = client.root_dse().await?;
    let mut key = None;
    if offers_tls {
        let stream = client.start_tls().await.map_err(offered)?;
        let (stream, handshake) = secured(roots, stream, name).await?;
        if let Some(error) = handshake.error {
            return Err(offered(error));
        }
        let mut client = ldap::Client::new(stream);
        client.root_dse().await.map_err(offered)?;
        others.extend(client.sends_on().await);
        key = handshake.certificate_sha256;
    } else {
        others.extend(client.sends_on().await);
    }
    Ok(Greeting { text: Some(contexts.join(" ")), key, others })
}

/// RFC 4253 section 4.2: lines may come before the identification. What has been read of it is given to the key
/// exchange again.
async fn greet_ssh(stream: TcpStream) -> io::Result<Greeting> {
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = first_line(&mut reader).await?;
    while !line.starts_with("SSH-") {
        line = first_line(&mut reader).await?;
    }
    let again = io::Cursor::new(format!("{line}\r\n").into_bytes());
    let stream = tokio::io::join(again.chain(reader), writer);
    let (witness, key) = HostKey::new();
    // The witness refuses every key, so that this ends without a session once the key is known.
    let _ = client::connect_stream(Arc::new(client::Config::default()), stream, witness).await;
    match key.lock().ok().and_then(|mut key| key.take()) {
        Some(key) => Ok(Greeting { text: Some(line), key: Some(key), ..Greeting::default() }),
        None => Err(io::Error::other(format!("{line} showed no host key"))),
    }
}

/// Notes the host key and refuses it.
struct HostKey {
    key: Arc<std::sync::Mutex<Option<String>>>,
}

impl HostKey {
    fn new() -> (Self, Arc<std::sync::Mutex<Option<String>>>) {
        let key = Arc::default();
        (Self { key: Arc::clone(&key) }, key)
    }
}

impl client::Handler for HostKey {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let octets = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.to_bytes(),
            PublicKeyOrCertificate::Certificate(certificate) => certificate.to_bytes(),
        };
        if let (Ok(octets), Ok(mut key)) = (octets, self.key.lock()) {
            *key = Some(hexadecimal::digits(&Sha256::digest(octets)));
        }
        Ok(false)
    }
}

async fn first_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<String> {
    let mut octets = Vec::new();
    reader.take(LONGEST_GREETING).read_until(b'\n', &mut octets).await?;
    if octets.pop() != Some(b'\n') {
        return Err(io::Error::other("the connection was closed before a line was whole"));
    }
    Ok(String::from_utf8_lossy(&octets).trim_end_matches('\r').to_owned())
}

fn unexpected(wanted: &str, line: &str) -> io::Error {
    let shown: String = line.chars().take(80).collect();
    io::Error::other(format!("{wanted} was expected and `{}` came", shown.escape_debug()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{BufStream, duplex};

    use super::*;

    #[tokio::test]
    async fn who_introduces_himself_leaves_nothing_unsent() {
        let (near, far) = duplex(1 << 10);
        let server = async {
            let mut far = BufReader::new(far);
            let mut said = String::new();
            far.read_line(&mut said).await.unwrap();
            far.write_all(b"250-mail.test greets\r\n250 STARTTLS\r\n").await.unwrap();
            said
        };
        // Keeps what is written, as TLS does while the socket takes nothing.
        let mut keeps = BufStream::new(near);
        let both = async { tokio::join!(introduced(&mut keeps, "[192.0.2.1]"), server) };
        let (offered, said) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        assert!(offered.unwrap());
        assert_eq!(said, "EHLO [192.0.2.1]\r\n");
    }
}
