//! Section 2.2: what was done, and what was asked about.

use super::{
    Page, Source, phrase,
    phrase::{code, foreign, joined, number, words},
    policies,
};
use crate::{
    model::{
        flow::{Flow, Intent, Traffic},
        phase::Phase,
        segment::Plane,
        testbed::Testbed,
    },
    report::{
        document::{Inline, Line},
        figure::{timeline, topology},
        run::{PhaseRun, Run, Wait},
    },
};

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    let run = source.run;
    page.heading(3, "2.2 Test set-up");
    page.heading(4, "2.2.1 Approach as executed");
    executed(page, run);
    page.heading(4, "2.2.2 Application scenarios");
    scenarios(page, &run.testbed);
    page.heading(4, "2.2.3 Management interface");
    management(page, &run.testbed);
    page.heading(4, "2.2.4 Configuration of security policies");
    policies::rules(page, source);
}

fn executed(page: &mut Page, run: &Run) {
    page.line([
        Inline::see("walk"),
        Inline::text(
            " lists what was done in each phase, in the order of the walk. Before anything was asked, \
             the state of the kernel was read back on every node and compared with the plan. ",
        ),
        Inline::see("timeline"),
        Inline::text(" shows where the time went: "),
        Inline::text(format!(
            "the run took {}, of which {} to build the lab; waits that protocols force were {}.",
            timeline::seconds(run.timings.wall_us),
            timeline::seconds(run.timings.build_us),
            timeline::seconds(run.timings.forced_waits_us),
        )),
    ]);
    page.table(
        "walk",
        "The walk as executed",
        [
            "Phase",
            "Began after",
            "Steps",
            "Steps took",
            "Waits",
            "Probes",
            "Taps",
            "Evidence",
            "State of the lab",
            "Faults planted",
            "Gate",
        ],
        run.phases.iter().map(walk_row).collect(),
    );
    page.figure(
        "timeline",
        "Timeline of the walk (simulated)",
        "Timeline; the table of the walk as executed holds the same facts",
        timeline::svg(run),
    );
    let troubles = [
        (
            "The state of the lab was not as planned in these places:",
            by_phase(run, |p| &p.deviations),
        ),
        ("The run had to go without what these lines name:", by_phase(run, |p| &p.without)),
    ];
    for (words, lines) in troubles {
        if !lines.is_empty() {
            page.words(words);
            page.list(lines);
        }
    }
}

fn by_phase(run: &Run, of: impl Fn(&PhaseRun) -> &Vec<String>) -> Vec<Line> {
    let said =
        run.phases.iter().flat_map(|walked| of(walked).iter().map(|said| (walked.phase, said)));
    let line = |(phase, said): (Phase, &String)| {
        let mut line = words(format!("{phase}: "));
        line.extend(phrase::sentence(said));
        line
    };
    said.map(line).collect()
}

/// What was waited for, and how long; who waited is said where it was one alone.
fn waits(waits: &[Wait]) -> Vec<Line> {
    let mut kinds: Vec<(&str, Vec<&Wait>)> = Vec::new();
    for wait in waits.iter().filter(|wait| wait.us > 0) {
        let kind = wait.reason.split(", from ").next().unwrap_or(&wait.reason);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, alike)) => alike.push(wait),
            None => kinds.push((kind, vec![wait])),
        }
    }
    let line = |(kind, alike): (&str, Vec<&Wait>)| {
        let total = timeline::seconds(alike.iter().map(|wait| wait.us).sum());
        let (what, times) = match alike[..] {
            [one] => (one.reason.as_str(), String::new()),
            _ => (kind, format!(" ({} times)", alike.len())),
        };
        let mut line = phrase::sentence(what);
        line.push(Inline::text(format!("{times} {total}")));
        line
    };
    kinds.into_iter().map(line).collect()
}

fn walk_row(walked: &PhaseRun) -> [Line; 11] {
    let state = match walked.deviations.len() {
        0 => "verified".to_owned(),
        n => phrase::count(n, "deviation"),
    };
    [
        words(walked.phase.to_string()),
        words(timeline::seconds(walked.started_us)),
        number(walked.steps),
        words(timeline::seconds(walked.steps_us)),
        joined(waits(&walked.waits)),
        number(walked.probes),
        number(walked.taps),
        number(walked.evidence),
        words(state),
        joined(walked.faults.iter().map(|fault| code(fault.as_str()))),
        vec![phrase::gate(&walked.gate)],
    ]
}

fn scenarios(page: &mut Page, testbed: &Testbed) {
    page.line([
        Inline::see("flows"),
        Inline::text(
            " lists the flows of the testbed: who may, and who must not, reach what. Each was asked \
             after each phase had been reached, in each family that is live at both ends, and always \
             with literal addresses, so that the family was certain. Users' journeys by name are \
             judged apart.",
        ),
    ]);
    let rows = testbed.flows.iter().map(|flow: &Flow| {
        let traffic: Vec<_> = flow.traffic.iter().map(carried).collect();
        let intent = match flow.intent {
            Intent::Allow => "must pass",
            Intent::Deny => "must not pass",
        };
        [
            foreign(&flow.name),
            words(flow.from.to_string()),
            words(flow.to.to_string()),
            foreign(&traffic.join(", ")),
            words(intent),
        ]
    });
    page.table(
        "flows",
        "Flows of the testbed",
        ["Flow", "From", "To", "Traffic", "Intent"],
        rows.collect(),
    );
}

/// `https (tcp/443)`, `ping`, `any`.
fn carried(traffic: &Traffic) -> String {
    match traffic {
        Traffic::Port { word, port } if *word != port.to_string() => format!("{word} ({port})"),
        other => other.to_string(),
    }
}

fn management(page: &mut Page, testbed: &Testbed) {
    let rows: Vec<_> = testbed
        .nodes
        .values()
        .flat_map(|node| node.interfaces.iter().map(move |interface| (node, interface)))
        .filter(|(_, interface)| testbed.plane(interface) == Plane::Management)
        .map(|(node, interface)| {
            let [a, b, c, d] =
                Phase::ALL.map(|p| words(topology::state(*interface.families.in_phase(p))));
            let addresses = interface.addresses.iter().map(|a| code(a.ip().to_string()));
            [code(node.name.as_str()), joined(addresses), a, b, c, d]
        })
        .collect();
    if rows.is_empty() {
        page.words("The testbed has no management plane: no node was judged as manageable.");
        return;
    }
    page.line([
        Inline::text(
            "Nodes are administered over segments of their own; nothing may be forwarded between \
             them and the data plane. ",
        ),
        Inline::see("management"),
        Inline::text(" lists the management endpoints and the families they have in each phase."),
    ]);
    page.table(
        "management",
        "Management endpoints",
        ["Node", "Addresses", "IPv4-only", "Partial", "Dual-stack", "IPv6-only"],
        rows,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_of_one_kind_are_one() {
        let wait = |reason: &str, us| Wait { reason: reason.to_owned(), us };
        let lines = waits(&[
            wait("duplicate address detection", 0),
            wait("round 1 of questions: silence about an echo, from `a` to 192.0.2.1", 1_500_000),
            wait("round 1 of questions: silence about a name, from `a` to 192.0.2.1", 500_000),
            wait("round 1 of questions: silence about an echo, from `b` to 2001:db8::1", 1_500_000),
        ]);
        let said: Vec<String> = lines.iter().map(|line| format!("{line:?}")).collect();
        assert_eq!(lines.len(), 2, "{said:?}");
        assert!(
            said[0].contains("silence about an echo") && said[0].contains(" (2 times) 3.00 s"),
            "{said:?}"
        );
        assert!(said[1].contains("192.0.2.1") && said[1].contains(" 0.50 s"), "{said:?}");
    }
}
