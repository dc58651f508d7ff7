//! Questions put on a real path: client – bridge – router – server, with faults planted behind the prober's back. The
//! rows are those of the table of differential diagnosis: what each fault looks like from the client.

mod support;

use std::{
    future::Future,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _},
    pin::Pin,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sixwalk::{
    model::{
        answer::{Answer, Attempt, IcmpError, Logged, Outcome},
        family::Family,
        name::{InterfaceName, ServiceName, TunnelName},
        probe::{Aspect, Hello, Keeper, Provocation, Question, RouterAct},
        record::RecordType,
        service::{Port, Transport},
        tap::{Tap, Watch},
        tunnel::{Acted, TunnelAct},
    },
    net::namespace::Namespace,
    probe::{Asker, Host, Vantage, canary::Canary, sweep, tap},
};

/// Client, link, router and server in namespaces of their own.
struct Lane {
    client: Namespace,
    link: Namespace,
    router: Namespace,
    server: Namespace,
}

const CLIENT: [&str; 2] = ["10.1.0.2", "2001:db8:a::2"];
const GATE: [&str; 2] = ["10.1.0.1", "2001:db8:a::1"];
const FAR_GATE: [&str; 2] = ["10.2.0.1", "2001:db8:b::1"];
const SERVER: [&str; 2] = ["10.2.0.2", "2001:db8:b::2"];
/// An address on the server's link that nobody has.
const DEAD: [&str; 2] = ["10.2.0.9", "2001:db8:b::9"];
/// An address that no route leads to.
const NOWHERE: [&str; 2] = ["192.0.2.1", "2001:db8:ffff::1"];

fn of(pair: [&str; 2], family: Family) -> IpAddr {
    pair[usize::from(family == Family::V6)].parse().unwrap()
}

/// Runs shell commands within a namespace, one per line.
fn sh(namespace: &Namespace, script: &str) {
    let done = namespace.run(|| Command::new("sh").args(["-ec", script]).status()).unwrap();
    assert!(done.success(), "in the namespace: {script}");
}

fn path(namespace: &Namespace) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_fd().as_raw_fd())
}

impl Lane {
    fn new() -> Self {
        let new = || Namespace::create().unwrap();
        let lane = Self { client: new(), link: new(), router: new(), server: new() };
        for node in [&lane.client, &lane.link, &lane.router, &lane.server] {
            sh(node, "ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
        }
        let (client, router, server) = (path(&lane.client), path(&lane.router), path(&lane.server));
        sh(
            &lane.link,
            &format!(
                "ip link add br0 type bridge forward_delay 0 mcast_snooping 0; ip link set br0 up
             ip link add p0 type veth peer name eth0 netns {client}
             ip link add p1 type veth peer name eth0 netns {router}
             for p in p0 p1; do ip link set $p master br0; ip link set $p up; done"
            ),
        );
        sh(
            &lane.router,
            &format!(
                "ip link add eth1 type veth peer name eth0 netns {server}
             echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
             ip link set eth0 up; ip link set eth1 up
             ip addr add 10.1.0.1/24 dev eth0; ip addr add 2001:db8:a::1/64 dev eth0 nodad
             ip addr add 10.2.0.1/24 dev eth1; ip addr add 2001:db8:b::1/64 dev eth1 nodad"
            ),
        );
        sh(
            &lane.client,
            "ip link set eth0 up
             ip addr add 10.1.0.2/24 dev eth0; ip addr add 2001:db8:a::2/64 dev eth0 nodad
             ip route add 10.2.0.0/16 via 10.1.0.1; ip route add 2001:db8:b::/48 via 2001:db8:a::1",
        );
        sh(
            &lane.server,
            "ip link set eth0 up
             ip addr add 10.2.0.2/24 dev eth0; ip addr add 2001:db8:b::2/64 dev eth0 nodad
             ip route add default via 10.2.0.1; ip -6 route add default via 2001:db8:b::1",
        );
        lane.settle();
        lane
    }

    /// Waits until every link-local address is there and none is tentative: IPv6 is judged only then.
    fn settle(&self) {
        for node in [&self.client, &self.router, &self.server] {
            sh(
                node,
                "for i in $(seq 100); do
                 ip -6 addr show scope link dev eth0 | grep -q fe80 \
                   && ! ip -6 addr show | grep -q tentative && exit 0; sleep 0.05; done; exit 1",
            );
        }
    }

    fn client(&self) -> Vantage {
        vantage(&self.client)
    }
}

fn vantage(namespace: &Namespace) -> Vantage {
    Vantage {
        node: "client".parse().unwrap(),
        namespace: namespace.clone(),
        interfaces: vec!["eth0".parse().unwrap()],
        resolvers: Vec::new(),
        host: Arc::new(TestHost),
    }
}

/// A lab that knows one service.
struct TestHost;

impl Host for TestHost {
    fn log_in(&self, _token: &str, _keeper: Keeper) -> Vec<String> {
        Vec::new()
    }

    fn tunnel<'a>(
        &'a self,
        _tunnel: &'a TunnelName,
        _act: TunnelAct,
    ) -> Pin<Box<dyn Future<Output = Result<Acted, String>> + Send + 'a>> {
        Box::pin(async { Err("a test ends no tunnel".to_owned()) })
    }

    fn router<'a>(
        &'a self,
        _interface: &'a InterfaceName,
        _act: RouterAct,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async { Err("a test has no router of the plan".to_owned()) })
    }

    fn logged(&self, token: &str) -> Option<Vec<Logged>> {
        let known = || Logged { from: "192.0.2.1:5".parse().unwrap(), host: "web".to_owned() };
        Some((token == "known").then(known).into_iter().collect())
    }

    fn service_at(&self, _: Transport, local: SocketAddr) -> Option<ServiceName> {
        (local.port() == 80).then(|| "web".parse().unwrap())
    }

    fn inspect(&self, _: Aspect) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        Box::pin(async { Answer::Routes(Vec::new()) })
    }
}

/// A runtime within the sandbox.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// Accepts connections and does something with each, until the process ends.
fn serve_tcp(node: &Namespace, bind: &str, talk: fn(std::net::TcpStream)) {
    let listener = node.run(|| TcpListener::bind(bind)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || talk(stream));
        }
    });
}

fn serve_udp(node: &Namespace, bind: &str, answer: fn(&[u8]) -> Vec<u8>) {
    let socket = node.run(|| UdpSocket::bind(bind)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length]), from);
        }
    });
}

fn http(mut stream: std::net::TcpStream) {
    let _ = stream.read(&mut [0; 1024]);
    let body = "x".repeat(20_000);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nsixwalk-stamp: 17\r\nserver: test\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all((head + &body).as_bytes());
}

fn echo(mut stream: std::net::TcpStream) {
    let mut line = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut line) {
        let _ = stream.write_all(&line[..length]);
    }
}

fn connect(to: SocketAddr, hello: Hello) -> Question {
    Question::Connect { to, source: None, hello, watch: true }
}

/// Puts a question with all its patience.
async fn ask(asker: &Asker, at: &Vantage, question: &Question) -> Answer {
    asker.ask(at, question, question.patience()).await
}

async fn connection(asker: &Asker, at: &Vantage, to: SocketAddr) -> Attempt {
    let answer = ask(asker, at, &connect(to, Hello::Nothing)).await;
    answer.attempt().cloned().unwrap_or_else(|| panic!("no attempt in {answer:?}"))
}

/// What is expected of an attempt: outcome, errno, ICMP (type, code) and who sent it, hop limit.
type Row<'a> = (Outcome, Option<&'a str>, Option<(u8, u8, IpAddr)>, Option<u8>);

fn row(attempt: &Attempt) -> Row<'_> {
    let icmp = attempt.icmp.map(|IcmpError { kind, code, sender, .. }| (kind, code, sender));
    (attempt.outcome.clone(), attempt.errno.as_deref(), icmp, attempt.hop_limit)
}

const NFT: &str = "nft -f - <<'X'\ntable inet t { chain f { type filter hook forward priority 0; policy accept;\n";

/// A firewall on the router that does this with every packet to port 81.
fn firewall(lane: &Lane, what: &str) {
    sh(&lane.router, &format!("nft flush ruleset; {NFT}\ntcp dport 81 {what}\n}}\n}}\nX"));
}

#[test]
fn every_fault_looks_different_from_the_client() {
    if !support::inside_sandbox("every_fault_looks_different_from_the_client") {
        return;
    }
    let lane = Lane::new();
    for bind in ["[::]:80", "[::]:81"] {
        serve_tcp(&lane.server, bind, http);
    }
    run(async {
        let asker = Asker::new(None).unwrap();
        let at = lane.client();
        for family in Family::ALL {
            let server = of(SERVER, family);
            let gate = of(GATE, family);
            let ask = |ip, port| connection(&asker, &at, SocketAddr::new(ip, port));

            let healthy = ask(server, 80).await;
            assert_eq!(row(&healthy), (Outcome::Answered, None, None, Some(63)), "{family}");
            assert_eq!(healthy.source.unwrap().ip(), of(CLIENT, family));
            assert_eq!((healthy.family, healthy.destination.ip()), (family, server));
            assert!(healthy.connect_us > 0 && healthy.connect_us <= healthy.total_us);

            // A closed port: the reset has the hop limit of the host behind the router.
            let closed = ask(server, 82).await;
            let refused = Some("ECONNREFUSED");
            assert_eq!(row(&closed), (Outcome::Refused, refused, None, Some(63)), "{family}");

            // The firewall resets in the host's name, one hop nearer.
            firewall(&lane, "reject with tcp reset");
            let reset = ask(server, 81).await;
            assert_eq!(row(&reset), (Outcome::Refused, refused, None, Some(64)), "{family}");

            firewall(&lane, "drop");
            let dropped = ask(server, 81).await;
            assert_eq!(row(&dropped), (Outcome::TimedOut, None, None, None), "{family}");
            assert!(dropped.total_us >= 3_900_000);

            // The same policy has another errno in each family; type, code and sender tell.
            let kinds: [(&str, (u8, u8), &str); 4] = match family {
                Family::V4 => [
                    ("icmpx type admin-prohibited", (3, 13), "EHOSTUNREACH"),
                    ("icmpx type no-route", (3, 0), "ENETUNREACH"),
                    ("icmpx type host-unreachable", (3, 1), "EHOSTUNREACH"),
                    ("icmpx type port-unreachable", (3, 3), "ECONNREFUSED"),
                ],
                Family::V6 => [
                    ("icmpx type admin-prohibited", (1, 1), "EACCES"),
                    ("icmpx type no-route", (1, 0), "ENETUNREACH"),
                    ("icmpx type host-unreachable", (1, 3), "EHOSTUNREACH"),
                    ("icmpx type port-unreachable", (1, 4), "ECONNREFUSED"),
                ],
            };
            for (what, (kind, code), errno) in kinds {
                firewall(&lane, &format!("reject with {what}"));
                let rejected = ask(server, 81).await;
                let icmp = Some((kind, code, gate));
                assert_eq!(
                    row(&rejected),
                    (Outcome::Rejected, Some(errno), icmp, None),
                    "{family} {what}"
                );
            }
            sh(&lane.router, "nft flush ruleset");

            // A dead host behind the router: three solicitations of a second each.
            let dead = ask(of(DEAD, family), 80).await;
            let code = if family == Family::V4 { (3, 1, gate) } else { (1, 3, gate) };
            let expected = (Outcome::Rejected, Some("EHOSTUNREACH"), Some(code), None);
            assert_eq!(row(&dead), expected, "{family}");
            assert!((2_500_000..3_500_000).contains(&dead.total_us), "{}", dead.total_us);

            let nowhere = ask(of(NOWHERE, family), 80).await;
            assert_eq!(row(&nowhere), (Outcome::NoRoute, Some("ENETUNREACH"), None, None));
            assert!(nowhere.total_us < 100_000);
        }
    });
}

#[test]
fn services_answer_in_their_own_words() {
    if !support::inside_sandbox("services_answer_in_their_own_words") {
        return;
    }
    let lane = Lane::new();
    serve_tcp(&lane.server, "[::]:80", http);
    serve_tcp(&lane.server, "[::]:7", echo);
    serve_tcp(&lane.server, "[::]:25", |mut stream| {
        let _ = stream.write_all(b"220 mail\r\n");
        let _ = stream.read(&mut [0; 10]);
    });
    serve_tcp(&lane.server, "[::]:9", |stream| {
        let _silent_until_the_end = stream;
        thread::park();
    });
    serve_udp(&lane.server, "[::]:7", <[u8]>::to_vec);
    serve_udp(&lane.server, "[::]:53", |query| {
        let mut reply = query[..query.len().min(512)].to_vec();
        reply[2] |= 0x80;
        reply[3] = 3;
        reply
    });
    run(async {
        let asker = Asker::new(None).unwrap();
        let at = lane.client();
        for family in Family::ALL {
            let server = of(SERVER, family);
            let to = |port| SocketAddr::new(server, port);
            let ask = |question: Question| {
                let (asker, at) = (&asker, &at);
                async move { ask(asker, at, &question).await }
            };
            let outcome = |answer: &Answer| answer.attempt().unwrap().outcome.clone();

            let http = Hello::Http { host: "portal.test".into(), path: "/".into() };
            let answer = ask(connect(to(80), http.clone())).await;
            let Answer::Connection { greeting, .. } = &answer else { panic!("{answer:?}") };
            assert_eq!(greeting.as_deref(), Some("HTTP/1.1 200 OK"));
            let wrong = ask(connect(to(25), http)).await;
            assert!(
                matches!(outcome(&wrong), Outcome::Garbled { what } if what.contains("220 mail"))
            );
            let silent = ask(connect(to(9), Hello::Echo)).await;
            assert_eq!(outcome(&silent), Outcome::Stalled);
            assert!(ask(connect(to(7), Hello::Echo)).await.is_answered());

            let question = Question::Fetch {
                to: to(80),
                tls: None,
                host: "portal.test".into(),
                path: "/".into(),
            };
            let answer = ask(question).await;
            let Answer::Page { page: Some(page), .. } = &answer else { panic!("{answer:?}") };
            assert_eq!((page.status, page.octets), (200, 20_000));
            assert_eq!(page.stamp.as_deref(), Some("17"));

            assert!(ask(Question::Datagram { to: to(7), size: 100 }).await.is_answered());
            let closed = ask(Question::Datagram { to: to(99), size: 100 }).await;
            let attempt = closed.attempt().unwrap();
            assert_eq!(attempt.outcome, Outcome::Refused);
            assert_eq!(attempt.icmp.unwrap().sender, server);

            let answer = ask(Question::Lookup {
                server: to(53),
                transport: Transport::Udp,
                name: "portal.test".parse().unwrap(),
                rtype: RecordType::Aaaa,
                edns: Some(1232),
                recurse: true,
                mixed_case: true,
            })
            .await;
            let Answer::Dns { reply: Some(reply), .. } = &answer else { panic!("{answer:?}") };
            assert_eq!(reply.rcode, "NXDomain");

            let ping = |to, hop_limit| Question::Ping { to, source: None, size: 56, hop_limit };
            let pong = ask(ping(server, None)).await;
            let attempt = pong.attempt().unwrap();
            assert_eq!((&attempt.outcome, attempt.hop_limit), (&Outcome::Answered, Some(63)));
            assert_eq!(attempt.source.unwrap().ip(), of(CLIENT, family));
            let expired = ask(ping(server, Some(1))).await;
            let attempt = expired.attempt().unwrap();
            let time_exceeded = if family == Family::V4 { 11 } else { 3 };
            assert_eq!(attempt.icmp.unwrap().kind, time_exceeded);
            assert_eq!(attempt.icmp.unwrap().sender, of(GATE, family));
            assert!(ask(ping(of(FAR_GATE, family), None)).await.is_answered());
        }

        // A mapped destination goes over IPv4, and the answer says so.
        let mapped = "[::ffff:10.2.0.2]:80".parse().unwrap();
        let attempt = connection(&asker, &at, mapped).await;
        assert_eq!((attempt.outcome, attempt.family), (Outcome::Answered, Family::V4));
        assert_eq!(attempt.hop_limit, Some(63));

        // A source that the node does not have: not asked, and nothing about the network.
        let foreign = Question::Connect {
            to: SocketAddr::new(of(SERVER, Family::V6), 80),
            source: Some("2001:db8:a::77".parse().unwrap()),
            hello: Hello::Nothing,
            watch: false,
        };
        let answer = ask(&asker, &at, &foreign).await;
        assert!(answer.not_asked().is_some_and(|reason| reason.contains("assign")), "{answer:?}");

        let sink = |token: &str| Question::Sink { token: token.to_owned() };
        let heard = ask(&asker, &at, &sink("known")).await;
        let from = "192.0.2.1:5".parse().unwrap();
        let known = Logged { from, host: "web".to_owned() };
        assert_eq!(heard, Answer::of_sink(vec![known]));
        assert_eq!(ask(&asker, &at, &sink("other")).await, Answer::of_sink(Vec::new()));

        // The socket table, with the flag that decides over IPv4.
        let answer = ask(&asker, &vantage(&lane.server), &Question::Inspect(Aspect::Sockets)).await;
        let Answer::Sockets(sockets) = &answer else { panic!("{answer:?}") };
        let web = sockets.iter().find(|s| s.local.port() == 80).unwrap();
        assert_eq!((web.transport, web.v6_only), (Transport::Tcp, Some(false)));
        assert_eq!(web.service, Some("web".parse().unwrap()));
        assert!(sockets.iter().any(|s| (s.transport, s.local.port()) == (Transport::Udp, 53)));
    });
}

fn tap_of(watch: Watch) -> Tap {
    Tap { segment: "lan-a".parse().unwrap(), watch, label: "test".into() }
}

#[test]
fn a_tap_counts_each_frame_once_and_knows_when_it_is_deaf() {
    if !support::inside_sandbox("a_tap_counts_each_frame_once_and_knows_when_it_is_deaf") {
        return;
    }
    let lane = Lane::new();
    serve_udp(&lane.server, "[::]:7", <[u8]>::to_vec);
    run(async {
        let asker = Asker::new(None).unwrap();
        let at = lane.client();
        let origin = Instant::now();
        let canary = Arc::new(Canary::open(&lane.client, "eth0").unwrap());
        let open = |watch| {
            let (link, canary) = (&lane.link, Arc::clone(&canary));
            async move { tap::open_tap(link, &tap_of(watch), origin, canary, None).await.unwrap() }
        };
        // Neighbours are known from here on.
        let to = |family| SocketAddr::new(of(SERVER, family), 7);
        for family in Family::ALL {
            assert!(
                ask(&asker, &at, &Question::Datagram { to: to(family), size: 9 })
                    .await
                    .is_answered()
            );
        }
        let packets = |family| Watch::Packets {
            family,
            source: None,
            destination: Some(of(SERVER, family)),
            port: Some(Port { transport: Transport::Udp, number: 7 }),
        };
        let ipv4 = open(Watch::Ethertypes(vec![0x0800, 0x0806])).await;
        let [to_v4, to_v6] = [open(packets(Family::V4)).await, open(packets(Family::V6)).await];
        let pings = open(Watch::icmp(Family::V6, &[128])).await;
        for _ in 0..5 {
            let question = Question::Datagram { to: to(Family::V6), size: 9 };
            assert!(ask(&asker, &at, &question).await.is_answered());
        }
        let server = of(SERVER, Family::V6);
        ask(&asker, &at, &Question::Ping { to: server, source: None, size: 9, hop_limit: None })
            .await;

        let reading = to_v6.close().await;
        assert!(reading.is_trustworthy(), "{reading:?}");
        assert_eq!(reading.frames, 5);
        assert_eq!(reading.by_ethertype["86dd"], 5);
        assert_eq!(reading.first[0].source, Some(of(CLIENT, Family::V6)));
        for (quiet, count) in [(ipv4, 0), (to_v4, 0), (pings, 1)] {
            let reading = quiet.close().await;
            assert!(reading.is_trustworthy());
            assert_eq!(reading.frames, count, "{reading:?}");
        }

        // A broadcast floods every port and the bridge itself, and still counts once.
        let arp = open(Watch::Ethertypes(vec![0x0806])).await;
        sh(&lane.client, "ip neigh flush all");
        let ping = |to| Question::Ping { to, source: None, size: 9, hop_limit: None };
        assert!(ask(&asker, &at, &ping(of(GATE, Family::V4))).await.is_answered());
        let reading = arp.close().await;
        assert!(reading.is_trustworthy());
        assert_eq!(reading.frames, 2, "a request and its reply: {reading:?}");

        // The port goes down behind its back: silence is no longer believed.
        let deaf = open(Watch::Ethertypes(vec![0x0800])).await;
        sh(&lane.link, "ip link set p0 down");
        let reading = deaf.close().await;
        assert!(reading.alive_before && !reading.alive_after);
        assert!(!reading.is_trustworthy());
    });
}

/// Rules on a node, in one forwarding or output chain.
fn rules(node: &Namespace, hook: &str, rule: &str) {
    let chain =
        format!("chain f {{\ntype filter hook {hook} priority 0; policy accept;\n{rule}\n}}");
    sh(node, &format!("nft flush ruleset; nft -f - <<'X'\ntable inet t {{\n{chain}\n}}\nX"));
}

#[test]
fn the_path_tells_its_mtu_its_routers_and_its_errors() {
    if !support::inside_sandbox("the_path_tells_its_mtu_its_routers_and_its_errors") {
        return;
    }
    let lane = Lane::new();
    serve_udp(&lane.server, "[::]:7", <[u8]>::to_vec);
    run(async {
        let asker = Asker::new(None).unwrap();
        let at = lane.client();
        let sweep = async |family| {
            let question = Question::PathMtu { to: of(SERVER, family), ceiling: 1500 };
            match ask(&asker, &at, &question).await {
                Answer::PathMtu { sweep } => sweep,
                other => panic!("{other:?}"),
            }
        };
        for family in Family::ALL {
            let whole = sweep(family).await;
            assert_eq!((whole.passed, whole.lost), (Some(1500), None), "{family}");
            assert_eq!(whole.source, Some(of(CLIENT, family)));
        }
        sh(&lane.router, "ip link set eth1 mtu 1400");
        sh(&lane.server, "ip link set eth0 mtu 1400");
        for family in Family::ALL {
            // What is learned by the first sweep must not spoil the second.
            for _ in 0..2 {
                let small = sweep(family).await;
                assert_eq!((small.passed, small.lost), (Some(1400), Some(1401)), "{family}");
                let named: Vec<_> = small.too_big.iter().map(|e| (e.sender, e.mtu)).collect();
                assert_eq!(named, [(of(GATE, family), Some(1400))]);
            }
        }
        rules(
            &lane.router,
            "output",
            "icmpv6 type packet-too-big drop\nicmp type destination-unreachable drop",
        );
        for family in Family::ALL {
            let hole = sweep(family).await;
            assert_eq!((hole.passed, hole.lost), (Some(1400), Some(1401)), "{family}");
            assert_eq!(hole.too_big, [], "a black hole says nothing");
        }
        sh(&lane.router, "nft flush ruleset");

        for family in Family::ALL {
            let (gate, server) = (of(GATE, family), of(SERVER, family));
            let trace = async |to| ask(&asker, &at, &Question::Trace { to, most: 8 }).await;
            let reached = Answer::Trace { hops: vec![Some(gate)], reached: true };
            assert_eq!(trace(server).await, reached);
            let nowhere = Answer::Trace { hops: Vec::new(), reached: false };
            assert_eq!(trace(of(NOWHERE, family)).await, nowhere);

            let provoked = async |to, how| {
                let answer = ask(&asker, &at, &Question::Provoke { to, how }).await;
                let attempt = answer.attempt().unwrap_or_else(|| panic!("{answer:?}"));
                let icmp = attempt.icmp.unwrap_or_else(|| panic!("{how:?}: {attempt:?}"));
                (icmp.kind, icmp.code, icmp.sender)
            };
            let wanted = match family {
                Family::V4 => [(3, 3), (11, 0), (3, 4), (3, 2)],
                Family::V6 => [(1, 4), (3, 0), (2, 0), (4, 1)],
            };
            let ways = [
                (Provocation::ClosedPort, server),
                (Provocation::HopLimit(1), gate),
                (Provocation::TooBig(1500), gate),
                (Provocation::UnknownNextHeader, server),
            ];
            for ((how, sender), (kind, code)) in ways.into_iter().zip(wanted) {
                assert_eq!(provoked(server, how).await, (kind, code, sender), "{family} {how:?}");
            }
            let source = ask(&asker, &at, &Question::SourceFor { to: server }).await;
            assert_eq!(source, Answer::SourceFor { source: Some(of(CLIENT, family)) });
            let none = ask(&asker, &at, &Question::SourceFor { to: of(NOWHERE, family) }).await;
            assert_eq!(none, Answer::SourceFor { source: None });
        }
        let how = Provocation::UnknownOption;
        let server = of(SERVER, Family::V6);
        let answer = ask(&asker, &at, &Question::Provoke { to: server, how }).await;
        let icmp = answer.attempt().unwrap().icmp.unwrap_or_else(|| panic!("{answer:?}"));
        assert_eq!((icmp.kind, icmp.code, icmp.sender), (4, 2, server));
    });
}

#[test]
fn a_false_source_is_seen_by_the_tap() {
    if !support::inside_sandbox("a_false_source_is_seen_by_the_tap") {
        return;
    }
    let lane = Lane::new();
    run(async {
        let asker = Asker::new(None).unwrap();
        let at = lane.client();
        let canary = Arc::new(Canary::open(&lane.client, "eth0").unwrap());
        let file = std::env::temp_dir().join(format!("sixwalk-tap-{}.pcapng", std::process::id()));
        for (family, source) in [(Family::V4, "203.0.113.7"), (Family::V6, "2001:db8:bad::7")] {
            let watch = Watch::Payload { family: Some(family), token: "token-4711".into() };
            let tapped = tap_of(watch);
            let open = tap::open_tap(
                &lane.link,
                &tapped,
                Instant::now(),
                Arc::clone(&canary),
                Some(&file),
            );
            let open = open.await.unwrap();
            let question = Question::Spoof {
                source: source.parse().unwrap(),
                to: SocketAddr::new(of(SERVER, family), 514),
                token: "a token-4711 within".into(),
            };
            assert!(ask(&asker, &at, &question).await.is_answered());
            // What follows without the token does not count.
            ask(
                &asker,
                &at,
                &Question::Log { to: SocketAddr::new(of(SERVER, family), 514), token: "x".into() },
            )
            .await;
            let reading = open.close().await;
            assert!(reading.is_trustworthy());
            assert_eq!(reading.frames, 1, "{reading:?}");
            assert_eq!(reading.first[0].source, Some(source.parse().unwrap()));
            assert_eq!(reading.first[0].destination_port, Some(514));
            let capture = std::fs::read(&file).unwrap();
            assert!(capture.windows(10).any(|window| window == b"token-4711"));
        }
        std::fs::remove_file(&file).unwrap();
    });
}

#[test]
fn what_waits_for_its_next_hop_has_not_left_yet() {
    if !support::inside_sandbox("what_waits_for_its_next_hop_has_not_left_yet") {
        return;
    }
    let lane = Lane::new();
    run(async {
        let asker = Asker::new(None).unwrap();
        let at = lane.client();
        let canary = Arc::new(Canary::open(&lane.client, "eth0").unwrap());
        for (family, source) in [(Family::V4, "203.0.113.7"), (Family::V6, "2001:db8:bad::7")] {
            let watched =
                tap_of(Watch::Payload { family: Some(family), token: "token-4712".into() });
            let (now, canary) = (Instant::now(), Arc::clone(&canary));
            let open = tap::open_tap(&lane.link, &watched, now, canary, None).await.unwrap();
            sh(&lane.link, "ip link set p1 down");
            sh(&lane.client, "ip neigh flush all");
            let question = Question::Spoof {
                source: source.parse().unwrap(),
                to: SocketAddr::new(of(SERVER, family), 514),
                token: "token-4712".into(),
            };
            let gate_comes_back = async {
                let gate = of(GATE, family);
                let seek = format!(
                    "for i in $(seq 200); do ip neigh show {gate} dev eth0 | grep -q INCOMPLETE && exit 0
                     sleep 0.01; done; exit 1"
                );
                sh(&lane.client, &seek);
                sh(&lane.link, "ip link set p1 up");
            };
            let (answer, ()) = tokio::join!(ask(&asker, &at, &question), gate_comes_back);
            assert!(answer.is_answered(), "{answer:?}");
            let reading = open.close().await;
            assert!(reading.is_trustworthy());
            assert_eq!(reading.frames, 1, "{family}: {reading:?}");
        }
    });
}

#[test]
fn a_capture_that_finds_no_more_room_says_so_and_the_count_goes_on() {
    let name = "a_capture_that_finds_no_more_room_says_so_and_the_count_goes_on";
    if !support::inside_sandbox(name) {
        return;
    }
    let lane = Lane::new();
    let disk = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size=4k tmpfs {}", disk.path().display());
    assert!(Command::new("sh").args(["-ec", &script]).status().unwrap().success());
    run(async {
        let asker = Asker::new(None).unwrap();
        let at = lane.client();
        let canary = Arc::new(Canary::open(&lane.client, "eth0").unwrap());
        let tapped = tap_of(Watch::Payload { family: Some(Family::V6), token: "token".into() });
        let file = disk.path().join("capture.pcapng");
        let open = tap::open_tap(&lane.link, &tapped, Instant::now(), canary, Some(&file));
        let open = open.await.unwrap();
        for _ in 0..12 {
            let question = Question::Log {
                to: SocketAddr::new(of(SERVER, Family::V6), 514),
                token: format!("token{:0>900}", 1),
            };
            ask(&asker, &at, &question).await;
        }
        let reading = open.close().await;
        // Nobody listens there, and ICMP errors quote what they are about.
        assert!(reading.frames >= 12, "every frame counts: {}", reading.frames);
        assert!(reading.is_trustworthy());
        let said = reading.trouble.expect("it does not all fit");
        assert!(said.contains("capture.pcapng") && said.contains("No space left"), "{said}");
    });
    let script = format!("umount {}", disk.path().display());
    assert!(Command::new("sh").args(["-ec", &script]).status().unwrap().success());
}

/// Answers every Router Solicitation on eth0 with the same advertisement, until the process ends.
fn advertise(node: &Namespace) {
    use sixwalk::{model::answer::HeardPrefix, wire::ra};
    let announcement = ra::Announcement {
        hop_limit: 64,
        managed: false,
        other: true,
        lifetime_s: 1800,
        standby: false,
        mac: sixwalk::model::mac::Mac([2, 0, 0, 0, 0, 1]),
        mtu: Some(1400),
        prefixes: vec![HeardPrefix {
            prefix: "2001:db8:a::/64".parse().unwrap(),
            on_link: true,
            autonomous: true,
            valid_s: 7200,
            preferred_s: 3600,
        }],
        dns: vec!["2001:db8:a::53".parse().unwrap()],
        dns_lifetime_s: 3600,
        pref64: Vec::new(),
    };
    let socket = node
        .run(|| {
            let protocol = socket2::Protocol::from(58);
            let socket =
                socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::RAW, Some(protocol))?;
            let index = nix::net::if_::if_nametoindex("eth0").unwrap();
            socket.join_multicast_v6(&"ff02::2".parse().unwrap(), index)?;
            socket.set_unicast_hops_v6(255)?;
            Ok(socket)
        })
        .unwrap();
    thread::spawn(move || {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 1500];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            // SAFETY: the kernel has written at least the type of the message.
            if unsafe { buffer[0].assume_init() } == ra::ROUTER_SOLICITATION {
                let _ = socket.send_to(&announcement.encode(), &from);
            }
        }
    });
}

#[test]
fn the_link_tells_its_routers_and_neighbours() {
    if !support::inside_sandbox("the_link_tells_its_routers_and_neighbours") {
        return;
    }
    let lane = Lane::new();
    advertise(&lane.router);
    run(async {
        let asker = Asker::new(None).unwrap();
        let at = lane.client();
        let interface = || "eth0".parse().unwrap();
        let answer = ask(&asker, &at, &Question::Solicit { interface: interface() }).await;
        let Answer::Advertisements { heard } = &answer else { panic!("{answer:?}") };
        assert_eq!(heard.len(), 1);
        assert_eq!(
            (heard[0].hop_limit, heard[0].lifetime_s, heard[0].mtu),
            (255, 1800, Some(1400))
        );
        assert!(heard[0].other && !heard[0].managed);
        assert_eq!(heard[0].prefixes[0].prefix.to_string(), "2001:db8:a::/64");

        for family in Family::ALL {
            let who_has = async |target, known| {
                let question = Question::Neighbour { interface: interface(), target, known };
                match ask(&asker, &at, &question).await {
                    Answer::Neighbour { macs, took_us } => (macs, took_us),
                    other => panic!("{other:?}"),
                }
            };
            for known in [None, heard[0].mac] {
                let (macs, took_us) = who_has(of(GATE, family), known).await;
                assert_eq!(macs, [heard[0].mac.unwrap()], "{family}");
                assert!(took_us < 500_000);
            }
            let nobody = if family == Family::V4 { "10.1.0.77" } else { "2001:db8:a::77" };
            let (macs, took_us) = who_has(nobody.parse().unwrap(), None).await;
            assert!(macs.is_empty() && took_us >= 3_000_000);
        }

        let missing = Question::Solicit { interface: "eth7".parse().unwrap() };
        let answer = ask(&asker, &at, &missing).await;
        assert!(answer.not_asked().is_some_and(|reason| reason.contains("`eth7`")), "{answer:?}");

        // With IPv6 off on the node, routers are still heard: the frame goes out by hand.
        sh(&lane.client, "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6");
        let answer = ask(
            &asker,
            &at,
            &Question::Neighbour {
                interface: interface(),
                target: of(GATE, Family::V6),
                known: None,
            },
        )
        .await;
        assert!(answer.not_asked().is_some_and(|reason| reason.contains("IPv6 address")));
    });
}

/// A name server: A is the server's, AAAA depends on the name.
fn name_server(query: &[u8]) -> Vec<u8> {
    let question_end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
    let is_aaaa = query[question_end - 3] == 28;
    let good = query.windows(4).any(|window| window == b"good");
    let mut reply = query[..question_end].to_vec();
    reply[2..4].copy_from_slice(&[0x85, 0x80]);
    reply[7] = 1;
    reply[11] = 0;
    reply.extend([0xc0, 12, 0, query[question_end - 3], 0, 1, 0, 0, 0, 60]);
    let address = of(
        if is_aaaa && !good { DEAD } else { SERVER },
        if is_aaaa { Family::V6 } else { Family::V4 },
    );
    match address {
        IpAddr::V4(address) => reply.extend([0, 4].iter().chain(&address.octets())),
        IpAddr::V6(address) => reply.extend([0, 16].iter().chain(&address.octets())),
    }
    reply
}

#[test]
fn a_journey_hides_a_dead_family_and_says_what_it_cost() {
    if !support::inside_sandbox("a_journey_hides_a_dead_family_and_says_what_it_cost") {
        return;
    }
    let lane = Lane::new();
    serve_tcp(&lane.server, "[::]:80", http);
    serve_udp(&lane.server, "[::]:53", name_server);
    run(async {
        let asker = Asker::new(None).unwrap();
        // The first resolver is not there; the stub goes on to the second.
        let resolvers = vec![of(GATE, Family::V4), of(SERVER, Family::V6)];
        let at = Vantage { resolvers, ..lane.client() };
        let journey = async |name: &str, pinned| {
            let name = name.parse().unwrap();
            let path = "/".to_owned();
            let question = Question::Journey { name, port: 80, tls: false, path, pinned };
            match ask(&asker, &at, &question).await {
                Answer::Journey { resolved, attempts, page, total_us, failure, .. } => {
                    (resolved, attempts, page.map(|page| page.status), total_us, failure)
                }
                other => panic!("{other:?}"),
            }
        };
        let (server, dead) = (of(SERVER, Family::V4), of(DEAD, Family::V6));

        let (resolved, attempts, status, ..) = journey("good.test", None).await;
        // Whoever has an AAAA answer connects at once (RFC 8305 section 3): the A answer may come after that.
        assert!([of(SERVER, Family::V6), server].starts_with(&resolved), "{resolved:?}");
        assert!(!resolved.is_empty());
        assert_eq!((attempts.len(), attempts[0].family, status), (1, Family::V6, Some(200)));

        let (resolved, attempts, status, total_us, failure) = journey("half.test", None).await;
        assert_eq!((resolved, status, failure), (vec![dead, server], Some(200), None));
        assert_eq!(attempts[0].outcome, Outcome::TimedOut);
        assert_eq!((attempts[1].family, &attempts[1].outcome), (Family::V4, &Outcome::Answered));
        assert!((250_000..600_000).contains(&total_us), "{total_us}");

        let (resolved, attempts, status, _, failure) = journey("half.test", Some(Family::V6)).await;
        assert_eq!((resolved, status), (vec![dead], None));
        assert_eq!(attempts[0].errno.as_deref(), Some("EHOSTUNREACH"));
        assert!(failure.is_some());

        let none = Vantage { resolvers: Vec::new(), ..lane.client() };
        let question = Question::Journey {
            name: "good.test".parse().unwrap(),
            port: 80,
            tls: false,
            path: "/".into(),
            pinned: None,
        };
        let answer = ask(&asker, &none, &question).await;
        let Answer::Journey { failure: Some(failure), .. } = &answer else { panic!("{answer:?}") };
        assert!(failure.contains("has no resolver"));
    });
}

#[test]
fn many_at_once_have_the_same_evidence_as_one() {
    if !support::inside_sandbox("many_at_once_have_the_same_evidence_as_one") {
        return;
    }
    let lane = Lane::new();
    serve_tcp(&lane.server, "[::]:80", drop);
    sh(
        &lane.server,
        "ip route add local 10.2.4.0/22 dev lo
        ip -6 route add local 2001:db8:b:1::/64 dev lo",
    );
    sh(
        &lane.router,
        "ip route add 10.2.4.0/22 via 10.2.0.2
        ip -6 route add 2001:db8:b:1::/64 via 2001:db8:b::2",
    );
    let patience = Duration::from_millis(1_500);
    for family in Family::ALL {
        let many = (1..=999u16).map(|host| match family {
            Family::V4 => format!("10.2.{}.{}", 4 + host / 250, 1 + host % 250),
            Family::V6 => format!("2001:db8:b:1::{host:x}"),
        });
        let mut many: Vec<IpAddr> = many.map(|text| text.parse().unwrap()).collect();
        many.extend([of(DEAD, family), of(NOWHERE, family)]);
        let attempts = sweep::pings(&lane.client, family, &many, patience).unwrap();
        assert_eq!(attempts.len(), many.len());
        for (attempt, to) in attempts[..999].iter().zip(&many) {
            assert_eq!(attempt.destination.ip(), *to);
            assert_eq!(attempt.outcome, Outcome::Answered, "{attempt:?}");
            assert_eq!(attempt.source.unwrap().ip(), of(CLIENT, family));
            assert_eq!(attempt.hop_limit, Some(63));
        }
        assert_eq!(attempts[999].outcome, Outcome::TimedOut);
        assert_eq!(attempts[1000].outcome, Outcome::NoRoute, "{:?}", attempts[1000]);

        let server = of(SERVER, family);
        let mut doors = vec![SocketAddr::new(server, 80); 2_000];
        doors.extend([SocketAddr::new(server, 81), SocketAddr::new(of(NOWHERE, family), 80)]);
        // A server that is late to accept drops a SYN, and the client repeats it after 1 s, 3 s and 7 s.
        let attempts = sweep::connects(&lane.client, &doors, Duration::from_secs(12)).unwrap();
        assert_eq!(attempts.len(), doors.len());
        for attempt in &attempts[..2_000] {
            assert_eq!(attempt.outcome, Outcome::Answered, "{attempt:?}");
            assert_eq!(attempt.source.unwrap().ip(), of(CLIENT, family));
        }
        assert_eq!(attempts[2_000].outcome, Outcome::Refused);
        assert_eq!(attempts[2_001].outcome, Outcome::NoRoute);
    }
}
