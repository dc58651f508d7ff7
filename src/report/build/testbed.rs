//! Section 2.1: the testbed, the use cases and the phases.

use super::{
    Page, Source,
    phrase::{checks_of, code, foreign, joined, number, of, words},
    tally::Tally,
};
use crate::{
    check::UseCase,
    model::{
        family::Families,
        node::{Node, Origin},
        phase::Phase,
        segment::{Plane, Segment, SegmentKind},
        testbed::Testbed,
    },
    report::{
        document::{Inline, Line},
        figure::topology,
    },
};

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    let testbed = &source.run.testbed;
    page.labelled(2, vec![Inline::text("2 Testbed: "), Inline::foreign(&testbed.title)], None);
    page.heading(3, "2.1 Testbed");
    page.line([
        Inline::see("topology-all"),
        Inline::text(
            " shows the testbed with everything that is live in any phase. Each segment is a \
             horizontal line, each node a box that hangs from the lines it is connected to; boxes \
             with square corners forward packets. ",
        ),
        Inline::see("nodes"),
        Inline::text(" lists the nodes with their addresses, "),
        Inline::see("segments"),
        Inline::text(" the segments."),
    ]);
    page.figure(
        "topology-all",
        "Reference architecture (simulated), all phases together",
        "Topology over all phases; the tables of nodes and segments hold the same facts",
        topology::svg(testbed, None),
    );
    let rows = testbed.nodes.values().map(|node| node_row(testbed, node));
    page.table(
        "nodes",
        "Nodes and the addresses planned for them; the phase table says which are live",
        ["Node", "Role", "Site", "IPv4 and IPv6 addresses", "4 or 6 in each phase", "Services"],
        rows.collect(),
    );
    let rows = testbed.segments.values().map(segment_row);
    page.table(
        "segments",
        "Segments; the last four columns are the families that each carries",
        ["Segment", "Kind", "Prefixes", "MTU", "IPv4-only", "Partial", "Dual-stack", "IPv6-only"],
        rows.collect(),
    );
    use_cases(page, source);
    basic_approach(page, testbed);
}

fn node_row(testbed: &Testbed, node: &Node) -> [Line; 6] {
    let addresses = node.interfaces.iter().flat_map(|interface| {
        interface.addresses.iter().map(move |address| {
            let mut line = code(address.net.to_string());
            match address.origin {
                Origin::Static => {}
                Origin::Slaac => line.push(Inline::text(" (SLAAC)")),
                Origin::Stable => line.push(Inline::text(" (SLAAC, RFC 7217)")),
                Origin::Dhcp => line.push(Inline::text(" (DHCPv6)")),
            }
            line
        })
    });
    let states: Vec<_> = Phase::ALL
        .into_iter()
        .map(|phase| {
            let live = node.interfaces.iter().map(|i| *i.families.in_phase(phase));
            topology::state(live.fold(Families::NONE, Families::or))
        })
        .collect();
    let services = node.services.iter().map(|service| service.name.to_string());
    let services: Vec<_> = services.collect();
    let site = node.site.as_ref().and_then(|site| testbed.sites.get(site));
    [
        code(node.name.as_str()),
        words(node.role.word()),
        site.map_or_else(|| words("none"), |site| foreign(&site.title)),
        joined(addresses),
        words(states.join(" → ")),
        words(if services.is_empty() { "none".to_owned() } else { services.join(", ") }),
    ]
}

fn segment_row(segment: &Segment) -> [Line; 8] {
    let kind = match segment.kind {
        SegmentKind::Lan => "LAN",
        SegmentKind::PointToPoint => "point to point",
        SegmentKind::Transit => "transit",
        SegmentKind::Tunnel => "inside of a tunnel",
        SegmentKind::Translation => "to a translator",
    };
    let stays = segment.stays_ipv4.as_ref();
    let plane = match segment.plane {
        Plane::Data => "",
        Plane::Management => ", management",
    };
    let carries = |phase| words(topology::state(*segment.families.in_phase(phase)));
    let [a, b, c, d] = Phase::ALL.map(carries);
    [
        code(segment.name.as_str()),
        match stays {
            None => words(format!("{kind}{plane}")),
            Some(why) => {
                vec![Inline::text(format!("{kind}{plane}; stays IPv4: ")), Inline::foreign(why)]
            }
        },
        joined(segment.prefixes.iter().map(|prefix| code(prefix.to_string()))),
        number(segment.mtu),
        a,
        b,
        c,
        d,
    ]
}

fn use_cases(page: &mut Page, source: Source<'_>) {
    page.heading(4, "2.1.1 Basic use cases");
    page.line([
        Inline::see("use-cases"),
        Inline::text(
            " says how much of each basic use case of the GEN6 testbed was covered: how many of its checks were \
             asked. A use case of which none was is not covered, whatever else passed.",
        ),
    ]);
    let rows = UseCase::ALL.into_iter().map(|case| {
        let of_case = source.catalogue.iter().filter(|text| text.use_case == case);
        let ids: Vec<_> = of_case.map(|text| text.id).collect();
        let asked = source.checks_asked().into_iter().filter(|id| ids.contains(id)).count();
        let tally: Tally = source.judgements_of(case).collect();
        let coverage =
            if asked == 0 { "not covered".to_owned() } else { checks_of(asked, ids.len()) };
        [words(case.title()), words(coverage), number(tally.total()), words(tally.parts())]
    });
    page.table(
        "use-cases",
        "Basic use cases, their checks, and the judgements over all phases walked",
        ["Use case", "Coverage", "Judgements", "Of which"],
        rows.collect(),
    );
}

fn basic_approach(page: &mut Page, testbed: &Testbed) {
    page.heading(4, "2.1.2 Basic approach");
    page.line([
        Inline::text("The walk has four phases, after section 2.1.2 of GEN6 deliverable D3.6.4. "),
        Inline::see("approach"),
        Inline::text(" says what each means for this testbed. "),
        Inline::see("topology-ipv4-only"),
        Inline::text(", "),
        Inline::see("topology-partial"),
        Inline::text(", "),
        Inline::see("topology-dual-stack"),
        Inline::text(" and "),
        Inline::see("topology-ipv6-only"),
        Inline::text(" show the same picture in each of them."),
    ]);
    let keeps = testbed.segments.values().any(|segment| segment.keeps_ipv4().is_some());
    let meaning = |phase| match phase {
        Phase::Ipv4Only => "The starting point: the network as it is, without IPv6.",
        Phase::Partial => "Some parts have IPv6, as the testbed file declares; the others do not.",
        Phase::DualStack => "IPv4 and IPv6 wherever the testbed can have both.",
        Phase::Ipv6Only if keeps => {
            "No IPv4 anywhere, ARP included, but on the segments that keep it by declaration."
        }
        Phase::Ipv6Only => "No IPv4 anywhere, ARP included.",
    };
    let rows = Phase::ALL.into_iter().map(|phase| {
        let with = |state: &str| {
            let has =
                |segment: &&Segment| topology::state(*segment.families.in_phase(phase)) == state;
            of(testbed.segments.values().filter(has).count(), testbed.segments.len())
        };
        [
            words(phase.to_string()),
            words(meaning(phase)),
            words(with("4")),
            words(with("4+6")),
            words(with("6")),
            words(with("off")),
        ]
    });
    page.table(
        "approach",
        "The phases, and how many segments carry what in them",
        ["Phase", "Intent", "IPv4 only", "Both", "IPv6 only", "Off"],
        rows.collect(),
    );
    for phase in Phase::ALL {
        page.figure(
            format!("topology-{}", phase.word()),
            &format!("The testbed in the {phase} phase (simulated), as planned"),
            &format!("Topology in the {phase} phase; the tables of nodes and segments hold the same facts"),
            topology::svg(testbed, Some(phase)),
        );
    }
}
