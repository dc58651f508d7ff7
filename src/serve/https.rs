//! The web service over TLS (RFC 9110 section 4.2.2).

use std::io;

use tokio::net::TcpStream;

use super::{
    http,
    log_ins::{Ends, Parties},
    speaker::Speaker,
};
use crate::model::{family::Family, fault::ContentFault};

pub(super) async fn converse(speaker: &Speaker, stream: TcpStream, ends: Ends) -> io::Result<()> {
    let family = Family::of(ends.own.ip());
    let behaviour = speaker.premises.behaviour();
    let other = behaviour.differs(&speaker.service, family, ContentFault::OtherCertificate);
    let doors = speaker.premises.doors();
    let door = if other { &doors.other } else { &doors.usual };
    let stream = door.accept(stream).await?;
    http::converse(speaker, stream, Parties::Known(ends)).await.map_err(io::Error::other)
}
