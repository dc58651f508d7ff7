//! `vpn.performance-parity`: a tunnel carries both families about equally fast.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        pages::{self, Site},
        reading::{self, Judge},
        stream,
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        flow::Traffic,
        name::{SegmentName, TunnelName},
        probe::{Probe, Question},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct PerformanceParity;

/// Octets of a page at most: enough for the tunnel to be what takes the time.
const OCTETS: u32 = 128 * 1024;
/// Pages of each family in a series, in turn.
const SERIES: u8 = 5;
/// The first rounds of both series; the second is made only where the first shows a difference.
const BEGINNINGS: [u8; 2] = [0, 5];
/// Echoes of each family in a round of the control, which no service answers, and the rounds.
const ECHOES: u16 = 64;
const ROUNDS: u8 = 3;
/// Octets of an echo at most; less where the tunnel takes less.
const ECHO: u32 = 1_200;
/// IP and ICMP headers of the family that has more of them.
const HEADERS: u32 = 48;
/// A family that needs so many times the time of the other is slower.
const FACTOR: f64 = 1.5;
/// So much longer takes what is slow on a link alone, in microseconds: single streams vary on a busy machine.
const FELT_US: u64 = 20_000;

static TEXT: Text = Text {
    id: "vpn.performance-parity",
    title: "Tunnels are as fast in both families",
    section: "S2 2.2.3",
    use_case: UseCase::Policies,
    question: "Does the same page come through the same tunnel about as fast over IPv6 as over IPv4, fetched in turn; and if not, do \
               echoes, which no service answers, tell the same of the tunnel? Only the ratio is judged: how fast a lab is says \
               nothing of a network.",
    good: "Both families come through tunnels about equally fast.",
    references: &["GEN6 D3.6.4 section 2.2.3", "RFC 2544"],
    cases: &[Case {
        name: "slower",
        finding: "Through {tunnel}, {family} needs {ratio} times the time of {other} for the same page.",
        expected: "About the same time in both families, less than {factor} times.",
        observed: "{octets} octets from {node} to {from}, {series} times each in turn, in two series: {family} {slow} ms (from \
                   {slow_least} to {slow_most}), {other} {fast} ms (from {fast_least} to {fast_most}). Without any service, {echoes} \
                       echoes through the tunnel took {control_slow} ms over {family}, and {control_fast} ms over {other}. What \
                   slows it down is {place}.",
        remedy: "Of the tunnel, compare MTU, offloads and cipher of what carries each family; of another link, its rate and its \
                 queues for each.",
    }],
};

impl Check for PerformanceParity {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        races(stage).iter().map(|race| race.series(0)).collect()
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let suspicious =
            |race: &Race<'_>| race.times(seen, 0).is_some_and(|both| slower(&both).is_some());
        let races = races(stage).into_iter().filter(suspicious);
        races.flat_map(|race| [race.series(1), race.control(stage)]).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = races(stage).iter().map(|race| race.judge(judge, stage, seen)).collect();
        let reason = "no tunnel leads to a page of both families in this phase";
        judge.or_not_applicable(found, reason)
    }
}

/// A page that comes through one tunnel over both families.
struct Race<'s> {
    tunnel: TunnelName,
    site: Site<'s>,
    /// Octets of the page.
    octets: u32,
}

/// One page for each tunnel.
fn races(stage: &Stage) -> Vec<Race<'_>> {
    let mut races = Vec::<Race<'_>>::new();
    for site in pages::sites(stage) {
        let inside = |family| Some(&site.way(family)?.carried.as_deref()?.inside);
        let (Some(v4), Some(v6)) = (inside(Family::V4), inside(Family::V6)) else { continue };
        let tunnel = stage.testbed.tunnel_inside(v4);
        let Some(tunnel) = tunnel.filter(|_| v4 == v6).map(|tunnel| tunnel.name.clone()) else {
            continue;
        };
        if !races.iter().any(|race| race.tunnel == tunnel) {
            let most = site.ways.iter().map(|way| pages::most_over(stage, way)).min();
            let octets = most.map_or(OCTETS, |most| most.min(OCTETS));
            races.push(Race { tunnel, site, octets });
        }
    }
    races
}

/// What the pages of one family took, in microseconds, sorted.
struct Times {
    all: Vec<u64>,
}

impl Times {
    fn median(&self) -> f64 {
        micros(self.all[self.all.len() / 2])
    }

    fn least(&self) -> u64 {
        self.all[0]
    }

    fn most(&self) -> u64 {
        self.all[self.all.len() - 1]
    }
}

fn micros(us: u64) -> f64 {
    f64::from(u32::try_from(us).unwrap_or(u32::MAX)).max(1.0)
}

fn millis(us: u64) -> String {
    format!("{:.1}", micros(us) / 1_000.0)
}

/// The family that is slower by its median, with how many times.
fn slower([v4, v6]: &[Times; 2]) -> Option<(Family, f64)> {
    let ratio = v6.median() / v4.median();
    if ratio >= FACTOR {
        Some((Family::V6, ratio))
    } else {
        (ratio <= 1.0 / FACTOR).then_some((Family::V4, 1.0 / ratio))
    }
}

/// Whether the slowest page of the one family came before the fastest of the other: what a busy machine does to single
/// pages does not do that.
fn is_apart([v4, v6]: &[Times; 2]) -> bool {
    v4.most() < v6.least() || v6.most() < v4.least()
}

impl Race<'_> {
    fn page(&self, family: Family, round: u8) -> Option<Probe> {
        let path = format!("{}?size={}", self.site.service.path, self.octets);
        let to = self.site.way(family)?.destination;
        Some(Probe { round, ..ask::fetch(&self.site.user, self.site.service, to, &path) })
    }

    /// One family after the other, so that what disturbs the machine disturbs both; alone, so that little does.
    fn series(&self, number: usize) -> Experiment {
        let from = BEGINNINGS[number];
        let rounds = from..from + SERIES;
        let probes = rounds.flat_map(|round| {
            Family::ALL.into_iter().filter_map(move |family| self.page(family, round))
        });
        self.experiment(probes)
    }

    fn experiment(&self, probes: impl Iterator<Item = Probe>) -> Experiment {
        let through = Some(self.tunnel.clone());
        Experiment { in_order: true, alone: true, through, ..Experiment::of_probes(probes) }
    }

    /// The times of both families, IPv4 first; `None` if a page did not come.
    fn times(&self, seen: &Seen<'_>, number: usize) -> Option<[Times; 2]> {
        let from = BEGINNINGS[number];
        let of = |family| {
            let times = (from..from + SERIES).map(|round| {
                let (_, answer) = seen.answer(&self.page(family, round)?)?;
                let attempt = answer.attempt().filter(|_| answer.is_answered())?;
                Some(attempt.total_us.saturating_sub(attempt.connect_us))
            });
            let mut all = times.collect::<Option<Vec<_>>>()?;
            all.sort_unstable();
            Some(Times { all })
        };
        Some([of(Family::V4)?, of(Family::V6)?])
    }

    fn echoes(&self, family: Family, round: u8) -> Option<Probe> {
        let least =
            Family::ALL.into_iter().filter_map(|family| Some(self.site.way(family)?.mtu)).min()?;
        let size = u16::try_from(least.saturating_sub(HEADERS).min(ECHO)).ok()?;
        let to = self.site.way(family)?.destination;
        let question = Question::Stream { to, packets: ECHOES, size, class: 0, opened: true };
        Some(Probe { round, ..ask::probe(&self.site.user, question) })
    }

    /// About as many octets as a page through the same tunnel between the same hosts, and no service has a part in it. Where
    /// no echoes are let through, there is no control.
    fn control(&self, stage: &Stage) -> Experiment {
        if !stage.is_allowed(&self.site.user, &self.site.node.name, &Traffic::Ping) {
            return Experiment::default();
        }
        let rounds = (0..ROUNDS).flat_map(|round| Family::ALL.map(|family| (family, round)));
        let probes = rounds.filter_map(|(family, round)| self.echoes(family, round));
        let links = self.links(stage).into_iter().flat_map(|(_, both)| both);
        self.experiment(probes.chain(links))
    }

    /// The links of the way, the tunnel among them, with what crosses each alone in both families.
    fn links(&self, stage: &Stage) -> Vec<(SegmentName, [Probe; 2])> {
        let [Some(v4), Some(v6)] = Family::ALL.map(|family| self.site.way(family)) else {
            return Vec::new();
        };
        stream::links_of_both(stage, v4, v6)
    }

    /// The first link that is slower in a family also by itself, with what that rests on.
    fn slow_link(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        family: Family,
    ) -> Option<(SegmentName, Vec<EvidenceId>)> {
        let took = |probe: &Probe| match seen.answer(probe)? {
            (id, Answer::Stream { took_us, .. }) => Some((id, (*took_us)?)),
            _ => None,
        };
        self.links(stage).into_iter().find_map(|(segment, [v4, v6])| {
            let (v4, v6) = (took(&v4)?, took(&v6)?);
            let (slow, fast) = if family == Family::V6 { (v6, v4) } else { (v4, v6) };
            let is_slow = micros(slow.1) >= FACTOR * micros(fast.1) && slow.1 > fast.1 + FELT_US;
            is_slow.then(|| (segment, vec![v4.0, v6.0]))
        })
    }

    /// The times of the control, IPv4 first.
    fn controlled(&self, seen: &Seen<'_>) -> Option<[Times; 2]> {
        let of = |family| {
            let times =
                (0..ROUNDS).map(|round| match seen.answer(&self.echoes(family, round)?)? {
                    (_, Answer::Stream { took_us, .. }) => *took_us,
                    _ => None,
                });
            let mut all = times.collect::<Option<Vec<_>>>()?;
            all.sort_unstable();
            Some(Times { all })
        };
        Some([of(Family::V4)?, of(Family::V6)?])
    }

    fn evidence(&self, seen: &Seen<'_>) -> Vec<EvidenceId> {
        let rounds = BEGINNINGS[0]..BEGINNINGS[1] + SERIES;
        let pages = rounds.flat_map(|round| Family::ALL.map(|family| self.page(family, round)));
        let rounds = (0..ROUNDS).flat_map(|round| Family::ALL.map(|family| (family, round)));
        let probes = pages.chain(rounds.map(|(family, round)| self.echoes(family, round)));
        probes.filter_map(|probe| Some(seen.answer(&probe?)?.0)).collect()
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}: {}", self.tunnel, self.site.subject());
        let evidence = self.evidence(seen);
        let Some(first) = self.times(seen, 0) else {
            let reason = "not every page came: see vpn.matrix and out.service-reach";
            return judge.blocked(subject, reason, evidence);
        };
        let Some((family, _)) = slower(&first) else {
            return judge.absent(subject, in_words(&first, self.octets), evidence);
        };
        let Some(second) = self.times(seen, 1) else {
            return judge.not_testable(subject, "the second series was not made", evidence);
        };
        match slower(&second) {
            Some((again, ratio)) if again == family => {
                if is_apart(&first) && is_apart(&second) {
                    return self.judge_pages(judge, stage, seen, family, ratio, &second);
                }
                let reason = format!(
                    "times are spread too widely to tell: {}",
                    in_words(&second, self.octets)
                );
                judge.not_testable(subject, reason, evidence)
            }
            _ => judge.absent(subject, in_words(&second, self.octets), evidence),
        }
    }

    /// Pages of a family come more slowly in both series: the tunnel is to blame if echoes do too.
    fn judge_pages(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        family: Family,
        ratio: f64,
        pages: &[Times; 2],
    ) -> Judgement {
        let subject = format!("{}: {}", self.tunnel, self.site.subject());
        let evidence = self.evidence(seen);
        let Some(control) = self.controlled(seen) else {
            let reason = "pages come more slowly, and no echoes tell whether the tunnel or the service is slow";
            return judge.not_testable(subject, reason, evidence);
        };
        if slower(&control).is_some_and(|(slow, _)| slow == family) && is_apart(&control) {
            let complaint = self.complaint(stage, family, ratio, pages, &control);
            let (evidence, complaint) = self.placed(stage, seen, family, (evidence, complaint));
            return judge.fail(subject, evidence, complaint);
        }
        let [v4, v6] = control.map(|times| millis(times.all[times.all.len() / 2]));
        let words = format!(
            "pages come more slowly over {family}, but the tunnel is not the reason: {ECHOES} echoes of the same hosts take {v4} ms \
             over IPv4 and {v6} ms over IPv6; see ux.response-time-parity"
        );
        judge.absent(subject, words, evidence)
    }

    /// A link beside the tunnel that is slow by itself is to blame, and the tunnel is not.
    fn placed(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        family: Family,
        (mut evidence, complaint): (Vec<EvidenceId>, Complaint),
    ) -> (Vec<EvidenceId>, Complaint) {
        let inside = self.site.way(family).and_then(|way| way.carried.as_deref());
        let found = self.slow_link(stage, seen, family);
        let Some((segment, links)) =
            found.filter(|(segment, _)| inside.is_none_or(|carriage| carriage.inside != *segment))
        else {
            return (evidence, complaint);
        };
        evidence.extend(links);
        let culprit = Culprit::segment(&segment, format!("speed of {family}"));
        let mut args = complaint.args;
        args.insert("place".to_owned(), format!("{segment}, which is as slow by itself"));
        let scope = Scope {
            family: Some(family),
            segments: vec![segment],
            packets: Some(Packets::Pace),
            ..Scope::default()
        };
        (evidence, Complaint { args, culprit, scope, depth: Depth::Located, ..complaint })
    }

    fn complaint(
        &self,
        stage: &Stage,
        family: Family,
        ratio: f64,
        both: &[Times; 2],
        control: &[Times; 2],
    ) -> Complaint {
        let of_both = |[v4, v6]: &'_ [Times; 2]| {
            let middles = [v4, v6].map(|times| millis(times.all[times.all.len() / 2]));
            let [v4, v6] = middles;
            if family == Family::V6 { [v6, v4] } else { [v4, v6] }
        };
        let [control_slow, control_fast] = of_both(control);
        let [v4, v6] = both;
        let (slow, fast) = if family == Family::V6 { (v6, v4) } else { (v4, v6) };
        let middle = |times: &Times| millis(times.all[times.all.len() / 2]);
        let args = [
            ("place", "the tunnel: no other link of the way is as slow by itself".to_owned()),
            ("tunnel", self.tunnel.to_string()),
            ("family", family.to_string()),
            ("other", family.other().to_string()),
            ("ratio", format!("{ratio:.1}")),
            ("factor", FACTOR.to_string()),
            ("octets", self.octets.to_string()),
            ("series", SERIES.to_string()),
            ("node", self.site.node.name.to_string()),
            ("from", self.site.user.to_string()),
            ("slow", middle(slow)),
            ("slow_least", millis(slow.least())),
            ("slow_most", millis(slow.most())),
            ("fast", middle(fast)),
            ("fast_least", millis(fast.least())),
            ("fast_most", millis(fast.most())),
            ("echoes", ECHOES.to_string()),
            ("control_slow", control_slow),
            ("control_fast", control_fast),
        ];
        let scope = Scope { packets: Some(Packets::Pace), ..self.site.scope(family) };
        // Which end is slow is not seen from outside.
        let inside = self.site.way(family).and_then(|way| way.carried.as_deref());
        let culprit = inside.map_or_else(
            || self.site.culprit("speed"),
            |carriage| Culprit::segment(&carriage.inside, format!("speed of {family}")),
        );
        Complaint {
            severity: Severity::Minor,
            confidence: Confidence::High,
            depth: Depth::Symptom,
            ..reading::complaint(stage, "slower", culprit, scope, args)
        }
    }
}

/// `IPv6 took 1.04 times as long as IPv4 (0.9 to 1.2)`.
fn in_words([v4, v6]: &[Times; 2], octets: u32) -> String {
    let ratio = |a: u64, b: u64| micros(a) / micros(b);
    format!(
        "IPv6 took {:.2} times as long as IPv4 (from {:.2} to {:.2}), {octets} octets",
        v6.median() / v4.median(),
        ratio(v6.least(), v4.most()),
        ratio(v6.most(), v4.least()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{Network, complaints},
        model::{phase::Phase, verdict::Verdict},
    };

    /// Pages of IPv6 take so many microseconds in each round, and those of IPv4 a thousand; echoes through the tunnel take
    /// longer for IPv6 too.
    fn racing(took: fn(u8) -> u64) -> Network {
        serving(took).bend(|probe, answer| {
            let Question::Stream { to, .. } = probe.question else { return };
            if let Answer::Stream { took_us, .. } = answer
                && to.is_ipv6()
            {
                *took_us = Some(3_000);
            }
        })
    }

    /// The same, and echoes of both families take as long as each other.
    fn serving(took: fn(u8) -> u64) -> Network {
        Network::tunnelled(Phase::DualStack).bend(move |probe, answer| {
            if let Answer::Page { attempt, .. } = answer {
                attempt.connect_us = 200;
                let v6 = attempt.family == Family::V6;
                attempt.total_us = 200 + if v6 { took(probe.round) } else { 1_000 };
            }
        })
    }

    #[test]
    fn families_that_are_equally_fast_are_silent_and_one_family_has_nobody_to_race() {
        for (phase, verdict) in
            [(Phase::Ipv4Only, Verdict::NotApplicable), (Phase::DualStack, Verdict::Pass)]
        {
            let judgements = Network::tunnelled(phase).ask(&[&PerformanceParity]);
            assert!(judgements.len() == 1 && judgements[0].verdict == verdict, "{judgements:#?}");
        }
    }

    #[test]
    fn a_family_that_is_slower_in_both_series_is_found() {
        let found = complaints(&PerformanceParity, &racing(|round| 2_000 + u64::from(round)));
        let wanted = "office-to-centre (speed of IPv6)".to_owned();
        assert_eq!(found, [("slower".to_owned(), wanted)]);
    }

    #[test]
    fn a_link_that_is_slow_by_itself_is_to_blame_and_the_tunnel_is_not() {
        let network = racing(|_| 60_000).bend(|probe, answer| {
            if let (
                Question::Stream { to, class: stream::CLASS, .. },
                Answer::Stream { took_us, .. },
            ) = (&probe.question, answer)
            {
                *took_us = Some(if to.is_ipv6() { 60_000 } else { 1_000 });
            }
        });
        let wanted = "office-lan (speed of IPv6)".to_owned();
        assert_eq!(complaints(&PerformanceParity, &network), [("slower".to_owned(), wanted)]);
    }

    #[test]
    fn a_service_that_is_slower_is_no_fault_of_the_tunnel() {
        let judgements = serving(|_| 2_000).ask(&[&PerformanceParity]);
        assert_eq!(judgements[0].verdict, Verdict::Pass, "{judgements:#?}");
        assert!(judgements[0].reason.contains("the tunnel is not the reason"), "{judgements:#?}");
        let silent = serving(|_| 2_000).bend(|_, answer| {
            if let Answer::Stream { took_us, .. } = answer {
                *took_us = None;
            }
        });
        assert_eq!(silent.ask(&[&PerformanceParity])[0].verdict, Verdict::NotTestable);
    }

    #[test]
    fn one_disturbed_series_is_no_finding_and_a_wide_spread_says_so() {
        let once = racing(|round| if round < SERIES { 2_000 } else { 1_000 });
        assert_eq!(complaints(&PerformanceParity, &once), []);
        let spread = racing(|round| if round % SERIES < 2 { 900 } else { 3_000 });
        let judgements = spread.ask(&[&PerformanceParity]);
        assert_eq!(judgements[0].verdict, Verdict::NotTestable, "{judgements:#?}");
    }
}
