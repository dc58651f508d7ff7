//! One HTTP request with a small body over a connection that stands, and the whole answer: what a management product and
//! its operators say to one another.

use std::io;

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::model::{
    management::{Method, Reply},
    probe::Call,
};

/// The largest body that is read, in octets.
pub const LARGEST_BODY: usize = 256 << 10;

/// Makes a call over a connection and reads the whole reply.
pub async fn request(stream: TcpStream, call: &Call) -> io::Result<Reply> {
    let method = match call.method {
        Method::Get => hyper::Method::GET,
        Method::Put => hyper::Method::PUT,
        Method::Post => hyper::Method::POST,
    };
    let request = Request::builder()
        .method(method)
        .uri(&call.path)
        .header(HOST, call.to.to_string())
        .header(USER_AGENT, concat!("sixwalk/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(call.body.clone()))
        .map_err(io::Error::other)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends by itself when the sender is dropped or the peer closes.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(io::Error::other)?;
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok(Reply { status: parts.status.as_u16(), body })
}
