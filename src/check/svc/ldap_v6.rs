//! `svc.ldap-v6`: directories show who they are over every planned family, to everybody who is to ask them, encrypt over both alike
//! and send nobody on to an address of one family alone.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase,
        legs::{self, Named},
        reaching,
        reading::{self, Judge},
        starttls,
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        phase::Phase,
        service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
    wire::reference::{self, Host},
};

/// The check.
pub(super) struct Ldap;

static TEXT: Text = Text {
    id: "svc.ldap-v6",
    title: "Directory over both families",
    section: "S2 2.2.1",
    use_case: UseCase::NetworkServices,
    question: "Does the directory answer a search for its root DSE from everybody who may ask it, over every family that \
               both have, and encrypt (StartTLS) over both or neither? What is offered is taken, with a certificate for the \
               name of the directory. Does it send nobody on to a server that it names by an address of one family: as another one (altServer), \
               or when asked for what it does not hold? Servers that it names by name are not looked up.",
    good: "Everybody who may ask the directory gets its root DSE over every planned family, encrypted alike, and is sent \
           on by names.",
    references: &[
        "RFC 4511 section 4.1.10",
        "RFC 4511 section 4.14",
        "RFC 4512 section 5.1",
        "RFC 7381 section 2.4.3",
    ],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} gets no answer from {what} over {family}.",
            expected: "The root DSE from {address}, and TLS after StartTLS where it is offered.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Let the directory listen on the family, name it by its name and not by an address at whoever asks, \
                     and open the port on the way and in its access list. Its certificate must hold the name.",
        },
        Case {
            name: "flaky",
            finding: "{from} gets an answer from {what} over {family} only some of the time.",
            expected: "The root DSE from {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for a limit of connections at the directory.",
        },
        Case {
            name: "clear-in-one-family",
            finding: "{what} offers {from} no StartTLS over {family}, and does over {other}: passwords go in the clear there.",
            expected: "StartTLS among the extensions of the root DSE over both families.",
            observed: "{address} shows a root DSE whose `supportedExtension` does not hold 1.3.6.1.4.1.1466.20037.",
            remedy: "Let whatever listens on that family have the certificate and the settings of the other: look for a second \
                     server or a proxy there.",
        },
        Case {
            name: "sends-on",
            finding: "{what} sends its users on to {url}, which users with {family} alone do not reach.",
            expected: "Other servers are named by names that have addresses of both families.",
            observed: "{from} asked {address} and was told of {url}.",
            remedy: "Name the other server by its name in the referral (`olcReferral`, `ref`, `altServer`), and give the name \
                     addresses of both families.",
        },
    ],
};

impl Check for Ldap {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        legs::ask(&directories(stage))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        legs::follow_up(stage, seen, &directories(stage))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let directories = directories(stage);
        let mut found = legs::judge(judge, stage, seen, &directories);
        found.extend(starttls::judge(judge, stage, seen, &directories));
        let mut known = BTreeSet::new();
        for named in &directories {
            let Some((id, others)) = others(seen, named) else { continue };
            for url in others {
                if known.insert((&named.leg.probe.from, &named.what, url)) {
                    found.push(sent_on(judge, stage, named, (id, url)));
                }
            }
        }
        judge.or_not_applicable(found, "no flow lets anybody ask a directory in this phase")
    }
}

fn directories(stage: &Stage) -> Vec<Named> {
    reaching::by_flows(stage, ServiceKind::Ldap)
}

/// The other servers that a directory names, in the first round that it answered.
fn others<'e>(seen: &Seen<'e>, named: &Named) -> Option<(EvidenceId, &'e [String])> {
    match named.answered(seen)? {
        (id, Answer::Connection { others, .. }) => Some((id, others)),
        _ => None,
    }
}

fn sent_on(
    judge: Judge,
    stage: &Stage,
    named: &Named,
    (id, url): (EvidenceId, &String),
) -> Judgement {
    let subject = format!("{}->{} (sends on to {url})", named.leg.probe.from, named.what);
    let literal = match reference::directory(url) {
        Ok(Host::Address(literal)) => literal,
        Ok(Host::Name(_)) => return judge.pass(subject, [id]),
        Err(_) => return judge.info(subject, "it is no URL of a directory", [id]),
    };
    let complaint = complaint(stage, named, url, literal);
    if complaint.bites_in.is_empty() {
        let reason = format!("nobody is without {} now or later", Family::of(literal));
        return judge.info(subject, reason, [id]);
    }
    judge.fail(subject, [id], complaint)
}

fn complaint(stage: &Stage, named: &Named, url: &str, literal: IpAddr) -> Complaint {
    let missing = Family::of(literal).other();
    let node = named.leg.path.nodes.last().expect("a path has ends");
    let args = [
        ("what", named.what.clone()),
        ("url", url.to_owned()),
        ("family", missing.to_string()),
        ("from", named.leg.probe.from.to_string()),
        ("address", named.leg.path.destination.to_string()),
    ];
    let alone = |phase: &Phase| phase.permits() == Families::only(missing);
    let now = std::iter::once(stage.phase).chain(stage.phase.later());
    let culprit = Culprit::node(node, "referrals of the directory");
    // Whichever family the directory is asked over, it says the same.
    let scope = Scope {
        family: Some(missing),
        address: None,
        packets: Some(Packets::Content),
        ..named.leg.scope()
    };
    Complaint {
        severity: if alone(&stage.phase) { Severity::Major } else { Severity::Minor },
        confidence: Confidence::High,
        depth: Depth::Symptom,
        bites_in: now.filter(alone).collect(),
        ..reading::complaint(stage, "sends-on", culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::probe::{Hello, Question},
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&Ldap);
    }

    #[test]
    fn a_server_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).deafen("ns", "ldap", Family::V6);
        let found = fixture::complaints(&Ldap, &network);
        let one = ("unreachable".to_owned(), "ns (tcp/389 over IPv6)".to_owned());
        assert!(!found.is_empty() && found.iter().all(|found| *found == one), "{found:?}");
    }

    /// The directory sends on to others.
    fn sending_on(phase: Phase, to: &'static str) -> Network {
        Network::healthy(phase).bend(move |probe, answer| {
            let Question::Connect { hello: Hello::Ldap { .. }, .. } = &probe.question else {
                return;
            };
            if let Answer::Connection { others, .. } = answer {
                *others = vec![to.to_owned()];
            }
        })
    }

    #[test]
    fn literals_are_found_before_they_bite_and_names_are_not() {
        let one = ("sends-on".to_owned(), "ns (referrals of the directory)".to_owned());
        for phase in Phase::ALL {
            let found = fixture::complaints(&Ldap, &sending_on(phase, "ldap://10.2.0.7/dc=test"));
            assert!(!found.is_empty() && found.iter().all(|f| *f == one), "{phase}: {found:?}");
            for name in ["ldap://ldap.dc.test/", "http://a.test/", "nonsense"] {
                assert!(fixture::complaints(&Ldap, &sending_on(phase, name)).is_empty());
            }
        }
        let new = |phase| fixture::complaints(&Ldap, &sending_on(phase, "ldap://[2001:db8::7]/"));
        assert_eq!(new(Phase::Ipv4Only).first(), Some(&one));
        assert!(new(Phase::DualStack).is_empty());
    }

    /// The directory starts TLS over none of these families.
    fn in_the_clear(families: &'static [Family]) -> Network {
        Network::healthy(Phase::DualStack).bend(|probe, answer| {
            let Question::Connect { to, hello: Hello::Ldap { .. }, .. } = &probe.question else {
                return;
            };
            if let Answer::Connection { key, .. } = answer
                && families.contains(&Family::of(to.ip()))
            {
                *key = None;
            }
        })
    }

    #[test]
    fn what_is_in_the_clear_over_one_family_is_found_and_over_both_is_not() {
        for (families, family) in [(&[Family::V4], "IPv4"), (&[Family::V6], "IPv6")] {
            let found = fixture::complaints(&Ldap, &in_the_clear(families));
            let one = (
                "clear-in-one-family".to_owned(),
                format!("ns (STARTTLS at tcp/389 over {family})"),
            );
            assert!(!found.is_empty() && found.iter().all(|f| *f == one), "{found:?}");
        }
        assert!(fixture::complaints(&Ldap, &in_the_clear(&Family::ALL)).is_empty());
    }
}
