//! Encryption that is begun inside of a protocol (STARTTLS): what a server offers over one family it offers over the other.
//! One that offers none is the same to everybody. That what is offered comes about is part of reaching the server.

use super::{
    legs::Named,
    reading::{self, Judge},
};
use crate::{
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        family::Family,
        finding::{Complaint, Culprit, Depth, Packets, Scope},
        verdict::Judgement,
    },
    stage::Stage,
};

/// Whether a server encrypted for a user; `None` where it did not greet.
fn encrypted(seen: &Seen<'_>, named: &Named) -> Option<(EvidenceId, bool)> {
    let (id, answer) = named.answered(seen)?;
    let Answer::Connection { key, .. } = answer else { return None };
    Some((id, key.is_some()))
}

/// Each user and server whose families can be compared. The check must have words for the case `clear-in-one-family`.
pub(super) fn judge<'s>(
    judge: Judge,
    stage: &'s Stage,
    seen: &'s Seen<'_>,
    servers: &'s [Named],
) -> impl Iterator<Item = Judgement> + 's {
    let pairs = servers.iter().filter(|old| old.leg.family() == Family::V4).filter_map(|old| {
        let is_twin = |new: &&Named| {
            new.leg.family() == Family::V6
                && (&new.what, &new.leg.probe.from) == (&old.what, &old.leg.probe.from)
        };
        Some((old, servers.iter().find(is_twin)?))
    });
    pairs.filter_map(move |(old, new)| {
        let ((a, by_old), (b, by_new)) = (encrypted(seen, old)?, encrypted(seen, new)?);
        let subject = format!("{}->{} (STARTTLS)", old.leg.probe.from, old.what);
        let (evidence, lacking) = (vec![a, b], if by_old { new } else { old });
        if by_old == by_new {
            return Some(judge.pass(subject, evidence));
        }
        Some(judge.fail(subject, evidence, in_the_clear(stage, lacking)))
    })
}

fn in_the_clear(stage: &Stage, lacking: &Named) -> Complaint {
    let family = lacking.leg.family();
    let node = lacking.leg.path.nodes.last().expect("a path has ends");
    let args = [
        ("what", lacking.what.clone()),
        ("from", lacking.leg.probe.from.to_string()),
        ("family", family.to_string()),
        ("other", family.other().to_string()),
        ("address", lacking.leg.path.destination.to_string()),
    ];
    let scope = Scope { packets: Some(Packets::Content), ..lacking.leg.scope() };
    // Mail and directory of one node are two settings.
    let at = lacking.leg.probe.question.port().map(|port| format!(" at {port}"));
    let culprit = Culprit::node(node, format!("STARTTLS{} over {family}", at.unwrap_or_default()));
    Complaint {
        depth: Depth::Symptom,
        ..reading::complaint(stage, "clear-in-one-family", culprit, scope, args)
    }
}
