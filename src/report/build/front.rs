//! Title table, abstract, how to read, executive summary, introduction.

use std::collections::BTreeSet;

use super::{
    Page, Source,
    phrase::{checks_of, code, count, foreign, gate, of, phases, sentence, stated, words},
    shortfall::Shortfall,
    tally::Tally,
};
use crate::{
    check::UseCase,
    model::{
        finding::Severity, phase::Phase, testbed::Testbed, tunnel::TunnelKind, verdict::Verdict,
    },
    report::{
        document::{Inline, Line, clean},
        run::{Back, Ending, Run},
    },
};

/// The most findings that the summary names.
const MOST_NAMED: usize = 7;

/// The title of the page: short, and different for each run.
pub(super) fn page_title(run: &Run) -> String {
    let title: String = clean(&run.testbed.title).chars().take(40).collect();
    format!("{} {title}", clean(&run.started).chars().take(20).collect::<String>())
}

/// What stands on top and at the foot of the page.
pub(super) fn running(run: &Run) -> String {
    let planted = if run.planted().next().is_some() { " – with planted faults" } else { "" };
    let incomplete = if run.is_complete() { "" } else { " – incomplete" };
    format!(
        "IPv6 migration walk: {} – {} – simulated in network namespaces{planted}{incomplete}",
        clean(&run.testbed.title),
        clean(&run.started)
    )
}

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    let run = source.run;
    let title = [Inline::text("IPv6 migration walk: "), Inline::foreign(&run.testbed.title)];
    page.labelled(1, title.to_vec(), None);
    warnings(page, run);
    title_table(page, run);
    summary_of_all(page, source);
    how_to_read(page);
    executive_summary(page, source);
    introduction(page, source);
}

/// What a reader must know before anything else.
fn warnings(page: &mut Page, run: &Run) {
    match &run.outcome {
        Ending::Complete => {}
        Ending::RolledBack { phase, reason, back } => incomplete(
            page,
            &format!(
                " A step towards the {phase} phase failed, and the lab was taken back{}. The reason: ",
                taken_back(back.as_ref())
            ),
            reason,
        ),
        Ending::Interrupted { reason, .. } => incomplete(
            page,
            " It was stopped before its end; what was measured until then is here. The reason: ",
            reason,
        ),
    }
    let planted = run.planted().count();
    if planted > 0 {
        page.note([
            Inline::strong("Faults were planted on purpose."),
            Inline::text(format!(
                " {} to train people or to test the checks. What this report finds is not the state \
                 of the testbed as its file describes it. ",
                if planted == 1 { "One fault was planted".to_owned() } else { format!("Faults were planted {planted} times") }
            )),
            Inline::see("walk"),
            Inline::text(" names them."),
        ]);
    }
}

fn incomplete(page: &mut Page, how: &str, reason: &str) {
    let mut line = vec![Inline::strong("This run is incomplete."), Inline::text(how)];
    line.extend(sentence(reason));
    page.note(line);
}

/// Where to, and whether the kernel's state was found to be so.
fn taken_back(back: Option<&Back>) -> String {
    let Some(Back { phase, deviations }) = back else {
        return " to the state before the first phase, with nothing live".to_owned();
    };
    match deviations.as_slice() {
        [] => format!(" to the {phase} phase; the kernel\u{2019}s state was verified against it"),
        [first, ..] => format!(
            " towards the {phase} phase, but the kernel\u{2019}s state is not as planned there: {}, the \
             first being: {}",
            count(deviations.len(), "difference"),
            clean(first)
        ),
    }
}

fn title_table(page: &mut Page, run: &Run) {
    let walked: Vec<Phase> = run.phases.iter().map(|walked| walked.phase).collect();
    let state = if run.is_complete() { "complete" } else { "incomplete" };
    let rows = vec![
        [words("Title"), foreign(&run.testbed.title)],
        [words("Follows"), stated(run.testbed.source.as_deref())],
        [words("Document version"), stated(None)],
        [words("Project number, acronym and title"), stated(None)],
        [words("Contractual and actual delivery date"), stated(None)],
        [words("Deliverable type and security class"), words("R (report); class not stated")],
        [words("Responsible, organisation, work package"), stated(None)],
        [words("Authors (organisations)"), stated(None)],
        [words("Keywords"), words("IPv6, migration, dual-stack, IPv6-only, testbed")],
        [words("Run began (UTC)"), code(&run.started)],
        [words("Phases walked"), words(phases(&walked))],
        [words("State of the run"), words(state)],
        [
            words("Kind of run"),
            words("simulated: every node is a network namespace of one machine"),
        ],
        [words("Made by"), foreign(&format!("{} {}", run.tool.name, run.tool.version))],
    ];
    page.line([
        Inline::see("title"),
        Inline::text(
            " identifies this report. A field that neither the run nor the operator gave is \
             \u{201c}not stated\u{201d}; nothing is invented.",
        ),
    ]);
    page.table("title", "This report", ["Field", "Value"], rows);
}

fn summary_of_all(page: &mut Page, source: Source<'_>) {
    let run = source.run;
    let all: Tally = run.phases.iter().flat_map(|walked| &walked.judgements).collect();
    let closed = run.phases.iter().filter(|walked| walked.gate.word() == "closed").count();
    page.heading(2, "Abstract");
    page.line([
        Inline::text("The testbed \u{201c}"),
        Inline::foreign(&run.testbed.title),
        Inline::text(format!(
            "\u{201d} with {} was brought through {} of an IPv6 migration, and the same questions \
             were asked in each. {} were made: {}. {} explain what is wrong; {} closed. (Generated from the run.)",
            count(run.testbed.nodes.len(), "node"),
            count(run.phases.len(), "phase"),
            count(all.total(), "judgement"),
            all.parts(),
            count(run.findings.len(), "finding"),
            match closed {
                0 => "no gate is".to_owned(),
                1 => format!("{} gates is", of(1, run.phases.len())),
                n => format!("{} gates are", of(n, run.phases.len())),
            },
        )),
    ]);
}

fn how_to_read(page: &mut Page) {
    page.heading(2, "How to read this report");
    page.words(
        "The walk takes one network from IPv4-only over a partial phase and dual-stack to \
         IPv6-only. A check asks one thing, for example whether every published name has the \
         addresses that its service answers on. In each phase a check judges each of its subjects: \
         a service, a flow, a link. Each judgement is compared with what the testbed file declares \
         for that phase, so the absence of something can be right.",
    );
    page.line([
        Inline::see("verdicts"),
        Inline::text(
            " lists the words of a judgement. The last three are never counted as a pass. Numbers \
             always come with the number of all judgements of their kind.",
        ),
    ]);
    let meaning = |verdict| match verdict {
        Verdict::Pass => {
            "What was observed is what was expected. Absence where absence is expected is a pass."
        }
        Verdict::Info => "Recorded for the reader; never a finding.",
        Verdict::Degraded => "Works, but worse than expected or not every time.",
        Verdict::Fail => "What was observed is not what was expected.",
        Verdict::NotApplicable => "Nothing of the kind is planned in this phase.",
        Verdict::Blocked => "Not judged, because what it stands on has failed.",
        Verdict::NotTestable => "Could not be measured; the reason is given.",
        Verdict::HarnessError => "The program itself did not work; says nothing about the network.",
    };
    let rows = Verdict::ALL.iter().map(|v| [vec![super::phrase::verdict(*v)], words(meaning(*v))]);
    page.table("verdicts", "The words of a judgement", ["Verdict", "Meaning"], rows.collect());
    page.words(
        "A finding (F-001, F-002, …) is one root cause. It names who is to blame, what else it \
         explains, and in which phase it hurts, which may be a later one. Its evidence (E-0001, …) \
         is what was sent and what came back, with the addresses really used, read from the socket; \
         Annex A shows it, and the file evidence.jsonl holds all of it.",
    );
    page.words(
        "Each phase ends with a gate, and a rule says how bad a finding may stay open there and which \
         checks must pass; section 3 gives the rules. A finding closes the gate of a phase in which it \
         was observed if it is worse than the rule allows, if it spoils a check that the rule requires, \
         or if it does not hurt yet but will in the very next phase. Without such a finding, a \
         required check that was not asked or has an open question, or a lab whose state could not be \
         verified, makes the gate not decidable. Otherwise it is open. Times are UTC or seconds from the start of the run.",
    );
}

fn executive_summary(page: &mut Page, source: Source<'_>) {
    let run = source.run;
    page.heading(2, "Executive summary");
    if let Some(shortfall) = Shortfall::of(source) {
        page.words(&format!(
            "{} What follows is about the phases walked to their end.",
            shortfall.said()
        ));
    }
    let phases: Vec<Line> = run
        .phases
        .iter()
        .map(|walked| {
            let tally: Tally = walked.judgements.iter().collect();
            vec![
                Inline::text(format!("{}: gate ", walked.phase)),
                gate(&walked.gate),
                Inline::text(format!(
                    "; {} judgements passed, {} failed or degraded, {} stayed open, {} not applicable or for information.",
                    of(tally.of(Verdict::Pass), tally.total()),
                    tally.bad(),
                    tally.open(),
                    tally.total() - tally.of(Verdict::Pass) - tally.bad() - tally.open(),
                )),
            ]
        })
        .collect();
    page.list(phases);
    let against: Vec<_> = run
        .findings
        .iter()
        .filter(|finding| run.phases.iter().any(|walked| walked.gate.is_closed_by(finding)))
        .collect();
    match against.len() {
        0 if run.findings.is_empty() => page.words("There is no finding."),
        0 => page.words(&format!(
            "{}, none of which closes a gate.",
            count(run.findings.len(), "finding")
        )),
        n => page.words(&format!(
            "{} a gate{}:",
            if n == 1 {
                format!("1 of {} closes", count(run.findings.len(), "finding"))
            } else {
                format!("{n} of {} close", count(run.findings.len(), "finding"))
            },
            if n > MOST_NAMED { format!("; the first {MOST_NAMED} are") } else { String::new() },
        )),
    }
    let named = against.iter().take(MOST_NAMED).map(|finding| {
        let mut line = vec![
            Inline::link(finding.id.clone(), finding.id.clone()),
            Inline::text(format!(" ({}) ", finding.severity)),
        ];
        line.extend(super::findings::sentence(source, finding));
        line
    });
    page.list(named.collect());
    let latent = run.findings.iter().filter(|f| super::closing::is_latent(f)).count();
    if latent > 0 {
        page.words(&format!(
            "{} yet, but will in a later phase: what to mend before going on.",
            match latent {
                1 => format!("{} does not hurt", of(1, run.findings.len()) + " findings"),
                n => format!("{} do not hurt", of(n, run.findings.len()) + " findings"),
            }
        ));
    }
}

fn introduction(page: &mut Page, source: Source<'_>) {
    let run = source.run;
    page.heading(2, "1 Introduction");
    page.heading(3, "1.1 Scope");
    page.line([
        Inline::text(format!(
            "The testbed has {}, {}, {} and {}. It was walked with {} in {} use cases. The run \
             began at ",
            count(run.testbed.sites.len(), "site"),
            count(run.testbed.segments.len(), "segment"),
            count(run.testbed.nodes.len(), "node"),
            count(run.testbed.flows.len(), "flow"),
            checks_of(source.checks_asked().len(), source.catalogue.iter().count()),
            UseCase::ALL.len() - 1,
        )),
        Inline::code(&run.started),
        Inline::text(" with the command "),
        Inline::code(run.command.join(" ")),
        Inline::text("."),
    ]);
    page.words(
        "Every node is a network namespace of one Linux machine; links are virtual. Addresses, \
         routes, packet filters, name resolution, router advertisements and sockets are those of a \
         real kernel. Speed, cabling, radio and the software of any manufacturer are not judged.",
    );
    page.heading(3, "1.2 What this version does not test");
    let translation = if run.testbed.translations.is_empty() {
        "Translation between the families (NAT64, DNS64, 464XLAT): the IPv6-only phase is strict."
    } else {
        "Translation at hosts (464XLAT), and translators as a manufacturer builds them."
    };
    let mut gaps = vec![
        words(translation),
        words("Behaviour under load, and services other than those of the testbed."),
        words(devices(run)),
    ];
    if !run.testbed.tunnels.is_empty() {
        gaps.insert(0, words(tunnels(&run.testbed)));
    }
    let missing: Vec<_> = Phase::ALL.into_iter().filter(|p| run.walked(*p).is_none()).collect();
    if !missing.is_empty() {
        gaps.insert(
            0,
            words(format!("Phases that were not walked in this run: {}.", phases(&missing))),
        );
    }
    page.list(gaps);
    let notices = run.findings.iter().filter(|f| f.severity == Severity::Notice).count();
    if notices > 0 {
        page.words(&format!(
            "{} concern good practice rather than function.",
            of(notices, run.findings.len()) + " findings"
        ));
    }
}

/// What the tunnels of a lab are, and so what nothing is said of.
fn tunnels(testbed: &Testbed) -> String {
    let ciphers = testbed.tunnels.values().filter(|tunnel| tunnel.kind == TunnelKind::Vpn);
    let by = ciphers.map(|tunnel| match &tunnel.engine {
        None => "WireGuard in user space".to_owned(),
        Some(engine) => format!("those of {engine}"),
    });
    let by: BTreeSet<_> = by.collect();
    let here = if by.is_empty() {
        "none is encrypted here".to_owned()
    } else {
        let by: Vec<_> = by.into_iter().collect();
        format!("the encrypted ones are {} here", by.join(" and "))
    };
    format!(
        "Tunnels as a manufacturer builds them: {here}, and nothing is said of other protocols, their ciphers or their \
         speed."
    )
}

fn devices(run: &Run) -> &'static str {
    if run.engines.is_empty() {
        "Devices of manufacturers: the nodes run the services that are built into the program."
    } else {
        "Devices of manufacturers: the nodes run the services that are built into the program, and the programs of \
         Annex C."
    }
}
