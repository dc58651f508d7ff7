//! The management product (S2 section 2.2.4): on a station the software that drafts configurations and uploads them to VPN
//! boxes, on a box the interface that takes them. What both keep and reply is `model::management`; here are HTTP and the
//! way from the station to the box.
//!
//! An upload tries the IPv6 address of the box first and then the IPv4 one, as the pilot saw it (S2 section 2.3.1); a
//! product that does right waits a second at most for the first, and writes both into its log.
//!
//! A box that is given an integration file makes its end of the tunnel of it, and carries (S2 section 4.4).

use std::{convert::Infallible, io, net::SocketAddr, sync::PoisonError, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CACHE_CONTROL, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{premises::Premises, speaker::Speaker};
use crate::{
    model::{
        family::Family,
        management::{
            Asked, Complaint, Deed, Draft, Manner, Method, Quirk, Reply, Setting, Uploaded,
        },
        probe::Call,
        service::ServiceKind,
    },
    net::{
        patience::{Deadline, within},
        request::{LARGEST_BODY, request},
        socket::{self, Speech},
    },
};

/// How long an address is waited for before the next one is tried.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same for a product that has not heard of dead addresses.
const LONG_PATIENCE: Duration = Duration::from_secs(6);
/// How soon such a product tries a dead address again.
const AGAIN: Duration = Duration::from_millis(200);

/// Answers calls until the user closes the connection.
pub(super) async fn converse(
    speaker: &Speaker,
    stream: TcpStream,
    family: Family,
) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| async move {
        speaker.hold_back(family).await;
        Ok::<_, Infallible>(response(&answer(speaker, request).await))
    });
    let mut protocol = http1::Builder::new();
    protocol.half_close(true).serve_connection(TokioIo::new(stream), service).await
}

fn response(reply: &Reply) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .header(CACHE_CONTROL, "no-store")
        .body(Full::from(reply.body.clone()))
        .expect("constants are header values")
}

async fn answer(speaker: &Speaker, request: Request<Incoming>) -> Reply {
    let method = match *request.method() {
        hyper::Method::GET => Method::Get,
        hyper::Method::PUT => Method::Put,
        hyper::Method::POST => Method::Post,
        _ => return Reply::refusal(405, "GET, PUT and POST are understood"),
    };
    let path = request.uri().path().to_owned();
    let body = match Limited::new(request.into_body(), LARGEST_BODY).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(error) => return Reply::refusal(413, error.to_string()),
    };
    let asked = Asked { method, path: &path, body: &body };
    let premises = &speaker.premises;
    let quirks = premises.behaviour().quirks(&speaker.service);
    if speaker.kind == ServiceKind::Box {
        let setting =
            premises.cards.lock().unwrap_or_else(PoisonError::into_inner).take(asked, &quirks);
        return set(premises, setting).await;
    }
    let has_ipv4 = match premises.namespace.run(has_ipv4) {
        Ok(has) => has,
        Err(error) => return Reply::refusal(500, error.to_string()),
    };
    let deed = {
        let mut station = premises.station.lock().unwrap_or_else(PoisonError::into_inner);
        station.take(asked, &quirks, has_ipv4)
    };
    match deed {
        Deed::Reply(reply) => reply,
        Deed::Upload { name, draft } => upload(premises, &name, &draft, &quirks).await,
    }
}

/// What a box does with its tunnels.
async fn set(premises: &Premises, setting: Setting) -> Reply {
    let tunnels = premises.tunnels.get();
    match (setting, tunnels) {
        (Setting::Reply(reply), _) => reply,
        (Setting::Blank, tunnels) => {
            if let Some(tunnels) = tunnels {
                tunnels.blank().await;
            }
            Reply::done()
        }
        (Setting::Integrate(file), Some(tunnels)) => match tunnels.integrate(&file).await {
            Ok(()) => Reply::done(),
            Err(error) => Reply::refusal(422, error.to_string()),
        },
        (Setting::Integrate(_), None) => Reply::refusal(422, "this box ends no tunnel"),
    }
}

/// Whether this host has an IPv4 address that others can reach.
fn has_ipv4() -> io::Result<bool> {
    let addresses = nix::ifaddrs::getifaddrs()?;
    let mut addresses = addresses.filter_map(|interface| interface.address);
    Ok(addresses.any(|a| a.as_sockaddr_in().is_some_and(|v4| !v4.ip().is_loopback())))
}

/// Writes a draft to the card of its box: over IPv6 first.
async fn upload(premises: &Premises, name: &str, draft: &Draft, quirks: &[Quirk]) -> Reply {
    let manner = Manner::of(quirks);
    let patience = if manner.waits() { LONG_PATIENCE } else { PATIENCE };
    let body = serde_json::to_string(draft).unwrap_or_default();
    let mut log = Vec::new();
    for address in manner.tries(draft) {
        let call = Call {
            to: SocketAddr::new(address, draft.port),
            method: Method::Put,
            path: format!("/cards/{name}"),
            body: body.clone(),
        };
        let family = Family::of(address);
        match within(Deadline::after(patience), write(premises, &call, manner.waits())).await {
            Ok(Ok(reply)) if reply.is_done() => {
                log.push(format!("{family}, {address}: written"));
                return Reply::of(200, &Uploaded { address, log: manner.says(log) });
            }
            Ok(Ok(reply)) => log.push(format!("{family}, {address}: status {}", reply.status)),
            Ok(Err(error)) => log.push(format!("{family}, {address}: {error}")),
            Err(_) => log.push(format!(
                "{family}, {address}: no answer within {} s, so the next address is tried",
                patience.as_secs()
            )),
        }
    }
    let complaint = "the box does not answer at any of its addresses".to_owned();
    Reply::of(502, &Complaint { complaint, log: if manner.waits() { Vec::new() } else { log } })
}

/// Writes a card. Who is stubborn goes on trying an address behind which nobody is.
async fn write(premises: &Premises, call: &Call, stubborn: bool) -> io::Result<Reply> {
    loop {
        match connect(premises, call.to).await {
            Ok(stream) => return request(stream, call).await,
            Err(error) if stubborn && is_dead(&error) => tokio::time::sleep(AGAIN).await,
            Err(error) => return Err(error),
        }
    }
}

/// Whether an error says that nobody is at the address (RFC 4861 section 7.2.2), which may change.
fn is_dead(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EHOSTUNREACH | libc::ETIMEDOUT))
}

async fn connect(premises: &Premises, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = premises.namespace.run(|| {
        let socket = socket::open(Speech::Stream, to.ip())?;
        socket::begin_connect(&socket, to)?;
        Ok(socket)
    })?;
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}
