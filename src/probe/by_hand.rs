//! Frames sent and heard by hand on one interface of a node, past its own neighbour cache and filter.

use std::io;

use super::Vantage;
use crate::{
    model::name::InterfaceName,
    net::{
        interface::Interface,
        packet::{self, Ear, Layer},
    },
    wire::filter::Instruction,
};

/// An interface, and a packet socket on it.
pub(super) struct Hand {
    /// The interface.
    pub(super) interface: Interface,
    ear: Ear,
}

impl Hand {
    /// Opens a packet socket on the interface of a node.
    pub(super) fn open(
        at: &Vantage,
        interface: &InterfaceName,
        program: &[Instruction],
    ) -> io::Result<Self> {
        let (interface, socket) = at.namespace.run(|| {
            let interface = Interface::read(interface.as_str())?;
            let socket = packet::open(Layer::Link, program, interface.index)?;
            Ok((interface, socket))
        })?;
        Ok(Self { interface, ear: Ear::new(socket)? })
    }

    /// Sends a frame.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        packet::send_now(self.ear.socket(), frame)
    }

    /// Waits for the next frame.
    pub(super) async fn hear(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ear.hear(buffer).await
    }
}
