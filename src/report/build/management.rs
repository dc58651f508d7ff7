//! Section 2.3.4: what was asked of management products, and what they did (S2 sections 2.3.1 and 2.3.2).

use std::{collections::BTreeSet, net::SocketAddr};

use super::{
    Page, Source, boxes,
    phrase::{self, and, code, count, foreign, joined, words},
};
use crate::{
    model::{
        answer::Answer,
        evidence::{self, Evidence},
        family::Family,
        management::{
            About, Draft, Integration, Item, Local, Manual, Method, Pair, Proposal, Reply, Uploaded,
        },
        name::NodeName,
        node::Node,
        phase::Phase,
        probe::{Call, Question},
        service::ServiceKind,
        testbed::Testbed,
        verdict::{Judgement, Verdict},
    },
    report::{
        document::{Inline, Line},
        figure::timeline::seconds,
    },
};

/// Of which device, asked, done, at which address, evidence.
type Row = [Line; 5];

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    let tables: Vec<_> = source
        .run
        .phases
        .iter()
        .map(|walked| (walked.phase, rows(&source.run.testbed, source.evidence, walked.phase)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    if tables.is_empty() {
        return;
    }
    page.heading(4, "2.3.4 Management product");
    page.words(
        "What an operator enters into the management software, and what the software and the boxes did with it, in each phase. \
         Every call went to a literal address; its family is that of the connection. Quotations are the words of the product.",
    );
    boxes::write(page, source);
    page.line(referred(tables.iter().map(|(phase, _)| label(*phase))));
    for (phase, rows) in tables {
        page.table(
            label(phase),
            &format!("The management product in the phase {phase}"),
            ["Device", "Asked", "What the product did", "Spoken to at", "Evidence"],
            rows,
        );
    }
}

/// What is asked of the software itself: in the order of the sentence.
const OF_SOFTWARE: [&str; 8] = [
    "mgmt.os-ready",
    "mgmt.single-address-field",
    "mgmt.config-roundtrip",
    "mgmt.family-fallback-order",
    "mgmt.late-error",
    "vpn.mixed-family-coupling",
    "vpn.default-subnet-family",
    "mgmt.docs-vs-device",
];

/// In which phases the software that configures the boxes did what was asked of it, for the evaluation (S2 section 2.4): what a
/// box does wrong is none of its doing. `None` where there is no such software.
pub(super) fn capability(source: Source<'_>) -> Option<String> {
    let nodes = source.run.testbed.nodes.values();
    let stations = nodes.filter(|node| offers(node, ServiceKind::Manager));
    let stations: BTreeSet<_> = stations.map(|station| &station.name).collect();
    let (mut whole, mut short, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for walked in &source.run.phases {
        let of = |id: &'static str| walked.judgements.iter().filter(move |it| it.check == id);
        let asked = || OF_SOFTWARE.into_iter().flat_map(of);
        let blamed = |it: &&Judgement| {
            let node = it.complaint.as_ref().and_then(|complaint| complaint.culprit.node.as_ref());
            it.verdict.is_bad() && node.is_some_and(|node| stations.contains(node))
        };
        let lacks = OF_SOFTWARE.into_iter().filter(|id| of(id).any(|it| blamed(&it)));
        let lacks: Vec<_> = lacks
            .map(|id| source.catalogue.text(id).map_or(id, |text| text.title).to_owned())
            .collect();
        if !lacks.is_empty() {
            short.push(format!("{} ({})", walked.phase, lacks.join("; ")));
        } else if asked().any(|it| it.verdict.is_open()) {
            open.push(walked.phase.to_string());
        } else if asked().any(|it| it.verdict == Verdict::Pass) {
            whole.push(walked.phase.to_string());
        }
    }
    let told = [
        (whole, "did all that was asked of it in"),
        (short, "fell short in"),
        (open, "did so in what could be measured, which is not all, in"),
    ];
    let mut told: Vec<_> = told
        .into_iter()
        .filter(|(phases, _)| !phases.is_empty())
        .map(|(phases, what)| {
            format!("The management software that configures the boxes {what}: {}.", and(&phases))
        })
        .collect();
    let nodes = &source.run.testbed.nodes;
    let is_box = |name: &NodeName| nodes.get(name).is_some_and(|it| offers(it, ServiceKind::Box));
    let mut blamed = source.run.findings.iter().filter_map(|finding| finding.culprit.node.as_ref());
    if !told.is_empty() && !blamed.any(is_box) {
        told.push("No finding blames a box.".to_owned());
    }
    (!told.is_empty()).then(|| told.join(" "))
}

fn offers(node: &Node, kind: ServiceKind) -> bool {
    node.services.iter().any(|service| service.kind == kind)
}

fn label(phase: Phase) -> String {
    format!("management-{}", phase.word())
}

/// Where to look.
fn referred(labels: impl Iterator<Item = String>) -> Line {
    let mut line = joined(labels.map(|label| vec![Inline::see(label)]));
    line.push(Inline::text(
        " tell in each phase what was asked: of a box where it is named, and of the software itself where the station is.",
    ));
    line
}

/// The rows of a phase: each thing once, as it was asked first.
fn rows(testbed: &Testbed, evidence: &[Evidence], phase: Phase) -> Vec<Row> {
    let mut rows = Vec::<Row>::new();
    for piece in evidence.iter().filter(|piece| piece.phase == phase) {
        let evidence::About::Probe { probe, answer: Answer::Dialogue { replies, .. } } =
            &piece.about
        else {
            continue;
        };
        let Question::Dialogue { calls } = &probe.question else { continue };
        let said: Vec<_> =
            calls.iter().zip(replies).map(|(call, (reply, us))| (call, reply, *us)).collect();
        for (call, [asked, did, at]) in told(&said) {
            let device = device(testbed, call);
            let known =
                |row: &Row| row[..4] == [device.clone(), asked.clone(), did.clone(), at.clone()];
            if !rows.iter().any(known) {
                rows.push([device, asked, did, at, phrase::evidence(&[piece.id], 1)]);
            }
        }
    }
    rows
}

/// The device that a call is about: the box that a draft is for, or else the one that is spoken to.
fn device(testbed: &Testbed, call: &Call) -> Line {
    let draft = call.path.trim_matches('/').split('/').nth(1).unwrap_or_default();
    let is_box = |node: &&Node| node.services.iter().any(|it| it.kind == ServiceKind::Box);
    let drafted = testbed.nodes.values().filter(is_box).find(|node| {
        draft.strip_suffix(node.name.as_str()).is_some_and(|before| before.ends_with('-'))
    });
    let spoken_to = || testbed.owner(call.to.ip()).map(|(node, _)| &node.name);
    let name = drafted.map(|node| &node.name).or_else(spoken_to);
    name.map_or_else(|| words("not of the plan"), |name| code(name.as_str()))
}

/// A call with its reply and the microseconds that it took.
type Said<'e> = (&'e Call, &'e Reply, u64);

/// What is told of a conversation: each call that tells something, and what was entered item by item as one.
fn told<'e>(said: &[Said<'e>]) -> Vec<(&'e Call, [Line; 3])> {
    let mut calls: Vec<_> = said
        .iter()
        .enumerate()
        .filter_map(|(at, (call, reply, us))| {
            let path: Vec<_> = call.path.trim_matches('/').split('/').collect();
            let entry = entry(call, reply, &path);
            let (asked, did) = entry.or_else(|| step(&said[..at], (call, reply, *us), &path))?;
            Some((at, (*call, [asked, did, place(call.to)])))
        })
        .collect();
    // What was entered stands where it began: before it was uploaded.
    let first = said.iter().position(|(call, ..)| is_entry_of_item(call));
    calls.extend(first.zip(entry_of_items(said)));
    calls.sort_by_key(|(at, _)| *at);
    calls.into_iter().map(|(_, told)| told).collect()
}

/// What the menu and the manual say.
fn entry(call: &Call, reply: &Reply, path: &[&str]) -> Option<(Line, Line)> {
    Some(match (call.method, path) {
        (Method::Get, [""]) => {
            let name =
                reply.value().map(|About { product, version }| format!("{product} {version}"));
            (words("What it is"), outcome(reply, name.as_deref().unwrap_or("")))
        }
        (Method::Get, ["manual"]) => {
            let manual: Manual = reply.value()?;
            let claims: Vec<_> = manual.claims.iter().map(|claim| claim.word()).collect();
            let said = format!("edition {}: {}", manual.edition, claims.join(", "));
            (words("Its manual"), foreign(&said))
        }
        (Method::Put, ["drafts", _, "addresses"]) => {
            let addresses: Vec<String> = read(call)?;
            let both = addresses.len() > 1;
            both.then(|| {
                (asked("Management addresses in the menu: ", &addresses), outcome(reply, "taken"))
            })?
        }
        (Method::Post, ["drafts", _, "couples"]) => {
            let Pair { local, remote } = read(call)?;
            (asked("Couple: ", &[local, remote]), outcome(reply, "taken"))
        }
        (Method::Post, ["drafts", _, "proposal"]) => {
            let Local { local } = read(call)?;
            let remote = reply.value().map(|Proposal { remote }| remote.to_string());
            let did = outcome(reply, remote.as_deref().unwrap_or(""));
            (asked("Proposal for ", &[local.to_string()]), did)
        }
        _ => return None,
    })
}

/// What comes of what was entered before.
fn step(before: &[Said<'_>], (call, reply, us): Said<'_>, path: &[&str]) -> Option<(Line, Line)> {
    match (call.method, path) {
        (Method::Post, ["drafts", _, "final"]) if !reply.is_done() => {
            let last = before.last().map_or("", |(call, ..)| call.body.as_str());
            Some((asked("To make final, after ", &[last.to_owned()]), outcome(reply, "")))
        }
        (Method::Post, ["drafts", _, "upload"]) => {
            let entered = before.iter().rev().filter(|(_, reply, _)| reply.is_done());
            let draft = entered.map(|(call, ..)| draft_of(call)).find_map(|draft| draft);
            let addresses = draft.map(|draft| draft.addresses).unwrap_or_default();
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            Some((asked("Upload to ", &addresses), uploaded(reply, us)))
        }
        (Method::Get, ["cards", _]) => {
            let kept = reply.value::<Draft>().map_or(0, |card| card.items.len());
            let entered = before.iter().filter(|(call, ..)| is_entry_of_item(call)).count();
            let again = before.iter().any(|(call, ..)| call.path.ends_with("/reload"));
            let when = if again { "after it has started again" } else { "after the upload" };
            let did = outcome(reply, &format!("{kept} of {}", count(entered, "item")));
            Some((words(format!("The box {when}")), did))
        }
        (Method::Put, ["integration"]) => {
            let Integration { tunnel, .. } = read(call)?;
            Some((asked("Integration file of ", &[tunnel.to_string()]), outcome(reply, "taken")))
        }
        (Method::Get, ["integration"]) => {
            let file = before.iter().rev().find_map(|(call, ..)| read::<Integration>(call))?;
            let taken = reply.value::<Integration>().map_or(0, |taken| taken.couples.len());
            let times = before.iter().filter(|(call, ..)| call.path == "/integration").count();
            let when = format!("What the box makes of it, given {}", count(times, "time"));
            let did = format!("{taken} of {}", count(file.couples.len(), "couple"));
            Some((words(when), outcome(reply, &did)))
        }
        _ => None,
    }
}

fn is_entry_of_item(call: &Call) -> bool {
    call.path.ends_with("/items")
}

/// What was entered item by item, and the first that was refused.
fn entry_of_items<'e>(said: &[Said<'e>]) -> Option<(&'e Call, [Line; 3])> {
    let items: Vec<_> = said.iter().filter(|(call, ..)| is_entry_of_item(call)).collect();
    let (first, ..) = items.first()?;
    let good = items.iter().filter(|(_, reply, _)| reply.is_done()).count();
    let mut did = words(format!("{good} taken"));
    if let Some((call, reply, _)) = items.iter().find(|(_, reply, _)| !reply.is_done()) {
        let value = read(call).map(|Item { value, .. }| value).unwrap_or_default();
        did.extend(asked("; ", &[value]));
        did.push(Inline::text(" was "));
        did.extend(outcome(reply, ""));
    }
    let entered = words(format!("Entry of {}", count(items.len(), "item")));
    Some((*first, [entered, did, place(first.to)]))
}

fn read<T: serde::de::DeserializeOwned>(call: &Call) -> Option<T> {
    serde_json::from_str(&call.body).ok()
}

/// The draft that a call holds, with its addresses: a whole one, or those of the menu.
fn draft_of(call: &Call) -> Option<Draft> {
    if call.path.ends_with("/addresses") {
        return read(call).map(|addresses| Draft { addresses, ..Draft::default() });
    }
    read(call).filter(|_| call.method == Method::Put)
}

fn asked(what: &str, values: &[String]) -> Line {
    let mut line = words(what);
    line.extend(joined(values.iter().map(code)));
    line
}

/// What was done, or the words of the refusal.
fn outcome(reply: &Reply, done: &str) -> Line {
    if reply.is_done() {
        return foreign(done);
    }
    let mut line = words("refused: ");
    let said = reply.complaint().unwrap_or_else(|| format!("status {}", reply.status));
    line.push(Inline::foreign(&said));
    line
}

fn uploaded(reply: &Reply, us: u64) -> Line {
    let Some(Uploaded { address, log }) = reply.value::<Uploaded>() else {
        return outcome(reply, "");
    };
    let mut line = words("written to ");
    line.extend(code(address.to_string()));
    line.push(Inline::text(format!(" ({}) after {}; its log: ", Family::of(address), seconds(us))));
    line.push(Inline::foreign(&log.join("; ")));
    line
}

fn place(to: SocketAddr) -> Line {
    let mut line = code(to.to_string());
    line.push(Inline::text(format!(" ({})", Family::of(to.ip()))));
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        check::{CHECKS, Check, fixture::Network},
        model::management::Quirk,
        stage::Stage,
    };

    fn rows_of(phase: Phase, quirks: &[Quirk]) -> Vec<String> {
        let text = include_str!("../../../testbed/fokus.toml");
        let testbed = crate::input::testbed("fokus.toml", text).expect("the reference testbed");
        let testbed = Arc::new(testbed);
        let mut network = Network::of(Stage::new(&testbed, phase));
        for quirk in quirks {
            network = network.quirk("manager", *quirk);
        }
        let about = |check: &&&dyn Check| {
            let id = check.text().id;
            id.starts_with("mgmt.") || id.starts_with("vpn.")
        };
        let checks: Vec<_> = CHECKS.iter().filter(about).copied().collect();
        let (evidence, _) = network.walk(&checks);
        let row = |row: &Row| format!("{row:?}").replace('\n', " ");
        rows(&testbed, &evidence, phase).iter().map(row).collect()
    }

    #[test]
    fn what_was_asked_and_what_was_done_stand_in_each_phase() {
        for phase in Phase::ALL {
            let rows = rows_of(phase, &[]);
            let tells = |asked: &str, did: &str| {
                rows.iter().any(|row| row.contains(asked) && row.contains(did))
            };
            assert!(tells("Upload to", "written to"), "{phase}: {rows:#?}");
            let place = |what: &str| {
                let is_it = |row: &String| row.contains("gateway-a") && row.contains(what);
                rows.iter().position(is_it)
            };
            let (entry, upload) = (place("Entry of "), place("Upload to"));
            assert!(entry.is_some() && entry < upload, "{phase}: {rows:#?}");
            assert!(tells("Management addresses in the menu", "taken"), "{phase}");
            assert!(tells("Couple: ", "refused"), "{phase}");
            for device in ["gateway-a", "gateway-b", "manager"] {
                assert!(tells(device, ""), "{phase}: {device}");
            }
            let both = if phase.permits().is_dual() { "2 of 2 couples" } else { "1 of 1 couple" };
            assert!(tells("What the box makes of it, given 1 time", both), "{phase}: {rows:#?}");
        }
    }

    #[test]
    fn a_late_complaint_and_a_wrong_proposal_are_told_in_the_words_of_the_product() {
        let rows = rows_of(Phase::DualStack, &[Quirk::MixedCouples, Quirk::ProposesIpv4]);
        let tells = |asked: &str, did: &str| {
            rows.iter().any(|row| row.contains(asked) && row.contains(did))
        };
        assert!(tells("To make final", "10.1.0.0/24 is IPv4 and 2001:db8:b:2::/64 is IPv6"));
        assert!(tells("2001:db8:a:1::/64", "10."), "{rows:#?}");
    }
}
