//! WireGuard of the kernel, as both ends of a tunnel: the protocol that is built in, by somebody else.

use super::{TunnelEngine, TunnelWorker};

pub(super) static ENGINE: TunnelEngine = TunnelEngine {
    name: "wireguard-kernel",
    by: TunnelWorker::Kernel,
    device: "wg0",
    inner_mtu: u32::MAX,
    more: 0,
};
