//! The tube: the far end of an interface that leads into a tunnel or to a translator. What the gateway sends there is taken
//! from it, what comes of it is put back.

use std::io;

use crate::{
    model::{family::Family, mac::Mac},
    net::{
        links,
        namespace::Namespace,
        netlink::Netlink,
        packet::{self, Ear},
    },
    wire::{
        filter,
        frame::{ETHERNET_HEADER, ethernet},
    },
};

/// The place of a gateway's interface whose far end a program reads.
#[derive(Clone, Debug)]
pub struct Mouth {
    /// The namespace of the wire.
    pub wire: Namespace,
    /// The port there that leads to the gateway, by its index.
    pub port: u32,
    /// The link-layer address of the gateway's interface.
    pub mac: Mac,
}

impl Mouth {
    /// The MTU of the gateway's interface.
    pub(super) fn mtu(&self) -> io::Result<u32> {
        let links =
            Netlink::open(&self.wire).and_then(|it| links::read(&it).map_err(io::Error::other))?;
        let link = links.get(&self.port);
        link.map(|link| link.mtu).ok_or_else(|| io::Error::other("the interface has gone"))
    }
}

/// The far end of an interface.
pub(super) struct Tube {
    ear: Ear,
    gateway: Mac,
}

impl Tube {
    /// Opens the far end of an interface.
    pub(super) fn open(mouth: &Mouth) -> io::Result<Self> {
        let ear = Ear::at(&mouth.wire, mouth.port, &filter::packets_of_any_family())?;
        Ok(Self { ear, gateway: mouth.mac })
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
        packet::send_now(self.ear.socket(), &frame)
    }
}
