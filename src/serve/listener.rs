//! The loop behind one listening socket. When it is stopped, the socket is closed and so is every connection that came
//! through it.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{application, conversation, socket::Datagrams, speaker::Speaker};

/// No conversation with a built-in service takes longer; a user who went away silently is forgotten then.
const LONGEST: Duration = Duration::from_secs(120);
/// Conversations at once. Above that, connections wait in the kernel's backlog and datagrams in its buffer.
const MOST_AT_ONCE: usize = 4_096;
/// How long to wait when the kernel has no memory or no descriptor to give, before asking it again.
const RESPITE: Duration = Duration::from_millis(100);

/// A listening socket that is being served. Dropping it stops it.
pub(super) struct Listening(JoinHandle<()>);

impl Listening {
    pub(super) fn tcp(socket: TcpListener, speaker: Speaker) -> Self {
        let speaker = Arc::new(speaker);
        Self(tokio::spawn(accept(
            async move || Ok(socket.accept().await?.0),
            move |stream| {
                let speaker = Arc::clone(&speaker);
                async move { conversation::converse(&speaker, stream).await }
            },
        )))
    }

    /// A socket at which the engine of a web service asks for what the application behind it knows.
    pub(super) fn unix(socket: UnixListener, speaker: Arc<Speaker>) -> Self {
        Self(tokio::spawn(accept(
            async move || Ok(socket.accept().await?.0),
            move |stream| {
                let speaker = Arc::clone(&speaker);
                async move { application::converse(&speaker, stream).await }
            },
        )))
    }

    pub(super) fn udp(socket: Datagrams, speaker: Speaker) -> Self {
        Self(tokio::spawn(receive(Arc::new(socket), Arc::new(speaker))))
    }

    /// Stops it and waits until the socket is closed.
    pub(super) async fn stop(mut self) {
        self.0.abort();
        // The only way that it ends is this abort.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes connections as long as it is not stopped, and has a conversation through each.
async fn accept<S, C>(next: impl AsyncFn() -> io::Result<S>, converse: impl Fn(S) -> C)
where
    C: Future<Output = ()> + Send + 'static,
{
    let mut conversations = JoinSet::new();
    loop {
        make_room(&mut conversations).await;
        match next().await {
            Ok(stream) => {
                let conversation = converse(stream);
                conversations.spawn(async move { drop(timeout(LONGEST, conversation).await) });
            }
            Err(_) => sleep(RESPITE).await,
        }
    }
}

async fn receive(socket: Arc<Datagrams>, speaker: Arc<Speaker>) {
    let mut conversations = JoinSet::new();
    loop {
        make_room(&mut conversations).await;
        let Ok(datagram) = socket.receive().await else {
            sleep(RESPITE).await;
            continue;
        };
        let (socket, speaker) = (Arc::clone(&socket), Arc::clone(&speaker));
        conversations.spawn(async move {
            if let Some(reply) = conversation::reply(&speaker, &datagram).await {
                // A reply that cannot be sent is lost, as it might be on the way.
                let _ = socket.reply(&datagram, &reply).await;
            }
        });
    }
}

/// Forgets conversations that have ended, and waits for one where there are too many.
async fn make_room(conversations: &mut JoinSet<()>) {
    while conversations.try_join_next().is_some() {}
    if conversations.len() >= MOST_AT_ONCE {
        conversations.join_next().await;
    }
}
