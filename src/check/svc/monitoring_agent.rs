//! `svc.monitoring-agent`: a monitoring server asks its agents over every planned family, and its page says what is so.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        legs::{self, Named},
        management, pages,
        reading::{self, Judge, Reached},
    },
    model::{
        answer::Page,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        monitor::Agent,
        node::Node,
        probe::Probe,
        service::{Port, Service, ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
    wire::status::{Row, STATUS},
};

/// The check.
pub(super) struct MonitoringAgent;

static TEXT: Text = Text {
    id: "svc.monitoring-agent",
    title: "Monitoring in both families",
    section: "S4 Monitoring",
    use_case: UseCase::NetworkServices,
    question: "Does the monitoring server get an answer of every agent over every planned family, and does its status page say of \
               each family what is so?",
    good: "Monitoring asks every agent over every planned family, and its page says what is so.",
    references: &["RFC 7381 section 2.4.3", "RFC 9099 section 2.6"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "The monitoring server {from} gets no answer from {what} over {family}.",
            expected: "An answer of the agent from {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Let the agent listen on the family, enter the address of the monitoring server of that family in its access \
                     list (also as IPv4-mapped IPv6, where one socket serves both), and open the port on the way.",
        },
        Case {
            name: "flaky",
            finding: "The monitoring server {from} gets an answer from {what} over {family} only some of the time.",
            expected: "An answer of the agent from {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for a limit of requests at the agent.",
        },
        Case {
            name: "not-watched",
            finding: "The status page of {monitor} says nothing of {agent} over {family}: nobody would see it fail there.",
            expected: "A row for {address}, beside those of its other addresses.",
            observed: "{rows}.",
            remedy: "Enter the agent once for each family, by its address or by its name with the family pinned. A check by name \
                     alone takes one family, and says nothing of the other.",
        },
        Case {
            name: "false-green",
            finding: "The status page of {monitor} shows {agent} as up although it does not answer over {family}.",
            expected: "{address} shown as down.",
            observed: "{rows}. Asked from {monitor} itself, {address} did not answer: {observed}.",
            remedy: "Let each family have a state of its own: a check that tries one family after the other, or asks one alone, is \
                     green as long as either works, and whoever has the other alone is without service meanwhile.",
        },
        Case {
            name: "false-alarm",
            finding: "The status page of {monitor} shows {agent} as down over {family} although it answers.",
            expected: "{address} shown as up.",
            observed: "{rows}. Asked from {monitor} itself, {address} answered.",
            remedy: "Look at how the server is told addresses of this family (brackets, escapes), from which address of its own it \
                     asks, and how long it waits for an answer.",
        },
    ],
};

impl Check for MonitoringAgent {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let pages = monitors(stage).into_iter().map(|monitor| monitor.page.clone());
        let pages = Experiment::of_probes(pages.collect::<Vec<_>>());
        legs::ask(&legs_of(stage)).into_iter().chain([pages]).collect()
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let pages: Vec<_> = monitors(stage).into_iter().map(|monitor| monitor.page).collect();
        let again = reading::repeat_unanswered(seen, &pages);
        legs::follow_up(stage, seen, &legs_of(stage)).into_iter().chain(again).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let mut found = legs::judge(judge, stage, seen, &legs_of(stage));
        for monitor in monitors(stage) {
            let page = monitor.shown(seen);
            let watched = monitor.watched.iter();
            found.extend(watched.map(|watched| monitor.judge(stage, seen, page, watched)));
        }
        judge.or_not_applicable(found, "no status page asks an agent in this phase")
    }
}

/// A monitoring server and what it is to watch.
struct Monitor<'s> {
    node: &'s Node,
    service: &'s Service,
    /// The question for its page, which whoever sits before the server asks.
    page: Probe,
    watched: Vec<(&'s Agent, Named)>,
}

fn monitors(stage: &Stage) -> Vec<Monitor<'_>> {
    let mut found = Vec::new();
    for node in stage.testbed.nodes.values() {
        for watch in &stage.nodes[&node.name].watches {
            let Some(service) = node.service(watch.service.as_str()) else { continue };
            let live = Family::ALL.into_iter().filter(|f| stage.listens(node, service, *f));
            let own = live.flat_map(|family| stage.service_addresses(node, service, family)).last();
            let Some(own) = own else { continue };
            let watched = watch.agents.iter().filter_map(|agent| {
                let path = stage.path(&node.name, agent.at.ip()).ok()?;
                let to = &stage.testbed.nodes[&agent.node];
                let is_it = |s: &&Service| s.kind == ServiceKind::Snmp && s.port == agent.at.port();
                let asked = to.services.iter().find(is_it)?;
                Some((agent, Named::to_service(stage, path, to, asked, Severity::Major)?))
            });
            let watched = legs::sample(watched.collect(), legs::SAMPLE);
            let page = ask::fetch(&node.name, service, own, STATUS);
            found.push(Monitor { node, service, page, watched });
        }
    }
    found
}

fn legs_of(stage: &Stage) -> Vec<Named> {
    let all = monitors(stage).into_iter().flat_map(|monitor| monitor.watched);
    all.map(|(_, named)| named).collect()
}

/// The rows of a page, and where they were seen.
type Shown<'e> = Option<(EvidenceId, &'e Page)>;

impl Monitor<'_> {
    fn shown<'e>(&self, seen: &Seen<'e>) -> Shown<'e> {
        pages::shown(seen, &self.page).find(|(_, page)| page.status == 200)
    }

    fn judge(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        page: Shown<'_>,
        (agent, named): &(&Agent, Named),
    ) -> Judgement {
        let judge = Judge(&TEXT);
        let subject = format!("{} on the status page of {}", agent.at.ip(), self.node.name);
        let Some((id, page)) = page else {
            return judge.not_testable(subject, "the status page could not be read", []);
        };
        let Some(reading) = named.leg.read(stage, seen) else {
            return judge.not_testable(subject, "the agent was not asked", [id]);
        };
        let evidence = [vec![id], reading.evidence.clone()].concat();
        let mut rows: Vec<_> = page.rows.iter().filter_map(|cells| Row::read(cells)).collect();
        rows.retain(|row| row.node == agent.node.as_str());
        let row = rows.iter().find(|row| row.at == agent.at.ip());
        let is_green = row.map_or_else(|| rows.iter().any(|row| row.up), |row| row.up);
        let case = match (row, &reading.reached) {
            (_, Reached::Unknown(reason)) => {
                return judge.not_testable(subject, reason.clone(), evidence);
            }
            (_, Reached::No) if is_green => "false-green",
            (None, _) => "not-watched",
            (Some(row), Reached::Yes) if !row.up => "false-alarm",
            (Some(_), Reached::No) => {
                let reason = "it does not answer, and the page says so";
                return judge.absent(subject, reason, evidence);
            }
            (Some(_), _) => return judge.pass(subject, evidence),
        };
        let complaint = self.complaint(stage, case, agent, &rows, reading.observed.clone());
        judge.fail(subject, evidence, complaint)
    }

    fn complaint(
        &self,
        stage: &Stage,
        case: &str,
        agent: &Agent,
        rows: &[Row],
        observed: String,
    ) -> Complaint {
        let family = Family::of(agent.at.ip());
        let state = |row: &Row| format!("{} {}", row.at, if row.up { "up" } else { "down" });
        let states: Vec<_> = rows.iter().map(state).collect();
        let shown = match states.as_slice() {
            [] => format!("the page shows nothing of {}", agent.node),
            states => format!("the page shows {}", states.join(", ")),
        };
        let args = [
            ("monitor", self.node.name.to_string()),
            ("agent", agent.node.to_string()),
            ("family", family.to_string()),
            ("address", agent.at.ip().to_string()),
            ("rows", shown),
            ("observed", observed),
        ];
        let culprit =
            Culprit::node(&self.node.name, format!("status page of {}", self.service.name));
        let scope = Scope {
            to: Some(self.node.name.clone()),
            port: Some(Port { transport: Transport::Tcp, number: self.service.port }),
            packets: Some(Packets::Content),
            ..Scope::default()
        };
        Complaint {
            // Nobody is without service because of what is not looked at, or looks worse than it is.
            severity: if case == "false-green" { Severity::Major } else { Severity::Minor },
            confidence: Confidence::High,
            depth: Depth::Located,
            bites_in: management::phases_with(stage, family),
            ..reading::complaint(stage, case, culprit, scope, args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            fixture::{self, Network},
            management::tests,
        },
        model::{answer::Answer, phase::Phase, probe::Question},
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&MonitoringAgent);
        tests::assert_silent(&MonitoringAgent);
    }

    /// The page of the reference testbed is made of what it should be.
    fn showing(network: Network, make: fn(Vec<Row>) -> Vec<Row>) -> Network {
        network.bend(move |probe, answer| {
            if let (Question::Fetch { path, .. }, Answer::Page { page: Some(page), .. }) =
                (&probe.question, answer)
                && path == STATUS
            {
                let rows = page.rows.iter().filter_map(|cells| Row::read(cells)).collect();
                let made = make(rows);
                page.rows = made
                    .iter()
                    .map(|row| {
                        format!("{} {} {}", row.node, row.at, if row.up { "up" } else { "down" })
                    })
                    .collect();
            }
        })
    }

    #[track_caller]
    fn finds(network: &Network, wanted: &[(&str, &str)]) {
        let mut found = fixture::complaints(&MonitoringAgent, network);
        found.sort();
        found.dedup();
        let wanted: Vec<_> =
            wanted.iter().map(|(case, at)| ((*case).to_owned(), (*at).to_owned())).collect();
        assert_eq!(found, wanted);
    }

    const PAGE: &str = "manager (status page of http)";
    const DEAF: (&str, &str) = ("unreachable", "gateway-a (udp/161 over IPv6)");

    fn deaf() -> Network {
        tests::network(Phase::DualStack).deafen("gateway-a", "snmp", Family::V6)
    }

    fn ipv4_alone(rows: Vec<Row>) -> Vec<Row> {
        rows.into_iter().filter(|row| row.at.is_ipv4()).collect()
    }

    #[test]
    fn a_server_that_asks_over_ipv4_alone_is_found_before_ipv6_fails_and_while_it_does() {
        let phase = Phase::DualStack;
        finds(&showing(tests::network(phase), ipv4_alone), &[("not-watched", PAGE)]);
        let found = [("false-green", PAGE), ("not-watched", PAGE), DEAF];
        finds(&showing(deaf(), ipv4_alone), &found);
        let old = Phase::Ipv4Only;
        finds(&showing(tests::network(old), ipv4_alone), &[]);
    }

    #[test]
    fn an_agent_that_is_deaf_on_ipv6_is_no_fault_of_a_page_that_says_so() {
        finds(&deaf(), &[DEAF]);
        let green = |rows: Vec<Row>| rows.into_iter().map(|row| Row { up: true, ..row }).collect();
        finds(&showing(deaf(), green), &[("false-green", PAGE), DEAF]);
        let red = |rows: Vec<Row>| rows.into_iter().map(|row| Row { up: false, ..row }).collect();
        let network = tests::network(Phase::Ipv6Only);
        finds(&showing(network, red), &[("false-alarm", PAGE)]);
    }
}
