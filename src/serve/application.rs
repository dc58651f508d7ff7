//! The application behind a web server that is an engine: log-ins and other pages that a web server does not have by itself. It is
//! asked at a socket in the folder of the engine, to which nobody else has a way, and told there who the user is.

use std::{fs, io, path::Path, sync::Arc};

use tokio::net::UnixListener;

use super::{http, listener::Listening, log_ins::Parties, speaker::Speaker};
use crate::engine::APPLICATION;

/// Waits for questions of the engine whose folder this is.
pub(super) fn open(work: &Path, speaker: Speaker) -> io::Result<Listening> {
    let path = work.join(APPLICATION);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(Listening::unix(UnixListener::bind(path)?, Arc::new(speaker)))
}

/// Answers the questions of one connection of the engine.
pub(super) async fn converse(speaker: &Speaker, stream: tokio::net::UnixStream) {
    drop(http::converse(speaker, stream, Parties::Told).await);
}
