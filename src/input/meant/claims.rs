//! Claims: what documents say that management software does.

use super::names;
use crate::{
    input::{
        diagnostic::Diagnostic,
        written::{claim::Claim as Written, service::Service, testbed::Testbed},
    },
    model::{management::Claim, service::ServiceKind},
};

/// The claims in the order of the file.
pub(super) fn resolve(written: &Testbed, found: &mut Vec<Diagnostic>) -> Vec<Claim> {
    written.claims.iter().filter_map(|claim| one(written, claim, found)).collect()
}

fn one(written: &Testbed, claim: &Written, found: &mut Vec<Diagnostic>) -> Option<Claim> {
    let node = names::node(written, &claim.of, found)?;
    let manages = |service: &Service| service.may_speak(ServiceKind::Manager);
    if !node.serve.iter().any(manages) {
        let message =
            format!("node `{}` has no management software to claim anything of", claim.of.is);
        let hint = "name a node with `serve.manager`";
        found.push(
            Diagnostic::error(&claim.of.at, message).note(&node.name.at, "this node").hint(hint),
        );
    }
    Some(Claim {
        of: claim.of.is.clone(),
        document: claim.document.as_ref()?.is.clone(),
        place: claim.place.as_ref().map(|place| place.is.clone()),
        says: claim.says.iter().map(|feature| feature.is).collect(),
    })
}
