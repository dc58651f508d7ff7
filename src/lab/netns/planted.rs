//! Planted faults: what is remembered of them to take it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{impaired::Planted as Burden, node::Node, pseudo::Pseudo, stranger::Stranger};
use crate::model::name::{NodeName, SegmentName};

/// What faults have left behind that the stage cannot tell.
#[derive(Default)]
pub(super) struct Planted(Mutex<Traces>);

#[derive(Default)]
pub(super) struct Traces {
    /// Switches with their values before.
    pub(super) switches: Vec<(Arc<Node>, String, String)>,
    pub(super) talkers: Vec<tokio::task::AbortHandle>,
    pub(super) strangers: Vec<Stranger>,
    /// Hosts that ask the resolvers of which Router Advertisements tell.
    pub(super) taking: BTreeSet<NodeName>,
    /// Automatic tunnels that hosts have made.
    pub(super) pseudo: Vec<Pseudo>,
    /// Links that treat frames worse than planned, with what was planted on each.
    pub(super) burdens: BTreeMap<SegmentName, Burden>,
    /// Strangers that ever came, so that the ports of two never have the same name.
    pub(super) arrived: u32,
}

impl Planted {
    pub(super) fn traces(&self) -> MutexGuard<'_, Traces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
