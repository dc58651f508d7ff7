//! A front: passes connections on by the name that the user asks for. HTTP request by request, TLS as it comes: the server
//! name is read from the greeting, and nothing is decrypted.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1 as client,
    header::HOST,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{log_ins::Ends, speaker::Speaker};
use crate::{
    model::{
        family::Family,
        front::{Fronted, Site},
        service::ServiceKind,
    },
    wire::proxy_header::{self, Beginning},
};

/// How long a site may take to accept a connection, before its next address is tried.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The most octets that a greeting of TLS or a header of the PROXY protocol may have.
const LONGEST_GREETING: usize = 1 << 16;

type Body = Either<Incoming, Full<Bytes>>;

/// Passes on what a user says until it closes the connection.
pub(super) async fn converse(
    speaker: &Speaker,
    stream: TcpStream,
    ends: Ends,
    fronted: Fronted,
) -> io::Result<()> {
    speaker.hold_back(Family::of(ends.own.ip())).await;
    let way = Way { speaker, ends, fronted: Arc::new(fronted) };
    if speaker.kind == ServiceKind::Https {
        return way.tls(stream).await;
    }
    let service = service_fn(|request: Request<Incoming>| async {
        Ok::<_, Infallible>(way.request(request).await)
    });
    let mut protocol = http1::Builder::new();
    let connection = protocol.half_close(true).serve_connection(TokioIo::new(stream), service);
    connection.await.map_err(io::Error::other)
}

struct Way<'s> {
    speaker: &'s Speaker,
    ends: Ends,
    fronted: Arc<Fronted>,
}

impl Way<'_> {
    async fn request(&self, request: Request<Incoming>) -> Response<Body> {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let name = host.map(|host| host.split_once(':').map_or(host, |(name, _)| name));
        let Some(site) = name.and_then(|name| self.fronted.site(name)) else {
            return refusal(StatusCode::MISDIRECTED_REQUEST);
        };
        match self.pass_on(site, request).await {
            Ok(response) => response.map(Either::Left),
            Err(_) => refusal(StatusCode::BAD_GATEWAY),
        }
    }

    async fn pass_on(
        &self,
        site: &Site,
        request: Request<Incoming>,
    ) -> io::Result<Response<Incoming>> {
        let stream = TokioIo::new(self.connect(site).await?);
        let (mut sender, connection) = client::handshake(stream).await.map_err(io::Error::other)?;
        // Ends by itself when the answer has been read, or either side closes.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(io::Error::other)
    }

    async fn tls(&self, mut stream: TcpStream) -> io::Result<()> {
        let (greeting, name) = greeting(&mut stream).await?;
        let site = name.as_deref().and_then(|name| self.fronted.site(name));
        // Whoever names no site, or one that is not known, is left without a word: there is no certificate to speak with.
        let Some(site) = site else { return Ok(()) };
        let mut behind = self.connect(site).await?;
        behind.write_all(&greeting).await?;
        copy_bidirectional(&mut stream, &mut behind).await?;
        Ok(())
    }

    /// A connection to a site at the first of its addresses that takes one, which knows who the client is.
    async fn connect(&self, site: &Site) -> io::Result<TcpStream> {
        let mut error = io::Error::from(io::ErrorKind::NotConnected);
        for at in &site.at {
            match timeout(PATIENCE, self.dial(*at)).await {
                Ok(Ok(mut stream)) => {
                    stream.set_nodelay(true)?;
                    if let Some(version) = self.fronted.tells {
                        let said = proxy_header::encode(version, self.ends.client, self.ends.own);
                        stream.write_all(&said).await?;
                    }
                    return Ok(stream);
                }
                Ok(Err(refused)) => error = refused,
                Err(late) => error = late.into(),
            }
        }
        Err(error)
    }

    async fn dial(&self, at: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.speaker.premises.namespace.run(|| match Family::of(at.ip()) {
            Family::V4 => TcpSocket::new_v4(),
            Family::V6 => TcpSocket::new_v6(),
        })?;
        socket.connect(at).await
    }
}

fn refusal(status: StatusCode) -> Response<Body> {
    let body = format!("{status}\n");
    let mut response = Response::new(Either::Right(Full::new(body.into())));
    *response.status_mut() = status;
    response
}

/// The greeting of a user of TLS as it came, and the server name in it (RFC 6066 section 3).
async fn greeting(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Option<String>)> {
    let (mut acceptor, mut greeting) = (Acceptor::default(), Vec::new());
    let mut buffer = [0; 4096];
    while greeting.len() < LONGEST_GREETING {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut new = &buffer[..length];
        greeting.extend_from_slice(new);
        while !new.is_empty() {
            acceptor.read_tls(&mut new)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_owned);
                    return Ok((greeting, name));
                }
                Ok(None) => {}
                Err((error, _)) => return Err(io::Error::other(error)),
            }
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The client behind a connection, where a front that is believed tells it; otherwise who is at its other end. What the front
/// says is taken from the stream.
pub(super) async fn client(stream: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
    let mut buffer = vec![0; LONGEST_GREETING];
    let mut before = 0;
    loop {
        let length = stream.peek(&mut buffer).await?;
        match proxy_header::beginning(&buffer[..length]) {
            Beginning::Plain => return Ok(peer),
            Beginning::Broken => return Err(io::ErrorKind::InvalidData.into()),
            Beginning::Header { length, client } => {
                stream.read_exact(&mut buffer[..length]).await?;
                return Ok(client.unwrap_or(peer));
            }
            // More of it has to come; what has come already would be seen again at once.
            Beginning::Unknown if length == before => return Ok(peer),
            Beginning::Unknown => {
                before = length;
                timeout(PATIENCE, more(stream, length, &mut buffer)).await??;
            }
        }
    }
}

/// Waits until more octets have come than so many, or no more will.
async fn more(stream: &TcpStream, than: usize, buffer: &mut [u8]) -> io::Result<()> {
    while stream.peek(buffer).await? == than {
        stream.ready(tokio::io::Interest::READABLE).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
