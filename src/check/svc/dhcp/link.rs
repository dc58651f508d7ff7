//! What the routers of a link say of DHCPv6, and whether its server has one name.

use std::collections::BTreeSet;

use super::{TEXT, subjects};
use crate::{
    check::{
        advertisement,
        dhcp::Served,
        reading::{Judge, complaint},
    },
    model::{
        answer::HeardAdvertisement,
        evidence::Seen,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// What the routers of a link announce about DHCPv6, against what answers there.
pub(super) fn flags(stage: &Stage, seen: &Seen<'_>, served: &Served<'_>) -> Option<Judgement> {
    let judge = Judge(&TEXT);
    let name = format!("{}/flags", served.segment);
    advertisement::planned(stage, served.segment).first()?;
    let (mut evidence, routers) = match advertisement::heard(stage, seen, served.segment) {
        Ok(heard) => heard,
        Err(reason) => return Some(judge.not_testable(name, reason, [])),
    };
    let of_link = subjects(stage).into_iter().filter(|s| s.served.segment == served.segment);
    let mut gives = BTreeSet::new();
    for subject in of_link {
        let Ok((ids, heard)) = subject.heard(stage, seen) else { continue };
        evidence.extend(ids);
        let has_addresses = heard.iter().any(|said| !said.addresses.is_empty());
        gives.extend(has_addresses.then_some("addresses"));
        gives.extend((!heard.is_empty()).then_some("the rest"));
    }
    let planned = |mac| advertisement::may_announce(stage, served.segment, mac);
    let router = routers.iter().find(|said| said.mac.is_some_and(planned))?;
    if gives.is_empty() {
        return Some(judge.blocked(name, "no server answers", evidence));
    }
    let wrong = router.managed != gives.contains("addresses") || !router.managed && !router.other;
    if !wrong {
        return Some(judge.pass(name, evidence));
    }
    let set = [("M", router.managed), ("O", router.other)];
    let set: Vec<_> = set.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag).collect();
    let flags = match set.as_slice() {
        [] => "neither flag M nor flag O".to_owned(),
        set => format!("flag {}", set.join(" and ")),
    };
    let gives: Vec<_> = gives.into_iter().collect();
    let args = [
        ("segment", served.segment.to_string()),
        ("flags", flags),
        ("answers", format!("{} gives {}", served.server, gives.join(" and "))),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        segments: vec![served.segment.clone()],
        ..Scope::default()
    };
    let culprit = whose_flags(stage, served, router);
    let complaint = Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Read,
        ..complaint(stage, "flags", culprit, scope, args)
    };
    Some(judge.fail(name, evidence, complaint))
}

/// Who is to blame for flags that do not fit: the router, unless they are those of the plan.
fn whose_flags(stage: &Stage, served: &Served<'_>, said: &HeardAdvertisement) -> Culprit {
    let planned = advertisement::planned(stage, served.segment);
    let of_mac = |(_, at, _): &&(_, &StagedInterface, _)| advertisement::is_from(said, at.mac);
    match planned.iter().find(of_mac) {
        // The same words for the culprit as `l2.ra-plan` has: it is the same fault.
        Some((router, at, staged))
            if [staged.plan.managed, staged.plan.other] != [said.managed, said.other] =>
        {
            Culprit::node(router, format!("advertisement on {}", at.name))
        }
        _ => Culprit::node(served.server, format!("DHCPv6 on {}", served.segment)),
    }
}

/// Whether a server has one name in all its answers on a link.
pub(super) fn identity(stage: &Stage, seen: &Seen<'_>, served: &Served<'_>) -> Option<Judgement> {
    let of_link = subjects(stage).into_iter().filter(|s| s.served.segment == served.segment);
    let (mut evidence, mut duids) = (Vec::new(), BTreeSet::new());
    for subject in of_link {
        let Ok((ids, heard)) = subject.heard(stage, seen) else { continue };
        evidence.extend(ids);
        duids.extend(heard.into_iter().map(|said| said.server));
    }
    let judge = Judge(&TEXT);
    let name = format!("{}/identity", served.segment);
    match duids.len() {
        0 => None,
        1 => Some(judge.pass(name, evidence)),
        count => {
            let args = [
                ("server", served.server.to_string()),
                ("segment", served.segment.to_string()),
                ("count", count.to_string()),
                ("duids", duids.into_iter().collect::<Vec<_>>().join(", ")),
            ];
            let scope = Scope {
                family: Some(Family::V6),
                segments: vec![served.segment.clone()],
                packets: Some(Packets::RouterDiscovery),
                ..Scope::default()
            };
            let culprit = Culprit::node(served.server, "DUID");
            let complaint = Complaint {
                severity: Severity::Minor,
                confidence: Confidence::High,
                depth: Depth::Read,
                ..complaint(stage, "identity", culprit, scope, args)
            };
            Some(judge.fail(name, evidence, complaint))
        }
    }
}
