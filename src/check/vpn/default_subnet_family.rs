//! `vpn.default-subnet-family`: the subnet that is proposed for the other side has the family of this side.

use std::collections::BTreeSet;

use crate::{
    check::{
        Case, Check, Text, UseCase,
        management::{self, Heard, Product},
        reading::Judge,
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Severity},
        management::Proposal,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct DefaultSubnetFamily;

static TEXT: Text = Text {
    id: "vpn.default-subnet-family",
    title: "Proposed subnets",
    section: "S2 2.4",
    use_case: UseCase::Policies,
    question: "Is the subnet that the management software proposes for the other side of a tunnel of the family of this side, and \
               is it behind the other end?",
    good: "The proposed subnet is behind the other end of the tunnel, and has the family of this side.",
    references: &["S2 2.3.2", "RFC 4301 section 4.4.1.1"],
    cases: &[
        Case {
            name: "other-family",
            finding: "The management software on {station} proposes an {proposed} subnet for the other side although this side \
                      is {wanted}.",
            expected: "For {local} of {device}, an {wanted} subnet.",
            observed: "Over {family}, at {at}: it proposes {remote}.",
            remedy: "Let a second pair of eyes look at each couple, and ask the manufacturer for proposals by family.",
        },
        Case {
            name: "other-side",
            finding: "The management software on {station} proposes a subnet for the other side of a tunnel that is not there.",
            expected: "For {local} of {device}, one of the subnets behind the other end: {there}.",
            observed: "Over {family}, at {at}: it proposes {remote}.",
            remedy: "Let a second pair of eyes look at each couple: a tunnel that couples a subnet with the wrong one carries \
                     nothing, or what it should not. Ask the manufacturer for proposals from the data of the other side.",
        },
        Case {
            name: "none",
            finding: "The management software on {station} proposes no subnet for the other side where this side is {wanted}.",
            expected: "For {local} of {device}, an {wanted} subnet.",
            observed: "Over {family}, at {at}: “{remote}”.",
            remedy: "Enter the subnet by hand, and ask the manufacturer for proposals of both families.",
        },
    ],
};

impl Check for DefaultSubnetFamily {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        management::ask_entries(stage)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        management::judge_entries(judge, stage, seen, |product, heard| {
            let subject = product.subject();
            if product.relations().is_empty() {
                return judge.not_applicable(subject, "no tunnel of the plan ends at the box");
            }
            match wrong(stage, product, heard) {
                Some(complaint) => judge.fail(subject, [heard.id], complaint),
                None => judge.pass(subject, [heard.id]),
            }
        })
    }
}

fn wrong(stage: &Stage, product: &Product<'_>, heard: &Heard<'_>) -> Option<Complaint> {
    product.relations().into_iter().find_map(|relation| {
        let name = management::proposal(relation.here);
        let (reply, _) = heard.reply(&name)?;
        let wanted = relation.family();
        let proposal = reply.value::<Proposal>().filter(|_| reply.is_done());
        let proposed = proposal.as_ref().map(|proposal| Family::of_net(proposal.remote));
        let beyond = product.beyond(relation.here);
        let is_there =
            |Proposal { remote }: &Proposal| beyond.iter().any(|net| net.contains(remote));
        let case = match &proposal {
            None => "none",
            Some(_) if proposed != Some(wanted) => "other-family",
            Some(proposal) if !is_there(proposal) => "other-side",
            Some(_) => return None,
        };
        let there: BTreeSet<_> =
            beyond.iter().filter(|net| Family::of_net(**net) == wanted).collect();
        let there: Vec<_> = there.into_iter().map(ToString::to_string).collect();
        let remote = proposal.map(|proposal| proposal.remote.to_string());
        let args = [
            ("device", product.device.name.to_string()),
            ("wanted", wanted.to_string()),
            ("proposed", proposed.map_or_else(String::new, |family| family.to_string())),
            ("local", relation.here.to_string()),
            ("there", there.join(", ")),
            ("remote", remote.or_else(|| heard.refusal(&name)).unwrap_or_default()),
        ];
        Some(Complaint {
            severity: Severity::Minor,
            bites_in: management::phases_with(stage, wanted),
            ..product.complaint(stage, case, "proposed subnets", args)
        })
    })
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
    fn proposals_by_family_are_silent() {
        tests::assert_silent(&DefaultSubnetFamily);
    }

    #[test]
    fn a_proposal_that_is_always_ipv4_is_found_in_every_phase() {
        for phase in Phase::ALL {
            let network = tests::network(phase).quirk("manager", Quirk::ProposesIpv4);
            let found = fixture::complaints(&DefaultSubnetFamily, &network);
            let wanted = ("other-family".to_owned(), "manager (proposed subnets)".to_owned());
            assert_eq!(found, [wanted], "{phase}");
        }
    }

    #[test]
    fn a_proposal_of_this_side_is_no_better_for_its_family() {
        for phase in Phase::ALL {
            let network = tests::network(phase).quirk("manager", Quirk::ProposesOwnSide);
            let found = fixture::complaints(&DefaultSubnetFamily, &network);
            let wanted = ("other-side".to_owned(), "manager (proposed subnets)".to_owned());
            assert_eq!(found, [wanted], "{phase}");
        }
    }

    #[test]
    fn each_of_several_networks_of_a_site_has_one_of_the_other_site_proposed() {
        let text = tests::REFERENCE.replace(
            "[[\"admin-lan\", \"dc-lan\"]]",
            "[[\"admin-lan\", \"dc-lan\"], [\"archive\", \"dc-lan\"]]",
        ) + "\n[segment.archive]\nsite = \"administration\"\nipv4 = \"10.0.0.0/24\"\n\
               ipv6 = \"2001:db8:a:0::/64\"\n";
        let text =
            text.replace("lan = \"admin-lan\",", "lan = \"admin-lan\", archive = \"archive\",");
        let testbed = crate::input::testbed("archive.toml", &text).expect("it has no mistakes");
        let network = fixture::Network::of(Stage::new(&testbed.into(), Phase::DualStack));
        assert_eq!(fixture::complaints(&DefaultSubnetFamily, &network), []);
    }
}
