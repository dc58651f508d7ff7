//! `dns.aaaa-rcode`, `dns.aaaa-silent` and `dns.a-breaks-v6`: name servers answer questions for addresses of either
//! family as RFC 4074 asks, also where there is no such address.

use super::server_listens;
use crate::{
    check::{
        Case, Check, Text, UseCase,
        names::{self, Asked, Form, Heard},
        reading::{self, Judge},
    },
    model::{
        answer::DnsReply,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Scope, Severity},
        phase::Phase,
        probe::Question,
        service::{ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// `dns.aaaa-rcode`.
pub(super) struct AaaaRcode;
/// `dns.aaaa-silent`.
pub(super) struct AaaaSilent;
/// `dns.a-breaks-v6`.
pub(super) struct ABreaksV6;

static RCODE: Text = Text {
    id: "dns.aaaa-rcode",
    title: "Answers about AAAA",
    section: "S2 2.1.1",
    use_case: UseCase::NetworkServices,
    question: "Is a question for AAAA of a name that exists answered with NOERROR, and with the SOA where there is no such \
               record, over UDP, over TCP, with EDNS and in mixed case?",
    good: "Every server answers questions for AAAA as the standards ask.",
    references: &["RFC 4074", "RFC 8020", "RFC 2308 section 2.2", "RFC 6147 section 5.1.2"],
    cases: &[WRONG, NO_SOA, DROPS_FORM],
};

static SILENT: Text = Text {
    id: "dns.aaaa-silent",
    title: "Silence about AAAA",
    section: "S0",
    use_case: UseCase::NetworkServices,
    question: "Does every server answer questions for AAAA at all, when it answers those for A?",
    good: "Every server answers questions for AAAA.",
    references: &["RFC 4074 section 4.1"],
    cases: &[Case {
        name: "silent",
        finding: "{server} drops questions for {type}; each look-up takes seconds longer.",
        expected: "An answer to {type} of {name}, as to {other}.",
        observed: "No answer to {type} in any round from {from} at {address}; {other} was answered.",
        remedy: "Stop filtering questions by type in the name server or the middlebox before it, or replace it.",
    }],
};

static A_BREAKS: Text = Text {
    id: "dns.a-breaks-v6",
    title: "Answers about A",
    section: "S4",
    use_case: UseCase::NetworkServices,
    question: "Is a question for A answered in order and soon, also where only AAAA exists? Many stacks fail the whole \
               look-up otherwise.",
    good: "Questions for A do not get in the way of IPv6.",
    references: &["RFC 4074", "RFC 8305 section 3"],
    cases: &[
        WRONG,
        NO_SOA,
        Case {
            name: "silent",
            finding: "{server} does not answer questions for {type}; look-ups then fail although AAAA is right.",
            expected: "An answer to {type} of {name}, as to {other}.",
            observed: "No answer to {type} in any round from {from} at {address}; {other} was answered.",
            remedy: "Answer with an empty NOERROR where there is no such record.",
        },
    ],
};

const WRONG: Case = Case {
    name: "wrong",
    finding: "{server} answers {rcode} to questions for {type} of a name that exists.",
    expected: "NOERROR to {type} of {name}, with the records or with the SOA.",
    observed: "{rcode} from {server} ({address}), asked from {from}.",
    remedy: "Mend the name server, load balancer or appliance: an existing name without such a record is NOERROR with an \
             empty answer.",
};

const NO_SOA: Case = Case {
    name: "no-soa",
    finding: "{server} answers questions for {type} with neither a record nor the SOA.",
    expected: "The records of {name}, or the SOA that makes their absence cacheable.",
    observed: "An empty {rcode} without SOA from {server} ({address}), asked from {from}.",
    remedy: "Mend the name server: resolvers take such an answer for a lame delegation and ask again and again.",
};

const DROPS_FORM: Case = Case {
    name: "drops-form",
    finding: "{server} does not answer questions for {type} {how}, and answers them otherwise.",
    expected: "An answer to {type} of {name} {how}, as without.",
    observed: "No answer to {type} of {name} {how} in any round from {from} at {address}; the plain question was answered.",
    remedy: "Replace the name server or the middlebox before it, or stop its inspection of DNS: resolvers ask like this \
             today, and wait in vain before they ask again in another form, if they do.",
};

impl Check for AaaaRcode {
    fn text(&self) -> &'static Text {
        &RCODE
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let asked = names::questions(stage, Family::V6);
        let mut experiments = AaaaSilent.ask(stage);
        experiments.push(Experiment::of_probes(variants(&asked)));
        experiments
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let asked = names::questions(stage, Family::V6);
        let mut again = names::repeat(seen, &asked);
        again.extend(reading::repeat_unanswered(seen, &variants(&asked)));
        again
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&RCODE);
        let asked = names::questions(stage, Family::V6);
        let mut found: Vec<_> =
            asked.iter().map(|one| of_reply(judge, stage, seen, one, &asked)).collect();
        found.extend(of_variants(judge, stage, seen, &asked));
        judge.or_not_applicable(found, "no names are published in this phase")
    }
}

impl Check for AaaaSilent {
    fn text(&self) -> &'static Text {
        &SILENT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        Family::ALL
            .map(|family| names::questions(stage, family))
            .iter()
            .flat_map(names::ask)
            .collect()
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        names::repeat(seen, &names::questions(stage, Family::V6))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&SILENT);
        let asked = names::questions(stage, Family::V6);
        let other = names::questions(stage, Family::V4);
        let found = asked.iter().map(|one| of_silence(judge, stage, seen, one, &asked, &other));
        judge.or_not_applicable(found.collect(), "no names are published in this phase")
    }
}

impl Check for ABreaksV6 {
    fn text(&self) -> &'static Text {
        &A_BREAKS
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        AaaaSilent.ask(stage)
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        names::repeat(seen, &names::questions(stage, Family::V4))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&A_BREAKS);
        if stage.phase == Phase::Ipv4Only {
            return vec![judge.not_applicable("-", "no IPv6 is planned in this phase")];
        }
        let asked = names::questions(stage, Family::V4);
        let other = names::questions(stage, Family::V6);
        let found = asked.iter().map(|one| match names::heard(seen, &one.probe) {
            Heard::Silence(_) => of_silence(judge, stage, seen, one, &asked, &other),
            _ => of_reply(judge, stage, seen, one, &asked),
        });
        judge.or_not_applicable(found.collect(), "no names are published in this phase")
    }
}

fn of_reply(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    asked: &Asked,
    all: &[Asked],
) -> Judgement {
    match names::heard(seen, &asked.probe) {
        Heard::Reply(id, reply) => {
            of_one(judge, stage, seen, asked, all, (id, reply), ("", names::plain))
        }
        Heard::Silence(id) | Heard::Unheard(id) => {
            judge.blocked(asked.subject(), "the server was not heard", [id])
        }
        Heard::NotSent => judge.not_testable(asked.subject(), "the question was not sent", []),
    }
}

fn of_one(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    asked: &Asked,
    all: &[Asked],
    (id, reply): (EvidenceId, &DnsReply),
    (how, form): (&str, Form),
) -> Judgement {
    let subject = format!("{}{how}", asked.subject());
    if names::is_in_order(reply) {
        return judge.pass(subject, [id]);
    }
    if asked.is_gone(seen) {
        let reason =
            "the name does not exist in this phase: dns.aaaa-parity says whether it should";
        return judge.absent(subject, reason, [id]);
    }
    if !reply.malformed.is_empty() {
        return judge.blocked(subject, "the data is malformed: see dns.aaaa-bogus", [id]);
    }
    if asked.hangs_on_another(seen, all, form) {
        return judge.blocked(
            subject,
            "it did not get a good answer from the name server itself",
            [id],
        );
    }
    if server_listens::is_lame(stage, seen, &asked.server) {
        let reason = "it answers nothing as it should: see dns.server-listens";
        return judge.blocked(subject, reason, [id]);
    }
    let case = if reply.rcode == "NoError" { "no-soa" } else { "wrong" };
    let mut complaint = complaint(stage, asked, case);
    complaint.args.insert("rcode".to_owned(), reply.rcode.clone());
    if reply.rcode == "ServFail" && asked.server.kind == ServiceKind::Resolver {
        complaint.scope.carried = asked.carried(stage);
    }
    judge.fail(subject, [id], complaint)
}

const OVER_TCP: &str = " over TCP";

/// The first name of each server once more with EDNS, over TCP and in mixed case.
fn variants(asked: &[Asked]) -> Vec<crate::model::probe::Probe> {
    first_of_each(asked)
        .into_iter()
        .flat_map(|one| [names::with_edns(one), over_tcp(one), in_mixed_case(one)])
        .collect()
}

fn first_of_each(asked: &[Asked]) -> Vec<&Asked> {
    let mut known = std::collections::BTreeSet::new();
    asked.iter().filter(|one| known.insert(&one.server)).collect()
}

fn over_tcp(asked: &Asked) -> crate::model::probe::Probe {
    let rtype = crate::model::record::RecordType::of(asked.family);
    names::lookup(&asked.server, &asked.published.name, rtype, Transport::Tcp, None)
}

/// Resolvers that guard against forged replies ask like this; a middlebox that compares octets fails them.
fn in_mixed_case(asked: &Asked) -> crate::model::probe::Probe {
    let mut probe = asked.probe.clone();
    if let Question::Lookup { mixed_case, .. } = &mut probe.question {
        *mixed_case = true;
    }
    probe
}

/// A server that does not even answer the plain question is judged by that.
fn of_variants(judge: Judge, stage: &Stage, seen: &Seen<'_>, all: &[Asked]) -> Vec<Judgement> {
    let forms: [(&str, Form); 3] =
        [(" with EDNS", names::with_edns), (OVER_TCP, over_tcp), (" in mixed case", in_mixed_case)];
    let answers = |one: &&Asked| matches!(names::heard(seen, &one.probe), Heard::Reply(..));
    let answering = first_of_each(all).into_iter().filter(answers);
    let variants = answering.flat_map(|one| forms.map(|form| (one, form)));
    variants.map(|(one, form)| of_variant(judge, stage, seen, one, all, form)).collect()
}

/// Whether a server is reached over TCP at all is for `dns.server-listens`.
fn of_variant(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    asked: &Asked,
    all: &[Asked],
    (how, form): (&str, Form),
) -> Judgement {
    let subject = format!("{}{how}", asked.subject());
    match names::heard(seen, &form(asked)) {
        Heard::Reply(id, reply) => of_one(judge, stage, seen, asked, all, (id, reply), (how, form)),
        Heard::NotSent => judge.not_testable(subject, "the question was not sent", []),
        Heard::Silence(id) | Heard::Unheard(id) if how == OVER_TCP => {
            let reason = "the server was not heard over TCP: see dns.server-listens";
            judge.blocked(subject, reason, [id])
        }
        Heard::Unheard(id) => judge.blocked(subject, "the server was not reached", [id]),
        Heard::Silence(id) => {
            let mut complaint = complaint(stage, asked, "drops-form");
            complaint.scope.carried = asked.carried(stage);
            complaint.args.insert("how".to_owned(), how.trim_start().to_owned());
            judge.fail(subject, [id], complaint)
        }
    }
}

/// Silence about one type counts only where the same server answers about the other.
fn of_silence(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    asked: &Asked,
    all: &[Asked],
    other: &[Asked],
) -> Judgement {
    let subject = asked.subject();
    let id = match names::heard(seen, &asked.probe) {
        Heard::Reply(id, _) => return judge.pass(subject, [id]),
        Heard::Unheard(id) => return judge.blocked(subject, "the server was not reached", [id]),
        Heard::NotSent => return judge.not_testable(subject, "the question was not sent", []),
        Heard::Silence(id) => id,
    };
    let twin =
        other.iter().find(|o| o.server == asked.server && o.published.name == asked.published.name);
    let Some(Heard::Reply(control, _)) = twin.map(|twin| names::heard(seen, &twin.probe)) else {
        return judge.blocked(subject, "the server answers nothing at all", [id]);
    };
    if asked.hangs_on_another(seen, all, names::plain) {
        let reason = "it did not get an answer from the name server itself";
        return judge.blocked(subject, reason, [id, control]);
    }
    let mut complaint = complaint(stage, asked, "silent");
    complaint.scope.carried = asked.carried(stage);
    judge.fail(subject, [id, control], complaint)
}

fn complaint(stage: &Stage, asked: &Asked, case: &str) -> Complaint {
    let later = std::iter::once(stage.phase).chain(stage.phase.later());
    let about_a = asked.family == Family::V4;
    let scope = asked.answers_scope();
    Complaint {
        severity: Severity::Major,
        confidence: match asked.server.kind {
            ServiceKind::Resolver => Confidence::Medium,
            _ => Confidence::High,
        },
        bites_in: later.filter(|phase| about_a || phase.permits().has(Family::V6)).collect(),
        depth: Depth::Read,
        ..reading::complaint(
            stage,
            case,
            asked.answers(),
            Scope { name: None, to: None, ..scope },
            asked.args(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{
            answer::{Answer, Outcome},
            probe::Question,
            record::RecordType,
            segment::Plane,
        },
    };

    /// The name server answers questions of a type wrongly.
    fn wrongly(phase: Phase, wanted: RecordType, how: impl Fn(&mut Answer) + 'static) -> Network {
        Network::healthy(phase).bend(move |probe, answer| {
            if let Question::Lookup { rtype, recurse: false, .. } = probe.question
                && rtype == wanted
            {
                how(answer);
            }
        })
    }

    fn rcode(rcode: &'static str) -> impl Fn(&mut Answer) {
        move |answer| {
            if let Answer::Dns { reply: Some(reply), .. } = answer {
                rcode.clone_into(&mut reply.rcode);
                reply.answers.clear();
                reply.has_soa = false;
            }
        }
    }

    fn silence(answer: &mut Answer) {
        if let Answer::Dns { attempt, reply } = answer {
            attempt.outcome = Outcome::TimedOut;
            *reply = None;
        }
    }

    fn only(check: &dyn Check, network: &Network) -> Vec<(String, String)> {
        let mut found = fixture::complaints(check, network);
        found.sort();
        found.dedup();
        found
    }

    fn about(case: &str, rtype: &str) -> Vec<(String, String)> {
        vec![(case.to_owned(), format!("ns (answers about {rtype})"))]
    }

    #[test]
    fn a_healthy_network_is_silent() {
        for check in [&AaaaRcode as &dyn Check, &AaaaSilent, &ABreaksV6] {
            fixture::assert_silent_when_healthy(check);
        }
    }

    #[test]
    fn a_wrong_rcode_is_the_name_servers_fault_and_not_the_resolvers() {
        for code in ["NXDomain", "ServFail", "Refused", "NotImp"] {
            let network = wrongly(Phase::Ipv4Only, RecordType::Aaaa, rcode(code));
            assert_eq!(only(&AaaaRcode, &network), about("wrong", "AAAA"), "{code}");
        }
        let network = wrongly(Phase::DualStack, RecordType::Aaaa, rcode("NoError"));
        assert_eq!(only(&AaaaRcode, &network), about("no-soa", "AAAA"));
    }

    #[test]
    fn a_form_that_alone_is_not_answered_is_found_and_one_late_reply_is_none() {
        let deaf = |when: fn(u16, u8) -> bool| {
            Network::healthy(Phase::DualStack).bend(move |probe, answer| {
                if let Question::Lookup { edns: Some(size), recurse: false, .. } = probe.question
                    && when(size, probe.round)
                {
                    silence(answer);
                }
            })
        };
        assert_eq!(only(&AaaaRcode, &deaf(|_, _| true)), about("drops-form", "AAAA"));
        // Resolvers announce another size, so that theirs is heard.
        let network = deaf(|size, round| size == names::SAFE_SIZE && round == 0);
        assert_eq!(only(&AaaaRcode, &network), []);
        let judged = network.ask(&[&AaaaRcode]);
        assert!(judged.iter().any(|one| one.subject.ends_with(" with EDNS")));
    }

    #[test]
    fn a_resolver_that_spoils_a_good_answer_is_to_blame_itself() {
        let network = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            if let Question::Lookup { rtype: RecordType::Aaaa, recurse: true, .. } = probe.question
                && probe.from.as_str() == "workplace"
            {
                rcode("NXDomain")(answer);
            }
        });
        let expected = vec![("wrong".to_owned(), "resolver (answers about AAAA)".to_owned())];
        assert_eq!(only(&AaaaRcode, &network), expected);
    }

    #[test]
    fn the_servfail_of_a_resolver_hangs_on_every_link_to_the_name_servers() {
        let network = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            if let Question::Lookup { rtype: RecordType::Aaaa, recurse: true, .. } = probe.question
            {
                rcode("ServFail")(answer);
            }
        });
        let judged = network.ask(&[&AaaaRcode]);
        let at_resolver = judged.iter().filter(|one| one.subject.contains(" at resolver "));
        let mut blamed = at_resolver.filter_map(|one| one.complaint.as_ref());
        let blamed = blamed.next().unwrap();
        let loss_on =
            |segment: &str| Scope { segments: vec![segment.parse().unwrap()], ..Scope::default() };
        let server = network.plan.addresses(&fixture::node("ns"), Plane::Data, Family::V6)[0];
        let way = network.plan.path(&fixture::node("resolver"), server).unwrap();
        assert!(way.segments.iter().all(|link| loss_on(link.as_str()).covers(&blamed.scope)));
        assert!(!loss_on("management").covers(&blamed.scope));
    }

    #[test]
    fn silence_about_one_type_is_found_and_a_server_that_is_down_is_not_mistaken_for_it() {
        let network = wrongly(Phase::DualStack, RecordType::Aaaa, silence);
        assert_eq!(only(&AaaaSilent, &network), about("silent", "AAAA"));
        assert_eq!(only(&ABreaksV6, &network), []);
        let down = Network::healthy(Phase::DualStack).bend(|_, answer| silence(answer));
        assert_eq!(only(&AaaaSilent, &down), []);
    }

    #[test]
    fn a_wrong_answer_about_a_hurts_also_where_only_ipv6_is_left() {
        let network = wrongly(Phase::Ipv6Only, RecordType::A, rcode("ServFail"));
        assert_eq!(only(&ABreaksV6, &network), about("wrong", "A"));
        let network = wrongly(Phase::DualStack, RecordType::A, silence);
        assert_eq!(only(&ABreaksV6, &network), about("silent", "A"));
    }
}
