//! The management interface.

use std::{io::Read, sync::Arc};

use russh::{
    client::{Handler, connect_stream},
    keys::{PublicKey, PublicKeyOrCertificate},
};
use tokio::sync::oneshot;

use crate::{
    lab::{Lab, V6, every_service},
    support,
};

/// Hands the host key out and accepts it, so that the log-in can be seen to fail.
struct Visitor(Option<oneshot::Sender<PublicKey>>);

impl Handler for Visitor {
    type Error = russh::Error;
    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        if let PublicKeyOrCertificate::PublicKey { key, .. } = key {
            let _ = self.0.take().unwrap().send(key.clone());
        }
        Ok(true)
    }
}

#[test]
fn ssh_shows_its_pinned_key_and_lets_nobody_in() {
    if !support::inside_sandbox("ssh::ssh_shows_its_pinned_key_and_lets_nobody_in") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("ssh", "::");
    let mut open = lab.connect(V6, 22).unwrap();
    let mut banner = [0; 17];
    open.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"SSH-2.0-sixwalk\r\n");

    let (tell, key) = oneshot::channel();
    let stream = lab.connect(V6, 22).unwrap();
    stream.set_nonblocking(true).unwrap();
    lab.runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let visitor = Visitor(Some(tell));
        let mut session = connect_stream(Arc::default(), stream, visitor).await.unwrap();
        assert!(!session.authenticate_password("root", "").await.unwrap().success());
        assert!(!session.authenticate_none("root").await.unwrap().success());
    });
    let pinned = lab.shared.host_key(&"portal".parse().unwrap());
    assert_eq!(key.blocking_recv().unwrap().key_data(), pinned.public_key().key_data());
    lab.stop("ssh", "::");
    let mut rest = Vec::new();
    assert!(open.read_to_end(&mut rest).is_ok(), "the session ends with the listener");
}
