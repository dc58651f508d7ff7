//! The management interface of a node: an SSH server (RFC 4253) that shows its identification and its host key and lets
//! nobody in. Whether a node can be administered over a family is seen from that much.

use std::{
    net::Shutdown,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use russh::{
    SshId,
    server::{Config, Handler, run_stream},
};
use tokio::net::TcpStream;

use super::{premises::Premises, speaker::Speaker};
use crate::model::{family::Family, fault::ContentFault, name::NodeName};

/// Refuses whatever is asked of it: that is what the methods do that are not written here.
struct Doorkeeper;

impl Handler for Doorkeeper {
    type Error = russh::Error;
}

pub(super) async fn converse(
    speaker: &Speaker,
    stream: TcpStream,
    family: Family,
) -> Result<(), russh::Error> {
    speaker.hold_back(family).await;
    let _hangup = Hangup(stream.as_fd().try_clone_to_owned()?);
    let own = || settings(&speaker.premises, &speaker.premises.node.name);
    let behaviour = speaker.premises.behaviour();
    let settings = if behaviour.differs(&speaker.service, family, ContentFault::OtherHostKey) {
        let machine = "another-machine".parse().expect("a constant that is a name");
        settings(&speaker.premises, &machine)
    } else {
        Arc::clone(speaker.premises.ssh.get_or_init(own))
    };
    run_stream(settings, stream, Doorkeeper).await?.await
}

fn settings(premises: &Premises, machine: &NodeName) -> Arc<Config> {
    Arc::new(Config {
        server_id: SshId::Standard("SSH-2.0-sixwalk".into()),
        keys: vec![premises.shared.host_key(machine)],
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: 3,
        nodelay: true,
        ..Config::default()
    })
}

/// Ends the connection when it goes: the session runs in a task of the library, which does not end with ours.
struct Hangup(OwnedFd);

impl Drop for Hangup {
    fn drop(&mut self) {
        // An error means that the peer was faster.
        let _ = socket2::SockRef::from(&self.0).shutdown(Shutdown::Both);
    }
}
