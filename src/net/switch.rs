//! The kernel's switches (sysctl) of a namespace.
//!
//! `/proc/sys/net` shows the namespace of the thread that opens it, but a directory that was opened inside stays that
//! namespace's: names below it are looked up there, from whatever thread.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};

use super::namespace::Namespace;
use crate::model::family::Family;

/// The switches of a namespace.
#[derive(Debug)]
pub struct Switches {
    ipv4: OwnedFd,
    ipv6: Option<OwnedFd>,
}

/// Why a switch could not be read or set.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The name is not one of a network switch.
    #[error("`{0}` is no switch of a node: it must begin with `net.ipv4.` or `net.ipv6.`")]
    Name(String),
    /// The kernel has been built or started without IPv6.
    #[error("`{0}` is not there: this kernel has no IPv6 (is it started with ipv6.disable=1?)")]
    NoIpv6(String),
    /// The file could not be read or written.
    #[error("cannot {what} the switch `{name}`: {source}")]
    File {
        /// `read` or `set`.
        what: &'static str,
        /// The switch.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl Switches {
    /// Those of a namespace.
    pub fn open(namespace: &Namespace) -> io::Result<Self> {
        namespace.run(Self::open_here)
    }

    /// Those of the namespace of this thread.
    pub fn open_here() -> io::Result<Self> {
        let folder = |family| {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            nix::fcntl::open(root(family), flags, Mode::empty())
        };
        let ipv6 = match folder(Family::V6) {
            Err(Errno::ENOENT) => None,
            folder => Some(folder?),
        };
        Ok(Self { ipv4: folder(Family::V4)?, ipv6 })
    }

    /// Reads a switch by its name with dots, for example `net.ipv6.conf.eth0.disable_ipv6`.
    pub fn read(&self, name: &str) -> Result<String, SwitchError> {
        let mut text = String::new();
        self.file(name, OFlag::O_RDONLY, "read")?
            .read_to_string(&mut text)
            .map_err(|source| SwitchError::File { what: "read", name: name.to_owned(), source })?;
        Ok(text.trim_end().to_owned())
    }

    /// Reads a switch that may be absent: an interface with an MTU below 1280 has none of IPv6.
    pub fn read_if_there(&self, name: &str) -> Result<Option<String>, SwitchError> {
        match self.read(name) {
            Err(SwitchError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    /// Sets a switch.
    pub fn set(&self, name: &str, value: &str) -> Result<(), SwitchError> {
        self.file(name, OFlag::O_WRONLY, "set")?
            .write_all(value.as_bytes())
            .map_err(|source| SwitchError::File { what: "set", name: name.to_owned(), source })
    }

    /// Sets switches, in order.
    pub fn set_all(&self, values: &[(&str, &str)]) -> Result<(), SwitchError> {
        values.iter().try_for_each(|(name, value)| self.set(name, value))
    }

    /// Whether the kernel speaks IPv6 at all.
    pub fn has_ipv6(&self) -> bool {
        self.ipv6.is_some()
    }

    fn file(&self, name: &str, flags: OFlag, what: &'static str) -> Result<File, SwitchError> {
        let (family, below) = split(name).ok_or_else(|| SwitchError::Name(name.to_owned()))?;
        let folder = match family {
            Family::V4 => &self.ipv4,
            Family::V6 => self.ipv6.as_ref().ok_or_else(|| SwitchError::NoIpv6(name.to_owned()))?,
        };
        openat(folder, below.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty())
            .map(File::from)
            .map_err(|errno| SwitchError::File {
                what,
                name: name.to_owned(),
                source: errno.into(),
            })
    }
}

fn root(family: Family) -> &'static str {
    match family {
        Family::V4 => "/proc/sys/net/ipv4",
        Family::V6 => "/proc/sys/net/ipv6",
    }
}

/// The family of a switch and its path below the family's folder. Nothing else is a switch: no part may be empty or lead
/// out of the folder.
fn split(name: &str) -> Option<(Family, String)> {
    let parts: Vec<_> = name.split('.').collect();
    let [net, family, below @ ..] = parts.as_slice() else { return None };
    let family = Family::ALL.into_iter().find(|f| f.word() == *family)?;
    let safe = |part: &&str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    (*net == "net" && !below.is_empty() && below.iter().all(safe))
        .then(|| (family, below.join("/")))
}

/// The switches of a family that decide what an interface does, by their names.
pub fn of_interface(interface: &str) -> Vec<String> {
    let v4 = ["rp_filter", "forwarding"];
    let v6 = [
        "accept_dad",
        "accept_ra",
        "autoconf",
        "dad_transmits",
        "disable_ipv6",
        "forwarding",
        "hop_limit",
        "use_tempaddr",
    ];
    let name = |family: Family, of: &str| format!("net.{}.conf.{interface}.{of}", family.word());
    v4.iter()
        .map(|of| name(Family::V4, of))
        .chain(v6.iter().map(|of| name(Family::V6, of)))
        .collect()
}

/// The switches of a node as a whole.
pub const OF_NODE: [&str; 4] = [
    "net.ipv4.ip_default_ttl",
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.accept_dad",
    "net.ipv6.conf.all.forwarding",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_switches_of_a_node_have_a_path() {
        assert_eq!(
            split("net.ipv6.conf.eth0.disable_ipv6"),
            Some((Family::V6, "conf/eth0/disable_ipv6".to_owned()))
        );
        assert_eq!(split("net.ipv4.ip_forward"), Some((Family::V4, "ip_forward".to_owned())));
        for bad in [
            "",
            "net",
            "net.ipv4",
            "net.ipv4.",
            "net.core.somaxconn",
            "kernel.hostname",
            "net.ipv4.../../kernel",
            "net.ipv6.conf./.x",
            "net.ipv6.conf.a/b.x",
            "net.ipv6..x",
        ] {
            assert_eq!(split(bad), None, "`{bad}` must not name a switch");
        }
    }
}
