//! Which sockets are open, and what comes back through them.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Instant,
};

use sixwalk::{
    model::{
        service::{ServiceKind, Transport},
        step::Change,
    },
    net::namespace::Namespace,
    serve::ServeError,
};

use crate::{
    lab::{Lab, PATIENCE, V4, V6, every_service, ip, listen},
    support,
};

/// Which sockets the kernel has, in the words of `ss`.
pub(crate) fn kernel_sockets(namespace: &Namespace) -> Vec<(Transport, SocketAddr)> {
    let mut found = Vec::new();
    for (file, transport, state) in [
        ("tcp", Transport::Tcp, "0A"),
        ("tcp6", Transport::Tcp, "0A"),
        ("udp", Transport::Udp, "07"),
        ("udp6", Transport::Udp, "07"),
    ] {
        let text = namespace
            .run(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")))
            .unwrap();
        for line in text.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            if words[3] == state {
                found.push((transport, proc_address(words[1])));
            }
        }
    }
    found.sort();
    found
}

fn proc_address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let words: Vec<u8> = (0..ip.len() / 8)
        .flat_map(|at| u32::from_str_radix(&ip[at * 8..at * 8 + 8], 16).unwrap().to_ne_bytes())
        .collect();
    let ip: IpAddr = match words.len() {
        4 => <[u8; 4]>::try_from(words).unwrap().into(),
        _ => <[u8; 16]>::try_from(words).unwrap().into(),
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

#[test]
fn every_service_listens_on_exactly_what_it_was_told() {
    if !support::inside_sandbox("sockets::every_service_listens_on_exactly_what_it_was_told") {
        return;
    }
    let lab = Lab::new(every_service());
    let addresses = ["0.0.0.0", "::", V4, V6];
    for kind in ServiceKind::ALL {
        for address in addresses {
            lab.listen(kind.word(), address);
            let port = if kind == ServiceKind::Resolver { 5353 } else { kind.usual_port() };
            let at = SocketAddr::new(address.parse().unwrap(), port);
            let expected: Vec<_> = kind.transports().iter().map(|t| (*t, at)).collect();
            let mut told: Vec<_> =
                lab.host.sockets().into_iter().map(|(t, address, _)| (t, address)).collect();
            told.sort();
            let mut sorted = expected;
            sorted.sort();
            assert_eq!(kernel_sockets(&lab.server), sorted, "{kind} on {address}");
            assert_eq!(told, sorted, "{kind} on {address}");
            lab.stop(kind.word(), address);
            assert_eq!(kernel_sockets(&lab.server), [], "{kind} stopped on {address}");
        }
    }
}

#[test]
fn a_service_answers_its_families_and_refuses_when_it_is_stopped() {
    if !support::inside_sandbox(
        "sockets::a_service_answers_its_families_and_refuses_when_it_is_stopped",
    ) {
        return;
    }
    let lab = Lab::new(every_service());
    let refused = |ip| lab.connect(ip, 7).unwrap_err().kind();
    lab.listen("echo", "::");
    assert_eq!(refused(V4), io::ErrorKind::ConnectionRefused, "a wildcard of IPv6 is IPv6 only");
    let mut open = lab.connect(V6, 7).unwrap();
    let mut heard = [0; 5];
    open.write_all(b"hello").unwrap();
    open.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    assert_eq!(lab.datagram(V6, 7, b"hello").unwrap(), b"hello");

    lab.stop("echo", "::");
    assert_eq!(refused(V6), io::ErrorKind::ConnectionRefused);
    let closed = open.read(&mut heard);
    assert!(matches!(closed, Ok(0)), "open connections are closed too: {closed:?}");
    let unreachable = lab.datagram(V6, 7, b"hello").unwrap_err();
    assert_eq!(unreachable.kind(), io::ErrorKind::ConnectionRefused);

    lab.listen("echo", V4);
    assert!(lab.connect(V4, 7).is_ok());
    assert_eq!(refused("192.0.2.2"), io::ErrorKind::ConnectionRefused, "one address only");
}

#[test]
fn a_change_that_fails_changes_nothing() {
    if !support::inside_sandbox("sockets::a_change_that_fails_changes_nothing") {
        return;
    }
    let lab = Lab::new(every_service());
    let taken = lab.server.run(|| UdpSocket::bind((V6, 7))).unwrap();
    let error = lab.apply(&listen("echo", V6)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`echo` of node `portal` cannot listen on udp [2001:db8::1]:7: Address already in use \
         (os error 98)"
    );
    assert_eq!(lab.host.sockets(), []);
    drop(taken);
    lab.listen("echo", V6);
    assert_eq!(lab.host.sockets().len(), 2);

    let error = lab.apply(&Change::ForgetResidue).unwrap_err();
    assert!(matches!(error, ServeError::NotOurs { .. }), "{error}");
    let error = lab.apply(&listen("gopher", V6)).unwrap_err().to_string();
    assert!(
        error.contains("no service `gopher` of kind http or ") && error.contains("`https` (https)"),
        "{error}"
    );
}

#[test]
fn a_listener_takes_up_its_work_when_its_address_is_there() {
    if !support::inside_sandbox("sockets::a_listener_takes_up_its_work_when_its_address_is_there") {
        return;
    }
    let lab = Lab::new(every_service());
    ip(&lab.server, "address add 2001:db8::77/64 dev s0");
    lab.listen("http", "2001:db8::77"); // still tentative
    lab.listen("ntp", "2001:db8::88"); // not there at all
    ip(&lab.server, "address add 2001:db8::88/64 dev s0 nodad");
    let began = Instant::now();
    let refusal = || lab.connect("2001:db8::77", 80).err();
    while let Some(error) = refusal() {
        // What is sent to a tentative address is lost, and an attempt then waits all its time for an answer.
        assert!(began.elapsed() < 4 * PATIENCE, "{error}");
    }
    let mut query = [0; 48];
    query[0] = 0x23;
    assert_eq!(lab.datagram("2001:db8::88", 123, &query).unwrap()[..2], [0x24, 2]);
}

#[test]
fn a_reply_comes_from_the_address_that_was_asked() {
    if !support::inside_sandbox("sockets::a_reply_comes_from_the_address_that_was_asked") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("echo", "0.0.0.0");
    lab.listen("echo", "::");
    for ip in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"] {
        assert_eq!(lab.datagram(ip, 7, b"who?").unwrap(), b"who?", "{ip}");
    }
}
