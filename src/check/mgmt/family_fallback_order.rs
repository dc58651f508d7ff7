//! `mgmt.family-fallback-order`: an upload tries IPv6 first, goes on with IPv4 soon, and says so.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        management::{self, Conversation, Heard, Product, Try},
        reading::{self, Judge},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        finding::{Complaint, Confidence, Depth, Severity},
        management::Uploaded,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct FallbackOrder;

/// An upload that takes longer has waited for an address: a product that does right waits a second (RFC 8305 section 5 has a
/// quarter of one), and one that waits for the kernel to give up waits 3 s on a link and 127 s behind a router.
const LONGEST_US: u64 = 4_000_000;

static TEXT: Text = Text {
    id: "mgmt.family-fallback-order",
    title: "Upload: families in order",
    section: "S2 2.3.1",
    use_case: UseCase::Management,
    question: "Does an upload go to the IPv6 address of a box where that answers, soon to the IPv4 address where it does not, \
               and does the log of the software say which it was?",
    good: "Uploads go over IPv6 where it works, soon over IPv4 where it does not, and the log says so.",
    references: &["RFC 8305 section 5"],
    cases: &[
        Case {
            name: "ipv4-first",
            finding: "The management software on {station} uploads to {device} over IPv4 although IPv6 works.",
            expected: "The upload goes to {wanted}.",
            observed: "It went to {used}.",
            remedy: "Give the software the IPv6 address first, or ask the manufacturer for an order of addresses that can be set.",
        },
        Case {
            name: "no-fallback",
            finding: "An upload from {station} to {device} fails while one of its addresses does not answer.",
            expected: "The upload goes to {wanted} instead.",
            observed: "With {what}: “{said}”.",
            remedy: "Give the software the address that answers, and find out why the other does not.",
        },
        Case {
            name: "slow",
            finding: "An upload from {station} to {device} waits {took} for a dead IPv6 address before it goes over IPv4, {silently}.",
            expected: "The upload goes to {wanted} within {limit}, and the log names the address that was given up.",
            observed: "With {what}: it went to {used} after {took}; the log says “{said}”.",
            remedy: "Ask the manufacturer for a shorter limit and a line in the log. Until then watch the management addresses of \
                     both families by themselves: the fallback hides that one is dead.",
        },
        Case {
            name: "silent",
            finding: "An upload from {station} to {device} falls back to IPv4, and the software says nothing of it.",
            expected: "The log names the IPv6 address that was given up.",
            observed: "With {what}: it went to {used} after {took}; the log says “{said}”.",
            remedy: "Ask the manufacturer for a line in the log. Until then watch the management addresses of both families by \
                     themselves: the fallback hides that one is dead.",
        },
    ],
};

impl Check for FallbackOrder {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let products = management::stations(stage);
        let talks = products.iter().filter_map(|product| Some(product.uploads()?.probe()));
        vec![Experiment::of_probes(talks)]
    }

    /// What is slow once may be slow because of this machine.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let products = management::stations(stage);
        let doubtful = products.iter().filter_map(|product| {
            let talk = product.uploads()?;
            complaint(stage, product, &talk.heard(seen).ok()?)?;
            Some(talk.again().probe())
        });
        vec![Experiment::of_probes(doubtful)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let mut judged = Vec::new();
        for product in management::stations(stage) {
            let Some(talk) = product.uploads() else { continue };
            judged.push(of_product(judge, stage, seen, &product, &talk));
        }
        judge.or_not_applicable(judged, "no box is managed over both families in this phase")
    }
}

fn of_product(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    product: &Product<'_>,
    talk: &Conversation,
) -> Judgement {
    let subject = product.subject();
    let heard = match talk.heard(seen) {
        Ok(heard) => heard,
        Err((reason, evidence)) => return judge.not_testable(subject, reason, evidence),
    };
    let Some(first) = complaint(stage, product, &heard) else {
        return judge.pass(subject, [heard.id]);
    };
    match talk.again().heard(seen) {
        Ok(again) => match complaint(stage, product, &again) {
            Some(_) => judge.fail(subject, [heard.id, again.id], first),
            None => judge.pass(subject, [heard.id, again.id]),
        },
        Err((reason, evidence)) => judge.not_testable(subject, reason, evidence),
    }
}

fn complaint(stage: &Stage, product: &Product<'_>, heard: &Heard<'_>) -> Option<Complaint> {
    product.tries()?.into_iter().find_map(|Try { name, v4, v6, wanted }| {
        let what = match name {
            "nobody" => format!("{v6}, which nobody has, and {v4} of the box"),
            "closed" => format!("{v6}, at which nothing listens, and {v4} of the box"),
            _ => format!("{v6} and {v4} of the box"),
        };
        let (reply, took) = heard.reply(name)?;
        let went: Option<Uploaded> = reply.value();
        let used = went.as_ref().map(|went| went.address);
        let said = went
            .map_or_else(|| heard.refusal(name).unwrap_or_default(), |went| went.log.join("; "));
        // The log is only asked for where an address was given up.
        let logs = v6 == wanted || said.contains(&v6.to_string());
        let (case, severity) = match used {
            None => ("no-fallback", Severity::Major),
            Some(used) if used != wanted => ("ipv4-first", Severity::Minor),
            Some(_) if took > LONGEST_US => ("slow", Severity::Minor),
            Some(_) if !logs => ("silent", Severity::Minor),
            Some(_) => return None,
        };
        let args = [
            ("station", product.station.name.to_string()),
            ("device", product.device.name.to_string()),
            ("wanted", wanted.to_string()),
            ("used", used.map_or_else(|| "nowhere".to_owned(), |ip| ip.to_string())),
            ("took", seconds(took)),
            ("limit", seconds(LONGEST_US)),
            (
                "silently",
                if logs { "and says so in its log" } else { "and says nothing of it" }.to_owned(),
            ),
            ("what", what),
            ("said", said),
        ];
        let culprit = product.culprit("order of addresses in uploads");
        Some(Complaint {
            severity,
            confidence: Confidence::High,
            depth: Depth::Located,
            bites_in: management::dual_phases(stage),
            ..reading::complaint(stage, case, culprit, product.scope(), args)
        })
    })
}

fn seconds(us: u64) -> String {
    format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::management::tests;
    use crate::{
        check::fixture,
        model::{management::Quirk, phase::Phase},
    };

    #[test]
    fn a_soon_and_logged_fallback_is_silent() {
        tests::assert_silent(&FallbackOrder);
    }

    #[test]
    fn a_long_wait_that_nobody_hears_of_is_found_while_there_are_two_families() {
        for (phase, wanted) in [(Phase::Ipv4Only, 0), (Phase::Partial, 1), (Phase::DualStack, 1)] {
            let network = tests::network(phase).quirk("manager", Quirk::SilentFallback);
            let found = fixture::complaints(&FallbackOrder, &network);
            assert_eq!(found.len(), wanted, "{phase}");
            assert!(found.iter().all(|(case, _)| case == "slow"), "{found:?}");
        }
    }

    #[test]
    fn each_of_the_other_manners_is_a_case_of_its_own() {
        let cases = [
            (Quirk::Ipv4First, "ipv4-first"),
            (Quirk::NoFallback, "no-fallback"),
            (Quirk::UntoldFallback, "silent"),
        ];
        for (quirk, case) in cases {
            let network = tests::network(Phase::DualStack).quirk("manager", quirk);
            let part = "manager (order of addresses in uploads)".to_owned();
            let wanted = (case.to_owned(), part);
            assert_eq!(fixture::complaints(&FallbackOrder, &network), [wanted]);
        }
    }
}
