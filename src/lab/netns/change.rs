//! Changes that the kernel makes: consecutive ones that netlink can make go to it together.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::node::Node;
use crate::{
    model::{family::Family, step::Change},
    net::{
        conntrack, links, neighbours,
        netlink::{NetlinkError, Refusal, Request},
        routes,
        switch::SwitchError,
    },
};

/// The address of `lo` that is IPv4's.
pub(super) const LOOPBACK_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8);

/// How a change is made.
pub(super) enum Means {
    /// A request to netlink, and the one that takes it back.
    Netlink { request: Request, undo: Request },
    /// Switches, set in this order.
    Switches(Vec<(String, &'static str)>),
    /// Caches are emptied.
    Forget,
    /// There is nothing to do.
    Nothing,
}

/// Why a change failed: which one, and a sentence.
pub(super) type Failed = (usize, String);

/// Says how a change is made on a node.
pub(super) fn means(node: &Node, change: &Change) -> Result<Means, String> {
    let index =
        |name: &str| node.index(name).ok_or_else(|| format!("it has no interface `{name}`"));
    let on_off = |on: bool| if on { "1" } else { "0" };
    Ok(match change {
        Change::Switch { interface, family: Family::V6, on } => {
            Means::Switches(vec![(format!("net.ipv6.conf.{interface}.disable_ipv6"), on_off(!on))])
        }
        Change::Switch { interface, family: Family::V4, on } if interface == "lo" => {
            address(links::LOOPBACK, LOOPBACK_V4.into(), *on)
        }
        Change::Switch { family: Family::V4, .. } => Means::Nothing,
        Change::AddAddress { interface, net } => address(index(interface.as_str())?, *net, true),
        Change::RemoveAddress { interface, net } => {
            address(index(interface.as_str())?, *net, false)
        }
        Change::AddRoute { to, via } => {
            Means::Netlink { request: routes::add(*to, *via), undo: routes::remove(*to, *via) }
        }
        Change::RemoveRoute { to, via } => {
            Means::Netlink { request: routes::remove(*to, *via), undo: routes::add(*to, *via) }
        }
        Change::Forward { family, on } => {
            Means::Switches(vec![(forwarding(*family).to_owned(), on_off(*on))])
        }
        Change::AcceptAdvertisements { interface, on, form } => Means::Switches(
            [("autoconf", *on && *form), ("accept_ra", *on)]
                .map(|(name, on)| (format!("net.ipv6.conf.{interface}.{name}"), on_off(on)))
                .into(),
        ),
        Change::ForgetResidue => Means::Forget,
        _ => return Err("it is not for the kernel's network alone".to_owned()),
    })
}

fn address(index: u32, net: IpNet, on: bool) -> Means {
    let (add, remove) = (links::add_address(index, net), links::remove_address(index, net));
    if on {
        Means::Netlink { request: add, undo: remove }
    } else {
        Means::Netlink { request: remove, undo: add }
    }
}

/// The switch that lets a node forward packets of a family.
pub(super) fn forwarding(family: Family) -> &'static str {
    match family {
        Family::V4 => "net.ipv4.ip_forward",
        Family::V6 => "net.ipv6.conf.all.forwarding",
    }
}

/// Whether the kernel's network makes a change alone, without a filter, a service or a file.
pub(super) fn is_kernels(change: &Change) -> bool {
    match change {
        Change::Switch { .. }
        | Change::AddAddress { .. }
        | Change::RemoveAddress { .. }
        | Change::AddRoute { .. }
        | Change::RemoveRoute { .. }
        | Change::Forward { .. }
        | Change::AcceptAdvertisements { .. }
        | Change::ForgetResidue => true,
        Change::ReplaceFilter { .. }
        | Change::Advertise { .. }
        | Change::StopAdvertising { .. }
        | Change::DoDhcp { .. }
        | Change::Lease { .. }
        | Change::PublishZones { .. }
        | Change::Delegate { .. }
        | Change::LogTo { .. }
        | Change::Watch { .. }
        | Change::Front { .. }
        | Change::Listen { .. }
        | Change::StopListening { .. }
        | Change::OpenTunnel { .. }
        | Change::CloseTunnel { .. }
        | Change::OpenTranslator { .. }
        | Change::CloseTranslator { .. }
        | Change::Synthesize { .. }
        | Change::UseResolvers { .. } => false,
    }
}

/// Makes changes that are the kernel's, in order, and stops at the first that fails.
pub(super) fn make(node: &Node, changes: &[Change]) -> Result<(), Failed> {
    let mut done = 0;
    while done < changes.len() {
        let failed = |said: String| (done, said);
        match means(node, &changes[done]).map_err(failed)? {
            Means::Netlink { .. } => {
                let run = netlink_run(node, &changes[done..]);
                send(node, &run.requests).map_err(|(at, said)| (done + at, said))?;
                done += run.changes;
                continue;
            }
            Means::Switches(values) => switch(node, &values).map_err(|e| failed(e.to_string()))?,
            Means::Forget => forget(node).map_err(|error| failed(error.to_string()))?,
            Means::Nothing => {}
        }
        done += 1;
    }
    Ok(())
}

/// Changes that go to netlink together.
struct Run {
    requests: Vec<Sending>,
    /// How many changes that makes, those included for which there is nothing to do.
    changes: usize,
}

/// A request, what takes it back, and the place of its change in the run.
struct Sending {
    request: Request,
    undo: Request,
    place: usize,
}

/// The longest run of netlink changes at the front.
fn netlink_run(node: &Node, changes: &[Change]) -> Run {
    let mut run = Run { requests: Vec::new(), changes: 0 };
    for (place, change) in changes.iter().enumerate() {
        match means(node, change) {
            Ok(Means::Netlink { request, undo }) => {
                run.requests.push(Sending { request, undo, place });
            }
            Ok(Means::Nothing) => {}
            _ => break,
        }
        run.changes = place + 1;
    }
    run
}

/// Sends requests as one batch. The kernel goes on after one that failed; what it did after that is taken back, last first,
/// so that exactly the changes before the failing one remain.
fn send(node: &Node, run: &[Sending]) -> Result<(), Failed> {
    let requests: Vec<_> = run.iter().map(|sending| sending.request.clone()).collect();
    let outcomes = node.netlink.batch(&requests).map_err(|error| (0, error.to_string()))?;
    let Some(at) = outcomes.iter().position(Result::is_err) else { return Ok(()) };
    let later = (at + 1..run.len()).rev().filter(|later| outcomes[*later].is_ok());
    let undo: Vec<_> = later.map(|later| run[later].undo.clone()).collect();
    let mut said = outcomes[at].as_ref().err().map(Refusal::to_string).unwrap_or_default();
    if let Err(error) = take_back(node, &undo) {
        said = format!("{said}; and a change made after it could not be taken back: {error}");
    }
    Err((run[at].place, said))
}

fn take_back(node: &Node, undo: &[Request]) -> Result<(), NetlinkError> {
    let refused = node.netlink.batch(undo)?.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |refusal| Err(NetlinkError::Refused(refusal)))
}

fn switch(node: &Node, values: &[(String, &str)]) -> Result<(), SwitchError> {
    values.iter().try_for_each(|(name, value)| node.switches.set(name, value))
}

/// Forgets neighbours, learned path MTUs and tracked connections. An entry may vanish by itself between being read and
/// being removed: then it is forgotten, too.
fn forget(node: &Node) -> Result<(), ForgetError> {
    node.netlink.batch(&neighbours::forget(&node.netlink)?)?;
    node.netlink.batch(&routes::forget_exceptions(&node.netlink)?)?;
    node.switches.set("net.ipv4.route.flush", "1")?;
    Ok(conntrack::forget(&node.namespace)?)
}

/// Why something could not be forgotten.
#[derive(Debug, thiserror::Error)]
enum ForgetError {
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Switch(#[from] SwitchError),
}
