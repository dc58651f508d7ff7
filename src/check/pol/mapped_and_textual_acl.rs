//! Do the access lists of services know their users of both families, and nobody else?

use super::visitors::{self, Reception};
use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        legs::Named,
        reach::{Leg, LegReading},
        reading::{self, Judge, Reached},
    },
    model::{
        answer::{Answer, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        probe::Probe,
        service::{Service, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// Asks each service that has an access list from a source that the list names and from one that it does not, over every
/// family. Ways are chosen that no filter stops, so that only the list is put to the test.
pub(super) struct AccessLists;

static TEXT: Text = Text {
    id: "pol.mapped-and-textual-acl",
    title: "Access lists of services know addresses of both families",
    section: "S4",
    use_case: UseCase::Policies,
    question: "Does every service with an access list answer a source that the list names, and not one that it does not \
               name, over every family?",
    good: "Access lists let in whom they name over every family, and nobody else.",
    references: &["RFC 4291 section 2.5.5.2", "RFC 5952 section 3.2", "RFC 9099 section 2.7.1"],
    cases: &[
        Case {
            name: "refused",
            finding: "{what} turns {from} away over {family}, although its access list names {source}.",
            expected: "{what} answers {source}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Compare addresses as numbers and not as text, after an IPv4-mapped address has been made IPv4 again \
                     (`IpAddr::to_canonical`), and name the prefixes of both families in the list.",
        },
        Case {
            name: "admitted",
            finding: "{what} answers {from} over {family}, although its access list does not name {source}.",
            expected: "{what} turns {source} away.",
            observed: "{observed}. {other}.",
            remedy: "Apply the list to IPv6 as to IPv4: an empty list for a family must mean nobody, and not everybody.",
        },
    ],
};

impl Check for AccessLists {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let all = entrances(stage);
        let sent = all.iter().flat_map(|entrance| {
            let ping = (!entrance.named).then(|| entrance.ping());
            [Some(entrance.leg.leg.probe.clone()), ping, entrance.page.clone()]
                .into_iter()
                .flatten()
        });
        vec![Experiment::of_probes(sent)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let all = entrances(stage);
        let named = all.iter().filter(|entrance| entrance.named);
        let again = |entrance: &Entrance| {
            let page = entrance
                .page
                .as_ref()
                .filter(|page| seen.answer(page).is_some_and(|(_, a)| is_denial(a)));
            let rounds = page.into_iter().flat_map(|page| {
                (1..=reading::REPETITIONS).map(move |round| ask::again(page, round))
            });
            let mut experiments = entrance.leg.leg.follow_up(stage, seen);
            experiments.push(Experiment::of_probes(rounds));
            experiments
        };
        named.flat_map(again).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let all = entrances(stage);
        let asked = all.iter().map(|entrance| entrance.judge(stage, seen, &all));
        let found = asked.chain(untold(stage)).collect();
        Judge(&TEXT).or_not_applicable(found, "no service of this phase has an access list")
    }
}

/// Services whose lists cannot be tried: fronts, and those whose engines cannot be told of them.
fn untold(stage: &Stage) -> impl Iterator<Item = Judgement> {
    let all = stage.testbed.nodes.values();
    let services = all.flat_map(|node| node.services.iter().map(move |service| (node, service)));
    let untold = services.filter(|(node, service)| {
        let listens = || Family::ALL.into_iter().any(|f| stage.listens(node, service, f));
        let is_untold = service.front.is_some() || !service.keeps_list();
        !service.admits.is_empty() && is_untold && listens()
    });
    untold.map(|(node, service)| {
        let engine = service.engine.as_ref().map(ToString::to_string).unwrap_or_default();
        let reason = match service.front {
            Some(_) => "a front turns away before it has a page of its own to show".to_owned(),
            None => format!(
                "the engine `{engine}` is told nothing of the list; ask it by `--engine {}=built-in`",
                service.kind
            ),
        };
        Judge(&TEXT).not_testable(format!("{} of {}", service.name, node.name), reason, [])
    })
}

/// A source before a service with an access list.
struct Entrance {
    leg: Named,
    /// A web server may speak TLS with everybody, and answer whom it does not let in: only the page tells.
    page: Option<Probe>,
    /// Whether the list names it.
    named: bool,
}

/// For each address of each service with a list, the first source that it names and the first that it does not.
fn entrances(stage: &Stage) -> Vec<Entrance> {
    let has_list = |service: &Service| !service.admits.is_empty() && service.front.is_none();
    let all = visitors::receptions(stage, has_list);
    let of = |reception: &Reception<'_>, named: bool| {
        let way = reception.ways.iter().find(|way| reception.admits(way) == named)?.clone();
        let (node, service) = (reception.node, reception.service);
        let to = way.destination;
        let leg = Named::to_service(stage, way, node, service, Severity::Critical)?;
        let page =
            service.is_site().then(|| ask::fetch(&leg.leg.probe.from, service, to, &service.path));
        Some(Entrance { leg, page, named })
    };
    let both = all.iter().flat_map(|reception| [of(reception, true), of(reception, false)]);
    both.flatten().collect()
}

impl Entrance {
    fn family(&self) -> Family {
        self.leg.leg.family()
    }

    /// The question that tells whether it is let in.
    fn telling(&self) -> &Probe {
        self.page.as_ref().unwrap_or(&self.leg.leg.probe)
    }

    /// A control: whether the one that is to be turned away comes to the node at all.
    fn ping(&self) -> Probe {
        ask::ping(&self.leg.leg.probe.from, self.leg.leg.path.destination)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>, all: &[Self]) -> Judgement {
        if self.named {
            self.judge_named(stage, seen, all)
        } else {
            self.judge_stranger(stage, seen, all)
        }
    }

    fn judge_named(&self, stage: &Stage, seen: &Seen<'_>, all: &[Self]) -> Judgement {
        let judge = Judge(&TEXT);
        let Some(reading) = self.leg.leg.read(stage, seen) else {
            return judge.not_testable(&self.leg.subject, "the question was not sent", []);
        };
        let evidence = reading.evidence.clone();
        match &reading.reached {
            Reached::Yes => match self.page.as_ref().and_then(|page| denial(seen, page)) {
                None => judge.pass(&self.leg.subject, evidence),
                Some((ids, answer)) => {
                    let mut complaint = self.refused(stage, seen, &reading, all);
                    let port = self.leg.leg.port.map_or_else(String::new, |port| port.to_string());
                    complaint.culprit = Culprit {
                        node: self.leg.leg.path.nodes.last().cloned(),
                        segment: None,
                        part: format!("{port} over {}", self.family()),
                    };
                    complaint.args.insert("observed".to_owned(), reading::describe(answer));
                    judge.fail(&self.leg.subject, [evidence, ids].concat(), complaint)
                }
            },
            Reached::Unknown(reason) => judge.not_testable(&self.leg.subject, reason, evidence),
            // A service that answers some of the time knows its users: `svc.*` tells of the loss.
            Reached::Sometimes { answered, asked } => {
                let reason = format!("answered {answered} of {asked} times: the list names it");
                judge.info(&self.leg.subject, reason, evidence)
            }
            Reached::No if crate::check::legs::is_silence_without_control(&reading) => {
                let reason = "nothing came back, and no control from the same node worked";
                judge.not_testable(&self.leg.subject, reason, evidence)
            }
            // What does not come to the service says nothing of its list.
            Reached::No if reading.located.as_ref().is_some_and(|place| !place.is_far_end) => {
                let reason = format!("it is stopped before the service, {}", reading.place());
                judge.blocked(&self.leg.subject, reason, evidence)
            }
            Reached::No => {
                let complaint = self.refused(stage, seen, &reading, all);
                judge.fail(&self.leg.subject, evidence, complaint)
            }
        }
    }

    /// A list concerns whoever comes from there, whichever way: so this explains what others find on their ways. Over UDP
    /// nothing tells a list from a filter of the same node, which explains the silence if it was read there.
    fn refused(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        reading: &LegReading<'_>,
        all: &[Self],
    ) -> Complaint {
        let legs: Vec<_> = all.iter().filter(|e| e.named).map(|e| e.leg.clone()).collect();
        let mut complaint = self.leg.complaint(stage, seen, reading, "refused", &legs);
        complaint.args.insert("source".to_owned(), self.leg.leg.path.source.to_string());
        if !is_silence_over_udp(&self.leg.leg, reading) {
            complaint.scope.nodes.clear();
            complaint.scope.segments.clear();
        }
        complaint.scope = Scope { address: None, carried: None, ..complaint.scope };
        complaint
    }

    fn judge_stranger(&self, stage: &Stage, seen: &Seen<'_>, all: &[Self]) -> Judgement {
        let judge = Judge(&TEXT);
        let subject = format!("{} as a stranger", self.leg.subject);
        let Some((id, answer)) = seen.answer(self.telling()) else {
            return judge.not_testable(subject, "it was not tried", []);
        };
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(subject, reason, [id]);
        }
        if lets_in(answer) {
            return judge.fail(subject, [id], self.admitted(stage, seen, answer, all));
        }
        let Some((control, ping)) = seen.answer(&self.ping()) else {
            return judge.not_testable(subject, "no control was sent", [id]);
        };
        let twin = all.iter().find(|other| {
            other.named && other.leg.what == self.leg.what && other.family() == self.family()
        });
        let twin = twin.and_then(|twin| seen.answer(twin.telling()));
        let evidence: Vec<_> = [id, control].into_iter().chain(twin.map(|(id, _)| id)).collect();
        // A service that turns away lets TCP connect first; silence over UDP could have any other reason.
        let came = ping.is_answered() || reaches_the_service(answer);
        match twin {
            Some((_, answer)) if came && lets_in(answer) => {
                judge.absent(subject, "turned away by the service, as planned", evidence)
            }
            _ if !came => judge.not_testable(subject, "it did not come to the node", evidence),
            _ => judge.not_testable(subject, "nobody whom the list names was answered", evidence),
        }
    }

    fn admitted(&self, stage: &Stage, seen: &Seen<'_>, answer: &Answer, all: &[Self]) -> Complaint {
        let path = &self.leg.leg.path;
        let args = [
            ("what", self.leg.what.clone()),
            ("from", self.leg.leg.probe.from.to_string()),
            ("source", path.source.to_string()),
            ("family", self.family().to_string()),
            ("observed", reading::describe(answer)),
            ("other", self.other_family(seen, all)),
        ];
        let node = path.nodes.last().expect("a path has ends");
        let culprit = Culprit::node(node, format!("access list of {}", self.leg.what));
        let scope = Scope { packets: Some(Packets::Excess), ..self.leg.leg.scope() };
        Complaint {
            severity: Severity::Critical,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..reading::complaint(stage, "admitted", culprit, scope, args)
        }
    }

    /// How the same went in the other family.
    fn other_family(&self, seen: &Seen<'_>, all: &[Self]) -> String {
        let other = self.family().other();
        let twin = all.iter().find(|twin| {
            (twin.named, &twin.leg.what, twin.family()) == (self.named, &self.leg.what, other)
        });
        match twin.and_then(|twin| seen.answer(twin.telling())) {
            Some((_, answer)) => format!("{other}: {}", reading::describe(answer)),
            None => format!("{other} is not planned here"),
        }
    }
}

/// What became of a page that was asked for again and again and denied each time.
fn denial<'e>(seen: &Seen<'e>, page: &Probe) -> Option<(Vec<EvidenceId>, &'e Answer)> {
    let rounds = (0..=reading::REPETITIONS).map(|round| ask::again(page, round));
    let answers = rounds.map(|page| seen.answer(&page)).collect::<Option<Vec<_>>>()?;
    let all_denied = answers.iter().all(|(_, answer)| is_denial(answer));
    let (_, first) = *answers.first()?;
    all_denied.then(|| (answers.iter().map(|(id, _)| *id).collect(), first))
}

/// Whether an answer is what somebody gets who came and is not let in.
fn is_denial(answer: &Answer) -> bool {
    answer.not_asked().is_none() && !lets_in(answer)
}

/// Whether an answer is what somebody gets who is let in: a page that is not forbidden (RFC 9110 section 15.5.4), or a reply
/// that is not refused (RFC 1035 section 4.1.1; Knot says NOTAUTH).
fn lets_in(answer: &Answer) -> bool {
    let is_forbidden = match answer {
        Answer::Page { page: Some(page), .. } => matches!(page.status, 401 | 403),
        Answer::Dns { reply: Some(reply), .. } => {
            matches!(reply.rcode.as_str(), "Refused" | "NotAuth")
        }
        _ => false,
    };
    answer.is_answered() && !is_forbidden
}

/// Whether something connected before it was turned away.
fn reaches_the_service(answer: &Answer) -> bool {
    use Outcome::{Answered, Garbled, Refused, Stalled};
    let Some(attempt) = answer.attempt() else { return false };
    matches!(attempt.outcome, Answered | Stalled | Garbled { .. } | Refused)
}

/// Whether nothing came back where nothing connects first.
fn is_silence_over_udp(entrance: &Leg, reading: &LegReading<'_>) -> bool {
    let outcome = reading.telling.and_then(Answer::attempt).map(|attempt| &attempt.outcome);
    entrance.port.is_some_and(|port| port.transport == Transport::Udp)
        && outcome == Some(&Outcome::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            cause,
            fixture::{self, Network},
            pol::rule_parity_static::RuleParityStatic,
        },
        model::{
            phase::Phase,
            policy::{Action, Hook, Match, Rule},
            verdict::Verdict,
        },
    };

    /// The list of the agent of the firewall is really this.
    fn with_list(nets: [&str; 2]) -> Network {
        Network::healthy(Phase::DualStack).with(|live| {
            let testbed = std::sync::Arc::make_mut(&mut live.testbed);
            let services = &mut testbed.nodes.get_mut("firewall").unwrap().services;
            let agent = services.iter_mut().find(|service| !service.admits.is_empty()).unwrap();
            agent.admits = nets.map(|net| net.parse().unwrap()).to_vec();
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&AccessLists);
    }

    #[test]
    fn both_sides_of_a_list_are_put_to_the_test_in_both_families() {
        let judgements = Network::healthy(Phase::DualStack).ask(&[&AccessLists]);
        assert_eq!(judgements.len(), 4, "{judgements:#?}");
        assert!(judgements.iter().all(|judgement| judgement.verdict == Verdict::Pass));
    }

    #[test]
    fn a_list_that_does_not_know_its_user_over_ipv6_is_found() {
        let found = fixture::complaints(&AccessLists, &with_list(["10.99.0.5/32", "::1/128"]));
        assert_eq!(found, [("refused".to_owned(), "firewall (udp/161 over IPv6)".to_owned())]);
    }

    #[test]
    fn a_list_that_lets_everybody_in_over_ipv6_is_found() {
        let found = fixture::complaints(&AccessLists, &with_list(["10.99.0.5/32", "::/0"]));
        let culprit = "firewall (access list of snmp of firewall)".to_owned();
        assert_eq!(found, [("admitted".to_owned(), culprit)]);
    }

    #[test]
    fn a_rule_at_the_same_node_explains_the_silence_of_an_agent() {
        let network = Network::healthy(Phase::DualStack).with(|live| {
            let filter = &mut live.nodes.get_mut("firewall").unwrap().filter;
            let input = filter.chains.iter_mut().find(|c| c.hook == Hook::Input).unwrap();
            let port = Match::Port { transport: Transport::Udp, number: 161 };
            let matches = vec![Match::Family(Family::V6), port];
            let label = "planted".to_owned();
            input.rules.insert(0, Rule { label, matches, action: Action::Drop });
        });
        let judgements = network.ask(&[&AccessLists, &RuleParityStatic]);
        let complaints = judgements.iter().filter(|judgement| judgement.complaint.is_some());
        assert_eq!(complaints.count(), 2, "{judgements:#?}");
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        let checks: Vec<_> = found.iter().map(|f| (f.check.as_str(), f.symptoms.len())).collect();
        assert_eq!(checks, [("pol.rule-parity-static", 1)]);
    }

    #[test]
    fn silence_proves_nothing_where_nobody_is_answered() {
        let network = Network::healthy(Phase::DualStack).deafen("firewall", "snmp", Family::V6);
        let judgements = network.ask(&[&AccessLists]);
        let stranger = judgements.iter().find(|judgement| {
            judgement.subject.contains("2001:db8") && judgement.subject.ends_with("stranger")
        });
        assert_eq!(stranger.unwrap().verdict, Verdict::NotTestable);
    }
}
