//! What a link does to frames beyond carrying them, by its testbed and by faults.

use std::collections::BTreeSet;

use super::Layer;
use crate::{
    lab::netns::wire::Wire,
    model::{guard::GuardFault, segment::Segment, snooping::Snooping},
    wire::ra_guard,
};

/// What is done to the frames of a link.
#[derive(Clone, Debug, Default)]
pub(in crate::lab::netns) struct Treatment {
    /// What befalls them on the way.
    pub(in crate::lab::netns) layers: Vec<Layer>,
    /// What stops some of them.
    pub(in crate::lab::netns) guard: Option<Guard>,
    /// Where frames to groups go, where not to everybody.
    pub(in crate::lab::netns) snooping: Option<Snooping>,
}

/// A guard against forged Router Advertisements at the ports of a switch (RFC 6105).
#[derive(Clone, Debug)]
pub(in crate::lab::netns) struct Guard {
    /// The ports of the routers that may announce.
    trusted: BTreeSet<u32>,
    fault: Option<GuardFault>,
}

impl Treatment {
    /// What a testbed says of a link, and what was planted on it.
    pub(in crate::lab::netns) fn of(
        segment: &Segment,
        wire: &Wire,
        planted: &Planted,
    ) -> Option<Self> {
        let declared = segment.impairment;
        let declared =
            (!declared.is_none()).then_some(Layer { family: None, impairment: declared });
        let layers: Vec<_> = declared.into_iter().chain(planted.layers.iter().copied()).collect();
        let guard = segment.ra_guard.then(|| Guard::at(segment, wire, planted.guard));
        let snooping = planted.snooping;
        let is_any = guard.is_some() || snooping.is_some() || !layers.is_empty();
        is_any.then_some(Self { layers, guard, snooping })
    }
}

/// What was planted on a link.
#[derive(Clone, Debug, Default)]
pub(in crate::lab::netns) struct Planted {
    pub(in crate::lab::netns) layers: Vec<Layer>,
    pub(in crate::lab::netns) guard: Option<GuardFault>,
    pub(in crate::lab::netns) snooping: Option<Snooping>,
}

impl Guard {
    fn at(segment: &Segment, wire: &Wire, fault: Option<GuardFault>) -> Self {
        let routers = segment.advertise.iter().flat_map(|plan| &plan.routers);
        let routers: BTreeSet<_> = routers.collect();
        let ports = wire.ports.iter().filter(|((node, _), _)| routers.contains(node));
        Self { trusted: ports.map(|(_, port)| port.index).collect(), fault }
    }

    pub(super) fn stops(&self, frame: &[u8], port: u32) -> bool {
        !self.trusted.contains(&port) && ra_guard::stops(frame, self.fault)
    }
}
