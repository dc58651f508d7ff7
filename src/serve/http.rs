//! The web service (RFC 9110, RFC 9112): a page that tells who served it, over which family, and how fresh it is.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::{Bytes, Incoming},
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    },
    http::uri::PathAndQuery,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    host_header::{Host, host},
    log_ins::{self, Ends, Parties},
    monitor,
    shared::Shared,
    speaker::Speaker,
};
use crate::{
    model::{
        family::Family,
        fault::{ContentFault, Reference},
        service::ServiceKind,
    },
    wire::{
        log_in,
        page::{SERVED_BY, STAMP, mark},
        reference::{self, MIRRORS},
        status::STATUS,
    },
};

/// The largest body that `?size=` gives, in octets.
const MOST_OCTETS: usize = 1 << 20;

/// Answers requests until the user closes the connection.
pub(super) async fn converse(
    speaker: &Speaker,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    parties: Parties,
) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| async move {
        let Some(ends) = parties.of(request.headers()) else {
            return Ok::<_, Infallible>(nobody());
        };
        speaker.hold_back(Family::of(ends.own.ip())).await;
        let table = match request.uri().path() {
            STATUS => monitor::table(speaker).await,
            _ => None,
        };
        Ok(answer(speaker, &request, ends, table))
    });
    // A user who has said everything and closes its side still gets its answer.
    let mut protocol = http1::Builder::new();
    protocol.half_close(true).serve_connection(TokioIo::new(stream), service).await
}

/// What somebody is told of whom nothing is known.
fn nobody() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// `status` is the table of the status page, where that is asked for.
fn answer<B>(
    speaker: &Speaker,
    request: &Request<B>,
    ends: Ends,
    status: Option<String>,
) -> Response<Full<Bytes>> {
    let family = Family::of(ends.own.ip());
    let behaviour = speaker.premises.behaviour();
    let differs = |how| behaviour.differs(&speaker.service, family, how);
    let query = request.uri().query().unwrap_or_default();
    let page = page(speaker, request, differs).and_then(|octets| match request.uri().path() {
        log_in::LOGIN => speaker.refuses(query, ends.client.ip()).map_or(Ok(octets), Err),
        _ => Ok(octets),
    });
    let title = match page {
        Ok(_) if differs(ContentFault::OtherBody) => "another page altogether",
        Ok(_) => "at your service",
        Err(status) => status.canonical_reason().unwrap_or("no"),
    };
    let stamp = if differs(ContentFault::Stale) {
        Shared::old_stamp()
    } else {
        speaker.premises.shared.stamp()
    };
    let mut body = body(speaker, title, &stamp, family, page.unwrap_or(0));
    let own = speaker.premises.node.service(speaker.service.as_str());
    if page.is_ok() && own.is_some_and(|own| own.path == request.uri().path()) {
        if let Some(to) = behaviour.refers(&speaker.service, Reference::Redirects).next() {
            let mut away = respond(speaker, family, StatusCode::FOUND, &stamp, String::new());
            away.headers_mut().extend(HeaderValue::from_str(to).map(|to| (LOCATION, to)));
            return away;
        }
        let planned = own.iter().flat_map(|own| own.loads.iter().map(String::as_str));
        let added = behaviour.refers(&speaker.service, Reference::Loads);
        body.extend(planned.chain(added).map(reference::loading));
    }
    let mut told = None;
    match request.uri().path() {
        log_in::LOGIN if page.is_ok() => told = log_ins::note(speaker, query, ends),
        STATUS if page.is_ok() => body.extend(status),
        MIRRORS if page.is_ok() => {
            let planned = own.iter().flat_map(|own| own.mirrors.iter().map(String::as_str));
            let added = behaviour.refers(&speaker.service, Reference::Lists);
            body.extend(planned.chain(added).flat_map(|url| [url, "\n"]));
        }
        log_in::LAST if page.is_ok() => body += &log_ins::shown(speaker, query, ends.own.ip()),
        _ => {}
    }
    let status = page.err().unwrap_or(StatusCode::OK);
    let mut response = respond(speaker, family, status, &stamp, body);
    let told = told.and_then(|told| HeaderValue::try_from(told).ok());
    response.headers_mut().extend(told.map(|told| (HeaderName::from_static(log_in::TOLD), told)));
    response
}

/// The least number of octets of the page that is asked for, or why there is none.
fn page<B>(
    speaker: &Speaker,
    request: &Request<B>,
    differs: impl Fn(ContentFault) -> bool,
) -> Result<usize, StatusCode> {
    match host(request.headers()) {
        Host::Bad => Err(StatusCode::BAD_REQUEST),
        Host::Missing if request.version() > Version::HTTP_10 => Err(StatusCode::BAD_REQUEST),
        Host::Bracketed if differs(ContentFault::RejectsBrackets) => Err(StatusCode::BAD_REQUEST),
        _ if differs(ContentFault::Unavailable) => Err(StatusCode::SERVICE_UNAVAILABLE),
        _ if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            Err(StatusCode::METHOD_NOT_ALLOWED)
        }
        _ => size(speaker, request).ok_or(StatusCode::NOT_FOUND),
    }
}

fn respond(
    speaker: &Speaker,
    family: Family,
    status: StatusCode,
    stamp: &str,
    body: String,
) -> Response<Full<Bytes>> {
    let served_by = format!("{}/{}/{}", speaker.premises.node.name, speaker.service, family.word());
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CACHE_CONTROL, "no-store")
        .header(STAMP, stamp)
        .header(SERVED_BY, served_by);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response = response.header(ALLOW, "GET, HEAD");
    }
    if speaker.premises.behaviour().differs(&speaker.service, family, ContentFault::OtherHeaders) {
        response = response.header(CONTENT_LANGUAGE, "la");
    }
    response.body(Full::new(body.into())).expect("names and numbers are header values")
}

/// What the path and the query say about the size; `None` where there is no such page.
fn size<B>(speaker: &Speaker, request: &Request<B>) -> Option<usize> {
    let own = speaker.premises.node.service(speaker.service.as_str());
    // The path that users ask for may have a query, which is then a part of it.
    let with_query = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    if own.is_some_and(|service| service.path == with_query) {
        return Some(0);
    }
    let fixed = match request.uri().path() {
        "/" | log_in::LOGIN => 0,
        log_in::LAST if has_sink(speaker) => 0,
        MIRRORS if own.is_some_and(|service| !service.mirrors.is_empty()) => 0,
        STATUS if own.is_some_and(|service| !service.polls.is_empty()) => 0,
        "/10k" => 10_000,
        "/20k" => 20_000,
        path if own.is_some_and(|service| service.path == path) => 0,
        _ => return None,
    };
    let asked = request.uri().query().and_then(|query| query.strip_prefix("size="));
    Some(asked.and_then(|size| size.parse().ok()).unwrap_or(fixed).min(MOST_OCTETS))
}

/// Whether the node has a table of log-ins to show.
fn has_sink(speaker: &Speaker) -> bool {
    speaker.premises.node.services.iter().any(|service| service.kind == ServiceKind::Syslog)
}

/// A page, filled up with a comment to exactly so many octets if it is shorter.
fn body(speaker: &Speaker, title: &str, stamp: &str, family: Family, octets: usize) -> String {
    let (node, service) = (&speaker.premises.node.name, &speaker.service);
    let head = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{node}</title>\n\
         <h1>{service} of {node}: {title}</h1>\n{}\n",
        mark(stamp, family)
    );
    let (open, close) = ("<!--", "-->\n");
    let missing = octets.saturating_sub(head.len() + open.len() + close.len());
    if missing == 0 {
        return head;
    }
    let filling: String = "sixwalk ".chars().cycle().take(missing).collect();
    [head.as_str(), open, &filling, close].concat()
}
