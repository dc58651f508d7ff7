//! The agenda of a phase: what is left to do of what checks ask. What they ask alike is done once, and no tap is ever
//! parted from the probes that it is there for.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{experiment::Experiment, probe::Probe, tap::Tap};

/// What has been taken on so far.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    probes: HashSet<Probe>,
    taps: HashSet<Tap>,
}

impl Agenda {
    /// The taps that are to stay open for the whole phase, each once.
    pub fn standing(&mut self, experiments: &[Experiment]) -> Vec<Tap> {
        let whole = experiments.iter().filter(|experiment| experiment.whole_phase);
        let taps = whole.flat_map(|experiment| &experiment.taps);
        taps.filter(|tap| self.taps.insert((*tap).clone())).cloned().collect()
    }

    /// Takes experiments on, and returns what is to be done for them now.
    ///
    /// Experiments with taps that share a probe or a tap become one: every tap of theirs is open before the first probe is
    /// sent. If anything of such an experiment is new, all of it is done, also a probe that was answered before its taps
    /// were open. Of experiments without taps, what was done before is left out.
    pub fn take(&mut self, experiments: Vec<Experiment>) -> Vec<Experiment> {
        let experiments = experiments.into_iter().map(without_standing);
        let (watched, free): (Vec<_>, Vec<_>) = experiments.partition(|e| !e.taps.is_empty());
        let new = watched.into_iter().filter(|experiment| self.is_new(experiment)).collect();
        let mut todo = joined(new);
        for experiment in &todo {
            self.probes.extend(experiment.probes.iter().cloned());
            self.taps.extend(experiment.taps.iter().cloned());
        }
        for mut experiment in free {
            experiment.probes.retain(|probe| self.probes.insert(probe.clone()));
            if !experiment.probes.is_empty() {
                todo.push(experiment);
            }
        }
        todo
    }

    fn is_new(&self, experiment: &Experiment) -> bool {
        experiment.taps.iter().any(|tap| !self.taps.contains(tap))
            || experiment.probes.iter().any(|probe| !self.probes.contains(probe))
    }
}

/// Taps that stay open for the whole phase are opened before everything else.
fn without_standing(mut experiment: Experiment) -> Experiment {
    if experiment.whole_phase {
        experiment.taps.clear();
    }
    experiment
}

/// What two experiments may share.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Part {
    Probe(Probe),
    Tap(Tap),
}

fn parts(experiment: &Experiment) -> impl Iterator<Item = Part> {
    let probes = experiment.probes.iter().cloned().map(Part::Probe);
    probes.chain(experiment.taps.iter().cloned().map(Part::Tap))
}

/// Makes one experiment of all that share a part, in their order.
fn joined(experiments: Vec<Experiment>) -> Vec<Experiment> {
    let mut groups: Vec<Option<Experiment>> = Vec::new();
    let mut places = HashMap::new();
    for experiment in experiments {
        let shared = parts(&experiment).filter_map(|part| places.get(&part).copied());
        let shared: BTreeSet<usize> = shared.collect();
        let found = shared.iter().filter_map(|place| groups[*place].take());
        let group = found.chain([experiment]).reduce(join).expect("at least one");
        let place = shared.first().copied().unwrap_or(groups.len());
        places.extend(parts(&group).map(|part| (part, place)));
        if place == groups.len() {
            groups.push(None);
        }
        groups[place] = Some(group);
    }
    groups.into_iter().flatten().collect()
}

/// Two experiments as one: each gets the quiet and the order that it asks for.
fn join(mut one: Experiment, other: Experiment) -> Experiment {
    let taps: Vec<_> = other.taps.into_iter().filter(|tap| !one.taps.contains(tap)).collect();
    one.taps.extend(taps);
    let probes = other.probes.into_iter().filter(|probe| !one.probes.contains(probe));
    let probes: Vec<_> = probes.collect();
    one.probes.extend(probes);
    one.in_order |= other.in_order;
    one.alone |= other.alone;
    one.patient &= other.patient;
    one.through = one.through.filter(|tunnel| other.through.as_ref() == Some(tunnel));
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        probe::{Aspect, Question},
        tap::Watch,
    };

    fn probe(from: &str) -> Probe {
        let question = Question::Inspect(Aspect::Routes);
        Probe { from: from.parse().unwrap(), question, round: 0 }
    }

    fn tap(label: &str) -> Tap {
        let watch = Watch::Ethertypes(Vec::new());
        Tap { segment: "link".parse().unwrap(), watch, label: label.to_owned() }
    }

    fn of(taps: &[&str], probes: &[&str]) -> Experiment {
        Experiment {
            taps: taps.iter().map(|label| tap(label)).collect(),
            probes: probes.iter().map(|from| probe(from)).collect(),
            ..Experiment::default()
        }
    }

    #[test]
    fn what_is_asked_alike_is_asked_once() {
        let mut agenda = Agenda::default();
        let todo = agenda.take(vec![of(&[], &["a", "b"]), of(&[], &["b", "c"]), of(&[], &["a"])]);
        assert_eq!(todo, [of(&[], &["a", "b"]), of(&[], &["c"])]);
        assert_eq!(agenda.take(vec![of(&[], &["c", "b"])]), []);
    }

    #[test]
    fn a_probe_that_others_ask_too_is_sent_under_every_tap_for_it() {
        let mut agenda = Agenda::default();
        let todo = agenda.take(vec![
            of(&[], &["a", "b"]),
            of(&["1"], &["a"]),
            of(&["2"], &["c"]),
            of(&["3"], &["c", "a"]),
        ]);
        assert_eq!(todo, [of(&["1", "2", "3"], &["a", "c"]), of(&[], &["b"])]);
    }

    #[test]
    fn a_probe_answered_before_its_taps_were_open_is_asked_again_once() {
        let mut agenda = Agenda::default();
        agenda.take(vec![of(&[], &["a", "b"])]);
        assert_eq!(agenda.take(vec![of(&["1"], &["a"])]), [of(&["1"], &["a"])]);
        assert_eq!(agenda.take(vec![of(&["1"], &["a"])]), []);
        assert_eq!(agenda.take(vec![of(&["1"], &["c"])]), [of(&["1"], &["c"])]);
    }

    #[test]
    fn order_and_quiet_are_kept_for_who_asks_for_them() {
        let in_order = Experiment { in_order: true, ..of(&["1"], &["a", "b"]) };
        let alone = Experiment { alone: true, ..of(&["2"], &["b"]) };
        let todo = Agenda::default().take(vec![in_order, alone]);
        let both = Experiment { in_order: true, alone: true, ..of(&["1", "2"], &["a", "b"]) };
        assert_eq!(todo, [both]);
    }

    #[test]
    fn taps_for_the_whole_phase_are_opened_once_and_first() {
        let mut agenda = Agenda::default();
        let whole = Experiment { whole_phase: true, ..of(&["1"], &[]) };
        assert_eq!(agenda.standing(&[whole.clone(), whole.clone(), of(&["2"], &[])]), [tap("1")]);
        assert_eq!(agenda.take(vec![whole]), []);
    }
}
