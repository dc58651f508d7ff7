//! The checks of policy, of the link and of paths together: each fault is planted into the network of the fixture, all
//! of these checks are asked, and exactly one finding with the right culprit must come out.

use std::{collections::BTreeSet, sync::Arc};

use super::{CHECKS, Check, cause, fixture::*, passage, pol::default_deny_v6::DefaultDenyV6};
use crate::{
    model::{
        answer::{AddressState, Answer, HeardAdvertisement, HeardPrefix, IcmpError, SocketState},
        family::Family,
        finding::Finding,
        flow::{End, Flow, Intent, Traffic},
        mac::Mac,
        phase::Phase,
        policy::{Action, Hook, Match, Rule},
        probe::{Aspect, Probe, Question},
        service::Transport,
        tap::{FrameNote, Reading, Watch},
        verdict::{Judgement, Verdict},
    },
    stage::Stage,
};

fn findings(network: &Network) -> Vec<Finding> {
    let judgements = network.ask(CHECKS);
    for judgement in &judgements {
        words_are_complete(judgement);
    }
    cause::findings(&[(network.plan.phase, judgements)], |check, _| check.to_owned())
}

/// Every placeholder of a case has its value.
fn words_are_complete(judgement: &Judgement) {
    let Some(complaint) = &judgement.complaint else { return };
    let check = CHECKS.iter().find(|check| check.text().id == judgement.check).unwrap();
    let case = check.text().case(&complaint.case).expect("a case of the check");
    for text in [case.finding, case.expected, case.observed, case.remedy] {
        for part in text.split('{').skip(1) {
            let name = part.split('}').next().unwrap();
            assert!(
                complaint.args.contains_key(name),
                "{} {} lacks {{{name}}}",
                judgement.check,
                complaint.case
            );
        }
    }
}

/// Exactly one finding: this check, this case, this culprit.
#[track_caller]
fn exactly(network: &Network, check: &str, case: &str, culprit: &str) -> Finding {
    let found = findings(network);
    let short: Vec<_> =
        found.iter().map(|f| format!("{} {} {}", f.check, f.case, f.culprit)).collect();
    assert_eq!(short, [format!("{check} {case} {culprit}")]);
    found.into_iter().next().unwrap()
}

#[track_caller]
fn nothing(network: &Network) {
    let found = findings(network);
    assert!(
        found.is_empty(),
        "{:#?}",
        found.iter().map(|f| (&f.check, &f.case, &f.subject, &f.args)).collect::<Vec<_>>()
    );
}

fn dual() -> Network {
    Network::healthy(Phase::DualStack)
}

/// Changes the forward or input chain of a node behind the program's back.
fn filter(
    network: Network,
    at: &'static str,
    hook: Hook,
    change: impl FnOnce(&mut Vec<Rule>),
) -> Network {
    network.with(|live| {
        let filter = &mut live.nodes.get_mut(at).unwrap().filter;
        if filter.chain(hook).is_none() {
            let policy = Action::Accept;
            filter.chains.push(crate::model::policy::Chain { hook, policy, rules: Vec::new() });
        }
        let chain = filter.chains.iter_mut().find(|chain| chain.hook == hook).unwrap();
        change(&mut chain.rules);
    })
}

fn rule(label: &str, matches: Vec<Match>, action: Action) -> Rule {
    Rule { label: label.to_owned(), matches, action }
}

/// The testbed with a smaller link in the middle.
fn narrow(phase: Phase) -> Network {
    let mut testbed = (*testbed()).clone();
    testbed.segments.get_mut("internet").unwrap().mtu = 1400;
    Network::of(Stage::new(&Arc::new(testbed), phase))
}

#[test]
fn a_healthy_network_has_no_findings_in_any_phase() {
    for phase in Phase::ALL {
        nothing(&Network::healthy(phase));
        nothing(&narrow(phase));
    }
}

#[test]
fn healthy_samples_are_judged_and_not_skipped() {
    let judgements = dual().ask(CHECKS);
    let mut subjects = BTreeSet::new();
    for judgement in &judgements {
        let key = (&judgement.check, &judgement.subject);
        assert!(subjects.insert(key), "{key:?} is judged twice");
    }
    // Nothing of theirs is planned, or nothing was repeated, while all is well in the dual-stack phase.
    let idle = ["l2.unplanned-v6", "meta.repeatable", "out.no-ipv4-left", "in.no-ipv4-left"];
    // Tunnels and management products are in the reference testbed; on paper no tunnel is interrupted, and none counts.
    let mut elsewhere = in_a_row(Phase::DualStack).ask(CHECKS);
    // So are inbound proxies, in one of their own.
    elsewhere.extend(Network::of(hosting(Phase::DualStack)).ask(CHECKS));
    // And so is a second default router.
    elsewhere.extend(Network::of_two_routers(Phase::DualStack).ask(CHECKS));
    let idle = [&idle[..], &["vpn.no-clear", "vpn.fail-open"]].concat();
    // Nothing is translated in the testbed of these tests; `tests/faults/translation.toml` walks one in which it is.
    let is_idle =
        |id: &str| idle.contains(&id) || id.starts_with("x64.") || id.starts_with("dns64.");
    for check in CHECKS.iter().map(|check| check.text().id).filter(|id| !is_idle(id)) {
        let told = |j: &&Judgement| matches!(j.verdict, Verdict::Pass | Verdict::Info);
        let all = judgements.iter().chain(&elsewhere);
        let found = all.filter(|j| j.check == check).find(told);
        assert!(found.is_some(), "`{check}` judged nothing");
    }
}

#[test]
fn a_removed_forward_rule_is_the_finding_and_what_it_stops_are_symptoms() {
    let network = filter(dual(), "firewall", Hook::Forward, |rules| {
        rules.retain(|r| r.label != "internet->portal" || r.family() != Some(Family::V6));
    });
    let found = exactly(
        &network,
        "pol.rule-parity-static",
        "missing",
        "firewall (forward rule internet->portal)",
    );
    assert!(found.symptoms.iter().any(|s| s.check == "pol.rule-parity-dynamic"), "{found:#?}");
    assert_eq!(found.args["counterpart"], "the IPv4 rule is there");
}

#[test]
fn a_removed_deny_rule_and_an_added_one_are_found() {
    let network = filter(dual(), "firewall", Hook::Forward, |rules| {
        rules.retain(|r| r.label != "internet-x-lan");
    });
    exactly(
        &network,
        "pol.rule-parity-static",
        "missing",
        "firewall (forward rule internet-x-lan)",
    );
    let port = Match::Port { transport: Transport::Tcp, number: 443 };
    let network = filter(dual(), "router", Hook::Forward, |rules| {
        rules.insert(0, rule("planted", vec![Match::Family(Family::V6), port], Action::Drop));
    });
    exactly(&network, "pol.rule-parity-static", "extra", "router (forward rule planted)");
}

#[test]
fn an_open_policy_is_found_once() {
    let network = dual().with(|live| {
        let filter = &mut live.nodes.get_mut("firewall").unwrap().filter;
        filter.chains.iter_mut().find(|c| c.hook == Hook::Forward).unwrap().policy = Action::Accept;
    });
    let found = exactly(&network, "pol.rule-parity-static", "policy", "firewall (forward policy)");
    assert!(found.symptoms.iter().any(|s| s.check == "pol.default-deny-v6"), "{found:#?}");
    let network = filter(dual(), "firewall", Hook::Forward, |rules| {
        rules.push(rule("planted", vec![Match::Family(Family::V6)], Action::Accept));
    });
    let found =
        exactly(&network, "pol.rule-parity-static", "extra", "firewall (forward rule planted)");
    assert!(found.symptoms.iter().any(|s| s.check == "pol.default-deny-v6"), "{found:#?}");
}

#[test]
fn ipv6_that_would_be_forwarded_is_found_while_it_is_off() {
    let switch = |value: &'static str| {
        Network::healthy(Phase::Ipv4Only).bend(move |probe, answer| {
            if let Answer::Switches(all) = answer
                && probe.from.as_str() == "firewall"
            {
                for (name, now) in all {
                    if name == "net.ipv6.conf.all.forwarding" {
                        value.clone_into(now);
                    }
                }
            }
        })
    };
    nothing(&switch("0"));
    let part = "firewall (switch net.ipv6.conf.all.forwarding)";
    let found = exactly(&switch("1"), "pol.default-deny-v6", "forwards", part);
    assert!(found.symptoms.iter().any(|s| s.check == "meta.plan-vs-topology"), "{found:#?}");
}

#[test]
fn what_passes_although_the_rules_look_right_is_found_on_the_wire() {
    let network = dual().bend_tap(|tap, reading| {
        if tap.label.contains("-x resolver") && tap.segment.as_str() == "lan" {
            reading.frames += 1;
        }
    });
    let found = findings(&network);
    assert!(!found.is_empty());
    for finding in &found {
        assert_eq!(finding.check, "pol.rule-parity-dynamic");
        assert_eq!(finding.case, "passed");
    }
}

#[test]
fn filtered_icmpv6_errors_are_one_finding_with_the_black_hole_under_it() {
    let network = filter(narrow(Phase::DualStack), "firewall", Hook::Forward, |rules| {
        rules.retain(|r| r.label != "icmp-errors" || r.family() != Some(Family::V6));
    });
    let found =
        exactly(&network, "pol.icmpv6-musts", "rule", "firewall (forward rule icmp-errors)");
    assert!(found.symptoms.iter().any(|s| s.check == "path.pmtu-blackhole"), "{found:#?}");
    let network = filter(narrow(Phase::Ipv6Only), "firewall", Hook::Forward, |rules| {
        let matches = vec![Match::Icmp { family: Family::V6, types: vec![2] }];
        rules.insert(0, rule("planted", matches, Action::Drop));
    });
    exactly(&network, "pol.icmpv6-musts", "rule", "firewall (forward rule planted)");
}

#[test]
fn lost_ipv4_errors_are_the_matter_of_the_plan_of_rules() {
    let network = filter(narrow(Phase::DualStack), "firewall", Hook::Forward, |rules| {
        rules.retain(|r| r.label != "icmp-errors" || r.family() != Some(Family::V4));
    });
    exactly(&network, "pol.rule-parity-static", "missing", "firewall (forward rule icmp-errors)");
}

/// A frame with an ICMP error.
fn error_frame(from: &str, to: &str) -> FrameNote {
    FrameNote {
        at_us: 0,
        source_mac: Mac([2, 0, 0, 0, 0, 1]),
        destination_mac: Mac([2, 0, 0, 0, 0, 2]),
        ethertype: "86dd".to_owned(),
        source: Some(from.parse().unwrap()),
        destination: Some(to.parse().unwrap()),
        protocol: Some(58),
        source_port: None,
        destination_port: None,
        icmp: Some((2, 0)),
        hop_limit: Some(64),
        class: None,
        length: 1294,
    }
}

#[test]
fn a_black_hole_without_a_rule_to_blame_is_located_by_taps() {
    // Packet Too Big of the router reaches the uplink, and the firewall passes nothing on. What it sends itself is told.
    let network = narrow(Phase::Ipv6Only)
        .bend(|probe, answer| {
            if probe.from.as_str() == "firewall" {
                return;
            }
            if let (Answer::PathMtu { sweep }, Question::PathMtu { .. }) =
                (&mut *answer, &probe.question)
            {
                sweep.too_big.clear();
            }
            if let (Answer::Echo { attempt }, Question::Provoke { .. }) = (answer, &probe.question)
                && attempt.icmp.is_some_and(|icmp: IcmpError| icmp.kind == 2)
            {
                attempt.icmp = None;
            }
        })
        .bend_tap(|tap, reading: &mut Reading| {
            if tap.label.starts_with("large packets") {
                reading.frames = u64::from(tap.segment.as_str() != "internet");
            }
            if matches!(&tap.watch, Watch::Icmp { types, .. } if *types == [2])
                && tap.segment.as_str() == "uplink"
            {
                for to in ["2001:db8:d::a", "2001:db8:d::35", "2001:db8:a::35"] {
                    reading.first.push(error_frame("2001:db8:e::1", to));
                }
                let lan = "2001:db8:a:0:0:ff:fe00:701";
                reading.first.push(error_frame("2001:db8:e::1", lan));
            }
        });
    let found = findings(&network);
    let culprits: Vec<_> =
        found.iter().map(|f| (f.check.as_str(), f.culprit.to_string())).collect();
    assert!(
        culprits.contains(&("path.pmtu-blackhole", "firewall (\"too big\" errors)".to_owned())),
        "{culprits:?}"
    );
}

#[test]
fn neighbour_discovery_that_a_host_filters_is_found_by_its_rule() {
    let solicitation = || Match::Icmp { family: Family::V6, types: vec![135] };
    let network = filter(dual(), "portal", Hook::Input, |rules| {
        rules.insert(0, rule("planted", vec![solicitation()], Action::Drop));
    })
    .bend(|probe, answer| {
        if let (Question::Neighbour { target, .. }, Answer::Neighbour { macs, .. }) =
            (&probe.question, answer)
            && *target == "2001:db8:d::a".parse::<std::net::IpAddr>().unwrap()
        {
            macs.clear();
        }
    });
    let found = exactly(
        &network,
        "pol.nd-and-mld-not-filtered-on-link",
        "filtered",
        "portal (input rule planted)",
    );
    assert!(found.symptoms.iter().any(|s| s.check == "l2.neighbour-path"), "{found:#?}");
}

#[test]
fn a_neighbour_that_stays_silent_without_a_rule_is_found_too() {
    let network = dual().bend(|probe, answer| {
        if let (Question::Neighbour { target, .. }, Answer::Neighbour { macs, .. }) =
            (&probe.question, answer)
            && *target == "2001:db8:d::a".parse::<std::net::IpAddr>().unwrap()
        {
            macs.clear();
        }
    });
    exactly(&network, "l2.neighbour-path", "silent", "portal (neighbour discovery)");
}

#[test]
fn false_sources_that_pass_are_found() {
    let network = filter(dual(), "firewall", Hook::Forward, |rules| {
        rules.retain(|r| r.label != "anti-spoof");
    });
    let found = exactly(
        &network,
        "pol.rule-parity-static",
        "missing",
        "firewall (forward rule anti-spoof)",
    );
    assert!(found.symptoms.iter().any(|s| s.check == "pol.anti-spoof"), "{found:#?}");
}

/// Changes what the firewall announces to the LAN.
fn announcing(change: impl Fn(&mut Vec<HeardAdvertisement>) + 'static) -> Network {
    dual().bend(move |probe, answer| {
        if let (Question::Solicit { .. }, Answer::Advertisements { heard }) =
            (&probe.question, answer)
        {
            change(heard);
        }
    })
}

#[test]
fn each_way_of_announcing_wrongly_is_found() {
    let culprit = "firewall (advertisement on lan0)";
    let each = |change: fn(&mut HeardAdvertisement)| {
        announcing(move |all| all.iter_mut().for_each(change))
    };
    exactly(&announcing(Vec::clear), "l2.ra-plan", "silent", culprit);
    exactly(&each(|ra| ra.prefixes[0].on_link = false), "l2.ra-plan", "on-link", culprit);
    exactly(&each(|ra| ra.prefixes[0].autonomous = false), "l2.ra-plan", "prefix", culprit);
    exactly(&each(|ra| ra.lifetime_s = 0), "l2.ra-plan", "lifetime", culprit);
    exactly(&each(|ra| ra.dns.clear()), "l2.ra-plan", "dns", culprit);
    exactly(&each(|ra| ra.mtu = Some(1400)), "l2.ra-plan", "mtu", culprit);
    exactly(&each(|ra| ra.managed = true), "l2.ra-plan", "flags", culprit);
    nothing(&each(|ra| ra.mtu = None));
}

#[test]
fn a_rogue_router_is_one_finding_with_the_hosts_that_believe_it() {
    let stranger = Mac([0x02, 0xbb, 0, 0, 0, 1]);
    let network = announcing(move |heard| {
        if let Some(planned) = heard.first().cloned() {
            heard.push(HeardAdvertisement {
                router: stranger.link_local().into(),
                mac: Some(stranger),
                prefixes: vec![HeardPrefix {
                    prefix: "2001:db8:bad::/64".parse().unwrap(),
                    ..planned.prefixes[0].clone()
                }],
                ..planned
            });
        }
    })
    .bend(|probe, answer| {
        // A host takes nothing before somebody asks for routers.
        if let Answer::Addresses(links) = answer
            && probe.from.as_str() == "workplace"
            && probe.round > 0
        {
            let taken = AddressState {
                net: "2001:db8:bad::20/64".parse().unwrap(),
                tentative: false,
                dad_failed: false,
                dynamic: true,
                temporary: false,
                deprecated: false,
            };
            links.iter_mut().find(|l| l.name == "eth0").unwrap().addresses.push(taken);
        }
    });
    let found =
        exactly(&network, "l2.rogue-ra", "stranger", "lan (unlisted router 02:bb:00:00:00:01)");
    assert_eq!(found.args["prefixes"], "2001:db8:bad::/64");
    assert_eq!(found.args["taken"], "workplace holds the address 2001:db8:bad::20.");
}

#[test]
fn a_rogue_router_is_heard_where_ipv6_is_off() {
    let network = Network::healthy(Phase::Ipv4Only).bend_tap(|tap, reading| {
        if tap.label == "router advertisements" && tap.segment.as_str() == "lan" {
            let mut note = error_frame("fe80::bb:ff:fe00:1", "ff02::1");
            note.source_mac = Mac([0x02, 0xbb, 0, 0, 0, 1]);
            reading.frames = 1;
            reading.first.push(note);
        }
    });
    let culprit = "lan (unlisted router 02:bb:00:00:00:01)";
    let found = exactly(&network, "l2.rogue-ra", "stranger", culprit);
    assert!(found.args["content"].contains("not read"), "{:?}", found.args);
    assert_eq!(found.args["taken"], "No host on the link has taken anything from it.");
    let unseen = network.bend(|probe, answer| {
        if probe.round > 0 && matches!(answer, Answer::Addresses(_)) {
            *answer = Answer::NotAsked { reason: "the node is gone".to_owned() };
        }
    });
    let found = exactly(&unseen, "l2.rogue-ra", "stranger", culprit);
    assert_eq!(found.args["taken"], "The hosts were not looked at after that.");
}

#[test]
fn a_dead_tap_proves_nothing() {
    let network =
        Network::healthy(Phase::Ipv4Only).bend_tap(|_, reading| reading.alive_after = false);
    nothing(&network);
    let judgements = network.ask(CHECKS);
    let rogue = judgements.iter().filter(|j| j.check == "l2.rogue-ra");
    assert!(rogue.into_iter().all(|j| j.verdict == Verdict::NotTestable));
}

#[test]
fn duplicate_addresses_and_detection_that_is_off_are_found() {
    let network = dual().bend(|probe, answer| {
        if let (Answer::Addresses(links), "portal") = (answer, probe.from.as_str()) {
            let link = links.iter_mut().find(|l| l.name == "eth0").unwrap();
            link.addresses.iter_mut().find(|a| a.net.addr().is_ipv6()).unwrap().dad_failed = true;
        }
    });
    exactly(&network, "l2.dad", "failed", "portal (address 2001:db8:d::a)");
    let network = dual().bend(|probe, answer| {
        if let (Answer::Switches(all), "ns") = (answer, probe.from.as_str()) {
            all.iter_mut().find(|(n, _)| n == "net.ipv6.conf.eth0.accept_dad").unwrap().1 =
                "0".to_owned();
        }
    });
    exactly(&network, "l2.dad", "off", "ns (net.ipv6.conf.eth0.accept_dad)");
    let network = dual().bend(|probe, answer| {
        if let (Question::Neighbour { target, .. }, Answer::Neighbour { macs, .. }) =
            (&probe.question, answer)
            && *target == "2001:db8:d::a".parse::<std::net::IpAddr>().unwrap()
        {
            macs.push(Mac([0x02, 0xbb, 0, 0, 0, 1]));
        }
    });
    exactly(&network, "l2.dad", "duplicate", "dmz (stranger 02:bb:00:00:00:01)");
}

#[test]
fn ipv6_where_it_is_off_is_judged_by_what_it_opens() {
    let with_address = |address: &'static str, open: bool| {
        Network::healthy(Phase::Ipv4Only).bend(move |probe, answer| {
            if probe.from.as_str() != "portal" {
                return;
            }
            if let Answer::Addresses(links) = answer {
                let link = links.iter_mut().find(|l| l.name == "eth0").unwrap();
                let state = link.addresses[0].clone();
                let net = address.parse().unwrap();
                link.addresses.push(AddressState { net, ..state });
            } else if let (Answer::Sockets(all), true) = (answer, open) {
                all.push(SocketState {
                    transport: Transport::Tcp,
                    local: "[::]:22".parse().unwrap(),
                    v6_only: Some(true),
                    service: None,
                });
            }
        })
    };
    nothing(&with_address("fe80::1/64", false));
    let open = with_address("fe80::1/64", true);
    let judgements = open.ask(&[&super::l2::unplanned_v6::UnplannedV6]);
    let complaints: Vec<_> = judgements.iter().filter_map(|j| j.complaint.as_ref()).collect();
    assert_eq!(complaints.len(), 1);
    assert_eq!(complaints[0].case, "listener");
    assert_eq!(complaints[0].args["listeners"], "tcp/22 listen on IPv6.");
    exactly(
        &with_address("2001:db8:d::a/64", false),
        "l2.unplanned-v6",
        "address",
        "portal (IPv6 on eth0)",
    );
}

#[test]
fn a_server_that_forms_its_address_is_found() {
    let network = dual().bend(|probe, answer| {
        if let (Question::Inspect(Aspect::Addresses), Answer::Addresses(links), "portal") =
            (&probe.question, answer, probe.from.as_str())
        {
            let link = links.iter_mut().find(|l| l.name == "eth0").unwrap();
            link.addresses.iter_mut().find(|a| a.net.addr().is_ipv6()).unwrap().dynamic = true;
        }
    });
    exactly(&network, "l2.server-address-stability", "unstable", "portal (address 2001:db8:d::a)");
}

#[test]
fn a_path_smaller_than_planned_is_found_and_a_planned_one_is_not() {
    let network = dual().bend(|_, answer| {
        if let Answer::PathMtu { sweep } = answer
            && sweep.destination == "2001:db8:f::35".parse::<std::net::IpAddr>().unwrap()
        {
            sweep.passed = Some(1400);
            sweep.lost = Some(1401);
            sweep.too_big = vec![IcmpError {
                family: Family::V6,
                kind: 2,
                code: 0,
                sender: "2001:db8:e::1".parse().unwrap(),
                mtu: Some(1400),
            }];
        }
    });
    let found = findings(&network);
    assert!(found.iter().all(|f| f.check == "path.pmtu" && f.case == "small"), "{found:#?}");
    assert_eq!(found.first().unwrap().culprit.node, Some(node("router")));
}

#[test]
fn an_interface_smaller_than_its_link_is_found_with_what_gets_lost() {
    let network = dual()
        .with(|live| {
            live.nodes.get_mut("router").unwrap().interfaces[1].mtu = 1300;
        })
        .bend(|probe, answer| {
            if let (Answer::PathMtu { sweep }, "public-dns") = (answer, probe.from.as_str()) {
                sweep.passed = Some(1300);
                sweep.lost = Some(1301);
                sweep.too_big.clear();
            }
        });
    let found = exactly(&network, "path.pmtu", "interface", "router (MTU of in0)");
    assert!(found.symptoms.iter().any(|s| s.check == "path.pmtu-blackhole"), "{found:#?}");
}

#[test]
fn a_detour_of_one_family_is_found() {
    let network = dual().bend(|probe, answer| {
        if let (Question::Trace { to, .. }, Answer::Trace { hops, .. }) = (&probe.question, answer)
            && probe.from.as_str() == "public-dns"
            && to.is_ipv6()
        {
            hops.insert(1, Some("2001:db8:a::35".parse().unwrap()));
        }
    });
    let found = findings(&network);
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .all(|f| f.check == "path.trace-parity" && f.culprit.node == Some(node("router"))),
        "{found:#?}"
    );
}

#[test]
fn a_hop_that_does_not_answer_is_no_detour() {
    nothing(&dual().bend(|_, answer| {
        if let Answer::Trace { hops, .. } = answer {
            hops[0] = None;
        }
    }));
}

#[test]
fn an_unread_rule_is_said_to_be_unread() {
    let network = dual().bend(|probe, answer| {
        if let (Answer::Filter { unread, .. }, "firewall") = (answer, probe.from.as_str()) {
            unread.push("limit rate 10/second".to_owned());
        }
    });
    let judgements = network.ask(&[&super::pol::rule_parity_static::RuleParityStatic]);
    let firewall = judgements.iter().find(|j| j.subject == "firewall").unwrap();
    assert_eq!(firewall.verdict, Verdict::NotTestable);
    assert!(firewall.reason.contains("limit rate"));
}

/// The reference testbed: three filtering nodes in a row.
fn in_a_row(phase: Phase) -> Network {
    let testbed = crate::input::testbed("fokus.toml", include_str!("../../testbed/fokus.toml"));
    Network::of(Stage::new(&Arc::new(testbed.unwrap()), phase))
}

#[test]
fn an_open_door_is_found_on_every_filtering_node_also_behind_another() {
    for phase in [Phase::DualStack, Phase::Ipv6Only] {
        for at in ["gateway-a", "gateway-b", "firewall-b"] {
            let network = filter(in_a_row(phase), at, Hook::Forward, |rules| {
                rules.push(rule("planted", vec![Match::Family(Family::V6)], Action::Accept));
            });
            let (evidence, judgements) = network.walk(&[&DefaultDenyV6]);
            assert_eq!(passage::unproven(&evidence, &judgements), Vec::<&Judgement>::new());
            let culprits = judgements.iter().filter_map(|j| j.complaint.as_ref());
            let culprits: BTreeSet<_> = culprits.map(|c| c.culprit.to_string()).collect();
            assert_eq!(culprits, BTreeSet::from([format!("{at} (forwarding of IPv6)")]));
        }
    }
}

#[test]
fn every_side_of_filtering_nodes_in_a_row_is_put_to_the_test() {
    for phase in [Phase::DualStack, Phase::Ipv6Only] {
        let judgements = in_a_row(phase).ask(&[&DefaultDenyV6]);
        assert!(judgements.len() >= 40, "{}", judgements.len());
        let untested = judgements.iter().filter(|j| j.verdict != Verdict::Pass);
        assert_eq!(untested.collect::<Vec<_>>(), Vec::<&Judgement>::new());
    }
}

#[test]
fn a_side_on_which_flows_allow_everything_is_not_applicable() {
    let mut testbed = (*testbed()).clone();
    testbed.flows = vec![Flow {
        name: "all".to_owned(),
        from: End::Everywhere,
        to: End::Everywhere,
        traffic: vec![Traffic::Any],
        intent: Intent::Allow,
    }];
    let network = Network::of(Stage::new(&Arc::new(testbed), Phase::DualStack));
    let judgements = network.ask(&[&DefaultDenyV6]);
    assert!(judgements.iter().all(|j| j.verdict == Verdict::NotApplicable), "{judgements:#?}");
    assert_eq!(judgements.len(), 6, "from each of three links to each other");
}

#[test]
fn a_router_in_a_prefix_that_a_flow_opens_for_hosts_is_no_open_door() {
    let mut testbed = (*testbed()).clone();
    let host = &mut testbed.nodes.get_mut("public-dns").unwrap().interfaces[0];
    host.segment = segment("uplink");
    for (address, net) in host.addresses.iter_mut().zip(["192.0.2.53/24", "2001:db8:e::35/64"]) {
        address.net = net.parse().unwrap();
    }
    testbed.flows = ["internet", "uplink"].map(open_to_the_lan).to_vec();
    let network = Network::of(Stage::new(&Arc::new(testbed), Phase::DualStack));
    let judgements = network.ask(&[&DefaultDenyV6]);
    assert!(!judgements.iter().any(|j| j.verdict.is_bad()), "{judgements:#?}");
    let side = judgements.iter().find(|j| j.subject == "firewall: uplink to lan").unwrap();
    assert_eq!(side.verdict, Verdict::NotApplicable);
}

/// What `pol.icmpv6-musts` sends the other way makes it an answer.
#[test]
fn a_protocol_that_may_be_an_answer_is_not_tried() {
    let subjects = |flows: Vec<Flow>| -> Vec<String> {
        let mut testbed = (*testbed()).clone();
        testbed.flows = flows;
        let network = Network::of(Stage::new(&Arc::new(testbed), Phase::DualStack));
        network.ask(&[&DefaultDenyV6]).into_iter().map(|judgement| judgement.subject).collect()
    };
    let protocol = "firewall: lan to dmz/protocol 253";
    let has = |subjects: &[String], wanted: &str| subjects.iter().any(|s| s.starts_with(wanted));
    assert!(has(&subjects(Vec::new()), protocol));
    let open = subjects(vec![Flow { from: End::Everywhere, ..open_to_the_lan("uplink") }]);
    assert!(!has(&open, protocol) && has(&open, "firewall: lan to dmz/tcp/"), "{open:?}");
}

fn open_to_the_lan(from: &str) -> Flow {
    Flow {
        name: from.to_owned(),
        from: End::Segment(segment(from)),
        to: End::Segment(segment("lan")),
        traffic: vec![Traffic::Any],
        intent: Intent::Allow,
    }
}

#[test]
fn ports_of_samples_are_the_same_in_every_run_and_belong_to_nobody() {
    let asked = |network: &Network| {
        DefaultDenyV6
            .ask(&network.plan)
            .into_iter()
            .flat_map(|experiment| experiment.probes)
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(&dual()), asked(&dual()));
    let ports = |network: &Network| {
        let port = |probe: Probe| match probe.question {
            Question::Connect { to, .. } | Question::Datagram { to, .. } => Some(to.port()),
            _ => None,
        };
        asked(network).into_iter().filter_map(port).collect::<Vec<_>>()
    };
    let mut taken = (*testbed()).clone();
    let number = ports(&dual())[0];
    taken.nodes.get_mut("resolver").unwrap().services[0].port = number;
    let taken = Network::of(Stage::new(&Arc::new(taken), Phase::DualStack));
    assert!(!ports(&taken).contains(&number), "also not at a node that is not asked");
    for port in ports(&dual()).into_iter().chain(ports(&in_a_row(Phase::DualStack))) {
        assert!((1024..32_768).contains(&port), "{port}: a node may speak from it");
    }
}
