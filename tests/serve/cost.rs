//! What services cost.

use std::{sync::Arc, time::Instant};

use sixwalk::{
    model::{
        service::{Service, ServiceKind},
        step::Change,
    },
    net::namespace::Namespace,
    serve::{ServiceHost, Shared},
};

use crate::{
    lab::{Lab, PATIENCE, every_service, listen, node, service},
    sockets::kernel_sockets,
    support,
};

/// Octets of memory that this process holds for itself, counted page by page: the counters of `statm` lag behind by up
/// to some hundred kilobytes for each processor. Pages of its own program, which the kernel reads in as they are first
/// run and in pieces of its own choice, do not count: they cost once, not for each service.
fn held() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn idle_services_cost_little_and_idle_nodes_nearly_nothing() {
    if !support::inside_sandbox("cost::idle_services_cost_little_and_idle_nodes_nearly_nothing") {
        return;
    }
    let lab = Lab::new(every_service());
    let before = held();
    let hosts: Vec<_> = (0..1_000)
        .map(|_| ServiceHost::new(&node(Vec::new()), lab.server.clone(), Arc::clone(&lab.shared)))
        .collect();
    let bare = held() - before;
    assert!(bare < 2 << 20, "1000 nodes without services take {bare} octets");
    drop(hosts);

    let echoes = (0..100).map(|number| Service {
        name: format!("echo-{number}").parse().unwrap(),
        port: 7_000 + number,
        ..service(ServiceKind::Echo)
    });
    let host =
        ServiceHost::new(&node(echoes.collect()), lab.server.clone(), Arc::clone(&lab.shared));
    let before = held();
    lab.runtime.block_on(async {
        for number in 0..100 {
            host.apply(&listen(&format!("echo-{number}"), "::")).await.unwrap();
        }
    });
    let idle = held() - before;
    assert!(idle < 2 << 20, "100 idle services take {idle} octets");
    assert_eq!(host.sockets().len(), 200);
    drop(host);
    let began = Instant::now();
    while !kernel_sockets(&lab.server).is_empty() {
        assert!(began.elapsed() < PATIENCE, "sockets outlive their node");
    }
}

/// The driver boxes these futures.
#[test]
fn the_futures_can_be_sent_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let namespace = Namespace::current().unwrap();
    let host = ServiceHost::new(&node(Vec::new()), namespace, Shared::new());
    is_send(&host);
    is_send(&host.apply(&Change::ForgetResidue));
    is_send(&host.clear_sabotage());
}
