//! The built-in services, asked from another namespace over a real link.

mod support;

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use sixwalk::{
    model::{
        answer::HeardAdvertisement,
        family::{Families, Family},
        fault::{AdvertisementFault, ContentFault, Sabotage, WrongAnswer},
        mac::Mac,
        name::ServiceName,
        node::{Address, Interface, Node, Origin, Role},
        phase::PerPhase,
        record::{Record, RecordData, Zone},
        segment::Advertisement,
        service::{Service, ServiceKind, Transport},
        step::Change,
    },
    net::namespace::Namespace,
    serve::{ServeError, ServiceHost, Shared},
    wire::{page, ra},
};
use tokio::runtime::Runtime;

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";
const PATIENCE: Duration = Duration::from_secs(3);

/// Two namespaces and a link between them: `portal` on `s0`, who asks on `c0`.
struct Lab {
    runtime: Runtime,
    server: Namespace,
    client: Namespace,
    shared: Arc<Shared>,
    host: ServiceHost,
}

impl Lab {
    fn new(services: Vec<Service>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let (server, client) = (Namespace::create().unwrap(), Namespace::create().unwrap());
        let peer = format!("/proc/{}/fd/{}", std::process::id(), client.as_fd().as_raw_fd());
        ip(&server, "link set lo up");
        ip(&server, "link add s0 address 02:00:00:00:00:01 type veth peer name c0");
        ip(&server, &format!("link set c0 netns {peer}"));
        ip(&server, "link set s0 up");
        ip(&client, "link set c0 up");
        for address in ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64"] {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            ip(&server, &format!("address add {address} dev s0 {nodad}"));
        }
        ip(&client, "address add 192.0.2.9/24 dev c0");
        ip(&client, "address add 2001:db8::9/64 dev c0 nodad");
        let shared = Shared::new();
        let host = ServiceHost::new(&node(services), server.clone(), Arc::clone(&shared));
        Self { runtime: runtime.unwrap(), server, client, shared, host }
    }

    fn apply(&self, change: Change) -> Result<(), ServeError> {
        self.runtime.block_on(self.host.apply(&change))
    }

    fn listen(&self, service: &str, address: &str) {
        self.apply(listen(service, address)).unwrap();
    }

    fn stop(&self, service: &str, address: &str) {
        let service = service.parse().unwrap();
        self.apply(Change::StopListening { service, address: address.parse().unwrap() }).unwrap();
    }

    fn sabotage(&self, fault: Sabotage) {
        self.runtime.block_on(self.host.sabotage(&fault)).unwrap();
    }

    fn clear(&self) {
        self.runtime.block_on(self.host.clear_sabotage()).unwrap();
    }

    fn connect(&self, ip: &str, port: u16) -> io::Result<TcpStream> {
        let to = SocketAddr::new(ip.parse().unwrap(), port);
        let stream = self.client.run(|| TcpStream::connect_timeout(&to, PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends a datagram from a connected socket, which takes a reply from nowhere but the address asked.
    fn datagram(&self, ip: &str, port: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
        let to = SocketAddr::new(ip.parse().unwrap(), port);
        let socket = self.client.run(|| {
            let socket = UdpSocket::bind((Family::of(to.ip()).unspecified(), 0))?;
            socket.connect(to)?;
            Ok(socket)
        })?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(payload)?;
        let mut buffer = vec![0; 65_535];
        let length = socket.recv(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    }

    fn http(&self, ip: &str, request: &str) -> String {
        let mut stream = self.connect(ip, 80).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn get(&self, ip: &str) -> String {
        self.http(ip, "GET / HTTP/1.1\r\nHost: portal.dc.test\r\nConnection: close\r\n\r\n")
    }
}

fn ip(namespace: &Namespace, words: &str) {
    let status = namespace.run(|| Command::new("ip").args(words.split_whitespace()).status());
    assert!(status.unwrap().success(), "ip {words}");
}

fn node(services: Vec<Service>) -> Node {
    let address = |net: &str| Address { net: net.parse().unwrap(), origin: Origin::Static };
    Node {
        name: "portal".parse().unwrap(),
        title: "Portal".to_owned(),
        site: None,
        role: Role::Server,
        interfaces: vec![Interface {
            name: "s0".parse().unwrap(),
            segment: "dmz".parse().unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            addresses: vec![address("192.0.2.1/24"), address("2001:db8::1/64")],
            families: PerPhase::from_fn(|_| Families::BOTH),
        }],
        services,
        routes: Vec::new(),
        resolvers: Vec::new(),
        logs_to: None,
        time_from: None,
    }
}

fn service(kind: ServiceKind) -> Service {
    Service {
        name: kind.word().parse().unwrap(),
        kind,
        port: kind.usual_port(),
        on: None,
        listen: PerPhase::from_fn(|_| Families::BOTH),
        names: vec!["portal.dc.test".parse().unwrap()],
        path: "/app".to_owned(),
    }
}

fn every_service() -> Vec<Service> {
    let mut services: Vec<_> = ServiceKind::ALL.into_iter().map(service).collect();
    services.iter_mut().find(|s| s.kind == ServiceKind::Resolver).unwrap().port = 5353;
    services
}

fn listen(service: &str, address: &str) -> Change {
    Change::Listen { service: service.parse().unwrap(), address: address.parse().unwrap() }
}

fn header<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").unwrap().1
}

/// Which sockets the kernel has, in the words of `ss`.
fn kernel_sockets(namespace: &Namespace) -> Vec<(Transport, SocketAddr)> {
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
    if !support::inside_sandbox("every_service_listens_on_exactly_what_it_was_told") {
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
    if !support::inside_sandbox("a_service_answers_its_families_and_refuses_when_it_is_stopped") {
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
    if !support::inside_sandbox("a_change_that_fails_changes_nothing") {
        return;
    }
    let lab = Lab::new(every_service());
    let taken = lab.server.run(|| UdpSocket::bind((V6, 7))).unwrap();
    let error = lab.apply(listen("echo", V6)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`echo` of node `portal` cannot listen on udp [2001:db8::1]:7: Address already in use \
         (os error 98)"
    );
    assert_eq!(lab.host.sockets(), []);
    drop(taken);
    lab.listen("echo", V6);
    assert_eq!(lab.host.sockets().len(), 2);

    let error = lab.apply(Change::ForgetResidue).unwrap_err();
    assert!(matches!(error, ServeError::NotOurs { .. }), "{error}");
    let error = lab.apply(listen("ldap", V6)).unwrap_err().to_string();
    assert!(error.contains("no service `ldap`") && error.contains("`https` (https)"), "{error}");
}

#[test]
fn a_listener_takes_up_its_work_when_its_address_is_there() {
    if !support::inside_sandbox("a_listener_takes_up_its_work_when_its_address_is_there") {
        return;
    }
    let lab = Lab::new(every_service());
    ip(&lab.server, "address add 2001:db8::77/64 dev s0");
    lab.listen("http", "2001:db8::77"); // still tentative
    lab.listen("ntp", "2001:db8::88"); // not there at all
    ip(&lab.server, "address add 2001:db8::88/64 dev s0 nodad");
    let began = Instant::now();
    let refusal = || match lab.connect("2001:db8::77", 80) {
        Ok(_) => None,
        Err(error) => Some(error),
    };
    while let Some(error) = refusal() {
        assert!(began.elapsed() < PATIENCE, "{error}");
    }
    let mut query = [0; 48];
    query[0] = 0x23;
    assert_eq!(lab.datagram("2001:db8::88", 123, &query).unwrap()[..2], [0x24, 2]);
}

#[test]
fn a_reply_comes_from_the_address_that_was_asked() {
    if !support::inside_sandbox("a_reply_comes_from_the_address_that_was_asked") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("echo", "0.0.0.0");
    lab.listen("echo", "::");
    for ip in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"] {
        assert_eq!(lab.datagram(ip, 7, b"who?").unwrap(), b"who?", "{ip}");
    }
}

#[test]
fn a_page_says_who_served_it_and_is_otherwise_the_same() {
    if !support::inside_sandbox("a_page_says_who_served_it_and_is_otherwise_the_same") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("http", "0.0.0.0");
    lab.listen("http", "::");
    let pages = [(V4, "ipv4"), (V6, "ipv6")].map(|(ip, family)| {
        let text = lab.get(ip);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert_eq!(header(&text, page::SERVED_BY), format!("portal/http/{family}"));
        let stamp: u64 = header(&text, page::STAMP).parse().unwrap();
        assert!(body(&text).contains(&format!("at {stamp}")), "{text}");
        let bare = page::without_mark(body(&text).as_bytes()).into_owned();
        assert_ne!(bare, body(&text).as_bytes());
        (bare, stamp)
    });
    assert_eq!(pages[0].0, pages[1].0);
    assert!(pages[1].1 - pages[0].1 <= 1, "{pages:?}");
}

#[test]
fn requests_are_answered_as_rfc_9112_asks() {
    if !support::inside_sandbox("requests_are_answered_as_rfc_9112_asks") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("http", "::");
    let cases = [
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n", "200", None),
        ("GET /app HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n", "200", None),
        ("GET /10k HTTP/1.1\r\nHost: a\r\n", "200", Some(10_000)),
        ("GET /20k HTTP/1.1\r\nHost: a\r\n", "200", Some(20_000)),
        ("GET /?size=3000 HTTP/1.1\r\nHost: a\r\n", "200", Some(3_000)),
        ("GET /?size=99999999999 HTTP/1.1\r\nHost: a\r\n", "200", None),
        ("GET /none HTTP/1.1\r\nHost: a\r\n", "404", None),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", "405", None),
        ("GET / HTTP/1.1\r\nHost: 2001:db8::1\r\n", "400", None),
        ("GET / HTTP/1.1\r\nHost: [fe80::1%25s0]\r\n", "400", None),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400", None),
        ("GET / HTTP/1.1\r\n", "400", None),
    ];
    for (head, status, octets) in cases {
        let text = lab.http(V6, &format!("{head}Connection: close\r\n\r\n"));
        assert_eq!(text.split(' ').nth(1), Some(status), "{head}{text}");
        if let Some(octets) = octets {
            assert_eq!(body(&text).len(), octets, "{head}");
        }
    }
    let head = lab.http(V6, "HEAD /20k HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((header(&head, "content-length"), body(&head)), ("20000", ""));
    let two = lab.http(
        V6,
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(two.matches("HTTP/1.1 200 OK").count(), 2, "{two}");
}

/// The certificate that is shown, once it has been verified for a name or a literal address.
fn certificate(lab: &Lab, ip: &str, asked: &str) -> Result<Vec<u8>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(lab.shared.root_certificate().unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(asked.to_owned()).unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = lab.connect(ip, 443).unwrap();
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    let request = format!("GET / HTTP/1.1\r\nHost: {asked}\r\nConnection: close\r\n\r\n");
    let request =
        if asked.contains(':') { request.replace(asked, &format!("[{asked}]")) } else { request };
    tls.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut text = String::new();
    tls.read_to_string(&mut text).map_err(|error| error.to_string())?;
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    Ok(session.peer_certificates().unwrap()[0].to_vec())
}

#[test]
fn the_certificate_is_valid_for_names_and_literal_addresses() {
    if !support::inside_sandbox("the_certificate_is_valid_for_names_and_literal_addresses") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("https", "0.0.0.0");
    lab.listen("https", "::");
    let usual = certificate(&lab, V4, "portal.dc.test").unwrap();
    assert_eq!(certificate(&lab, V6, "portal.dc.test").unwrap(), usual);
    assert_eq!(certificate(&lab, V6, V6).unwrap(), usual);
    assert_eq!(certificate(&lab, V4, V4).unwrap(), usual);
    let error = certificate(&lab, V6, "other.dc.test").unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");

    lab.sabotage(Sabotage::ServeDifferently {
        node: "portal".parse().unwrap(),
        service: "https".parse().unwrap(),
        family: Family::V6,
        how: ContentFault::OtherCertificate,
    });
    assert_eq!(certificate(&lab, V4, "portal.dc.test").unwrap(), usual);
    assert_ne!(certificate(&lab, V6, "portal.dc.test").unwrap(), usual);
    lab.clear();
    assert_eq!(certificate(&lab, V6, "portal.dc.test").unwrap(), usual);
}

#[test]
fn content_faults_show_to_their_family_only() {
    if !support::inside_sandbox("content_faults_show_to_their_family_only") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("http", "0.0.0.0");
    lab.listen("http", "::");
    let fault = |how| Sabotage::ServeDifferently {
        node: "portal".parse().unwrap(),
        service: "http".parse().unwrap(),
        family: Family::V6,
        how,
    };
    lab.sabotage(fault(ContentFault::Unavailable));
    assert!(lab.get(V6).starts_with("HTTP/1.1 503 "));
    assert!(lab.get(V4).starts_with("HTTP/1.1 200 "));
    lab.clear();

    let bracketed = "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\nConnection: close\r\n\r\n";
    lab.sabotage(fault(ContentFault::RejectsBrackets));
    assert!(lab.http(V6, bracketed).starts_with("HTTP/1.1 400 "));
    assert!(lab.get(V6).starts_with("HTTP/1.1 200 "));
    lab.clear();
    assert!(lab.http(V6, bracketed).starts_with("HTTP/1.1 200 "));

    let bare = |ip| page::without_mark(body(&lab.get(ip)).as_bytes()).into_owned();
    lab.sabotage(fault(ContentFault::OtherBody));
    assert_ne!(bare(V6), bare(V4));
    lab.clear();

    lab.sabotage(fault(ContentFault::Stale));
    let stamp = |ip| header(&lab.get(ip), page::STAMP).parse::<u64>().unwrap();
    assert!(stamp(V4) - stamp(V6) >= 3_600);
    assert_eq!(bare(V6), bare(V4));
    lab.clear();

    lab.sabotage(Sabotage::Delay {
        node: "portal".parse().unwrap(),
        service: "http".parse().unwrap(),
        family: Family::V6,
        ms: 400,
    });
    let took = |ip| {
        let began = Instant::now();
        lab.get(ip);
        began.elapsed()
    };
    assert!(took(V6) >= Duration::from_millis(400));
    assert!(took(V4) < Duration::from_millis(400));
}

#[test]
fn listeners_can_be_sabotaged_and_are_restored() {
    if !support::inside_sandbox("listeners_can_be_sabotaged_and_are_restored") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("echo", "0.0.0.0");
    lab.listen("echo", "::");
    let portal = || "portal".parse().unwrap();
    let echo = || -> ServiceName { "echo".parse().unwrap() };
    let answers = |ip, port| lab.connect(ip, port).is_ok();
    lab.sabotage(Sabotage::ListenOnly { node: portal(), service: echo(), only: Family::V4 });
    assert_eq!((answers(V4, 7), answers(V6, 7)), (true, false));
    lab.clear();
    assert_eq!((answers(V4, 7), answers(V6, 7)), (true, true));
    lab.sabotage(Sabotage::StopService { node: portal(), service: echo() });
    assert_eq!((answers(V4, 7), answers(V6, 7)), (false, false));
    lab.clear();
    lab.sabotage(Sabotage::ExtraListener {
        node: portal(),
        families: vec![Family::V6],
        port: 3306,
    });
    assert_eq!((answers(V4, 3306), answers(V6, 3306)), (false, true));
    let unplanned: Vec<_> = lab.host.sockets().into_iter().filter(|s| s.1.port() == 3306).collect();
    assert_eq!(unplanned.len(), 1);
    assert_eq!(unplanned[0].2.as_str(), "unplanned");
    lab.clear();
    assert_eq!((answers(V4, 7), answers(V6, 7), answers(V6, 3306)), (true, true, false));
}

#[test]
fn the_sink_knows_who_logged_what() {
    if !support::inside_sandbox("the_sink_knows_who_logged_what") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("syslog", "::");
    let socket = lab.client.run(|| UdpSocket::bind((V6_CLIENT, 0))).unwrap();
    socket.send_to(b"<14>1 - portal - - - - token-17", (V6, 514)).unwrap();
    let began = Instant::now();
    while lab.host.sink("token-17").is_empty() {
        assert!(began.elapsed() < PATIENCE, "the message never came");
        std::thread::yield_now();
    }
    assert_eq!(lab.host.sink("token-17"), [socket.local_addr().unwrap()]);
    assert_eq!(lab.host.sink("token-18"), []);
}

const V6_CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);

struct AnyKey(tokio::sync::oneshot::Sender<russh::keys::PublicKey>);

/// Hands the host key out and accepts it, so that the log-in can be seen to fail.
struct Visitor(Option<AnyKey>);

impl russh::client::Handler for Visitor {
    type Error = russh::Error;
    async fn check_server_key(
        &mut self,
        key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        if let russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } = key {
            let _ = self.0.take().unwrap().0.send(key.clone());
        }
        Ok(true)
    }
}

#[test]
fn ssh_shows_its_pinned_key_and_lets_nobody_in() {
    if !support::inside_sandbox("ssh_shows_its_pinned_key_and_lets_nobody_in") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("ssh", "::");
    let mut stream = lab.connect(V6, 22).unwrap();
    let mut banner = [0; 17];
    stream.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"SSH-2.0-sixwalk\r\n");

    let (tell, key) = tokio::sync::oneshot::channel();
    let stream = lab.connect(V6, 22).unwrap();
    stream.set_nonblocking(true).unwrap();
    lab.runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let visitor = Visitor(Some(AnyKey(tell)));
        let mut session =
            russh::client::connect_stream(Arc::default(), stream, visitor).await.unwrap();
        assert!(!session.authenticate_password("root", "").await.unwrap().success());
        assert!(!session.authenticate_none("root").await.unwrap().success());
    });
    let pinned = lab.shared.host_key(&"portal".parse().unwrap());
    assert_eq!(key.blocking_recv().unwrap().key_data(), pinned.public_key().key_data());
    let mut rest = Vec::new();
    let mut open = lab.connect(V6, 22).unwrap();
    lab.stop("ssh", "::");
    assert!(open.read_to_end(&mut rest).is_ok(), "the session ends with the listener");
}

mod dns {
    use super::*;

    pub(super) const A: u16 = 1;
    pub(super) const NS: u16 = 2;
    pub(super) const CNAME: u16 = 5;
    pub(super) const SOA: u16 = 6;
    pub(super) const PTR: u16 = 12;
    pub(super) const TXT: u16 = 16;
    pub(super) const AAAA: u16 = 28;
    const AXFR: u16 = 252;

    fn wire_name(name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for label in name.split('.') {
            out.push(u8::try_from(label.len()).unwrap());
            out.extend(label.as_bytes());
        }
        out.push(0);
        out
    }

    /// A query by hand: id 0x1234, RD as given, an OPT record where a size is given.
    pub(super) fn query(name: &str, rtype: u16, rd: bool, edns: Option<u16>) -> Vec<u8> {
        let mut out =
            vec![0x12, 0x34, u8::from(rd), 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
        out.extend(wire_name(name));
        out.extend(rtype.to_be_bytes());
        out.extend([0, 1]);
        if let Some(size) = edns {
            out.extend([0, 0, 41]);
            out.extend(size.to_be_bytes());
            out.extend([0; 6]);
        }
        out
    }

    /// What is compared of a reply: RCODE, AA, TC, RA, and the counts of answers and of authority records.
    pub(super) fn summary(reply: &[u8]) -> (u8, bool, bool, bool, u8, u8) {
        assert_eq!(reply[..2], [0x12, 0x34]);
        assert_ne!(reply[2] & 0x80, 0, "QR");
        let (aa, tc, ra) = (reply[2] & 4 != 0, reply[2] & 2 != 0, reply[3] & 0x80 != 0);
        (reply[3] & 15, aa, tc, ra, reply[7], reply[9])
    }

    pub(super) fn record(name: &str, data: RecordData) -> Record {
        Record { name: name.parse().unwrap(), data }
    }

    pub(super) fn address(name: &str, ip: &str) -> Record {
        record(name, RecordData::Address(ip.parse().unwrap()))
    }

    pub(super) fn zone() -> Zone {
        let alias = |name: &str| RecordData::Alias(name.parse().unwrap());
        Zone {
            origin: "dc.test".parse().unwrap(),
            servers: vec!["portal".parse().unwrap()],
            extra: vec![
                address("portal.dc.test", V4),
                address("portal.dc.test", V6),
                address("old.dc.test", V4),
                address("deep.below.dc.test", V6),
                record("www.dc.test", alias("portal.dc.test")),
                record("away.dc.test", alias("portal.other.test")),
                record("loop.dc.test", alias("loop.dc.test")),
                record("gone.dc.test", alias("missing.dc.test")),
                record("ptr.dc.test", RecordData::Pointer("portal.dc.test".parse().unwrap())),
                record("long.dc.test", RecordData::Text("x".repeat(1_500))),
                record("middle.dc.test", RecordData::Text("y".repeat(700))),
            ],
        }
    }

    pub(super) fn publish(zones: Vec<Zone>) -> Change {
        Change::PublishZones { service: "dns".parse().unwrap(), zones }
    }

    fn lab() -> Lab {
        let lab = Lab::new(every_service());
        lab.apply(publish(vec![zone()])).unwrap();
        lab.listen("dns", "0.0.0.0");
        lab.listen("dns", "::");
        lab
    }

    #[test]
    fn a_reply_is_as_the_rfcs_ask_octet_by_octet() {
        if !support::inside_sandbox("dns::a_reply_is_as_the_rfcs_ask_octet_by_octet") {
            return;
        }
        let lab = lab();
        let asked = query("PoRtAl.dC.tEsT", AAAA, true, Some(1232));
        let reply = lab.datagram(V6, 53, &asked).unwrap();
        let question = &asked[12..asked.len() - 11];
        let mut expected = vec![0x12, 0x34, 0x85, 0, 0, 1, 0, 1, 0, 0, 0, 1];
        expected.extend(question); // upper and lower case as asked
        expected.extend([0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 5, 0, 16]);
        expected.extend(V6.parse::<Ipv6Addr>().unwrap().octets());
        expected.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reply, expected);
    }

    #[test]
    fn every_kind_of_question_gets_its_answer() {
        if !support::inside_sandbox("dns::every_kind_of_question_gets_its_answer") {
            return;
        }
        let lab = lab();
        let (yes, no) = (true, false);
        let cases = [
            // name, type, EDNS: RCODE, AA, TC, RA, answers, authority
            ("portal.dc.test", A, None, (0, yes, no, no, 1, 0)),
            ("portal.dc.test", AAAA, None, (0, yes, no, no, 1, 0)),
            ("old.dc.test", AAAA, None, (0, yes, no, no, 0, 1)),
            ("missing.dc.test", AAAA, None, (3, yes, no, no, 0, 1)),
            ("below.dc.test", AAAA, None, (0, yes, no, no, 0, 1)),
            ("x.portal.dc.test", A, None, (3, yes, no, no, 0, 1)),
            ("www.dc.test", AAAA, None, (0, yes, no, no, 2, 0)),
            ("www.dc.test", CNAME, None, (0, yes, no, no, 1, 0)),
            ("away.dc.test", AAAA, None, (0, yes, no, no, 1, 0)),
            ("gone.dc.test", AAAA, None, (3, yes, no, no, 1, 1)),
            ("loop.dc.test", AAAA, None, (0, yes, no, no, 1, 0)),
            ("ptr.dc.test", PTR, None, (0, yes, no, no, 1, 0)),
            ("dc.test", SOA, None, (0, yes, no, no, 1, 0)),
            ("dc.test", NS, None, (0, yes, no, no, 1, 0)),
            ("dc.test", AAAA, None, (0, yes, no, no, 0, 1)),
            ("test", AAAA, None, (5, no, no, no, 0, 0)),
            ("notdc.test", AAAA, None, (5, no, no, no, 0, 0)),
            ("dc.test", AXFR, None, (5, no, no, no, 0, 0)),
            ("middle.dc.test", TXT, None, (0, yes, yes, no, 0, 0)),
            ("middle.dc.test", TXT, Some(1232), (0, yes, no, no, 1, 0)),
            ("middle.dc.test", TXT, Some(100), (0, yes, yes, no, 0, 0)),
            ("long.dc.test", TXT, Some(4096), (0, yes, yes, no, 0, 0)),
        ];
        for (name, rtype, edns, expected) in cases {
            for ip in [V4, V6] {
                let reply = lab.datagram(ip, 53, &query(name, rtype, false, edns)).unwrap();
                assert_eq!(summary(&reply), expected, "{name} {rtype} {edns:?} at {ip}");
                assert!(reply.len() <= usize::from(edns.unwrap_or(512).clamp(512, 1232)));
            }
        }
    }

    #[test]
    fn one_connection_carries_many_questions() {
        if !support::inside_sandbox("dns::one_connection_carries_many_questions") {
            return;
        }
        let lab = lab();
        let mut stream = lab.connect(V6, 53).unwrap();
        for (name, octets) in [("long.dc.test", 1_500), ("portal.dc.test", 16)] {
            let query = query(name, if octets == 16 { AAAA } else { TXT }, false, None);
            let length = u16::try_from(query.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length[..], &query].concat()).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut reply = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(summary(&reply), (0, true, false, false, 1, 0), "{name}");
            assert!(reply.len() > octets);
        }
    }

    #[test]
    fn hostile_octets_are_refused_or_ignored() {
        if !support::inside_sandbox("dns::hostile_octets_are_refused_or_ignored") {
            return;
        }
        let lab = lab();
        let good = query("portal.dc.test", AAAA, false, Some(1232));
        let changed = |at: usize, octet: u8| {
            let mut query = good.clone();
            query[at] = octet;
            query
        };
        let code = |query: &[u8]| lab.datagram(V6, 53, query).unwrap()[3] & 15;
        assert_eq!(code(&good[..20]), 1, "FORMERR for half a question");
        assert_eq!(code(&changed(12, 0xc0)), 1, "FORMERR for a name that points at itself");
        assert_eq!(code(&changed(5, 0)), 1, "FORMERR for no question");
        assert_eq!(code(&changed(2, 0x10)), 4, "NOTIMP for another opcode");
        let chaos = changed(good.len() - 12, 3);
        assert_eq!(code(&chaos), 5, "REFUSED for another class");
        let mut version = good.clone();
        let at = good.len() - 5;
        version[at] = 1;
        let reply = lab.datagram(V6, 53, &version).unwrap();
        assert_eq!((reply[3] & 15, reply[reply.len() - 6]), (0, 1), "BADVERS");
        // Replies and fragments of headers get no answer; the server is still there afterwards.
        let socket = lab.client.run(|| UdpSocket::bind((V6_CLIENT, 0))).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket.send_to(&changed(2, 0x80), (V6, 53)).unwrap();
        socket.send_to(&good[..11], (V6, 53)).unwrap();
        assert!(socket.recv(&mut [0; 512]).is_err());
        assert_eq!(code(&good), 0);
    }

    #[test]
    fn wrong_answers_concern_their_type_and_name_only() {
        if !support::inside_sandbox("dns::wrong_answers_concern_their_type_and_name_only") {
            return;
        }
        let lab = lab();
        let ask = |name: &str, rtype| lab.datagram(V6, 53, &query(name, rtype, false, None));
        let plant = |how| {
            lab.sabotage(Sabotage::AnswerWrongly {
                node: "portal".parse().unwrap(),
                name: Some("portal.dc.test".parse().unwrap()),
                family: Family::V6,
                how,
            });
        };
        let cases = [
            (WrongAnswer::Nxdomain, (3, false, false, false, 0, 1)),
            (WrongAnswer::Servfail, (2, false, false, false, 0, 0)),
            (WrongAnswer::Refused, (5, false, false, false, 0, 0)),
            (WrongAnswer::Notimp, (4, false, false, false, 0, 0)),
            (WrongAnswer::NoSoa, (0, false, false, false, 0, 0)),
            (WrongAnswer::Malformed, (0, false, false, false, 1, 0)),
        ];
        for (how, expected) in cases {
            plant(how);
            let reply = ask("PORTAL.dc.test", AAAA).unwrap();
            assert_eq!(summary(&reply), expected, "{how:?}");
            if how == WrongAnswer::Malformed {
                assert_eq!(reply[reply.len() - 6..reply.len() - 4], [0, 4], "four octets of data");
            }
            assert_eq!(summary(&ask("portal.dc.test", A).unwrap()).0, 0);
            assert_eq!(summary(&ask("deep.below.dc.test", AAAA).unwrap()).4, 1);
            lab.clear();
            assert_eq!(summary(&ask("portal.dc.test", AAAA).unwrap()).4, 1, "{how:?} cleared");
        }
        plant(WrongAnswer::Silence);
        assert!(ask("portal.dc.test", AAAA).is_err());
        assert!(ask("portal.dc.test", A).is_ok());
    }

    #[test]
    fn records_can_be_set_and_removed_and_come_back() {
        if !support::inside_sandbox("dns::records_can_be_set_and_removed_and_come_back") {
            return;
        }
        let lab = lab();
        let answer = |rtype| {
            let query = query("portal.dc.test", rtype, false, None);
            lab.datagram(V6, 53, &query).unwrap()
        };
        let dead: Ipv6Addr = "2001:db8::dead".parse().unwrap();
        lab.sabotage(Sabotage::SetRecord {
            node: "portal".parse().unwrap(),
            name: "portal.dc.test".parse().unwrap(),
            data: RecordData::Address(dead.into()),
        });
        assert!(answer(AAAA).ends_with(&dead.octets()));
        assert_eq!(summary(&answer(A)).4, 1);
        lab.sabotage(Sabotage::RemoveRecord {
            node: "portal".parse().unwrap(),
            name: "portal.dc.test".parse().unwrap(),
            family: Family::V4,
        });
        assert_eq!(summary(&answer(A)), (0, true, false, false, 0, 1));
        lab.clear();
        assert_eq!(summary(&answer(A)).4, 1);
        assert!(answer(AAAA).ends_with(&V6.parse::<Ipv6Addr>().unwrap().octets()));
        let elsewhere = Sabotage::RemoveRecord {
            node: "portal".parse().unwrap(),
            name: "portal.other.test".parse().unwrap(),
            family: Family::V4,
        };
        let error = lab.runtime.block_on(lab.host.sabotage(&elsewhere)).unwrap_err();
        assert!(matches!(error, ServeError::NoZone { .. }), "{error}");
    }

    #[test]
    fn the_resolver_asks_until_it_knows() {
        if !support::inside_sandbox("dns::the_resolver_asks_until_it_knows") {
            return;
        }
        let lab = lab();
        let other = Zone {
            origin: "other.test".parse().unwrap(),
            servers: vec!["portal".parse().unwrap()],
            extra: vec![address("portal.other.test", V6)],
        };
        // The second zone is served by another node, in the namespace of the one who asks.
        let ns = Node { name: "ns".parse().unwrap(), ..node(vec![service(ServiceKind::Dns)]) };
        let second = ServiceHost::new(&ns, lab.client.clone(), Arc::clone(&lab.shared));
        lab.runtime.block_on(async {
            second.apply(&publish(vec![other])).await.unwrap();
            second.apply(&listen("dns", "::")).await.unwrap();
        });
        let ips =
            |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let zones = vec![
            ("dc.test".parse().unwrap(), ips(&[V6, V4])),
            // Nothing listens on the first, nothing is at the second: the third answers.
            ("other.test".parse().unwrap(), ips(&["192.0.2.9", "192.0.2.200", "2001:db8::9"])),
            ("lame.test".parse().unwrap(), ips(&[V6, V4])),
        ];
        lab.apply(Change::Delegate { service: "resolver".parse().unwrap(), zones }).unwrap();
        lab.listen("resolver", "::");
        let ask = |name: &str, rtype, rd| {
            let query = query(name, rtype, rd, Some(1232));
            lab.datagram(V6, 5353, &query).map(|reply| (summary(&reply), reply))
        };
        let (yes, no) = (true, false);
        let cases = [
            ("portal.dc.test", AAAA, yes, (0, no, no, yes, 1, 0)),
            ("old.dc.test", AAAA, yes, (0, no, no, yes, 0, 1)),
            ("missing.dc.test", A, yes, (3, no, no, yes, 0, 1)),
            ("www.dc.test", A, yes, (0, no, no, yes, 2, 0)),
            ("away.dc.test", AAAA, yes, (0, no, no, yes, 2, 0)), // across zones
            ("away.dc.test", A, yes, (0, no, no, yes, 1, 1)),
            ("away.dc.test", CNAME, yes, (0, no, no, yes, 1, 0)),
            ("loop.dc.test", AAAA, yes, (2, no, no, yes, 0, 0)),
            ("long.dc.test", TXT, yes, (0, no, yes, yes, 0, 0)), // fetched over TCP, truncated here
            ("x.lame.test", AAAA, yes, (2, no, no, yes, 0, 0)),
            ("x.unknown.test", AAAA, yes, (2, no, no, yes, 0, 0)),
            ("portal.dc.test", AAAA, no, (5, no, no, yes, 0, 0)),
        ];
        for (name, rtype, rd, expected) in cases {
            let (summary, reply) = ask(name, rtype, rd).unwrap();
            assert_eq!(summary, expected, "{name} {rtype} {reply:02x?}");
        }
        lab.stop("dns", "::");
        let (summary, _) = ask("portal.dc.test", AAAA, true).unwrap();
        assert_eq!(summary.4, 1, "the other address of the server answers");
        lab.stop("dns", "0.0.0.0");
        let (summary, _) = ask("portal.dc.test", AAAA, true).unwrap();
        assert_eq!(summary.0, 2, "SERVFAIL once nobody is left");
    }
}

mod router {
    use super::*;

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
                let raw =
                    socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::RAW, protocol)?;
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
        lab.apply(advertise()).unwrap();
        wait_for("an address by SLAAC", || {
            shown(&lab.client, "-6 address show dev c0").contains("2001:db8:a:")
        });
        let routes = shown(&lab.client, "-6 route show default");
        assert!(routes.contains("via fe80::ff:fe00:1 dev c0 proto ra"), "{routes}");
        assert!(routes.contains("mtu 1400"), "{routes}");
        let change = Change::StopAdvertising { interface: "s0".parse().unwrap() };
        lab.apply(change).unwrap();
        wait_for("the end of the default route", || {
            shown(&lab.client, "-6 route show default").is_empty()
        });
    }

    #[test]
    fn what_is_announced_is_the_plan_until_a_fault_bends_it() {
        if !support::inside_sandbox("router::what_is_announced_is_the_plan_until_a_fault_bends_it")
        {
            return;
        }
        let lab = Lab::new(Vec::new());
        lab.apply(advertise()).unwrap();
        let heard = hear(&lab, |_| true);
        assert_eq!(heard.router.to_string(), "fe80::ff:fe00:1");
        assert_eq!(heard.mac, Some(Mac([2, 0, 0, 0, 0, 1])));
        assert_eq!((heard.mtu, heard.lifetime_s, heard.managed), (Some(1_400), 1_800, false));
        assert_eq!(heard.dns, [V6.parse::<IpAddr>().unwrap()]);
        assert_eq!(heard.prefixes.len(), 1);
        assert_eq!(heard.prefixes[0].prefix.to_string(), "2001:db8:a::/64");
        assert!(heard.prefixes[0].on_link && heard.prefixes[0].autonomous);
        let plant = |change| {
            lab.sabotage(Sabotage::AdvertiseWrongly {
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
}

/// Octets of memory that this process holds.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[test]
fn idle_services_cost_little_and_idle_nodes_nearly_nothing() {
    if !support::inside_sandbox("idle_services_cost_little_and_idle_nodes_nearly_nothing") {
        return;
    }
    let lab = Lab::new(every_service());
    let before = resident();
    let hosts: Vec<_> = (0..1_000)
        .map(|_| ServiceHost::new(&node(Vec::new()), lab.server.clone(), Arc::clone(&lab.shared)))
        .collect();
    let bare = resident() - before;
    assert!(bare < 4 << 20, "1000 nodes without services take {bare} octets");
    drop(hosts);

    let echoes = (0..100).map(|number| Service {
        name: format!("echo-{number}").parse().unwrap(),
        port: 7_000 + number,
        ..service(ServiceKind::Echo)
    });
    let host =
        ServiceHost::new(&node(echoes.collect()), lab.server.clone(), Arc::clone(&lab.shared));
    let before = resident();
    lab.runtime.block_on(async {
        for number in 0..100 {
            host.apply(&listen(&format!("echo-{number}"), "::")).await.unwrap();
        }
    });
    let idle = resident() - before;
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
    fn is_send<T: Send + Sync>(_: &T) {}
    let namespace = Namespace::current().unwrap();
    let host = ServiceHost::new(&node(Vec::new()), namespace, Shared::new());
    is_send(&host);
    fn future_is_send<T: Send>(_: T) {}
    future_is_send(host.apply(&Change::ForgetResidue));
    future_is_send(host.clear_sabotage());
}
