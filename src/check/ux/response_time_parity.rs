//! `ux.response-time-parity`: pages come about as fast over IPv6 as over IPv4.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        pages::{self, Site},
        reading::{self, Judge},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Packets, Scope, Severity},
        phase::Phase,
        probe::Probe,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct ResponseTime;

/// Fetches of each family in a series: a median of twenty does not move when a few of them are disturbed.
const SERIES: u8 = 20;
/// The first rounds of the series; the second series is made only if the first one shows a difference.
const BEGINNINGS: [u8; 2] = [40, 80];
/// Slower by this factor …
const FACTOR: f64 = 1.2;
/// … and by this much more, in microseconds, in both series: then it is a finding. In a lab on one machine a page takes
/// about a millisecond, and a busy core adds whole time slices; users do not notice less than this.
const MARGIN_US: f64 = 25_000.0;

static TEXT: Text = Text {
    id: "ux.response-time-parity",
    title: "Response times of both families",
    section: "S2 5.3",
    use_case: UseCase::InsideToOutside,
    question: "Is the median response time of a page about the same over both families, over twenty fetches of each in \
               turn?",
    good: "Pages come equally fast over both families.",
    references: &["RFC 8305 section 5"],
    cases: &[Case {
        name: "slower",
        finding: "{service} of {node} answers more slowly over {family}: {slow} ms instead of {fast} ms.",
        expected: "No more than 1.2 times the median of {other} and 25 ms.",
        observed: "Medians of 20 fetches each in turn, in two series: {family} {slow} ms, {other} {fast} ms (from {from}).",
        remedy: "Compare the ways, the load balancers and the back ends of both families.",
    }],
};

impl Check for ResponseTime {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(subjects(stage).iter().flat_map(Site::first_looks))]
    }

    /// A series only where both families answer at all: twenty silent fetches in turn would take minutes.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let sites = subjects(stage).into_iter().filter(|site| site.is_shown(seen));
        sites
            .filter_map(|site| match medians(&site, seen, BEGINNINGS[0]) {
                None => Some(series(&site, BEGINNINGS[0])),
                Some(medians) => slower(medians).map(|_| series(&site, BEGINNINGS[1])),
            })
            .collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = subjects(stage).iter().map(|site| of_site(judge, stage, seen, site)).collect();
        judge.or_not_applicable(found, "no page is offered over both families in this phase")
    }
}

/// Each service once for users outside and once for workplaces.
fn subjects(stage: &Stage) -> Vec<Site<'_>> {
    let both = |site: &Site<'_>| Family::ALL.iter().all(|family| site.way(*family).is_some());
    match stage.phase {
        Phase::Ipv4Only | Phase::Ipv6Only => Vec::new(),
        Phase::Partial | Phase::DualStack => pages::sites(stage).into_iter().filter(both).collect(),
    }
}

/// One family after the other, so that what disturbs the machine disturbs both.
fn series(site: &Site<'_>, from: u8) -> Experiment {
    let probes = (from..from + SERIES).flat_map(|round| probes(site, round));
    Experiment { probes: probes.collect(), in_order: true, ..Experiment::default() }
}

fn probes<'s>(site: &'s Site<'_>, round: u8) -> impl Iterator<Item = Probe> + 's {
    Family::ALL
        .into_iter()
        .filter_map(move |family| Some(site.fetch(site.way(family)?.destination, round)))
}

/// The medians of both families, IPv4 first, in microseconds; `None` if too few fetches brought a page.
fn medians(site: &Site<'_>, seen: &Seen<'_>, from: u8) -> Option<[f64; 2]> {
    let of = |family| {
        let to = site.way(family)?.destination;
        let times = (from..from + SERIES).filter_map(|round| {
            let (_, answer) = seen.answer(&site.fetch(to, round))?;
            answer.is_answered().then(|| answer.attempt().map(|attempt| attempt.total_us))?
        });
        median(times.collect())
    };
    Some([of(Family::V4)?, of(Family::V6)?])
}

fn median(mut times: Vec<u64>) -> Option<f64> {
    if times.len() < usize::from(SERIES) / 2 {
        return None;
    }
    times.sort_unstable();
    let middle = u32::try_from(times[times.len() / 2]).unwrap_or(u32::MAX);
    Some(f64::from(middle))
}

/// The family that is clearly slower, if one is.
fn slower([v4, v6]: [f64; 2]) -> Option<Family> {
    let worse = |mine: f64, theirs: f64| mine > theirs * FACTOR + MARGIN_US;
    if worse(v6, v4) { Some(Family::V6) } else { worse(v4, v6).then_some(Family::V4) }
}

fn of_site(judge: Judge, stage: &Stage, seen: &Seen<'_>, site: &Site<'_>) -> Judgement {
    let subject = site.subject();
    let evidence = evidence(site, seen);
    let Some(first) = medians(site, seen, BEGINNINGS[0]) else {
        return judge.blocked(subject, "too few fetches brought a page", evidence);
    };
    let second = medians(site, seen, BEGINNINGS[1]);
    let words = format!("medians: IPv4 {}, IPv6 {}", millis(first[0]), millis(first[1]));
    let twice = slower(first).filter(|family| second.and_then(slower) == Some(*family));
    match twice {
        // In the partial phase ways may differ by plan: recorded, not judged.
        Some(_) if stage.phase == Phase::Partial => judge.info(subject, words, evidence),
        Some(family) => {
            let complaint = complaint(stage, site, family, first);
            judge.degraded(subject, words, evidence, complaint)
        }
        None => judge.absent(subject, words, evidence),
    }
}

fn evidence(site: &Site<'_>, seen: &Seen<'_>) -> Vec<EvidenceId> {
    let rounds = BEGINNINGS.into_iter().flat_map(|from| from..from + SERIES);
    let all = rounds.flat_map(|round| probes(site, round));
    all.filter_map(|probe| seen.answer(&probe).map(|(id, _)| id)).collect()
}

fn millis(us: f64) -> String {
    format!("{:.1} ms", us / 1000.0)
}

fn complaint(stage: &Stage, site: &Site<'_>, family: Family, [v4, v6]: [f64; 2]) -> Complaint {
    let (slow, fast) = if family == Family::V6 { (v6, v4) } else { (v4, v6) };
    let number = |us: f64| format!("{:.1}", us / 1000.0);
    let args = [
        ("service", site.service.name.to_string()),
        ("node", site.node.name.to_string()),
        ("from", site.user.to_string()),
        ("family", family.to_string()),
        ("other", family.other().to_string()),
        ("slow", number(slow)),
        ("fast", number(fast)),
    ];
    let culprit = site.culprit(&format!("response time over {family}"));
    let scope = Scope { packets: Some(Packets::Pace), ..site.scope(family) };
    Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Symptom,
        ..reading::complaint(stage, "slower", culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{self, Network};

    fn delayed(phase: Phase, ms: u64, rounds: std::ops::Range<u8>) -> Network {
        Network::healthy(phase).bend(move |probe, answer| {
            if let crate::model::answer::Answer::Page { attempt, .. } = answer
                && attempt.family == Family::V6
                && rounds.contains(&probe.round)
            {
                attempt.total_us += ms * 1000;
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&ResponseTime);
    }

    #[test]
    fn a_delay_that_lasts_is_found_and_a_disturbance_is_not() {
        let mut found = fixture::complaints(&ResponseTime, &delayed(Phase::DualStack, 60, 0..255));
        found.dedup();
        let slower = |service| {
            ("slower".to_owned(), format!("portal (response time over IPv6 of {service})"))
        };
        assert_eq!(found, [slower("http"), slower("https")]);
        for quiet in [
            delayed(Phase::DualStack, 60, 40..49),
            delayed(Phase::DualStack, 500, 40..60),
            delayed(Phase::DualStack, 15, 0..255),
            delayed(Phase::Partial, 60, 0..255),
        ] {
            assert_eq!(fixture::complaints(&ResponseTime, &quiet), []);
        }
    }
}
