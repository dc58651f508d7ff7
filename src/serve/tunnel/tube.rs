//! The tube: the far end of a gateway's interface on the inside of a tunnel. What the gateway sends into the tunnel is
//! taken from it, what comes out is put back.

use std::{io, os::fd::AsRawFd as _};

use nix::sys::socket::{MsgFlags, send};

use crate::{
    model::{family::Family, mac::Mac},
    net::{
        namespace::Namespace,
        packet::{self, Ear, Layer},
    },
    wire::{
        filter,
        frame::{ETHERNET_HEADER, ethernet},
    },
};

/// Room for frames that wait to be read, in octets; the kernel grants what its limit allows.
const WAITING_ROOM: usize = 4 << 20;

/// The far end of an interface.
pub(super) struct Tube {
    ear: Ear,
    gateway: Mac,
}

impl Tube {
    /// Opens the port of a wire that leads to a gateway's interface with this link-layer address.
    pub(super) fn open(wire: &Namespace, port: u32, gateway: Mac) -> io::Result<Self> {
        let socket = wire.run(|| {
            let socket = packet::open(Layer::Link, &filter::packets_of_any_family(), port)?;
            socket.set_recv_buffer_size(WAITING_ROOM)?;
            Ok(socket)
        })?;
        Ok(Self { ear: Ear::new(socket)?, gateway })
    }

    /// The next packet that the gateway sends, in a buffer of a frame.
    pub(super) async fn take<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let length = self.ear.hear(buffer).await?;
        Ok(buffer.get(ETHERNET_HEADER..length).unwrap_or_default())
    }

    /// Hands a packet to the gateway. What the kernel has no room for is lost, as on any link.
    pub(super) fn put(&self, packet: &[u8], family: Family) -> io::Result<()> {
        let mut frame = ethernet(self.gateway, self.gateway, family.ethertype());
        frame.extend(packet);
        send(self.ear.socket().as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }
}
