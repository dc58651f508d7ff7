//! Canaries: frames that prove taps alive. One sender on each link serves all its taps.

use std::io;

use crate::{
    model::mac::Mac,
    net::{
        interface::Interface,
        namespace::Namespace,
        packet::{self, PacketSocket},
    },
    wire::frame::{self, Mark},
};

/// Who sends canaries on a link: an interface of any node on it.
#[derive(Debug)]
pub struct Canary {
    socket: PacketSocket,
    mac: Mac,
}

impl Canary {
    /// Opens the sending end. An error is a sentence.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self, String> {
        let opened = namespace.run(|| {
            let interface = Interface::read(interface)?;
            let socket = packet::sender(interface.index)?;
            Ok(Self { socket, mac: interface.mac.unwrap_or(Mac([2, 0, 0, 0, 0, 0])) })
        });
        opened
            .map_err(|error| format!("cannot send canaries from interface `{interface}`: {error}"))
    }

    /// Sends one for the tap with this mark.
    pub(super) fn call(&self, mark: Mark, turn: u32) -> io::Result<()> {
        let frame = frame::canary(self.mac, mark, turn);
        packet::send_now(&self.socket, &frame)
    }
}
