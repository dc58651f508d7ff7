//! `mgmt.family-fallback-order`: an upload tries IPv6 first, goes on with IPv4 soon, and says so.

use std::net::IpAddr;

use crate::{
    check::{
        Case, Check, Text, UseCase,
        management::{self, Conversation, Heard, Product, SOON_US, Try},
        reading::{self, Judge},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
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

/// Who is to blame: each part by itself, so that none hides the other.
const ORDER: &str = "order of addresses in uploads";
const FALLBACK: &str = "fallback of uploads";

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
            finding: "An upload from {station} to {device} waits {took} for a dead {dead} address before it goes over {live}, \
                      {silently}.",
            expected: "The upload goes to {wanted} within {limit}, and the log names the address that was given up.",
            observed: "With {what}: it went to {used} after {took}; the log says “{said}”.",
            remedy: "Ask the manufacturer for a shorter limit and a line in the log. Until then watch the management addresses of \
                     both families by themselves: the fallback hides that one is dead.",
        },
        Case {
            name: "silent",
            finding: "An upload from {station} to {device} falls back to {live}, and the software says nothing of it.",
            expected: "The log names the {dead} address that was given up.",
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

    /// What is slow once may be slow because of this machine, or because of the box.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let products = management::stations(stage);
        let doubtful = products.iter().filter_map(|product| {
            let talk = product.uploads()?;
            let uploads = Uploads { product, heard: &talk.heard(seen).ok()? };
            let wrong = |property| matches!(uploads.shown(property), Shown::Wrong(_));
            Property::ALL.into_iter().any(wrong).then(|| {
                let controls = Family::ALL.into_iter().flat_map(|f| product.controls(f));
                controls.chain([talk.again().probe()]).collect::<Vec<_>>()
            })
        });
        vec![Experiment::of_probes(doubtful.flatten())]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let mut judged = Vec::new();
        for product in management::stations(stage) {
            let Some(talk) = product.uploads() else { continue };
            let of = |property| of_product(judge, stage, seen, &product, &talk, property);
            judged.extend(Property::ALL.map(of));
        }
        judge.or_not_applicable(judged, "no box is managed over both families in this phase")
    }
}

/// What is looked at. A product can be wrong in both.
#[derive(Clone, Copy)]
enum Property {
    Order,
    Fallback,
}

impl Property {
    const ALL: [Self; 2] = [Self::Order, Self::Fallback];

    fn subject(self, product: &Product<'_>) -> String {
        let word = match self {
            Self::Order => "order",
            Self::Fallback => "fallback",
        };
        format!("{}, {word}", product.subject())
    }
}

/// How uploads went.
struct Uploads<'a, 's, 'e> {
    product: &'a Product<'s>,
    heard: &'a Heard<'e>,
}

/// How one upload went.
struct Went {
    /// The address that took it.
    to: Option<IpAddr>,
    /// What the product says of it.
    said: String,
    /// How much longer it took than a call to the product does.
    took: u64,
}

/// What uploads show of a property.
enum Shown {
    Good,
    Wrong(Wrong),
    /// Nothing, because of this.
    Open(String),
}

/// What is wrong.
struct Wrong {
    case: &'static str,
    tried: Try,
    went: Went,
}

impl Uploads<'_, '_, '_> {
    fn went(&self, name: &str) -> Option<Went> {
        let (reply, took) = self.heard.reply(name)?;
        let (_, usual) = self.heard.reply(&format!("new {name}"))?;
        let went: Option<Uploaded> = reply.value();
        let said = match &went {
            Some(went) => went.log.join("; "),
            None => self.heard.refusal(name).unwrap_or_default(),
        };
        Some(Went { to: went.map(|went| went.address), said, took: took.saturating_sub(usual) })
    }

    fn tries(&self) -> impl Iterator<Item = (Try, Went)> {
        let tries = self.product.tries().into_iter().flatten();
        tries.filter_map(|tried| Some((tried, self.went(tried.name)?)))
    }

    fn shown(&self, property: Property) -> Shown {
        match property {
            Property::Order => self.order(),
            Property::Fallback => self.fallback(),
        }
    }

    /// Which family comes first where both addresses of the box answer. Whoever says that an address was given up, or takes its
    /// time, has tried it.
    fn order(&self) -> Shown {
        let Some((tried, went)) = self.tries().find(|(tried, _)| tried.dead.is_none()) else {
            return Shown::Open("no upload to both addresses was asked for".to_owned());
        };
        let Went { to, said, took } = &went;
        match to {
            Some(to) if *to == tried.wanted => Shown::Good,
            Some(_) if said.contains(&tried.wanted.to_string()) => {
                Shown::Open(format!("the software has given {} up: “{said}”", tried.wanted))
            }
            Some(to) if *took > SOON_US => {
                let took = seconds(*took);
                let reason = format!("it went to {to} after {took}: {} may be dead", tried.wanted);
                Shown::Open(reason)
            }
            Some(_) => Shown::Wrong(Wrong { case: "ipv4-first", tried, went }),
            None => Shown::Open(format!("an upload to both addresses of the box fails: “{said}”")),
        }
    }

    /// The family that is tried first, where that is known.
    fn first(&self) -> Option<Family> {
        match self.order() {
            Shown::Good => Some(Family::V6),
            Shown::Wrong(_) => Some(Family::V4),
            Shown::Open(_) => None,
        }
    }

    /// What happens where one address does not answer.
    fn fallback(&self) -> Shown {
        let first = self.first();
        let mut open = None;
        for (tried, went) in self.tries().filter(|(tried, _)| tried.dead.is_some()) {
            let dead = tried.other();
            let named = went.said.contains(&dead.to_string());
            let case = match went.to {
                None => "no-fallback",
                Some(to) if to != tried.wanted => {
                    open = Some(format!("somebody answers at {dead}, where nobody is planned to"));
                    continue;
                }
                Some(_) if went.took > LONGEST_US => "slow",
                Some(_) if named || first == Some(Family::of(tried.wanted)) => continue,
                Some(_) if first.is_some() => "silent",
                Some(_) => {
                    open = Some("which family is tried first is not known".to_owned());
                    continue;
                }
            };
            return Shown::Wrong(Wrong { case, tried, went });
        }
        open.map_or(Shown::Good, Shown::Open)
    }
}

fn of_product(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    product: &Product<'_>,
    talk: &Conversation,
    property: Property,
) -> Judgement {
    let subject = property.subject(product);
    let heard = match talk.heard(seen) {
        Ok(heard) => heard,
        Err((reason, evidence)) => return judge.not_testable(subject, reason, evidence),
    };
    let mut evidence = vec![heard.id];
    let wrong = match (Uploads { product, heard: &heard }).shown(property) {
        Shown::Good => return judge.pass(subject, evidence),
        Shown::Open(reason) => return judge.not_testable(subject, reason, evidence),
        Shown::Wrong(wrong) => wrong,
    };
    let again = match talk.again().heard(seen) {
        Ok(again) => again,
        Err((reason, evidence)) => return judge.not_testable(subject, reason, evidence),
    };
    evidence.push(again.id);
    match (Uploads { product, heard: &again }).shown(property) {
        Shown::Wrong(second) if second.case == wrong.case => {}
        Shown::Open(reason) => return judge.not_testable(subject, reason, evidence),
        Shown::Good | Shown::Wrong(_) => return judge.pass(subject, evidence),
    }
    // What went where it should is the product's own, however soon.
    if wrong.case != "silent" {
        match product.answers_soon(seen, Family::of(wrong.tried.wanted)) {
            Ok(control) => evidence.extend(control),
            Err((reason, control)) => {
                evidence.extend(control);
                return judge.not_testable(subject, reason, evidence);
            }
        }
    }
    judge.fail(subject, evidence, complaint(stage, product, wrong))
}

fn complaint(stage: &Stage, product: &Product<'_>, wrong: Wrong) -> Complaint {
    let Wrong { case, tried, went: Went { to, said, took } } = wrong;
    let (dead, live) = (tried.other(), tried.wanted);
    let what = match tried.dead {
        Some(why) => format!("{dead}, {why}, and {live} of the box"),
        None => format!("{dead} and {live} of the box"),
    };
    // The log is only asked for where an address was given up.
    let logs = tried.dead.is_none() || said.contains(&dead.to_string());
    let silently = if logs { "and says so in its log" } else { "and says nothing of it" };
    let args = [
        ("station", product.station.name.to_string()),
        ("device", product.device.name.to_string()),
        ("wanted", live.to_string()),
        ("used", to.map_or_else(|| "nowhere".to_owned(), |ip| ip.to_string())),
        ("took", seconds(took)),
        ("limit", seconds(LONGEST_US)),
        ("dead", Family::of(dead).to_string()),
        ("live", Family::of(live).to_string()),
        ("silently", silently.to_owned()),
        ("what", what),
        ("said", said),
    ];
    let part = if case == "ipv4-first" { ORDER } else { FALLBACK };
    let culprit = product.culprit(part);
    let severity = if case == "no-fallback" { Severity::Major } else { Severity::Minor };
    Complaint {
        severity,
        confidence: Confidence::High,
        depth: Depth::Located,
        bites_in: management::dual_phases(stage),
        ..reading::complaint(stage, case, culprit, product.scope(), args)
    }
}

fn seconds(us: u64) -> String {
    format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::management::tests;
    use crate::{
        check::fixture::{self, Network},
        model::{answer::Answer, management::Quirk, phase::Phase, verdict::Verdict},
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

    fn found(network: &Network) -> Vec<String> {
        let found = fixture::complaints(&FallbackOrder, network);
        for (case, culprit) in &found {
            let part = if case == "ipv4-first" { ORDER } else { FALLBACK };
            assert_eq!(*culprit, format!("manager ({part})"));
        }
        found.into_iter().map(|(case, _)| case).collect()
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
            assert_eq!(found(&network), [case]);
        }
    }

    #[test]
    fn a_wrong_order_hides_no_wrong_fallback() {
        let cases = [
            (Quirk::NoFallback, "no-fallback"),
            (Quirk::UntoldFallback, "silent"),
            (Quirk::SilentFallback, "slow"),
        ];
        for (quirk, case) in cases {
            let network = tests::network(Phase::DualStack);
            let network = network.quirk("manager", Quirk::Ipv4First).quirk("manager", quirk);
            assert_eq!(found(&network), ["ipv4-first", case]);
        }
    }

    #[test]
    fn the_product_is_not_blamed_for_a_box_that_does_not_answer_or_not_soon() {
        for family in Family::ALL {
            for quirk in [None, Some(Quirk::Ipv4First), Some(Quirk::UntoldFallback)] {
                let deaf = tests::network(Phase::DualStack).deafen("gateway-a", "box", family);
                let deaf = quirk.into_iter().fold(deaf, |deaf, q| deaf.quirk("manager", q));
                let judged = deaf.ask(&[&FallbackOrder]);
                assert!(judged.iter().all(|j| j.complaint.is_none()), "{family}: {judged:#?}");
                let open = judged.iter().filter(|j| j.verdict == Verdict::NotTestable).count();
                assert!(open > 0, "{family}: {judged:#?}");
            }
        }
        let slow = tests::network(Phase::DualStack).quirk("manager", Quirk::Ipv4First).bend(
            |probe, answer| {
                if let Answer::Connection { attempt, .. } = answer
                    && attempt.family == Family::V6
                    && probe.round == 1
                {
                    attempt.total_us = 1_500_000;
                }
            },
        );
        assert_eq!(found(&slow), Vec::<String>::new());
    }
}
