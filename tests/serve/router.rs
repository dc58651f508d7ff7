//! Router Advertisements.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use sixwalk::{
    model::{
        answer::HeardAdvertisement,
        fault::{AdvertisementFault, Sabotage},
        mac::Mac,
        segment::Advertisement,
        step::Change,
    },
    net::namespace::Namespace,
    wire::ra,
};

use crate::{
    lab::{Lab, V6},
    support,
};

fn advertise() -> Change {
    Change::Advertise {
        interface: "s0".parse().unwrap(),
        plan: Advertisement {
            routers: vec!["portal".parse().unwrap()],
            on_link: true,
            autonomous: true,
            managed: false,
            other: false,
            lifetime_s: 1_800,
            dns: Vec::new(),
        },
        prefix: "2001:db8:a::/64".parse().unwrap(),
        mtu: 1_400,
        dns: vec![V6.parse().unwrap()],
        pref64: Vec::new(),
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn shown(namespace: &Namespace, words: &str) -> String {
    let output = namespace.run(|| Command::new("ip").args(words.split_whitespace()).output());
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// Sends solicitations until an advertisement comes that is as expected.
fn hear(lab: &Lab, expected: impl Fn(&HeardAdvertisement) -> bool) -> HeardAdvertisement {
    let socket = lab
        .client
        .run(|| {
            let protocol = Some(socket2::Protocol::ICMPV6);
            let raw = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::RAW, protocol)?;
            raw.bind_device(Some(b"c0"))?;
            raw.set_multicast_hops_v6(255)?;
            raw.set_read_timeout(Some(Duration::from_millis(300)))?;
            Ok(UdpSocket::from(raw))
        })
        .unwrap();
    let all_routers: SocketAddr = "[ff02::2]:0".parse().unwrap();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(10), "no such advertisement");
        // Refused as long as the own link-local address is tentative.
        let _ = socket.send_to(&ra::solicitation(None), all_routers);
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            match ra::decode(&buffer[..length], from.ip(), None, 255) {
                Ok(heard) if expected(&heard) => return heard,
                _ => {}
            }
        }
    }
}

#[test]
fn a_host_forms_its_address_and_route() {
    if !support::inside_sandbox("router::a_host_forms_its_address_and_route") {
        return;
    }
    let lab = Lab::new(Vec::new());
    lab.apply(&advertise()).unwrap();
    wait_for("an address by SLAAC", || {
        shown(&lab.client, "-6 address show dev c0").contains("2001:db8:a:")
    });
    let routes = shown(&lab.client, "-6 route show default");
    assert!(routes.contains("via fe80::ff:fe00:1 dev c0 proto ra"), "{routes}");
    assert!(routes.contains("mtu 1400"), "{routes}");
    let change = Change::StopAdvertising { interface: "s0".parse().unwrap() };
    lab.apply(&change).unwrap();
    wait_for("the end of the default route", || {
        shown(&lab.client, "-6 route show default").is_empty()
    });
}

#[test]
fn what_is_announced_is_the_plan_until_a_fault_bends_it() {
    if !support::inside_sandbox("router::what_is_announced_is_the_plan_until_a_fault_bends_it") {
        return;
    }
    let lab = Lab::new(Vec::new());
    lab.apply(&advertise()).unwrap();
    let heard = hear(&lab, |_| true);
    assert_eq!(heard.router.to_string(), "fe80::ff:fe00:1");
    assert_eq!(heard.mac, Some(Mac([2, 0, 0, 0, 0, 1])));
    assert_eq!((heard.mtu, heard.lifetime_s, heard.managed), (Some(1_400), 1_800, false));
    assert_eq!(heard.dns, [V6.parse::<IpAddr>().unwrap()]);
    assert_eq!(heard.prefixes.len(), 1);
    assert_eq!(heard.prefixes[0].prefix.to_string(), "2001:db8:a::/64");
    assert!(heard.prefixes[0].on_link && heard.prefixes[0].autonomous);
    let plant = |change| {
        lab.sabotage(&Sabotage::AdvertiseWrongly {
            node: "portal".parse().unwrap(),
            interface: "s0".parse().unwrap(),
            change,
        });
    };
    plant(AdvertisementFault::NotOnLink);
    hear(&lab, |heard| !heard.prefixes[0].on_link);
    plant(AdvertisementFault::ManagedInverted);
    hear(&lab, |heard| heard.managed && !heard.prefixes[0].on_link);
    lab.clear();
    assert_eq!(hear(&lab, |heard| !heard.managed), heard);
    plant(AdvertisementFault::Silent);
    lab.clear();
    assert_eq!(hear(&lab, |_| true), heard);
}

#[test]
fn a_router_waits_until_its_interface_speaks_ipv6() {
    if !support::inside_sandbox("router::a_router_waits_until_its_interface_speaks_ipv6") {
        return;
    }
    let lab = Lab::new(Vec::new());
    let switch = |value: &str| {
        let path = "/proc/sys/net/ipv6/conf/s0/disable_ipv6";
        lab.server.run(|| std::fs::write(path, value)).unwrap();
    };
    switch("1");
    lab.apply(&advertise()).unwrap();
    switch("0");
    hear(&lab, |_| true);
    switch("1");
    switch("0");
    hear(&lab, |_| true);
}
