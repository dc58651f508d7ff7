//! The shipped testbeds, phases and faults: each loads without a word, and the reference testbed expects in each phase
//! what its document says.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sixwalk::{
    input::{self, PhaseFile},
    model::{
        family::{Families, Family},
        fault::Fault,
        flow::Intent,
        name::NodeName,
        phase::Phase,
        segment::Plane,
        testbed::Testbed,
    },
    stage::{Exchange, Expect, Stage},
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(file(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some()).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} holds nothing");
    files
}

/// The testbeds, without those that are another one with faults.
fn testbeds() -> Vec<PathBuf> {
    let mut files = files("testbed");
    files.retain(|path| input::AsFound::read(&fs::read_to_string(path).unwrap()).is_none());
    files
}

fn load(path: &Path) -> Arc<Testbed> {
    let text = fs::read_to_string(path).unwrap();
    let (testbed, found) = input::examine(&path.display().to_string(), &text);
    assert!(found.is_empty(), "{found}");
    Arc::new(testbed.unwrap())
}

fn fokus() -> Arc<Testbed> {
    load(&file("testbed/fokus.toml"))
}

/// Each exchange with each address of its target in a family, and what is expected.
fn expectations(stage: &Stage, family: Family) -> Vec<(Exchange, Expect)> {
    let towards = |exchange: Exchange| {
        let targets = stage.targets(&exchange, family);
        let expect = |to| (exchange.clone(), stage.expect(&exchange, to));
        targets.into_iter().map(expect).collect::<Vec<_>>()
    };
    stage.exchanges().into_iter().flat_map(towards).collect()
}

#[test]
fn every_shipped_testbed_loads_without_a_warning() {
    for path in testbeds() {
        let testbed = load(&path);
        for phase in Phase::ALL {
            let stage = Stage::new(&testbed, phase);
            for family in Family::ALL {
                for (exchange, expect) in expectations(&stage, family) {
                    let wrong = match exchange.intent {
                        Intent::Allow => matches!(expect, Expect::Blocked { .. }),
                        Intent::Deny => matches!(expect, Expect::Reach(_)),
                    };
                    assert!(!wrong, "{}, {phase}: {exchange:?} is {expect:?}", path.display());
                }
            }
        }
    }
}

#[test]
fn in_the_phases_of_one_kind_every_allowed_flow_is_expected_to_pass_in_every_live_family() {
    for path in testbeds() {
        let testbed = load(&path);
        // A site behind a front has one family alone, by plan.
        if testbed.nodes.values().flat_map(|n| &n.services).any(|s| s.front.is_some()) {
            continue;
        }
        // Whoever keeps IPv4 by declaration is reached in IPv6 through a translator alone.
        let keeps = |exchange: &Exchange| {
            let mut interfaces = testbed.nodes[&exchange.to].interfaces.iter();
            interfaces.all(|i| testbed.segments[&i.segment].keeps_ipv4().is_some())
        };
        for phase in [Phase::Ipv4Only, Phase::DualStack, Phase::Ipv6Only] {
            let stage = Stage::new(&testbed, phase);
            for family in phase.permits().iter() {
                let all = expectations(&stage, family);
                for (exchange, expect) in &all {
                    let right = match exchange.intent {
                        Intent::Allow => matches!(expect, Expect::Reach(_)),
                        Intent::Deny => matches!(expect, Expect::Blocked { .. }),
                    };
                    assert!(right, "{}, {phase}: {exchange:?} is {expect:?}", path.display());
                }
                let reached: BTreeSet<_> = all.iter().map(|(e, _)| e).collect();
                let exchanges = stage.exchanges();
                let meant = exchanges.iter().filter(|e| family == Family::V4 || !keeps(e)).count();
                assert_eq!(reached.len(), meant, "{}, {phase}", path.display());
            }
            for family in Family::ALL.into_iter().filter(|f| !phase.permits().has(*f)) {
                let left = expectations(&stage, family);
                assert!(left.iter().all(|(e, _)| keeps(e)), "{family} in {phase}");
            }
        }
    }
}

#[test]
fn in_the_partial_phase_citizens_and_coupled_networks_have_both_families() {
    let testbed = fokus();
    let stage = Stage::new(&testbed, Phase::Partial);
    let reach = |from: &str, to: &str, services, family| {
        let of = |(e, _): &&(Exchange, Expect)| {
            e.from.as_str() == from && e.to.as_str() == to && e.intent == Intent::Allow
        };
        let all = expectations(&stage, family);
        let mine: Vec<_> = all.iter().filter(of).collect();
        assert_eq!(mine.len(), services, "services of {to} for {from}");
        mine.iter().all(|(_, expect)| matches!(expect, Expect::Reach(_)))
    };
    assert!(Family::ALL.into_iter().all(|family| reach("visitor", "portal", 2, family)));
    assert!(Family::ALL.into_iter().all(|family| reach("workplace-1", "app", 1, family)));
    assert!(reach("workplace-1", "portal", 2, Family::V4));
    assert!(!reach("workplace-1", "portal", 2, Family::V6), "there is no IPv6 but in the tunnel");
    let families = |node: &str| stage.families(&node.parse().unwrap(), Plane::Data);
    assert_eq!(families("app"), Families::BOTH);
    assert_eq!(families("portal"), Families::BOTH);
}

#[test]
fn between_the_islands_of_the_partial_phase_ipv6_goes_inside_ipv4() {
    let testbed = fokus();
    let stage = Stage::new(&testbed, Phase::Partial);
    let way = stage.path(&"workplace-1".parse().unwrap(), "2001:db8:b:2::10".parse().unwrap());
    let carriage = way.unwrap().carried.expect("a tunnel carries it");
    assert_eq!(carriage.way.family(), Family::V4);
    let ends = [&carriage.way.segments[0], carriage.way.segments.last().unwrap()];
    for outside in ends {
        assert_eq!(stage.segment_families(outside), Families::only(Family::V4), "{outside}");
    }
}

#[test]
fn addresses_repeat_and_look_alike_in_both_families() {
    let testbed = fokus();
    let addresses = |node: &str, interface: &str| {
        let node = &testbed.nodes[node];
        let interface = node.interfaces.iter().find(|i| i.name.as_str() == interface).unwrap();
        interface.addresses.iter().map(|a| a.net.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(addresses("gateway-a", "lan"), ["10.1.0.1/24", "2001:db8:a:1::1/64"]);
    assert_eq!(addresses("resolver-a", "eth0"), ["10.1.0.12/24", "2001:db8:a:1::12/64"]);
    assert_eq!(addresses("provider-a", "core"), ["192.0.2.16/31", "2001:db8:f:c::/127"]);
    assert_eq!(addresses("provider-b", "core"), ["192.0.2.17/31", "2001:db8:f:c::1/127"]);
    let workplace = addresses("workplace-1", "eth0");
    assert_eq!(workplace[0], "10.1.0.10/24");
    assert!(workplace[1].starts_with("2001:db8:a:1:") && workplace[1].contains("ff:fe"));
}

#[test]
fn the_way_to_the_application_leads_through_both_gateways_and_the_narrow_link() {
    let testbed = fokus();
    let stage = Stage::new(&testbed, Phase::Ipv6Only);
    let path =
        stage.path(&"workplace-1".parse().unwrap(), "2001:db8:b:2::10".parse().unwrap()).unwrap();
    let transit: Vec<_> = path.transit().iter().map(NodeName::as_str).collect();
    assert_eq!(transit, ["gateway-a", "gateway-b"]);
    let carried = path.carried.as_deref().expect("the tunnel carries it");
    let carriers: Vec<_> = carried.way.nodes.iter().map(NodeName::as_str).collect();
    assert_eq!(carriers, ["gateway-a", "provider-a", "provider-b", "firewall-b", "gateway-b"]);
    // What the narrow link takes, less an IPv6 header, UDP and what WireGuard adds.
    assert_eq!((carried.way.mtu, path.mtu), (1400, 1400 - 40 - 8 - 32));
}

#[test]
fn what_stays_on_ipv4_is_reached_through_the_provider_once_the_administration_has_ipv6_alone() {
    let testbed = fokus();
    let translated = |phase, from: &str| {
        let stage = Stage::new(&testbed, phase);
        let translation = stage.translations().next()?;
        let register = "192.0.2.50".parse().unwrap();
        stage.translated(translation, &from.parse().unwrap(), register).ok()
    };
    let way = translated(Phase::Ipv6Only, "workplace-1").expect("the way through the translator");
    assert_eq!(way.address, "2001:db8:f:64::c000:232".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(way.before.nodes.last().unwrap().as_str(), "provider-a");
    let beyond: Vec<_> = way.after.nodes.iter().map(NodeName::as_str).collect();
    assert_eq!(beyond, ["provider-a", "register"]);
    assert_eq!(translated(Phase::DualStack, "workplace-1"), None);
}

#[test]
fn the_tunnel_couples_the_two_lans_once_per_family() {
    let testbed = fokus();
    let tunnel = testbed.tunnels.values().next().unwrap();
    let couples: Vec<_> =
        tunnel.relations.iter().map(|r| format!("{} {}", r.here, r.there)).collect();
    assert_eq!(couples, ["10.1.0.0/24 10.2.0.0/24", "2001:db8:a:1::/64 2001:db8:b:2::/64"]);
    assert_eq!(tunnel.outer, [Family::V6, Family::V4]);
}

/// The checks that gates of the shipped phases may name.
const CHECKS: [&str; 16] = [
    "dns.aaaa-dead",
    "dns.aaaa-parity",
    "dns.server-listens",
    "in.egress-parity",
    "in.no-ipv4-left",
    "l2.ra-plan",
    "l2.rogue-ra",
    "meta.settled",
    "mgmt.reach-both",
    "out.port-parity",
    "out.service-reach",
    "pol.default-deny-v6",
    "pol.icmpv6-musts",
    "pol.rule-parity-dynamic",
    "vpn.matrix",
    "vpn.no-clear",
];

#[test]
fn the_shipped_phases_are_the_four_in_their_order() {
    let checks: Vec<_> = CHECKS.into_iter().chain(["svc.listen-families"]).collect();
    let read = |path: &PathBuf| -> PhaseFile {
        let text = fs::read_to_string(path).unwrap();
        let read = input::phase_file(&path.display().to_string(), &text, &checks);
        read.unwrap_or_else(|found| panic!("{found}"))
    };
    let phases: Vec<_> = files("phases").iter().map(read).collect();
    assert_eq!(phases.iter().map(|file| file.phase).collect::<Vec<_>>(), Phase::ALL);
    assert!(phases.iter().all(|file| file.gate.require.contains(&"meta.settled".to_owned())));
}

#[test]
fn the_shipped_faults_show_every_kind_of_sabotage() {
    let testbed = fokus();
    let read = |path: PathBuf| -> Vec<Fault> {
        let text = fs::read_to_string(&path).unwrap();
        let read = input::faults(&path.display().to_string(), &text, &testbed);
        read.unwrap_or_else(|found| panic!("{found}"))
    };
    let faults: Vec<_> = files("testbed/faults").into_iter().flat_map(read).collect();
    let names: BTreeSet<_> = faults.iter().map(|fault| &fault.name).collect();
    assert_eq!(names.len(), faults.len(), "a fault is named alone on the command line");
    let kind = |fault: &Fault| {
        let value = serde_json::to_value(&fault.what).unwrap();
        value.as_object().unwrap().keys().next().unwrap().clone()
    };
    let kinds: BTreeSet<_> = faults.iter().map(kind).collect();
    let grammar = input::schema(input::Kind::Fault);
    let keys = &grammar["properties"]["fault"]["additionalProperties"]["properties"];
    let changes = keys.as_object().unwrap().len() - ["title", "phase"].len();
    // No inbound proxy is in the reference testbed, and its routers tell of nothing but the resolvers of the plan:
    // `tests/faults/fronts.toml` and `tests/faults/inside.toml` have these.
    let changes = changes - ["front-wrongly", "take-resolvers"].len();
    assert_eq!(kinds.len(), changes, "each change has an example: {kinds:?}");
}
