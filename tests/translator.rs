//! The built-in translator beside another one: tayga (Debian package `tayga`) is given the same packets, and what comes of them
//! must be the same.
//!
//! Where the two may differ is said in `alike`: tayga is stateless, counts as a hop, and marks what routers may split as the
//! older RFC 6145 did.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sixwalk::{
    model::{
        family::Family,
        translation::{self, Pref64, Timers},
    },
    net::packet::{self, Layer, PacketSocket, hear_now},
    wire::{
        checksum::Checksum,
        filter, icmp,
        icmp::EchoId,
        packet::{header, udp},
        translate::{Datagram, Translator},
    },
};

mod support;

const DEVICE: &str = "nat64";
const USER: &str = "2001:db8:a:1::10";
const POOL: &str = "192.0.2.66";
const HOST: &str = "203.0.113.10";
const ROUTER: &str = "203.0.113.1";

/// `ret #-1`: a device without link-layer header carries nothing but packets.
const EVERYTHING: filter::Instruction =
    filter::Instruction { code: 0x06, jump_true: 0, jump_false: 0, operand: u32::MAX };

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn prefix() -> Pref64 {
    let net: ipnet::Ipv6Net = "2001:db8:64::/96".parse().expect("a prefix");
    net.try_into().expect("a translation prefix")
}

fn seen(host: &str) -> IpAddr {
    prefix().embed(host.parse().expect("an IPv4 address")).into()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| {
        let package = if program == "ip" { "iproute2" } else { program };
        panic!("`{program}` cannot be run ({error}); install the Debian package {package}")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// tayga on a device of this namespace.
struct Tayga {
    child: Child,
    socket: PacketSocket,
}

impl Drop for Tayga {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tayga {
    fn start(folder: &std::path::Path) -> Self {
        let file = folder.join("tayga.conf");
        let config = format!(
            "tun-device {DEVICE}\nipv4-addr 192.0.2.65\nprefix {}\nmap {POOL} {USER}\n",
            prefix()
        );
        std::fs::write(&file, config).expect("room");
        let config = file.to_str().expect("a path of text");
        run("tayga", &["--mktun", "--config", config]);
        run("ip", &["link", "set", DEVICE, "up"]);
        let child = Command::new("tayga")
            .args(["-d", "--config", config])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it could be run before");
        let index = nix::net::if_::if_nametoindex(DEVICE).expect("the device");
        let socket = packet::open(Layer::Network, &[EVERYTHING], index);
        let tayga = Self { child, socket: socket.expect("a packet socket") };
        let began = Instant::now();
        let carries = || {
            let output = Command::new("ip").args(["-o", "link", "show", DEVICE]).output();
            output.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("LOWER_UP"))
        };
        while !carries() {
            assert!(began.elapsed() < Duration::from_secs(10), "tayga does not take its device");
            std::thread::sleep(Duration::from_millis(10));
        }
        tayga
    }

    /// What it makes of packets that the kernel hands to its device.
    fn take(&self, packets: &[Vec<u8>]) -> Vec<Datagram> {
        let index = nix::net::if_::if_nametoindex(DEVICE).expect("the device");
        let sender = packet::sender(index).expect("a packet socket");
        for packet in packets {
            let family = Datagram::read_quoted(packet).expect("a packet").family();
            packet::send_as(&sender, packet, family.ethertype(), index).expect("room");
        }
        let wanted = Family::of(Datagram::read(&packets[0]).expect("a packet").destination).other();
        let (began, mut made) = (Instant::now(), Vec::new());
        let mut buffer = vec![0; 65_600];
        // Whatever comes for a while: that nothing comes must be seen, too.
        while began.elapsed() < Duration::from_millis(if made.is_empty() { 1_500 } else { 150 }) {
            match hear_now(&self.socket, &mut buffer) {
                Ok(length) => made.extend(Datagram::read(&buffer[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("{error}"),
            }
        }
        made.retain(|datagram| datagram.family() == wanted);
        whole(made)
    }
}

/// Fragments put together.
fn whole(mut parts: Vec<Datagram>) -> Vec<Datagram> {
    parts.sort_by_key(|part| part.part.map_or(0, |part| part.offset));
    let (parts, mut whole): (Vec<_>, Vec<_>) = parts.into_iter().partition(|d| d.part.is_some());
    if let Some(first) = parts.first() {
        let payload: Vec<u8> = parts.iter().flat_map(|part| part.payload.clone()).collect();
        let declared = payload.len();
        whole.push(Datagram { part: None, payload, declared, ..first.clone() });
    }
    whole
}

/// Without what may differ: hop limits and identifications; whether routers may split it; and, in errors, the same of what
/// is quoted, of which tayga keeps more.
fn alike(datagram: &Datagram) -> Datagram {
    let mut datagram = datagram.clone();
    (datagram.hop_limit, datagram.identification, datagram.may_be_split) = (0, 0, false);
    let family = datagram.family();
    let is_error = datagram.protocol == icmp::protocol(family)
        && match family {
            Family::V4 => matches!(datagram.payload[0], 3 | 11 | 12),
            Family::V6 => datagram.payload[0] < 128,
        };
    if is_error {
        let quoted = Datagram::read_quoted(&datagram.payload[8..]).expect("a quoted packet");
        let quoted = Datagram {
            hop_limit: 0,
            identification: 0,
            may_be_split: false,
            payload: quoted.payload[..8].to_vec(),
            ..quoted
        };
        datagram.payload.truncate(8);
        datagram.payload[2..4].fill(0);
        datagram.payload.extend(quoted.write_quoted());
        datagram.declared = datagram.payload.len();
    }
    datagram
}

fn built_in() -> Translator {
    let told = translation::Translator {
        translation: "nat64".parse().expect("a name"),
        interface: "nat0".parse().expect("a name"),
        gateway: prefix().embed(Ipv4Addr::new(192, 0, 2, 65)),
        prefix: prefix(),
        pool: vec![POOL.parse().expect("an address")],
        refuses: Vec::new(),
        engine: None,
    };
    Translator::new(&told, Timers::default())
}

fn take(translator: &mut Translator, packets: &[Vec<u8>]) -> Vec<Datagram> {
    let made =
        packets.iter().filter_map(|packet| translator.take(packet, &[], Duration::ZERO).ok());
    let made = made.flatten().map(|packet| Datagram::read(&packet).expect("a packet"));
    whole(made.collect())
}

fn message(from: IpAddr, to: IpAddr, mut message: Vec<u8>) -> Vec<u8> {
    let protocol = icmp::protocol(Family::of(to));
    let length = u16::try_from(message.len()).expect("short");
    message[2..4].fill(0);
    let sum = match Family::of(to) {
        Family::V4 => Checksum::default(),
        Family::V6 => Checksum::of_pseudo_header(from, to, protocol, length.into()),
    };
    let sum = sum.plus(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = header(from, to, protocol, 64, length).expect("one family");
    packet.extend(message);
    packet
}

fn echo(from: IpAddr, to: IpAddr, reply: bool, size: usize) -> Vec<u8> {
    let family = Family::of(to);
    let id = EchoId { identifier: 77, sequence: 3 };
    let mut echo = icmp::echo_request(family, id, size);
    if reply {
        echo[0] = icmp::echo_reply_type(family);
    }
    message(from, to, echo)
}

fn segment(from: SocketAddr, to: SocketAddr, answers: bool, payload: &[u8]) -> Vec<u8> {
    let mut tcp = etherparse::TcpHeader::new(from.port(), to.port(), 7, 1000);
    (tcp.syn, tcp.ack) = (true, answers);
    let sum = match (from.ip(), to.ip()) {
        (IpAddr::V4(f), IpAddr::V4(t)) => {
            tcp.calc_checksum_ipv4_raw(f.octets(), t.octets(), payload)
        }
        (IpAddr::V6(f), IpAddr::V6(t)) => {
            tcp.calc_checksum_ipv6_raw(f.octets(), t.octets(), payload)
        }
        _ => panic!("two families"),
    };
    tcp.checksum = sum.expect("short");
    let length = u16::try_from(tcp.header_len() + payload.len()).expect("short");
    let mut packet = header(from.ip(), to.ip(), 6, 64, length).expect("one family");
    packet.extend(tcp.to_bytes());
    packet.extend(payload);
    packet
}

/// An error about a packet.
fn error(from: IpAddr, to: IpAddr, (kind, code): (u8, u8), rest: u32, about: &[u8]) -> Vec<u8> {
    let mut error = vec![kind, code, 0, 0];
    error.extend(rest.to_be_bytes());
    error.extend(&about[..about.len().min(400)]);
    message(from, to, error)
}

/// Every flow: what it is, and its packets.
fn flows() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let socket = SocketAddr::new;
    let (user, pool, host) = (ip(USER), ip(POOL), ip(HOST));
    let there = |size: usize| {
        let to = socket(seen(HOST), 53);
        udp(socket(user, 4000), to, &vec![7; size]).expect("one family")
    };
    let back = |size: usize| {
        udp(socket(host, 53), socket(pool, 4000), &vec![9; size]).expect("one family")
    };
    let shown = |size: usize| {
        udp(socket(pool, 4000), socket(host, 53), &vec![7; size]).expect("one family")
    };
    let known = |size: usize| {
        let from = socket(seen(HOST), 53);
        udp(from, socket(user, 4000), &vec![9; size]).expect("one family")
    };
    let split = |packet: Vec<u8>, most| {
        let whole = Datagram::read(&packet).expect("a packet");
        Datagram { may_be_split: true, identification: 99, ..whole }.write(most)
    };
    let (router, inner): (IpAddr, Ipv6Addr) = (ip(ROUTER), "2001:db8:a:1::1".parse().expect("one"));
    let web = |from, to, answers| segment(from, to, answers, b"hello");
    vec![
        ("UDP there", vec![there(100)]),
        ("UDP back", vec![back(100)]),
        ("a large datagram there", vec![there(1400)]),
        ("a large datagram back", vec![back(1400)]),
        ("TCP there", vec![web(socket(user, 4001), socket(seen(HOST), 443), false)]),
        ("TCP back", vec![web(socket(host, 443), socket(pool, 4001), true)]),
        ("echo there", vec![echo(user, seen(HOST), false, 56)]),
        ("echo back", vec![echo(host, pool, true, 56)]),
        ("fragments there", split(there(3000), 1280)),
        ("fragments back", split(back(3000), 1500)),
        ("no port there", vec![error(host, pool, (3, 3), 0, &shown(100))]),
        ("no host there", vec![error(router, pool, (3, 1), 0, &shown(100))]),
        ("prohibited there", vec![error(router, pool, (3, 13), 0, &shown(100))]),
        ("too many hops there", vec![error(router, pool, (11, 0), 0, &shown(100))]),
        ("too big there", vec![error(router, pool, (3, 4), 1400, &shown(1450))]),
        ("no port back", vec![error(user, seen(HOST), (1, 4), 0, &known(100))]),
        ("too big back", vec![error(user, seen(HOST), (2, 0), 1400, &known(1450))]),
        ("too many hops back", vec![error(user, seen(HOST), (3, 0), 0, &known(100))]),
        ("a redirect", vec![error(router, pool, (5, 1), 0, &shown(100))]),
        ("a neighbour solicitation", vec![message(inner.into(), seen(HOST), vec![135; 24])]),
    ]
}

#[test]
fn what_it_makes_of_packets_is_what_tayga_makes_of_them() {
    if !support::inside_sandbox("what_it_makes_of_packets_is_what_tayga_makes_of_them") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let tayga = Tayga::start(folder.path());
    let mut translator = built_in();
    let mut wrong = Vec::new();
    for (name, packets) in flows() {
        let theirs: Vec<_> = tayga.take(&packets).iter().map(alike).collect();
        let ours: Vec<_> = take(&mut translator, &packets).iter().map(alike).collect();
        let nothing = ["a redirect", "a neighbour solicitation"].contains(&name);
        if ours != theirs || ours.is_empty() != nothing {
            wrong.push(format!("{name}: ours {ours:?}\ntayga's {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
