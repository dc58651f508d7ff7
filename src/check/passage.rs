//! Passages: what came to a filtering node, and what got past it, of a probe that it is to stop.

use std::collections::HashMap;

use super::{crossing::Crossing, reading::Judge};
use crate::model::{
    evidence::{About, Evidence, EvidenceId, Seen},
    experiment::Experiment,
    probe::Probe,
    tap::{FrameNote, Reading, Tap, Watch},
    verdict::{Judgement, Verdict},
};

/// How the reason of a pass begins that says that a filtering node stopped something.
const STOPPED: &str = "stopped by ";

/// The taps on both sides of a filtering node, for the packets of one probe.
#[derive(Clone, Debug)]
pub struct Passage {
    before: Tap,
    behind: Tap,
}

/// What the taps of a passage have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The readings of both taps.
    pub evidence: [EvidenceId; 2],
    /// How many packets of the probe came to the filtering node by the side that is tried.
    pub came: u64,
    /// How many packets of the probe got past the filtering node.
    pub passed: u64,
    /// Why the taps do not prove that it stopped the probe; `None` if they do.
    doubt: Option<&'static str>,
}

impl Passage {
    /// Taps before and behind a filtering node.
    pub fn new(crossing: &Crossing, watch: Watch, label: String) -> Self {
        let before =
            Tap { segment: crossing.before().clone(), watch: watch.clone(), label: label.clone() };
        Self { before, behind: Tap { segment: crossing.after().clone(), watch, label } }
    }

    /// The probe, watched from both sides.
    pub fn experiment(&self, probe: Probe) -> Experiment {
        self.experiment_of(vec![probe])
    }

    /// Several probes, watched from both sides by the same taps.
    pub fn experiment_of(&self, probes: Vec<Probe>) -> Experiment {
        let taps = vec![self.before.clone(), self.behind.clone()];
        Experiment { taps, probes, ..Experiment::default() }
    }

    /// What came of it; `None` if the taps were never opened.
    pub fn read(&self, seen: &Seen<'_>, own: Own) -> Option<Sight> {
        let ((b, before), (a, behind)) = (seen.reading(&self.before)?, seen.reading(&self.behind)?);
        let came = own.count(before);
        let passed = own.count(behind);
        let drowned = |reading| own != Own::All && hides(reading);
        let doubt = if came == 0 && !drowned(before) {
            Some("nothing of it was seen before the filter, which so was not put to the test")
        } else if !behind.is_trustworthy() {
            Some("the tap behind the filter was not alive throughout")
        } else if came == 0 || drowned(behind) {
            Some("the taps saw more packets of others than they note one by one")
        } else {
            None
        };
        Some(Sight { evidence: [b, a], came, passed, doubt })
    }
}

impl Sight {
    /// Nothing got past: a pass, if it is known that something came to the filtering node and that it went no further.
    pub fn stopped(
        &self,
        judge: Judge,
        by: &Crossing,
        subject: String,
        evidence: Vec<EvidenceId>,
    ) -> Judgement {
        match self.doubt {
            Some(reason) => judge.not_testable(subject, reason, evidence),
            None => judge.absent(subject, format!("{STOPPED}{}, as planned", by.by), evidence),
        }
    }
}

/// Which of the packets that the taps of a passage see a probe sent itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// All of them.
    All,
    /// Those from this port: two nodes that speak with each other may do so from and to any port.
    Port(u16),
    /// Those of this upper-layer protocol.
    Protocol(u8),
}

impl Own {
    /// Those from the port that the probe sent from, where it knows that.
    pub fn from_port(port: Option<u16>) -> Self {
        port.map_or(Self::All, Self::Port)
    }

    fn count(self, reading: &Reading) -> u64 {
        let own = |note: &&FrameNote| match self {
            Self::All => true,
            Self::Port(port) => note.source_port == Some(port),
            Self::Protocol(number) => note.protocol == Some(number),
        };
        match self {
            Self::All => reading.frames,
            _ => reading.first.iter().filter(own).count().try_into().unwrap_or(u64::MAX),
        }
    }
}

/// Whether there were more frames than are noted one by one.
fn hides(reading: &Reading) -> bool {
    u64::try_from(reading.first.len()).is_ok_and(|noted| noted < reading.frames)
}

/// The judgements that say that a filtering node stopped something although the tap before it saw nothing come: there must
/// be none in any run.
pub fn unproven<'j>(evidence: &[Evidence], judgements: &'j [Judgement]) -> Vec<&'j Judgement> {
    let readings = evidence.iter().filter_map(|piece| match &piece.about {
        About::Tap { reading, .. } => Some((piece.id, reading)),
        About::Probe { .. } => None,
    });
    let readings: HashMap<_, _> = readings.collect();
    let came = |judgement: &Judgement| {
        let before = judgement.evidence.iter().find_map(|id| readings.get(id));
        before.is_some_and(|reading| reading.frames > 0)
    };
    let stopped = |j: &&Judgement| j.verdict == Verdict::Pass && j.reason.starts_with(STOPPED);
    judgements.iter().filter(stopped).filter(|judgement| !came(judgement)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{CHECKS, crossing, fixture::Network},
        model::{family::Family, mac::Mac, phase::Phase},
    };

    fn passage() -> Passage {
        let stage = Network::healthy(Phase::DualStack).plan;
        let crossing = crossing::by_side(&stage, Family::V6).into_values().flatten().next();
        Passage::new(&crossing.unwrap(), Watch::Ethertypes(Vec::new()), "test".to_owned())
    }

    fn note(source_port: u16) -> FrameNote {
        FrameNote {
            at_us: 0,
            source_mac: Mac([2, 0, 0, 0, 0, 1]),
            destination_mac: Mac([2, 0, 0, 0, 0, 2]),
            ethertype: "86dd".to_owned(),
            source: None,
            destination: None,
            protocol: Some(17),
            source_port: Some(source_port),
            destination_port: Some(20_000),
            icmp: None,
            hop_limit: Some(63),
            class: None,
            length: 80,
        }
    }

    fn reading(ports: &[u16]) -> Reading {
        let first: Vec<_> = ports.iter().map(|port| note(*port)).collect();
        let frames = first.len().try_into().unwrap();
        Reading { alive_before: true, alive_after: true, frames, first, ..Reading::default() }
    }

    fn sight(before: Reading, behind: Reading, source_port: u16) -> Sight {
        let passage = passage();
        let piece = |id, tap, reading| Evidence {
            id: EvidenceId(id),
            phase: Phase::DualStack,
            at_us: 0,
            took_us: 1,
            about: About::Tap { tap, reading },
        };
        let evidence =
            [piece(1, passage.before.clone(), before), piece(2, passage.behind.clone(), behind)];
        passage.read(&Seen::new(&evidence), Own::Port(source_port)).unwrap()
    }

    #[test]
    fn what_was_not_seen_to_come_was_not_stopped() {
        assert!(sight(reading(&[]), reading(&[]), 7).doubt.is_some());
        assert!(sight(reading(&[9]), reading(&[]), 7).doubt.is_some(), "it is another's");
        assert_eq!(sight(reading(&[7]), reading(&[]), 7).doubt, None);
        let deaf = Reading { alive_after: false, ..reading(&[]) };
        assert!(sight(reading(&[7]), deaf, 7).doubt.is_some());
    }

    #[test]
    fn only_packets_of_the_probe_itself_got_past() {
        assert_eq!(sight(reading(&[7]), reading(&[7, 7]), 7).passed, 2);
        // The answers of a name server to a resolver that asks from the very port that is probed.
        let answered = sight(reading(&[7, 53]), reading(&[53, 53]), 7);
        assert_eq!((answered.passed, answered.doubt), (0, None));
        let drowned = Reading { frames: 40, ..reading(&[53; 16]) };
        assert!(sight(reading(&[7]), drowned, 7).doubt.is_some());
    }

    #[test]
    fn no_pass_rests_on_an_empty_tap_before_the_filter() {
        for phase in Phase::ALL {
            let (evidence, judgements) = Network::healthy(phase).walk(CHECKS);
            assert!(judgements.iter().any(|j| j.reason.starts_with(STOPPED)), "{phase}");
            assert_eq!(unproven(&evidence, &judgements), Vec::<&Judgement>::new(), "{phase}");
        }
    }

    #[test]
    fn where_nothing_comes_to_the_filter_nothing_is_said_of_it() {
        let blind = Network::healthy(Phase::DualStack).bend_tap(|_, reading| {
            reading.frames = 0;
            reading.first.clear();
        });
        let (_, judgements) = blind.walk(CHECKS);
        assert!(!judgements.iter().any(|j| j.reason.starts_with(STOPPED)));
        let open = |check: &str| {
            let mut of_check = judgements.iter().filter(|j| j.check == check);
            of_check.any(|judgement| judgement.verdict == Verdict::NotTestable)
        };
        for check in ["pol.default-deny-v6", "pol.rule-parity-dynamic", "pol.anti-spoof"] {
            assert!(open(check), "{check}");
        }
    }
}
