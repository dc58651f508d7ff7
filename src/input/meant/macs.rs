//! Link-layer addresses: from a hash of node and interface, so that they stay when other nodes come and go.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{
    input::{diagnostic::Diagnostic, written::testbed::Testbed},
    model::{
        mac::Mac,
        name::{InterfaceName, NodeName},
    },
};

/// The link-layer address of every interface: all different.
pub(super) fn derive(
    written: &Testbed,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<(NodeName, InterfaceName), Mac> {
    let mut owners = BTreeMap::new();
    let mut macs = BTreeMap::new();
    let interfaces = || written.nodes.iter().flat_map(|n| n.on.iter().map(move |i| (n, i)));
    for (node, interface) in interfaces() {
        let Some(mac) = &interface.mac else { continue };
        if mac.is.0[0] & 1 == 1 || mac.is == Mac([0; 6]) {
            let message = format!("{} is not a link-layer address of a single interface", mac.is);
            let hint = "the first octet must be even, as in `02:00:00:00:00:0a`";
            found.push(Diagnostic::error(&mac.at, message).hint(hint));
        }
        if let Some(first) = owners.insert(mac.is, mac.at.clone()) {
            let message = format!("link-layer address {} is given twice", mac.is);
            found.push(Diagnostic::error(&mac.at, message).note(&first, "first used here"));
        }
        macs.insert((node.name.is.clone(), interface.name.is.clone()), mac.is);
    }
    for (node, interface) in interfaces().filter(|(_, interface)| interface.mac.is_none()) {
        let name = format!("{}/{}", node.name.is, interface.name.is);
        let mac =
            (0..=u32::MAX).map(|turn| hashed(&name, turn)).find(|mac| !owners.contains_key(mac));
        let mac = mac.expect("there are more link-layer addresses than interfaces");
        owners.insert(mac, interface.name.at.clone());
        macs.insert((node.name.is.clone(), interface.name.is.clone()), mac);
    }
    macs
}

/// A locally administered unicast address (IEEE 802: second lowest bit of the first octet).
fn hashed(name: &str, turn: u32) -> Mac {
    let hash = Sha256::new().chain_update(name).chain_update(turn.to_be_bytes()).finalize();
    Mac([2, hash[0], hash[1], hash[2], hash[3], hash[4]])
}
