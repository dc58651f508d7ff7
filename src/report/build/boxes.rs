//! Section 2.3.4: the boxes by name, with the services that belong to their base configuration (S2 section 2.2.1): whether
//! they are managed, keep what they are given, and reach time, directory and log over each family.

use std::sync::Arc;

use super::{
    Page, Source, cell,
    phrase::{code, words},
};
use crate::{
    check::exchanged,
    model::{
        family::Family,
        name::NodeName,
        node::{Node, Role},
        phase::Phase,
        service::{Service, ServiceKind},
        testbed::Testbed,
        verdict::Judgement,
    },
    report::document::{Inline, Line},
    stage::Stage,
};

/// What is asked of a box: in the words of the table, by which check, and with whom.
struct Use<'t> {
    what: &'static str,
    check: &'static str,
    device: &'t Node,
    with: &'t NodeName,
    asked: Asked<'t>,
}

/// What a check asks of a box.
enum Asked<'t> {
    /// A service, by a node.
    Service { from: &'t NodeName, to: &'t Node, service: &'t Service },
    /// The box itself, whatever the family.
    Itself,
}

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    let testbed = Arc::new(source.run.testbed.clone());
    let walked = source.run.phases.iter();
    let walked: Vec<_> =
        walked.map(|one| (Stage::new(&testbed, one.phase), &one.judgements[..])).collect();
    let rows: Vec<_> = uses(&testbed).iter().map(|one| row(one, &walked)).collect();
    if rows.is_empty() {
        return;
    }
    page.line([
        Inline::text("To the base configuration of a box belong the services that it uses. "),
        Inline::see("boxes"),
        Inline::text(
            " names the boxes, and says in each family whether the station reaches them, whether they still have what they were \
             given when they start again, and whether they reach those services.",
        ),
    ]);
    page.table(
        "boxes",
        "Boxes and their base configuration",
        ["Device", "What", "With", "IPv4-only", "Partial", "Dual-stack", "IPv6-only"],
        rows,
    );
}

fn uses(testbed: &Testbed) -> Vec<Use<'_>> {
    testbed.nodes.values().flat_map(|device| of_device(testbed, device)).collect()
}

fn of_device<'t>(testbed: &'t Testbed, device: &'t Node) -> Vec<Use<'t>> {
    let of_kind = |node: &'t Node, kind| node.services.iter().filter(move |it| it.kind == kind);
    let Some(port) = of_kind(device, ServiceKind::Box).next() else { return Vec::new() };
    let mut uses = Vec::new();
    let stations = testbed.nodes.values().filter(|node| node.role == Role::ManagementStation);
    for station in stations {
        let with = &station.name;
        let asked = Asked::Service { from: with, to: device, service: port };
        let (what, check) = ("Reached for management", "mgmt.reach-both");
        uses.push(Use { what, check, device, with, asked });
        let (what, check) = ("Configuration kept", "mgmt.config-roundtrip");
        uses.push(Use { what, check, device, with, asked: Asked::Itself });
    }
    for (what, used, kind, check) in [
        ("Time (NTP)", &device.time_from, ServiceKind::Ntp, "svc.ntp-v6"),
        ("Users (LDAP)", &device.users_from, ServiceKind::Ldap, "svc.ldap-v6"),
        ("Log (syslog)", &device.logs_to, ServiceKind::Syslog, "svc.syslog-v6"),
    ] {
        let Some(to) = used.as_ref().and_then(|name| testbed.nodes.get(name)) else { continue };
        uses.extend(of_kind(to, kind).map(|service| {
            let asked = Asked::Service { from: &device.name, to, service };
            Use { what, check, device, with: &to.name, asked }
        }));
    }
    uses
}

fn row(one: &Use<'_>, walked: &[(Stage, &[Judgement])]) -> [Line; 7] {
    let cell = |phase| match walked.iter().find(|(stage, _)| stage.phase == phase) {
        None => words("not walked"),
        Some((stage, judgements)) => one.cell(stage, judgements),
    };
    let [a, b, c, d] = Phase::ALL.map(cell);
    [code(one.device.name.as_str()), words(one.what), code(one.with.as_str()), a, b, c, d]
}

impl Use<'_> {
    fn cell(&self, stage: &Stage, judgements: &[Judgement]) -> Line {
        let judged = |subjects: &[String]| {
            let of_check = judgements.iter().filter(|judgement| judgement.check == self.check);
            cell::judged(of_check.filter(|judgement| subjects.contains(&judgement.subject)))
        };
        let Asked::Service { from, to, service } = &self.asked else {
            return judged(&exchanged::kept(self.with, &self.device.name));
        };
        let mut line = Line::new();
        for family in Family::ALL {
            let addresses = stage.service_addresses(to, service, family);
            if addresses.is_empty() {
                continue;
            }
            let subjects: Vec<_> = addresses
                .iter()
                .flat_map(|address| {
                    let served = exchanged::served(from, &to.name, &service.name, *address);
                    [served, exchanged::delivered(from, &to.name, *address)]
                })
                .collect();
            if !line.is_empty() {
                line.push(Inline::text("; "));
            }
            line.push(Inline::text(format!("{family} ")));
            line.extend(judged(&subjects));
        }
        if line.is_empty() { words("none by plan") } else { line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CHECKS, Check, fixture::Network};

    #[test]
    fn each_box_is_named_with_directory_and_time_in_each_family() {
        let text = include_str!("../../../testbed/fokus.toml");
        let testbed = crate::input::testbed("fokus.toml", text).expect("the reference testbed");
        let stage = Stage::new(&Arc::new(testbed), Phase::DualStack);
        let wanted = ["mgmt.reach-both", "mgmt.config-roundtrip", "svc.ntp-v6", "svc.ldap-v6"];
        let about = |check: &&&dyn Check| wanted.contains(&check.text().id);
        let checks: Vec<_> = CHECKS.iter().filter(about).copied().collect();
        let judgements = Network::of(stage.clone()).ask(&checks);
        let walked = [(stage.clone(), &judgements[..])];
        let plain = |line: &Line| line.iter().map(Inline::plain).collect::<String>();
        let rows: Vec<_> = uses(&stage.testbed)
            .iter()
            .map(|one| row(one, &walked).each_ref().map(plain))
            .collect();
        for device in ["gateway-a", "gateway-b"] {
            for (what, with) in [
                ("Reached for management", "manager"),
                ("Configuration kept", "manager"),
                ("Time (NTP)", "clock"),
                ("Users (LDAP)", "directory"),
            ] {
                let is_it = |row: &&[String; 7]| {
                    (row[0].as_str(), row[1].as_str(), row[2].as_str()) == (device, what, with)
                };
                let row = rows.iter().find(is_it).expect("a row of it");
                assert!(row[5].contains("\u{2714} pass "), "{row:?}");
                let families = what != "Configuration kept";
                assert_eq!(row[5].contains("; IPv6 \u{2714} pass"), families, "{row:?}");
            }
        }
    }
}
