//! The folder of a node in the lab's own `/run`: what programs run inside it see of `/etc`, and a handle on its namespace.

use std::{
    fmt::Write,
    fs, io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
};

use nix::mount::{MsFlags, mount};

use crate::{model::name::NodeName, net::namespace::Namespace};

/// Where the folders of the nodes are, unless a caller says otherwise. The sandbox has a `/run` of its own.
pub const FOLDERS: &str = "/run/sixwalk/nodes";

/// The files of a node that programs see in place of the machine's, by their names in `/etc`.
pub const FILES: [&str; 2] = ["resolv.conf", "hosts"];

/// The folder of a node.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of a node below the folder of all nodes.
    pub fn of(all: &Path, node: &NodeName) -> Self {
        Self(all.join(node.as_str()))
    }

    /// The handle on the namespace of the node.
    pub fn namespace(&self) -> PathBuf {
        self.0.join("net")
    }

    /// A file that stands for one of `/etc`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join("etc").join(name)
    }

    /// Writes `/etc/resolv.conf`.
    pub fn use_resolvers(&self, servers: &[IpAddr]) -> io::Result<()> {
        let line = |text: String, server: &IpAddr| text + &format!("nameserver {server}\n");
        self.write("resolv.conf", &servers.iter().fold(String::new(), line))
    }

    /// Writes `/etc/hosts`.
    pub fn use_hosts(&self, hosts: &[(IpAddr, String)]) -> io::Result<()> {
        let mut text = String::new();
        for (address, name) in hosts {
            let _ = writeln!(text, "{address}\t{name}"); // writing to a String cannot fail
        }
        self.write("hosts", &text)
    }

    /// Makes the namespace of the node reachable by a path, for programs that come from outside.
    pub fn publish(&self, namespace: &Namespace) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let handle = self.namespace();
        fs::File::create(&handle)?;
        let open = format!("/proc/self/fd/{}", namespace.as_fd().as_raw_fd());
        let none: Option<&str> = None;
        Ok(mount(Some(open.as_str()), &handle, none, MsFlags::MS_BIND, none)?)
    }

    /// In place, because it may be mounted over the file of a program that runs.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(self.0.join("etc"))?;
        fs::write(self.file(name), text)
    }
}
