//! `x64.he-confusion`: users who have a translator get to hosts with IPv4 alone by name, and do not run into the A record first.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, names,
        reading::{self, Judge},
        translated::{self, Use},
    },
    model::{
        answer::{Answer, Attempt, Page},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::{DomainName, NodeName},
        probe::{Probe, Question},
        segment::Plane,
        service::{Service, ServiceKind},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Confusion;

/// How long a program waits for AAAA once it has A (RFC 8305 section 3), in microseconds.
const RESOLUTION_DELAY_US: u64 = 50_000;

static TEXT: Text = Text {
    id: "x64.he-confusion",
    title: "Names with A and synthesized AAAA",
    section: "S4 Node.js",
    use_case: UseCase::InsideToOutside,
    question: "Does a program with IPv6 alone that looks up a name with an A record and a synthesized AAAA record try the \
               synthesized address, and not the other first? What another program does is a matter of its library.",
    good: "Programs try the synthesized addresses.",
    references: &["RFC 8305 sections 3 and 7", "RFC 6147 section 5.5", "RFC 6724"],
    cases: &[
        Case {
            name: "ipv4-first",
            finding: "{from} tries {first} before the synthesized address of {name}: programs that take the first answer for all \
                      fail, the others lose time.",
            expected: "The first attempt goes to {address}.",
            observed: "The first attempt goes to {first}: {outcome}. AAAA came after {new} ms, A after {old} ms.",
            remedy: "Look at what makes the resolver answer AAAA late: DNS64 asks twice, and a slow name server counts twice. Clients \
                     with IPv6 alone may also be given no A records at all.",
        },
        Case {
            name: "gives-up",
            finding: "{from} does not get to {name}, although {address}, which stands for it, answers.",
            expected: "The page of {name}, from {address}.",
            observed: "Tried: {tried}. {failure}.",
            remedy: "If {address} is not among what was tried, look at what the resolver makes of the name. Otherwise update the \
                     program or its library (RFC 8305), or give it a resolver that answers AAAA alone.",
        },
    ],
};

impl Check for Confusion {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let users = users(stage);
        let probes = users.iter().flat_map(|user| [user.journey(0), user.one.leg.probe.clone()]);
        vec![Experiment::of_probes(probes.collect::<Vec<_>>())]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let users = users(stage);
        let confused = users.iter().filter(|user| {
            user.trip(seen, 0).is_some_and(|trip| trip.page.is_none() || trip.begins_with_ipv4())
        });
        let probes = confused.flat_map(|user| {
            let again = (1..=reading::REPETITIONS).map(|round| user.journey(round));
            again.chain(user.lookups(stage)).collect::<Vec<_>>()
        });
        vec![Experiment::of_probes(probes.collect::<Vec<_>>())]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = users(stage).iter().map(|user| user.judge(judge, stage, seen)).collect();
        judge.or_not_applicable(found, "no name leads through a translator in this phase")
    }
}

/// Somebody who goes to a page by a name that leads through a translator.
struct User<'s> {
    one: Use<'s>,
    service: &'s Service,
    name: &'s DomainName,
}

/// What became of going there.
struct Trip<'e> {
    id: EvidenceId,
    attempts: &'e [Attempt],
    page: Option<&'e Page>,
    failure: Option<&'e String>,
    resolved_v6: bool,
}

impl Trip<'_> {
    fn begins_with_ipv4(&self) -> bool {
        self.attempts.first().is_some_and(|attempt| attempt.family == Family::V4)
    }
}

fn users(stage: &Stage) -> Vec<User<'_>> {
    let of_one = |one: Use<'_>| {
        let web = [ServiceKind::Http, ServiceKind::Https];
        let node = stage.testbed.nodes.get(&one.to)?;
        let mut services = node.services.iter().filter(|service| web.contains(&service.kind));
        let service = services.find(|s| one.what == format!("{} of {}", s.name, one.to))?;
        let name =
            service.names.first().filter(|_| stage.is_led_through_translation(one.from()))?;
        Some((service, name))
    };
    let uses = translated::uses(stage).into_iter();
    uses.filter_map(|one| of_one(one.clone()).map(|(service, name)| User { one, service, name }))
        .collect()
}

impl User<'_> {
    fn journey(&self, round: u8) -> Probe {
        let question = Question::Journey {
            name: self.name.clone(),
            port: self.service.port,
            tls: self.service.kind == ServiceKind::Https,
            path: self.service.path.clone(),
            pinned: None,
        };
        Probe { round, ..ask::probe(self.one.from(), question) }
    }

    /// What the user's first resolver says of the name, AAAA first.
    fn lookups(&self, stage: &Stage) -> Vec<Probe> {
        let server = names::resolvers_of(stage, self.one.from()).next();
        server.map_or_else(Vec::new, |server| names::both_families(&server, self.name).into())
    }

    fn trip<'e>(&self, seen: &Seen<'e>, round: u8) -> Option<Trip<'e>> {
        let (id, Answer::Journey { attempts, page, failure, resolved, .. }) =
            seen.answer(&self.journey(round))?
        else {
            return None;
        };
        let resolved_v6 = resolved.iter().any(std::net::IpAddr::is_ipv6);
        let (page, failure) = (page.as_ref(), failure.as_ref());
        Some(Trip { id, attempts, page, failure, resolved_v6 })
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}->{}", self.one.from(), self.name);
        let trips = (0..=reading::REPETITIONS).filter_map(|round| self.trip(seen, round));
        let trips: Vec<_> = trips.collect();
        let evidence: Vec<_> = trips.iter().map(|trip| trip.id).collect();
        let Some(first) = trips.first() else {
            return judge.not_testable(subject, "nobody went there", evidence);
        };
        if stage.families(self.one.from(), Plane::Data).is_dual() {
            return beside_ipv4(judge, subject, first);
        }
        if let Some(trip) =
            trips.iter().find(|trip| trip.page.is_some() && !trip.begins_with_ipv4())
        {
            return judge.pass(subject, [trip.id]);
        }
        if !trips.iter().any(|trip| trip.resolved_v6) {
            let reason = "no address was synthesized: see dns64.synth";
            return judge.blocked(subject, reason, evidence);
        }
        let direct = seen.answer(&self.one.leg.probe);
        if !direct.is_some_and(|(_, answer)| answer.is_answered()) {
            let reason = "the synthesized address itself does not answer: see x64.reach";
            return judge.blocked(subject, reason, evidence);
        }
        let late = trips.iter().find(|trip| trip.begins_with_ipv4());
        let complaint = match late {
            Some(trip) => self.ipv4_first(stage, seen, trip),
            None => self.gives_up(stage, first),
        };
        judge.fail(subject, evidence, complaint)
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        vec![
            ("from", self.one.from().to_string()),
            ("name", self.name.to_string()),
            ("address", self.one.way.address.to_string()),
        ]
    }

    fn ipv4_first(&self, stage: &Stage, seen: &Seen<'_>, trip: &Trip<'_>) -> Complaint {
        let took = self.lookups(stage).into_iter().map(|probe| {
            seen.answer(&probe).and_then(|(_, answer)| Some(answer.attempt()?.total_us))
        });
        let took: Vec<_> = took.collect();
        let millis =
            |us: Option<u64>| us.map_or_else(|| "?".to_owned(), |us| (us / 1000).to_string());
        let (new, old) = (took.first().copied().flatten(), took.get(1).copied().flatten());
        let is_late = new.zip(old).is_some_and(|(new, old)| new > old + RESOLUTION_DELAY_US);
        let culprit = match self.resolver(stage).filter(|_| is_late) {
            Some(node) => Culprit::node(node, "answers about AAAA"),
            None => Culprit::node(self.one.from(), "order of addresses"),
        };
        let attempt = &trip.attempts[0];
        let mut complaint = self.complaint(stage, "ipv4-first", culprit);
        complaint.args.extend([
            ("first".to_owned(), attempt.destination.ip().to_string()),
            ("outcome".to_owned(), format!("{:?}", attempt.outcome)),
            ("new".to_owned(), millis(new)),
            ("old".to_owned(), millis(old)),
        ]);
        complaint
    }

    /// The node that resolves names for the user.
    fn resolver<'t>(&self, stage: &'t Stage) -> Option<&'t NodeName> {
        let server = self.lookups(stage).first()?.question.destination()?;
        stage.owner(server).map(|(node, _)| node)
    }

    fn gives_up(&self, stage: &Stage, trip: &Trip<'_>) -> Complaint {
        let tried: Vec<_> = trip.attempts.iter().map(|a| a.destination.ip().to_string()).collect();
        let was_told =
            trip.attempts.iter().any(|attempt| attempt.destination.ip() == self.one.way.address);
        let culprit = match self.resolver(stage).filter(|_| !was_told) {
            // The same words for the culprit as `dns64.synth` has: it is the same fault.
            Some(node) => Culprit::node(node, "synthesis of AAAA"),
            None => Culprit::node(self.one.from(), "order of addresses"),
        };
        let mut complaint = self.complaint(stage, "gives-up", culprit);
        let failure = trip.failure.cloned().unwrap_or_else(|| "nothing came".to_owned());
        complaint.args.insert("tried".to_owned(), tried.join(", "));
        complaint.args.insert("failure".to_owned(), failure);
        complaint
    }

    fn complaint(&self, stage: &Stage, case: &str, culprit: Culprit) -> Complaint {
        let scope = Scope {
            family: Some(Family::V6),
            name: Some(self.name.clone()),
            packets: Some(Packets::Names),
            ..Scope::default()
        };
        let mut complaint = reading::complaint(stage, case, culprit, scope, []);
        let args = self.args().into_iter().map(|(key, value)| (key.to_owned(), value));
        complaint.args.extend(args);
        Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..complaint
        }
    }
}

/// Who has IPv4 beside it may take either; which it took is written down.
fn beside_ipv4(judge: Judge, subject: String, trip: &Trip<'_>) -> Judgement {
    let Some(last) = trip.attempts.last().filter(|_| trip.page.is_some()) else {
        return judge.blocked(subject, "the page did not come: see ux.family-truth", [trip.id]);
    };
    let reason = match last.family {
        Family::V4 => "it goes over IPv4 of its own, and not through the translator",
        Family::V6 => "it goes through the translator, although it has IPv4 of its own",
    };
    judge.info(subject, reason, [trip.id])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture;

    #[test]
    fn a_network_without_translation_is_silent() {
        fixture::assert_silent_when_healthy(&Confusion);
    }
}
