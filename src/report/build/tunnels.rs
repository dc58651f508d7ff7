//! Section 2.3.5: what tunnels carried in each phase, in which family inside and outside, and what was seen beside them
//! (S2 sections 2.2.3 and 2.3.2).

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Page, Source, cell,
    phrase::{self, and, words},
};
use crate::{
    check::couples::{self, Couple},
    model::{
        answer::Answer,
        evidence::{About, Evidence},
        phase::Phase,
        testbed::Testbed,
        tunnel::{Relation, TunnelEnd, TunnelState},
        verdict::{Judgement, Verdict},
    },
    report::document::{Inline, Line},
    stage::Stage,
};

/// A column: what a check said of a couple.
struct Column {
    heading: &'static str,
    check: &'static str,
    of: Of,
}

/// Of what of a couple a check speaks.
enum Of {
    /// Of the couple itself.
    Couple,
    /// Of this part.
    Part(&'static str),
    /// Of several parts; the worst counts.
    Parts,
    /// Of the couple, tried in one direction for both.
    EitherWay,
}

const fn column(heading: &'static str, check: &'static str, of: Of) -> Column {
    Column { heading, check, of }
}

// Two tables: more columns than these beside the one that names the couple would not fit on a page.
const CARRIED: [Column; 6] = [
    column("Small packets", "vpn.matrix", Of::Part("small echo")),
    column("Large packets", "vpn.matrix", Of::Part("large echo")),
    column("Largest packet", "vpn.inner-mtu", Of::Couple),
    column("ICMP errors", "vpn.icmp-through", Of::Parts),
    column("Class and hops", "vpn.qos-and-hoplimit", Of::Couple),
    column("Names", "vpn.dns-inside", Of::Couple),
];

const BESIDE: [Column; 5] = [
    column("Nothing in clear", "vpn.no-clear", Of::Couple),
    column("Nothing while it is down", "vpn.fail-open", Of::Couple),
    column("New keys", "vpn.rekey-both", Of::Couple),
    column("Second family outside", "vpn.outer-family-failover", Of::EitherWay),
    column("Nothing but what is allowed", "vpn.policy-enforced", Of::Parts),
];

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    let testbed = Arc::new(source.run.testbed.clone());
    let stages = source.run.phases.iter().map(|walked| Stage::new(&testbed, walked.phase));
    let stages: Vec<_> = stages.collect();
    let walked: Vec<_> =
        source.run.phases.iter().map(|walked| &walked.judgements[..]).zip(&stages).collect();
    let carried: Vec<[Line; 7]> = rows(&CARRIED, &walked);
    if carried.is_empty() {
        return;
    }
    page.heading(4, "2.3.5 Tunnels");
    for (judgements, stage) in &walked {
        page.words(&Showing::of(judgements, stage).words());
    }
    page.line([
        Inline::see("coupled"),
        Inline::text(" shows what is coupled, by the plan: the subnets behind both gateways, and over what the tunnel is carried in each phase, \
         with the evidence in which its ends were read to couple it. Cells of the other tables say what was observed, and \
         name evidence of the worst of it; Annex A shows what they name."),
    ]);
    page.table(
        "coupled",
        "What tunnels couple",
        ["Tunnel", "Between", "First subnet", "Second subnet", "Carried in"],
        coupled(&testbed, &stages, source.evidence),
    );
    page.line([
        Inline::see("tunnels"),
        Inline::text(" has one row for each direction of what a tunnel couples, by a host on either side. An echo that came back proves that \
         the tunnel carries. Plain tunnels are named by their kind; what they carry can be read on the way."),
    ]);
    page.table("tunnels", "What tunnels carry", headings(&CARRIED), carried);
    page.line([
        Inline::see("beside-tunnels"),
        Inline::text(": canaries that no tap outside saw, while both gateways counted them, prove that a tunnel carries them encrypted; and \
         the same with its keys being renewed and with the tunnel stopped, that nothing takes its place. The second family \
         outside is tried with echoes of one direction, whose answers take the other. What is not coupled, and what no flow names, was tried at both gateways."),
    ]);
    page.table(
        "beside-tunnels",
        "What is seen beside tunnels, and when they change",
        headings::<6>(&BESIDE),
        rows(&BESIDE, &walked),
    );
    let speeds: Vec<_> = source
        .run
        .phases
        .iter()
        .flat_map(|walked| speeds(walked.phase, &walked.judgements))
        .collect();
    if speeds.is_empty() {
        return;
    }
    page.line([
        Inline::text(
            "How fast each family comes through the same tunnel says nothing by itself, since a lab is no network; the ratio of \
             both does. ",
        ),
        Inline::see("tunnel-speeds"),
        Inline::text(" gives it where there was something to compare."),
    ]);
    page.table(
        "tunnel-speeds",
        "One page through a tunnel over both families",
        ["Phase", "Tunnel and page", "Verdict", "What was seen"],
        speeds,
    );
}

/// What a phase showed of the tunnels themselves, apart from what manages them and from what is reached through them.
struct Showing {
    phase: Phase,
    /// `IPv6 in IPv4`, each once.
    families: Vec<String>,
    /// Directions that are coupled.
    all: usize,
    /// Those in which small and large packets came through.
    carried: usize,
    /// Those of which it was seen that they went through the tunnel alone and not in clear.
    hidden: usize,
    /// Those for which there is something to hide: others are in clear by design.
    encrypted: usize,
    /// Whether something that is coupled was found not to be carried, or to be seen beside the tunnel.
    is_refuted: bool,
}

/// What tells that.
const REFUTING: [&str; 3] = ["vpn.matrix", "vpn.no-clear", "vpn.fail-open"];

impl Showing {
    fn of(judgements: &[Judgement], stage: &Stage) -> Self {
        let couples = couples::of_stage(stage);
        let passes = |couple: &Couple, columns: &[Column]| {
            columns.iter().all(|column| column.passes(judgements, &couple.subject()))
        };
        let count = |columns: &[Column]| couples.iter().filter(|c| passes(c, columns)).count();
        let families: BTreeSet<_> = couples.iter().map(families).collect();
        Self {
            phase: stage.phase,
            families: families.into_iter().collect(),
            all: couples.len(),
            carried: count(&CARRIED[..2]),
            hidden: count(&BESIDE[..1]),
            encrypted: couples.iter().filter(|couple| couple.end.kind.is_encrypted()).count(),
            is_refuted: judgements
                .iter()
                .any(|j| REFUTING.contains(&j.check.as_str()) && j.verdict.is_bad()),
        }
    }

    fn is_whole(&self) -> bool {
        let proven = self.carried == self.all && self.hidden == self.encrypted;
        self.all > 0 && proven && !self.is_refuted
    }

    fn words(&self) -> String {
        let Self { phase, all, carried, hidden, encrypted, .. } = self;
        if *all == 0 {
            return format!("{phase}: no tunnel couples anything that hosts could try.");
        }
        let whole = if carried == all { "the tunnels carry" } else { "not every tunnel carries" };
        let secrecy = match encrypted {
            0 => "what they carry is in clear by design".to_owned(),
            all => format!(
                "canaries of the hosts on both sides went no other way, and not in clear, in {}",
                directions(*hidden, *all)
            ),
        };
        format!(
            "{phase}: {whole} what they couple ({}). Small and large packets came through in {}; {secrecy}.",
            and(&self.families),
            directions(*carried, *all),
        )
    }
}

/// `3 of 4 directions`.
fn directions(some: usize, all: usize) -> String {
    let word = if all == 1 { "direction" } else { "directions" };
    format!("{} {word}", phrase::of(some, all))
}

/// In which phases the tunnels themselves did what they are for, for the evaluation (S2 section 2.4); `None` without any.
pub(super) fn capability(source: Source<'_>) -> Option<String> {
    let testbed = Arc::new(source.run.testbed.clone());
    let walked = source.run.phases.iter();
    let showings =
        walked.map(|walked| Showing::of(&walked.judgements, &Stage::new(&testbed, walked.phase)));
    let showings: Vec<_> = showings.filter(|one| one.all > 0).collect();
    if showings.is_empty() {
        return None;
    }
    let named = |whole: bool| -> Vec<String> {
        let some = showings.iter().filter(|one| one.is_whole() == whole);
        some.map(|one| one.phase.to_string()).collect()
    };
    let told = [
        (named(true), "carried all that they couple, and what encrypts let none of it be seen, in"),
        (named(false), "did not, or not provably, in"),
    ];
    let told: Vec<_> = told
        .into_iter()
        .filter(|(phases, _)| !phases.is_empty())
        .map(|(phases, what)| format!("The tunnels themselves {what}: {}.", and(&phases)))
        .collect();
    Some(told.join(" "))
}

/// One row for each pair of subnets: tunnel, gateways, both subnets, and the phases in which it is live.
fn coupled(testbed: &Testbed, stages: &[Stage], evidence: &[Evidence]) -> Vec<[Line; 5]> {
    let mut rows = Vec::new();
    for tunnel in testbed.tunnels.values() {
        let [here, there] = &tunnel.between;
        for relation in &tunnel.relations {
            let live = |stage: &Stage| {
                let (_, end) = stage.ends().find(|(gateway, end)| {
                    *gateway == here
                        && end.tunnel == tunnel.name
                        && end.relations.contains(relation)
                })?;
                let mut line = words(format!("{} over {}", stage.phase, end.outer()));
                if let Some(piece) =
                    evidence.iter().find(|it| shows(it, stage.phase, end, relation))
                {
                    line.push(Inline::text(" "));
                    line.extend(phrase::evidence(&[piece.id], 1));
                }
                Some(line)
            };
            let live: Vec<_> = stages.iter().filter_map(live).collect();
            rows.push([
                words(tunnel.name.to_string()),
                words(format!("{here} and {there}")),
                words(relation.here.to_string()),
                words(relation.there.to_string()),
                if live.is_empty() { words("no phase") } else { phrase::joined(live) },
            ]);
        }
    }
    rows
}

/// Whether an end of a tunnel was read in this piece, in a phase, and couples this.
fn shows(piece: &Evidence, phase: Phase, end: &TunnelEnd, relation: &Relation) -> bool {
    let About::Probe { answer: Answer::Tunnels(states), .. } = &piece.about else { return false };
    let couples = |state: &TunnelState| {
        state.end.tunnel == end.tunnel && state.end.relations.contains(relation)
    };
    piece.phase == phase && states.iter().any(couples)
}

/// What was said of the speed of tunnels, where there was something to compare.
fn speeds(phase: Phase, judgements: &[Judgement]) -> Vec<[Line; 4]> {
    let of_check = judgements.iter().filter(|judgement| {
        judgement.check == "vpn.performance-parity" && judgement.verdict != Verdict::NotApplicable
    });
    let ratio = |judgement: &Judgement| match &judgement.complaint {
        Some(complaint) => format!("{} times", complaint.args["ratio"]),
        None => judgement.reason.clone(),
    };
    of_check
        .map(|judgement| {
            [
                words(phase.to_string()),
                words(judgement.subject.clone()),
                cell::judged([judgement]),
                words(ratio(judgement)),
            ]
        })
        .collect()
}

/// The headings of a table: what names a couple, and those of its columns.
fn headings<const N: usize>(columns: &[Column]) -> [&'static str; N] {
    let mut headings = vec!["Phase, families inside and outside, from and to"];
    headings.extend(columns.iter().map(|column| column.heading));
    headings.try_into().expect("one, and one for each column")
}

/// A row for each couple of each phase: what names it, which stays in sight where the table is wider than the screen, and the
/// verdicts.
fn rows<const N: usize>(columns: &[Column], walked: &[(&[Judgement], &Stage)]) -> Vec<[Line; N]> {
    let of_phase = |(judgements, stage): &(&[Judgement], &Stage)| {
        let several = stage.testbed.tunnels.len() > 1;
        let couples = couples::of_stage(stage);
        let row = |couple: &Couple| {
            let name = if several { format!("{}: ", couple.end.tunnel) } else { String::new() };
            let (families, from, to) = (families(couple), couple.from(), couple.to());
            let mut row = vec![words(format!("{}: {name}{families}, {from} to {to}", stage.phase))];
            let back = couples.iter().find(|other| is_back(other, couple)).map(Couple::subject);
            let ways = [Some(couple.subject()), back];
            row.extend(columns.iter().map(|column| column.said(judgements, &ways)));
            row.try_into().expect("one, and one for each column")
        };
        couples.iter().map(row).collect::<Vec<_>>()
    };
    walked.iter().flat_map(of_phase).collect()
}

impl Column {
    /// Whether what it says of a couple is a pass.
    fn passes(&self, judgements: &[Judgement], couple: &str) -> bool {
        let part = self.part(couple);
        let mut said = judgements.iter().filter(|j| j.check == self.check && j.subject == part);
        said.next().is_some_and(|judgement| judgement.verdict == Verdict::Pass)
    }

    /// The subject that it speaks of.
    fn part(&self, couple: &str) -> String {
        match self.of {
            Of::Part(part) => format!("{couple}, {part}"),
            Of::Couple | Of::Parts | Of::EitherWay => couple.to_owned(),
        }
    }

    /// What it says of a couple, or of the way back where it speaks of that.
    fn said(&self, judgements: &[Judgement], ways: &[Option<String>; 2]) -> Line {
        let all = matches!(self.of, Of::Parts);
        let of_check = judgements.iter().filter(|j| j.check == self.check);
        let ways = match self.of {
            Of::EitherWay => &ways[..],
            _ => &ways[..1],
        };
        for part in ways.iter().flatten().map(|way| self.part(way)) {
            let is_it = |subject: &str| subject == part || all && subject.starts_with(&part);
            let said: Vec<_> = of_check.clone().filter(|j| is_it(&j.subject)).collect();
            if !said.is_empty() {
                return cell::judged(said);
            }
        }
        // A check that has nothing to ask in a phase says so once, and not of each couple.
        cell::judged(of_check.filter(|j| j.verdict == Verdict::NotApplicable && j.subject == "-"))
    }
}

/// Whether one couple is the way back of the other.
fn is_back(one: &Couple, other: &Couple) -> bool {
    one.end.tunnel == other.end.tunnel && one.relation == other.relation.turned()
}

/// `IPv6 in IPv4`, and what a tunnel that encrypts nothing is.
fn families(couple: &Couple) -> String {
    match couple.end.kind {
        kind if kind.is_encrypted() => couple.families(),
        kind => format!("{}, {kind}, not encrypted", couple.families()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CHECKS, fixture::Network};

    #[test]
    fn every_direction_of_every_couple_has_a_row_with_its_verdicts() {
        let text = include_str!("../../../testbed/fokus.toml");
        let testbed = crate::input::testbed("fokus.toml", text).expect("the reference testbed");
        let testbed = Arc::new(testbed);
        for (phase, families) in [
            (Phase::Ipv4Only, &["IPv4 in IPv4"][..]),
            (Phase::Partial, &["IPv4 in IPv4", "IPv6 in IPv4"]),
            (Phase::DualStack, &["IPv4 in IPv6", "IPv6 in IPv6"]),
            (Phase::Ipv6Only, &["IPv6 in IPv6"]),
        ] {
            let stage = Stage::new(&testbed, phase);
            let judgements = Network::of(stage.clone()).ask(CHECKS);
            let rows: Vec<[Line; 7]> = rows(&CARRIED, &[(&judgements, &stage)]);
            assert_eq!(rows.len(), families.len() * 2, "{rows:?}");
            let beside: Vec<[Line; 6]> = super::rows(&BESIDE, &[(&judgements, &stage)]);
            assert!(!format!("{beside:?}").contains("not asked"), "{phase}: {beside:#?}");
            assert!(Showing::of(&judgements, &stage).is_whole(), "{phase}");
            let mut seen = judgements.clone();
            let canary = seen.iter_mut().find(|j| j.check == "vpn.no-clear").unwrap();
            canary.verdict = Verdict::Fail;
            let showing = Showing::of(&seen, &stage);
            assert!(!showing.is_whole() && showing.carried == showing.all, "{phase}");
            let all = families.len() * 2;
            assert!(showing.words().contains(&format!("not in clear, in {} of {all}", all - 1)));
            for family in families {
                let begins = format!("{phase}: {family}, ");
                let of = rows.iter().filter(|row| row[0][0].plain().starts_with(&begins));
                assert!(of.clone().count() == 2);
                assert!(
                    of.clone().all(|row| row[1][0] == phrase::verdict(Verdict::Pass)),
                    "{rows:?}"
                );
            }
        }
    }
}
