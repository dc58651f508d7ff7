//! Connection tracking: emptied between phases, so that no phase profits from connections of the one before.

use std::io;

use nix::errno::Errno;

use super::{
    namespace::Namespace,
    netlink::{Netlink, NetlinkError},
};

/// Subsystem `ctnetlink` and its message "delete" (linux/netfilter/nfnetlink_conntrack.h).
const DELETE: u16 = 1 << 8 | 2;

/// Forgets every tracked connection of a namespace. A kernel without connection tracking has nothing to forget.
pub fn forget(namespace: &Namespace) -> Result<(), NetlinkError> {
    let netlink = match namespace.run(Netlink::of_netfilter) {
        Err(error) if is_unsupported(&error) => return Ok(()),
        opened => opened?,
    };
    // A generic header for no family in particular, and no attribute: every entry is meant.
    match netlink.ask_raw(DELETE, 0, &[0; 4]) {
        Err(NetlinkError::Refused(refusal))
            if matches!(refusal.errno, Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOENT) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// How long UDP is tracked, unanswered and answered (nf_conntrack-sysctl.rst).
const UDP_TIMEOUTS: [&str; 2] = ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"];

/// Has a namespace track UDP for so many seconds from now on, whatever was said before. A kernel without connection tracking
/// forgets nothing.
pub fn track_udp_for(namespace: &Namespace, seconds: u32) -> io::Result<()> {
    namespace.run(|| {
        UDP_TIMEOUTS.iter().try_for_each(|name| {
            let file = format!("/proc/sys/net/netfilter/{name}");
            match std::fs::write(file, seconds.to_string()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                set => set,
            }
        })
    })
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32)
}
