//! Under which subjects checks speak of an exchange, so that whoever reads judgements by flow finds them.

use std::net::IpAddr;

use crate::{
    model::{
        family::Family,
        flow::Traffic,
        name::{NodeName, ServiceName},
    },
    stage::Exchange,
};

/// Every subject of an exchange with one of its targets, as planned.
pub fn subjects(exchange: &Exchange, to: IpAddr, passes: bool) -> Vec<String> {
    let Exchange { from, to: node, service, traffic, .. } = exchange;
    let mut subjects = vec![at_filters(from, node, to, traffic, passes), delivered(from, node, to)];
    subjects.extend(service.as_ref().map(|service| served(from, node, service, to)));
    subjects
}

/// Of checks of filters: `desk -> app [2001:db8::1] tcp/443 ipv6`, with `-x` for what is to be stopped.
pub fn at_filters(
    from: &NodeName,
    node: &NodeName,
    to: IpAddr,
    traffic: &Traffic,
    passes: bool,
) -> String {
    let arrow = if passes { "->" } else { "-x" };
    format!("{from} {arrow} {node} [{to}] {} {}", sent(traffic), Family::of(to).word())
}

/// Of checks that ask a service: `visitor->portal/https/2001:db8:d::a`.
pub fn served(from: &NodeName, node: &NodeName, service: &ServiceName, to: IpAddr) -> String {
    format!("{from}->{node}/{service}/{to}")
}

/// Of checks that ask whether something arrived: `app->log/2001:db8::11`.
pub fn delivered(from: &NodeName, node: &NodeName, to: IpAddr) -> String {
    format!("{from}->{node}/{to}")
}

/// Of the check of what a box keeps: its card, what the menu of the software took for it, and what a file keeps of that.
pub fn kept(station: &NodeName, device: &NodeName) -> [String; 3] {
    ["", ", entry", ", file"].map(|part| format!("{station}->{device}{part}"))
}

/// What is sent: `tcp/443`, or `ping`.
pub fn sent(traffic: &Traffic) -> String {
    match traffic {
        Traffic::Port { port, .. } => port.to_string(),
        other => other.to_string(),
    }
}
