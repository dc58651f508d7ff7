//! From what was written to what is meant: every reference found, every address planned and checked. Whatever is wrong is
//! complained of and left out, so that the rest can still be judged.

mod names;
mod families;
mod overlaps;
mod segments;
mod dhcp;
mod addresses;
mod macs;
mod services;
mod fronts;
mod polls;
mod paths;
mod nodes;
mod zones;
mod flows;
mod insides;
mod behind;
mod outside;
mod tunnels;
mod translations;
mod claims;
mod management;
mod policy;
mod uses;
mod access;
pub(super) mod phases;
pub(super) mod faults;

use crate::{
    input::{diagnostic::Diagnostic, table::At, written},
    model::testbed::Testbed,
};

/// The testbed that a file means, and everything that is wrong with it.
pub(super) fn resolve(written: &written::testbed::Testbed) -> (Testbed, Vec<Diagnostic>) {
    let mut laid = insides::lay(written);
    translations::lay(&mut laid);
    let written = &laid;
    let mut found = Vec::new();
    names::check(written, &mut found);
    let segments = segments::resolve(written, &mut found);
    let addresses = addresses::plan(written, &mut found);
    let before = found.len();
    let flows = flows::resolve(written, &mut found);
    let all_flows = found.len() == before;
    let mut testbed = Testbed {
        title: written.title.as_ref().map_or_else(String::new, |title| title.is.clone()),
        source: text(written.source.as_ref()),
        sites: names::sites(written, &mut found),
        nodes: nodes::resolve(written, &segments, &addresses, &mut found),
        segments,
        zones: zones::resolve(written, &mut found),
        flows: flows.iter().map(|placed| placed.flow.clone()).collect(),
        tunnels: tunnels::resolve(written, &mut found),
        translations: translations::resolve(written, &mut found),
        claims: claims::resolve(written, &mut found),
    };
    access::grant(written, &mut testbed, &mut found);
    zones::inside(written, &mut testbed, &mut found);
    nodes::check_routes(written, &testbed, &mut found);
    services::check(written, &testbed, &mut found);
    tunnels::check(written, &testbed, &mut found);
    management::check(written, &testbed, &mut found);
    policy::check(written, &flows, &testbed, &mut found);
    access::check(written, &flows, &testbed, &mut found);
    // A flow that could not be read may be the one that lets pass what is used.
    if all_flows {
        uses::check(written, &testbed, &mut found);
    }
    (testbed, found)
}

fn text(written: Option<&At<String>>) -> Option<String> {
    written.map(|text| text.is.clone())
}
