//! The lab of namespaces against the kernel: built, changed, verified, and gone without a trace.

#[allow(unreachable_pub)]
mod support;

use std::{
    net::{IpAddr, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use sixwalk::{
    lab::{
        Driver, Errand,
        netns::{Deviation, Difference, Netns, NetnsLab, PATIENCE, Reason},
    },
    model::{
        family::Family,
        fault::Sabotage,
        mac::Mac,
        name::NodeName,
        phase::Phase,
        policy::{Action, Hook, Rule},
        step::Change,
        tap::{Tap, Watch},
    },
    net::links,
    stage::{Stage, StagedNode},
};
use support::{
    inside_sandbox,
    testbeds::{drop_family, go_live, leaves, name, stage, two_routers, with_slaac},
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

fn bring_live(lab: &NetnsLab, stage: &Stage) {
    for (node, staged) in &stage.nodes {
        lab.apply(node, &go_live(staged)).expect("what the stage says can be done");
    }
}

fn in_words(deviations: &[Deviation]) -> Vec<String> {
    deviations.iter().map(ToString::to_string).collect()
}

/// Whether a datagram of this many octets comes from one node to an address of another.
fn reaches(lab: &NetnsLab, from: &str, (to, address): (&str, &str), octets: usize) -> bool {
    let node = |node| &lab.node(&name(node)).expect("a node").namespace;
    let address: IpAddr = address.parse().expect("an address");
    let socket = |of: IpAddr| move || UdpSocket::bind((of, 0));
    let sink = node(to).run(socket(address)).expect("a socket");
    sink.set_read_timeout(Some(Duration::from_millis(500))).expect("a time limit");
    let target = sink.local_addr().expect("an address");
    let source = node(from).run(socket(Family::of(address).unspecified())).expect("a socket");
    // An error of an earlier datagram, such as a packet that was too big, is reported here.
    let _ = source.send_to(&vec![0; octets], target);
    sink.recv(&mut [0; 2000]).is_ok()
}

#[test]
fn a_new_lab_is_silent_and_a_stage_makes_it_live() {
    if !inside_sandbox("a_new_lab_is_silent_and_a_stage_makes_it_live") {
        return;
    }
    runtime().block_on(async {
        let testbed = two_routers();
        let folders = tempfile::tempdir().expect("a folder");
        let dual = stage(&testbed, Phase::DualStack);
        let lab = NetnsLab::build(&dual, folders.path()).expect("a lab");
        for node in lab.nodes() {
            let links = node.links().expect("links");
            assert!(links.iter().all(|link| link.addresses.is_empty()), "{links:?}");
            assert_eq!(node.routes().expect("routes"), [], "node {}", node.name);
        }
        bring_live(&lab, &dual);
        let settled = lab.settle(&dual, PATIENCE).await.expect("asked");
        assert_eq!(settled.unsettled, [], "{settled:?}");
        assert!(settled.waited.contains_key(&Reason::DuplicateDetection), "{settled:?}");
        assert_eq!(in_words(&lab.verify(&dual)), [""; 0]);
        for address in ["10.2.0.80", "2001:db8:2::50"] {
            assert!(reaches(&lab, "alice", ("srv", address), 1400), "{address} across two routers");
        }
    });
}

/// As many links as the kernel's modules of tunnels put into each new namespace (`sit0`, `tunl0`, `gre0`, `gretap0`, `erspan0`,
/// `ip_vti0`, `ip6tnl0`, `ip6_vti0`, `ip6gre0`), at the indices that they take. It gives no index twice, so whoever comes second
/// is refused: that shows it without the modules, which not every kernel has.
#[test]
fn links_that_a_namespace_is_born_with_are_in_nobodys_way() {
    if !inside_sandbox("links_that_a_namespace_is_born_with_are_in_nobodys_way") {
        return;
    }
    runtime().block_on(async {
        let testbed = two_routers();
        let dual = stage(&testbed, Phase::DualStack);
        let lab = NetnsLab::build(&dual, Path::new("/nonexistent")).expect("a lab");
        let born: Vec<_> = (links::LOOPBACK + 1..=links::LOOPBACK + 9)
            .map(|index| links::add_bridge(&format!("born{index}"), index, 1480))
            .collect();
        let wires =
            testbed.segments.keys().map(|segment| &lab.wire(segment).expect("built").netlink);
        for netlink in lab.nodes().map(|node| &node.netlink).chain(wires) {
            for outcome in netlink.batch(&born).expect("asked") {
                outcome.expect("an index that nobody has");
            }
        }
        bring_live(&lab, &dual);
        let settled = lab.settle(&dual, PATIENCE).await.expect("asked");
        assert_eq!(settled.unsettled, [], "{settled:?}");
        assert_eq!(in_words(&lab.verify(&dual)), [""; 0]);
        assert!(reaches(&lab, "alice", ("srv", "2001:db8:2::50"), 1400));
    });
}

#[test]
fn a_family_that_is_off_is_really_off_and_comes_back() {
    if !inside_sandbox("a_family_that_is_off_is_really_off_and_comes_back") {
        return;
    }
    runtime().block_on(async {
        let testbed = two_routers();
        let dual = stage(&testbed, Phase::DualStack);
        let lab = NetnsLab::build(&dual, Path::new("/nonexistent")).expect("a lab");
        bring_live(&lab, &dual);
        for (family, left) in [(Family::V6, Phase::Ipv4Only), (Family::V4, Phase::Ipv6Only)] {
            for (node, staged) in &dual.nodes {
                lab.apply(node, &drop_family(staged, family)).expect("dropped");
            }
            let left = stage(&testbed, left);
            let settled = lab.settle(&left, PATIENCE).await.expect("asked");
            assert_eq!(settled.unsettled, []);
            assert_eq!(in_words(&lab.verify(&left)), [""; 0], "{family} off");
            // The same kernel against the other stage: everything of the family is missing, so verify can tell.
            let missing = lab.verify(&dual).len();
            assert!(missing > 10, "only {missing} deviations without {family}");
            for (node, staged) in &left.nodes {
                for change in drop_family(staged, family.other()) {
                    lab.apply(node, &[change]).expect("the rest dropped");
                }
            }
            bring_live(&lab, &dual);
            lab.settle(&dual, PATIENCE).await.expect("asked");
            assert_eq!(in_words(&lab.verify(&dual)), [""; 0], "both families back");
        }
    });
}

#[test]
fn the_failing_change_is_named_and_nothing_after_it_remains() {
    if !inside_sandbox("the_failing_change_is_named_and_nothing_after_it_remains") {
        return;
    }
    runtime().block_on(async {
        let testbed = two_routers();
        let v4 = stage(&testbed, Phase::Ipv4Only);
        let lab = NetnsLab::build(&v4, Path::new("/nonexistent")).expect("a lab");
        bring_live(&lab, &v4);
        let alice: NodeName = name("alice");
        let add = |net: &str| Change::AddAddress {
            interface: name("eth0"),
            net: net.parse().expect("an address"),
        };
        let route = |via: &str| Change::AddRoute {
            to: "192.0.2.0/24".parse().expect("a prefix"),
            via: via.parse().expect("an address"),
        };
        let changes = [add("10.1.0.20/24"), route("203.0.113.1"), add("10.1.0.21/24")];
        let error = lab.apply(&alice, &changes).expect_err("an unreachable next hop");
        assert_eq!(error.index, 1, "{error}");
        assert_eq!(
            error.to_string(),
            "cannot add the route to 192.0.2.0/24 via 203.0.113.1 on node `alice`: Nexthop has invalid gateway \
             (ENETUNREACH)"
        );
        let extra = lab.verify(&v4).into_iter().map(|d| d.what).collect::<Vec<_>>();
        let first = Difference::ExtraAddress {
            interface: "eth0".to_owned(),
            net: "10.1.0.20/24".parse().expect("an address"),
        };
        assert_eq!(extra, [first], "the change before the failing one, and none after it");
        let nowhere = [Change::AddAddress {
            interface: name("eth7"),
            net: "10.1.0.30/24".parse().expect("an address"),
        }];
        let error = lab.apply(&alice, &nowhere).expect_err("no such interface");
        assert!(error.to_string().ends_with("it has no interface `eth7`"), "{error}");
    });
}

#[test]
fn verify_names_what_someone_else_has_changed() {
    if !inside_sandbox("verify_names_what_someone_else_has_changed") {
        return;
    }
    runtime().block_on(async {
        let testbed = two_routers();
        let dual = stage(&testbed, Phase::DualStack);
        let lab = NetnsLab::build(&dual, Path::new("/nonexistent")).expect("a lab");
        bring_live(&lab, &dual);
        lab.settle(&dual, PATIENCE).await.expect("asked");
        let ra = lab.node(&name("ra")).expect("a node");
        let ip = |args: &'static str| {
            let run = || std::process::Command::new("ip").args(args.split(' ')).status();
            assert!(ra.namespace.run(run).expect("ip runs").success(), "ip {args}");
        };
        ip("-6 route del 2001:db8:2::/64");
        ip("addr add 192.0.2.77/24 dev eth0");
        ip("link set eth1 mtu 1400");
        ra.switches.set("net.ipv4.ip_forward", "0").expect("set");
        let words = in_words(&lab.verify(&dual));
        assert_eq!(
            words,
            [
                "node `ra`: `eth0` has 192.0.2.77/24, which is not planned",
                "node `ra`: interface `eth1` has MTU 1400, planned is 1500",
                "node `ra`: the route to 2001:db8:2::/64 via 2001:db8:9::2 is missing",
                "node `ra`: the switch net.ipv4.ip_forward is 0, planned is 1",
            ]
        );
    });
}

#[test]
fn residue_is_forgotten() {
    if !inside_sandbox("residue_is_forgotten") {
        return;
    }
    runtime().block_on(async {
        let testbed = two_routers();
        let dual = stage(&testbed, Phase::DualStack);
        let lab = NetnsLab::build(&dual, Path::new("/nonexistent")).expect("a lab");
        bring_live(&lab, &dual);
        lab.settle(&dual, PATIENCE).await.expect("asked");
        // A narrow link behind the first router teaches alice a path MTU in both families.
        let ra = lab.node(&name("ra")).expect("a node");
        let index = ra.index("eth1").expect("an interface");
        ra.netlink.ask(&links::set_mtu(index, 1300)).expect("narrowed");
        let alice = lab.node(&name("alice")).expect("a node");
        for address in ["10.2.0.80", "2001:db8:2::50"] {
            assert!(!reaches(&lab, "alice", ("srv", address), 1400), "too big for {address}");
            // The kernel shows a learned MTU of IPv4 once a packet has used it.
            assert!(reaches(&lab, "alice", ("srv", address), 1400), "fragmented to {address}");
        }
        let learned = |lab: &NetnsLab| {
            let routes = lab.node(&name("alice")).expect("a node").routes().expect("routes");
            routes.into_iter().filter_map(|r| r.learned_mtu).map(|(mtu, _)| mtu).collect::<Vec<_>>()
        };
        assert_eq!(learned(&lab), [1300, 1300]);
        assert!(!alice.neighbours().expect("neighbours").is_empty());
        lab.apply(&name("alice"), &[Change::ForgetResidue]).expect("forgotten");
        assert_eq!(learned(&lab), [] as [u32; 0]);
        assert_eq!(alice.neighbours().expect("neighbours"), []);
    });
}

#[test]
fn the_time_is_over_for_who_never_settles() {
    if !inside_sandbox("the_time_is_over_for_who_never_settles") {
        return;
    }
    runtime().block_on(async {
        let testbed = leaves(3);
        let v6 = stage(&testbed, Phase::Ipv6Only);
        let lab = NetnsLab::build(&v6, Path::new("/nonexistent")).expect("a lab");
        let settled = lab.settle(&v6, Duration::from_millis(100)).await.expect("asked");
        let words: Vec<_> = settled.unsettled.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), 3, "{words:?}");
        assert!(words[0].starts_with("node `hub`: fe80::"), "{words:?}");
    });
}

/// Every fault of the kernel on a lab where `alice` listens to routers. Each shows as these differences, and is gone after
/// mending.
#[test]
fn planted_faults_show_and_are_mended() {
    if !inside_sandbox("planted_faults_show_and_are_mended") {
        return;
    }
    let alice = || name("alice");
    let eth0 = || name("eth0");
    let net = |text: &str| text.parse().expect("a prefix");
    let drop_all = Rule { label: "planted".to_owned(), matches: Vec::new(), action: Action::Drop };
    let cases: Vec<(Sabotage, &[&str])> = vec![
        (
            Sabotage::AddAddress { node: alice(), interface: eth0(), net: net("192.0.2.9/24") },
            &["`eth0` has 192.0.2.9/24"],
        ),
        (
            Sabotage::RemoveAddress {
                node: name("ra"),
                interface: eth0(),
                net: net("2001:db8:1::1/64"),
            },
            &["2001:db8:1::1/64 is missing"],
        ),
        (
            Sabotage::RemoveRoute { node: name("rb"), to: net("2001:db8:1::/64") },
            &["the route to 2001:db8:1::/64 via 2001:db8:9::1 is missing"],
        ),
        (
            Sabotage::AddRoute {
                node: name("ra"),
                to: net("198.51.100.0/24"),
                via: "10.9.0.2".parse().expect("an address"),
            },
            &["there is a route to 198.51.100.0/24 via 10.9.0.2"],
        ),
        (
            Sabotage::SetMtu { node: name("srv"), interface: eth0(), mtu: 1200 },
            &["has MTU 1200", "2001:db8:2::50/64 is missing", "fe80::"],
        ),
        (
            Sabotage::SetSwitch {
                node: alice(),
                name: "net.ipv6.conf.eth0.disable_ipv6".to_owned(),
                value: "1".to_owned(),
            },
            &["disable_ipv6 is 1", "2001:db8:1:0:51:ff:fe00:0/64 is missing"],
        ),
        (
            Sabotage::AddRule { node: name("ra"), hook: Hook::Forward, rule: drop_all },
            &["its filter is not as planned"],
        ),
        (
            Sabotage::RogueRouter {
                segment: name("left"),
                mac: Mac([2, 0xbad_u16.to_be_bytes()[0], 0xbad_u16.to_be_bytes()[1], 0, 0, 1]),
                prefix: net("2001:db8:bad::/64"),
                lifetime_s: 1800,
            },
            &["`eth0` has 2001:db8:bad:0:51"],
        ),
    ];
    runtime().block_on(async {
        let testbed = with_slaac();
        let dual = stage(&testbed, Phase::DualStack);
        let lab = Netns::build(&dual, Instant::now()).expect("a lab");
        let live = |(node, staged): (&NodeName, &StagedNode)| Errand {
            node: node.clone(),
            changes: go_live(staged),
        };
        for made in lab.change(dual.nodes.iter().map(live).collect()).await {
            made.expect("what the stage says can be done");
        }
        let settled = lab.settle(&dual).await;
        assert_eq!(settled.unsettled, [""; 0]);
        assert_eq!(lab.verify(&dual).await, [""; 0]);
        for (fault, signs) in cases {
            lab.sabotage(&fault).await.expect("planted");
            for sign in signs {
                let deadline = Instant::now() + Duration::from_secs(5);
                loop {
                    let said = lab.verify(&dual).await;
                    if said.iter().any(|line| line.contains(sign)) {
                        break;
                    }
                    assert!(Instant::now() < deadline, "{fault:?}: no `{sign}` in {said:#?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            let mended = lab.mend(&dual).await;
            assert_eq!(mended, Ok(()), "{fault:?}");
            assert_eq!(lab.verify(&dual).await, [""; 0], "after {fault:?}");
        }
    });
}

/// A forgotten device is heard on the link, and no more after mending; a router that was never asked is not.
#[test]
fn a_bridge_is_silent_and_a_talker_is_heard() {
    if !inside_sandbox("a_bridge_is_silent_and_a_talker_is_heard") {
        return;
    }
    runtime().block_on(async {
        let testbed = two_routers();
        let v6 = stage(&testbed, Phase::Ipv6Only);
        let lab = Netns::build(&v6, Instant::now()).expect("a lab");
        let watch = Watch::Ethertypes(vec![0x0800, 0x0806, 0x86dd]);
        let tap = Tap { segment: name("left"), watch, label: String::new() };
        let open = lab.tap(&tap, None).await.expect("a tap");
        tokio::time::sleep(Duration::from_millis(700)).await;
        let silent = open.close().await;
        assert!(silent.is_trustworthy(), "{silent:?}");
        assert_eq!(silent.frames, 0, "a lab with nothing live says nothing: {silent:?}");
        let talk = Sabotage::Talk {
            node: name("bob"),
            interface: name("eth0"),
            family: Family::V4,
            to: "10.1.0.1".parse().expect("an address"),
        };
        let open = lab.tap(&tap, None).await.expect("a tap");
        lab.sabotage(&talk).await.expect("planted");
        tokio::time::sleep(Duration::from_millis(700)).await;
        let heard = open.close().await;
        assert!(heard.by_ethertype["0800"] >= 2 && heard.by_ethertype["0806"] >= 2, "{heard:?}");
    });
}
