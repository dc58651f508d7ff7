//! The web service over TLS (RFC 9110 section 4.2.2).

use std::io;

use tokio::net::TcpStream;

use super::{http, speaker::Speaker};
use crate::model::{family::Family, fault::ContentFault};

pub(super) async fn converse(
    speaker: &Speaker,
    stream: TcpStream,
    family: Family,
) -> io::Result<()> {
    let behaviour = speaker.premises.behaviour();
    let other = behaviour.differs(&speaker.service, family, ContentFault::OtherCertificate);
    let doors = speaker.premises.doors.get().expect("TLS is set up before the socket is opened");
    let door = if other { &doors.other } else { &doors.usual };
    let stream = door.accept(stream).await?;
    http::converse(speaker, stream, family).await.map_err(io::Error::other)
}
