use super::*;
use crate::{
    check::fixture::{self, Network, assert_silent_when_healthy, complaints},
    model::{
        answer::Answer,
        dhcp::{DhcpDuty, DhcpPlan, LeaseAct},
        node::Origin,
        probe::Question,
        tap::Watch,
        verdict::Verdict,
    },
};

/// The workplace gets its address from the name server in the DMZ, by way of the firewall.
pub(crate) fn with_dhcp(phase: Phase) -> Network {
    let mut testbed = (*fixture::testbed()).clone();
    let lan = testbed.segments.get_mut("lan").unwrap();
    lan.dhcp = Some(DhcpPlan {
        server: fixture::node("ns"),
        relay: Some(fixture::node("firewall")),
        dns: vec![fixture::node("resolver")],
        search: vec![fixture::domain("dc.test")],
    });
    let advertise = lan.advertise.as_mut().unwrap();
    (advertise.managed, advertise.other) = (true, true);
    let workplace = testbed.nodes.get_mut("workplace").unwrap();
    for address in workplace.interfaces.iter_mut().flat_map(|i| &mut i.addresses) {
        if address.origin == Origin::Slaac {
            address.origin = Origin::Dhcp;
        }
    }
    Network::of(Stage::new(&testbed.into(), phase))
}

fn one(network: &Network, case: &str, culprit: &str) {
    let mut found = complaints(&Dhcp, network);
    found.dedup();
    assert_eq!(found, [(case.to_owned(), culprit.to_owned())]);
}

#[test]
fn where_nothing_is_planned_and_where_all_is_well_it_is_silent() {
    assert_silent_when_healthy(&Dhcp);
    for phase in Phase::ALL {
        assert_eq!(complaints(&Dhcp, &with_dhcp(phase)), [], "{phase}");
    }
    let judged = with_dhcp(Phase::DualStack).ask(&[&Dhcp]);
    assert!(judged.len() >= 4, "{judged:#?}");
}

#[test]
fn a_relay_that_is_silent_is_told_from_a_server_that_is() {
    let silent = |frames: u64| {
        with_dhcp(Phase::DualStack)
            .bend(|_, answer| {
                if let Answer::Dhcp { heard } = answer {
                    heard.clear();
                }
            })
            .bend_tap(move |tap, reading| {
                if tap.label.starts_with("relayed")
                    && matches!(&tap.watch, Watch::Packets { source: Some(source), .. }
                        if source.to_string().starts_with("2001:db8:d::1"))
                {
                    reading.frames = frames;
                }
            })
    };
    let of = |node: &str, what: &str| format!("{node} (DHCPv6 {what})");
    one(&silent(0), "silent", &of("firewall", "relay"));
    one(&silent(1), "silent", &of("ns", "server"));
}

fn bend(change: fn(&mut HeardDhcp)) -> Network {
    with_dhcp(Phase::Ipv6Only).bend(move |_, answer| {
        if let Answer::Dhcp { heard } = answer {
            heard.iter_mut().for_each(change);
        }
    })
}

#[test]
fn an_answer_is_compared_with_the_plan() {
    let outside = |said: &mut HeardDhcp| {
        said.addresses.iter_mut().for_each(|a| *a = "2001:db8:bad::1".parse().unwrap());
    };
    one(&bend(outside), "address", "ns (DHCPv6 addresses for lan)");
    one(&bend(|said| said.dns.clear()), "options", "ns (DHCPv6 options for lan)");
    one(&bend(|said| said.search.clear()), "options", "ns (DHCPv6 options for lan)");
    let kinds = |said: &mut HeardDhcp| said.server.push_str(&said.kind.clone());
    one(&bend(kinds), "identity", "ns (DUID)");
}

#[test]
fn routers_that_announce_something_else_than_what_answers_are_found() {
    let mute = with_dhcp(Phase::DualStack).bend(|probe, answer| {
        if let (Question::Solicit { .. }, Answer::Advertisements { heard }) =
            (&probe.question, answer)
        {
            for said in heard {
                (said.managed, said.other) = (false, false);
            }
        }
    });
    one(&mute, "flags", "firewall (advertisement on lan0)");
}

#[test]
fn a_server_that_does_not_keep_what_it_gives_is_found() {
    let loses = |act: LeaseAct| {
        with_dhcp(Phase::DualStack).bend(move |_, answer| {
            if let Answer::Lease { course } = answer {
                let said = course.then.iter_mut().find(|(of, _)| *of == act);
                said.unwrap().1 = None;
            }
        })
    };
    one(&loses(LeaseAct::Renew), "renewal", "ns (DHCPv6 Renew for lan)");
    one(&loses(LeaseAct::Rebind), "rebinding", "ns (DHCPv6 Rebind for lan)");
    one(&loses(LeaseAct::Release), "release", "ns (DHCPv6 Release for lan)");
    let other = with_dhcp(Phase::DualStack).bend(|_, answer| {
        if let Answer::Lease { course } = answer {
            let renewed = course.then[0].1.as_mut().unwrap();
            renewed.addresses = vec!["2001:db8:a::bad".parse().unwrap()];
        }
    });
    one(&other, "renewal", "ns (DHCPv6 Renew for lan)");
    let refused = with_dhcp(Phase::DualStack).bend(|_, answer| {
        if let Answer::Lease { course } = answer {
            let renewed = course.then[0].1.as_mut().unwrap();
            (renewed.status, renewed.addresses) = (Some(3), Vec::new());
        }
    });
    one(&refused, "renewal", "ns (DHCPv6 Renew for lan)");
}

#[test]
fn an_answer_that_was_lost_once_and_an_act_that_was_not_asked_are_no_fault() {
    let lost = with_dhcp(Phase::DualStack).bend(|probe, answer| {
        if let Answer::Lease { course } = answer
            && probe.round == 0
        {
            course.then[0].1 = None;
        }
    });
    assert_eq!(complaints(&Dhcp, &lost), []);
    let cut = with_dhcp(Phase::DualStack).bend(|_, answer| {
        if let Answer::Lease { course } = answer {
            course.then.truncate(1);
        }
    });
    let judged = cut.ask(&[&Dhcp]);
    let rebound = judged.iter().find(|j| j.subject.ends_with(" Rebind")).unwrap();
    assert_eq!(rebound.verdict, Verdict::NotTestable);
    assert_eq!(rebound.reason, "time ran out before Rebind");
}

#[test]
fn a_host_that_does_not_take_its_address_is_found() {
    let homeless = with_dhcp(Phase::DualStack).with(|live| {
        let workplace = live.nodes.get_mut("workplace").unwrap();
        for interface in &mut workplace.interfaces {
            interface.addresses.retain(|address| address.origin != Origin::Dhcp);
        }
    });
    let found = complaints(&Dhcp, &homeless);
    assert!(found.iter().all(|(case, _)| case == "not-held"), "{found:?}");
    assert_eq!(found.len(), 1);
}

#[test]
fn a_stage_derives_relay_and_server() {
    let stage = with_dhcp(Phase::DualStack).plan;
    let [DhcpDuty::Serve(link)] = stage.nodes["ns"].dhcp.as_slice() else { panic!() };
    assert_eq!((link.interface.as_ref(), link.leases.len(), link.dns.len()), (None, 1, 1));
    let [DhcpDuty::Relay { server, .. }] = stage.nodes["firewall"].dhcp.as_slice() else {
        panic!()
    };
    assert_eq!(
        Some((*server).into()),
        stage
            .addresses(&fixture::node("ns"), crate::model::segment::Plane::Data, Family::V6)
            .first()
            .copied()
    );
    assert!(Stage::new(&stage.testbed, Phase::Ipv4Only).nodes["ns"].dhcp.is_empty());
}
