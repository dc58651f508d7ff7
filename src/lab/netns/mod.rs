//! The lab of network namespaces: a node is a namespace that this process holds open, a segment is a bridge in a namespace
//! of its own. When the process ends, however it ends, the kernel takes everything down.

pub mod node;
pub mod wire;
pub mod folder;
pub mod enter;
mod build;
mod change;
mod verify;
mod settle;
mod solicit;
mod bend;
mod stranger;
mod impaired;
mod lease;
mod planted;
mod pseudo;
mod driver;
mod sabotage;
mod mend;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use folder::Folder;
use node::Node;
use settle::Awaited;
use wire::Wire;

use super::ChangeError;
use crate::{
    model::{
        family::Family,
        name::{NodeName, SegmentName},
        step::Change,
    },
    net::{netlink::NetlinkError, nftables},
    stage::{Stage, StagedInterface},
};

pub use build::BuildError;
pub use driver::{MakeError, Netns};
pub use settle::{Reason, Settled, Unsettled};
pub use verify::{Deviation, Difference};

/// How long nodes may take until IPv6 can be judged: duplicate address detection of a link-local address, a Router
/// Advertisement, the same for the address that it brings, and room for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A lab that stands.
#[derive(Debug)]
pub struct NetnsLab {
    nodes: BTreeMap<NodeName, Arc<Node>>,
    wires: BTreeMap<SegmentName, Wire>,
    folders: PathBuf,
    /// The kernel makes changes to links and addresses under one lock, and the switch of IPv6 spins while another thread has
    /// it: so one node is changed at a time.
    turn: Mutex<()>,
}

impl NetnsLab {
    /// Builds the lab of a stage's testbed. Every interface is there and up, and nothing of either family is live: that
    /// comes by changes. `folders` is where the folders of nodes go, usually `folder::FOLDERS`.
    pub fn build(stage: &Stage, folders: &Path) -> Result<Self, BuildError> {
        let build::Built { nodes, wires } = build::build(&stage.testbed)?;
        Ok(Self { nodes, wires, folders: folders.to_owned(), turn: Mutex::default() })
    }

    /// A node.
    pub fn node(&self, name: &NodeName) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The link of a segment.
    pub fn wire(&self, name: &SegmentName) -> Option<&Wire> {
        self.wires.get(name)
    }

    /// The folder of a node.
    pub fn folder(&self, name: &NodeName) -> Folder {
        Folder::of(&self.folders, name)
    }

    /// Makes every node reachable by a path in its folder, for programs that come from outside.
    pub fn publish(&self) -> io::Result<()> {
        self.nodes.values().try_for_each(|node| self.folder(&node.name).publish(&node.namespace))
    }

    /// Tells programs that come from outside the names of all nodes that have an address in a stage.
    pub fn name_nodes(&self, stage: &Stage) -> io::Result<()> {
        let nodes = stage.nodes.iter().flat_map(|(name, node)| {
            let addresses = node.interfaces.iter().flat_map(|interface| &interface.addresses);
            addresses.map(|address| (address.ip(), name.to_string()))
        });
        let loopback = Family::ALL.map(|family| (family.loopback(), "localhost".to_owned()));
        let hosts: Vec<_> = loopback.into_iter().chain(nodes).collect();
        self.nodes.keys().try_for_each(|node| self.folder(node).use_hosts(&hosts))
    }

    /// Everything in which the kernel's state differs from the stage. Waits for nothing: settle first.
    pub fn verify(&self, stage: &Stage) -> Vec<Deviation> {
        let pairs =
            self.nodes.values().filter_map(|node| Some((node, stage.nodes.get(&node.name)?)));
        pairs.flat_map(|(node, planned)| verify::node(node, planned)).collect()
    }

    /// Waits until IPv6 can be judged on every node, or until the time is over.
    pub async fn settle(&self, stage: &Stage, patience: Duration) -> Result<Settled, NetlinkError> {
        let awaited = self.nodes.values().filter_map(|node| {
            let staged = stage.nodes.get(&node.name)?.clone();
            let by = staged.interfaces.iter().find(|i| brings_default_route(stage, i));
            let default_by = by.map(|interface| interface.name.clone());
            Some(Awaited { node: Arc::clone(node), stage: staged, default_by })
        });
        settle::settle(awaited.collect(), patience).await
    }

    /// Makes changes on a node, in order, and stops at the first that fails. Returns when the kernel has made them: a
    /// millisecond for a few of them, so a runtime is better off with a thread for it.
    pub fn apply(&self, name: &NodeName, changes: &[Change]) -> Result<(), ChangeError> {
        let failed = |(index, said): (usize, String)| ChangeError {
            node: name.clone(),
            index,
            change: changes[index].to_string(),
            said,
        };
        let Some(node) = self.nodes.get(name) else {
            return match changes {
                [] => Ok(()),
                _ => Err(failed((0, "the lab has no such node".to_owned()))),
            };
        };
        let mut done = 0;
        while done < changes.len() {
            let kernels = changes[done..].iter().take_while(|c| change::is_kernels(c)).count();
            let kernels = &changes[done..done + kernels];
            if kernels.is_empty() {
                self.elsewhere(node, &changes[done]).map_err(|said| failed((done, said)))?;
                done += 1;
                continue;
            }
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            change::make(node, kernels).map_err(|(index, said)| failed((done + index, said)))?;
            done += kernels.len();
        }
        Ok(())
    }

    /// Makes a change that is not the kernel's network's alone.
    fn elsewhere(&self, node: &Node, change: &Change) -> Result<(), String> {
        let folder = self.folder(&node.name);
        match change {
            Change::UseResolvers { servers } => folder.use_resolvers(servers),
            Change::ReplaceFilter { filter } => {
                return nftables::replace(&node.namespace, filter)
                    .map_err(|error| error.to_string());
            }
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
        .map_err(|error| error.to_string())
    }
}

/// Whether an interface is to learn a default route from a router on its segment.
fn brings_default_route(stage: &Stage, interface: &StagedInterface) -> bool {
    let plan = &stage.testbed.segments[&interface.segment].advertise;
    interface.accepts_advertisements && plan.as_ref().is_some_and(|plan| plan.lifetime_s > 0)
}
