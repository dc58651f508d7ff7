//! Experiments: what a check wants done, as a value.

use std::time::Duration;

use super::{
    name::TunnelName,
    probe::{Probe, Question},
    tap::Tap,
};

/// Taps to open first, then probes to send. Experiments that do not disturb each other run at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Experiment {
    /// Opened before the first probe and closed after the last. They are there for every one of the probes: what needs no
    /// tap, such as a control, belongs into an experiment of its own, so that an answer from before will do.
    pub taps: Vec<Tap>,
    /// Sent at the same time, unless one depends on another's effect: see `in_order`.
    pub probes: Vec<Probe>,
    /// Send the probes one after another, as when a message is sent and then sought at the sink.
    pub in_order: bool,
    /// The experiment wants the lab to itself, because it changes something or because others would disturb it.
    pub alone: bool,
    /// The taps stay open for the whole phase: from the moment it is verified to be up to after its last probe.
    pub whole_phase: bool,
    /// It takes minutes in which next to nothing is sent: it goes on beside all that is asked in the phase.
    pub patient: bool,
    /// The tunnel that all of it goes through.
    pub through: Option<TunnelName>,
}

impl Experiment {
    /// Probes that need nothing else.
    pub fn of_probes(probes: impl IntoIterator<Item = Probe>) -> Self {
        Self { probes: probes.into_iter().collect(), ..Self::default() }
    }

    /// How long it may wait for an answer that never comes: the longest of its probes.
    pub fn patience(&self) -> Duration {
        self.probes.iter().map(|probe| probe.question.patience()).max().unwrap_or_default()
    }

    /// Whether it only reads what nodes hold, and sends nothing.
    pub fn only_reads(&self) -> bool {
        let reads = |probe: &Probe| matches!(probe.question, Question::Inspect(_));
        self.taps.is_empty() && self.probes.iter().all(reads)
    }

    /// Whether there is nothing to learn where nobody carries a tunnel: it takes the lab for that tunnel alone.
    pub fn needs(&self, tunnel: &TunnelName) -> bool {
        let acts = |probe: &Probe| matches!(&probe.question, Question::Tunnel { tunnel: it, .. } if it == tunnel);
        self.alone && (self.through.as_ref() == Some(tunnel) || self.probes.iter().any(acts))
    }
}
