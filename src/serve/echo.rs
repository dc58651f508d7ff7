//! Echo (RFC 862): what comes goes back.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::speaker::Speaker;
use crate::model::family::Family;

pub(super) async fn converse(
    speaker: &Speaker,
    mut stream: TcpStream,
    family: Family,
) -> io::Result<()> {
    let mut buffer = vec![0; 2048];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        speaker.hold_back(family).await;
        stream.write_all(&buffer[..length]).await?;
    }
}
