//! The reference: the same namespaces, cables, switches and addresses, made by one thread that sends one netlink request
//! and waits for its acknowledgement, without any library.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    net::IpAddr,
    os::fd::{AsRawFd, FromRawFd, RawFd},
    thread,
    time::Instant,
};

use nix::sched::{CloneFlags, unshare};
use sixwalk::{
    model::family::Family,
    stage::{Stage, StagedInterface},
};

use super::{Round, wait_until_gone};

const NEWLINK: u16 = 16;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const CREATE: u16 = 0x600;

/// The switches that a node begins with: those of the lab.
const BEGINNING: [(&str, &str); 13] = [
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv6/conf/lo/disable_ipv6", "1"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv6/conf/default/router_solicitation_delay", "0"),
    ("ipv6/conf/all/forwarding", "0"),
    ("ipv6/icmp/ratelimit", "0"),
    ("ipv4/ip_forward", "0"),
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
];

struct Place {
    namespace: File,
    netlink: File,
    switches: Vec<File>,
}

/// Builds, switches both families on and IPv4 off.
pub(crate) fn round(stage: &Stage) -> Round {
    let round = thread::scope(|scope| scope.spawn(|| sequence(stage)).join().expect("no panic"));
    wait_until_gone();
    round
}

fn sequence(stage: &Stage) -> Round {
    let begin = Instant::now();
    let hub = enter_new();
    write("ipv6/conf/default/disable_ipv6", "1");
    ask(&hub.netlink, NEWLINK, CREATE, &bridge());
    let mut places = Vec::new();
    for (node, index) in stage.nodes.values().zip(3..) {
        let mut place = enter_new();
        for (name, value) in BEGINNING {
            write(name, value);
        }
        let interface = &node.interfaces[0];
        ask(&hub.netlink, NEWLINK, CREATE, &cable(index, interface, place.namespace.as_raw_fd()));
        for index in [1, 2] {
            ask(&place.netlink, SETLINK, 0, &link(index, true));
        }
        ask(&place.netlink, DELADDR, 0, &address(1, [127, 0, 0, 1].into(), 8));
        place.switches = ["lo", interface.name.as_str()].map(switch).into();
        places.push(place);
    }
    let build = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for (place, node) in places.iter_mut().zip(stage.nodes.values()) {
        ask(&place.netlink, NEWADDR, CREATE, &address(1, [127, 0, 0, 1].into(), 8));
        for file in &mut place.switches {
            file.write_all(b"0").expect("switched on");
        }
        for one in &node.interfaces[0].addresses {
            ask(&place.netlink, NEWADDR, CREATE, &address(2, one.ip(), one.net.prefix_len()));
        }
    }
    let on = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for (place, node) in places.iter().zip(stage.nodes.values()) {
        let v4 =
            node.interfaces[0].addresses.iter().find(|a| a.family() == Family::V4).expect("one");
        ask(&place.netlink, DELADDR, 0, &address(2, v4.ip(), v4.net.prefix_len()));
        ask(&place.netlink, DELADDR, 0, &address(1, [127, 0, 0, 1].into(), 8));
    }
    Round { build, on, off: begin.elapsed().as_secs_f64() }
}

fn enter_new() -> Place {
    unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
    let namespace = File::open("/proc/thread-self/ns/net").expect("a handle");
    // SAFETY: a plain system call; the descriptor that it returns is new and owned by nobody else.
    let netlink = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE);
        assert!(fd >= 0, "a netlink socket");
        File::from_raw_fd(fd)
    };
    Place { namespace, netlink, switches: Vec::new() }
}

fn write(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{name}"), value).expect("a switch");
}

fn switch(interface: &str) -> File {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    OpenOptions::new().write(true).open(path).expect("a switch")
}

/// One request, one acknowledgement.
fn ask(netlink: &File, kind: u16, flags: u16, body: &[u8]) {
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(u32::try_from(16 + body.len()).expect("small").to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((flags | 5).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    let mut netlink = netlink;
    netlink.write_all(&message).expect("sent");
    let mut answer = [0; 4096];
    let length = netlink.read(&mut answer).expect("an answer");
    assert!(
        length >= 20 && answer[16..20] == [0; 4],
        "request {kind} was refused: {:?}",
        &answer[..20]
    );
}

fn link(index: u32, up: bool) -> Vec<u8> {
    let flags = u32::from(up);
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, data: &[u8]) {
    body.extend(u16::try_from(4 + data.len()).expect("small").to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn information(kind: &str, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    attribute(&mut body, 1, kind.as_bytes());
    attribute(&mut body, 2, data);
    body
}

fn bridge() -> Vec<u8> {
    let mut body = link(2, true);
    attribute(&mut body, 3, b"bridge\0");
    attribute(&mut body, 4, &1500_u32.to_ne_bytes());
    let mut data = Vec::new();
    attribute(&mut data, 1, &0_u32.to_ne_bytes());
    attribute(&mut data, 5, &0_u32.to_ne_bytes());
    attribute(&mut data, 23, &[0]);
    attribute(&mut data, 25, &[0]);
    attribute(&mut body, 18, &information("bridge", &data));
    body
}

fn cable(index: u32, interface: &StagedInterface, namespace: RawFd) -> Vec<u8> {
    let mut peer = link(2, false);
    attribute(&mut peer, 3, format!("{}\0", interface.name).as_bytes());
    attribute(&mut peer, 4, &interface.mtu.to_ne_bytes());
    attribute(&mut peer, 1, &interface.mac.0);
    attribute(&mut peer, 28, &namespace.to_ne_bytes());
    let mut data = Vec::new();
    attribute(&mut data, 1, &peer);
    let mut body = link(index, true);
    attribute(&mut body, 3, format!("port{}\0", index - 2).as_bytes());
    attribute(&mut body, 4, &interface.mtu.to_ne_bytes());
    attribute(&mut body, 10, &2_u32.to_ne_bytes());
    attribute(&mut body, 18, &information("veth", &data));
    body
}

fn address(index: u32, ip: IpAddr, length: u8) -> Vec<u8> {
    let (family, octets) = match ip {
        IpAddr::V4(v4) => (2, v4.octets().to_vec()),
        IpAddr::V6(v6) => (10, v6.octets().to_vec()),
    };
    let mut body = vec![family, length, 0, 0];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, 2, &octets);
    attribute(&mut body, 1, &octets);
    body
}
