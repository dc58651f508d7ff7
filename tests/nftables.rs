//! The packet filter on a real kernel: what `nft` sees of our rules, what we see of its rules, and what packets meet.

use std::{
    io::{self, ErrorKind, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    process::{self, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sixwalk::{
    model::{
        family::Family,
        policy::{Action, Chain, Filter, Hook, Match, Rule},
        service::Transport,
    },
    net::{
        namespace::Namespace,
        nftables::{NftError, counters, read, replace},
    },
    wire::nftables::canonical,
};

mod support;

/// Runs a program inside a namespace and gives its output; it has to succeed.
fn run(namespace: &Namespace, program: &str, arguments: &[&str], input: &str) -> String {
    let output = namespace.run(|| {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().expect("piped").write_all(input.as_bytes())?;
        child.wait_with_output()
    });
    let output = output.unwrap_or_else(|error| {
        panic!(
            "`{program}` cannot be run ({error}); install the Debian packages nftables, iproute2"
        )
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed: {said}\n{input}");
    String::from_utf8(output.stdout).expect("text")
}

fn nft(namespace: &Namespace, text: &str) {
    run(namespace, "nft", &["-f", "-"], text);
}

fn rule(label: &str, matches: impl Into<Vec<Match>>, action: Action) -> Rule {
    Rule { label: label.to_owned(), matches: matches.into(), action }
}

fn filter(hook: Hook, policy: Action, rules: impl Into<Vec<Rule>>) -> Filter {
    Filter { chains: vec![Chain { hook, policy, rules: rules.into() }] }
}

fn port(transport: Transport, number: u16) -> Match {
    Match::Port { transport, number }
}

fn icmp(family: Family, types: &[u8]) -> Match {
    Match::Icmp { family, types: types.to_vec() }
}

/// Every kind of condition and action, and what `nft` makes of it.
fn every_kind() -> Vec<(Rule, Value)> {
    use Action::{Accept, Drop, Reject, Reset};
    let equal =
        |left: Value, right: Value| json!({"match": {"op": "==", "left": left, "right": right}});
    let meta = |key: &str| json!({"meta": {"key": key}});
    let field =
        |protocol: &str, field: &str| json!({"payload": {"protocol": protocol, "field": field}});
    let prefix = |addr: &str, len: u8| json!({"prefix": {"addr": addr, "len": len}});
    let net = |text: &str| text.parse().unwrap();
    let verdict = |word: &str| json!({word: null});
    vec![
        (
            rule("loopback", [Match::Loopback], Accept),
            json!([equal(meta("iifname"), json!("lo")), verdict("accept")]),
        ),
        (
            rule("in", [Match::InInterface("left".parse().unwrap())], Drop),
            json!([equal(meta("iifname"), json!("left")), verdict("drop")]),
        ),
        (
            rule("out", [Match::OutInterface("right".parse().unwrap())], Drop),
            json!([equal(meta("oifname"), json!("right")), verdict("drop")]),
        ),
        (
            rule("family", [Match::Family(Family::V6)], Drop),
            json!([equal(meta("nfproto"), json!("ipv6")), verdict("drop")]),
        ),
        (
            rule("octets", [Match::Source(net("2001:db8:a::/48"))], Accept),
            json!([equal(field("ip6", "saddr"), prefix("2001:db8:a::", 48)), verdict("accept")]),
        ),
        (
            rule("bits", [Match::Destination(net("198.51.96.0/20"))], Accept),
            json!([equal(field("ip", "daddr"), prefix("198.51.96.0", 20)), verdict("accept")]),
        ),
        (
            rule(
                "both ends",
                [Match::Source(net("10.0.0.1/32")), Match::Destination(net("10.0.0.0/8"))],
                Accept,
            ),
            json!([
                equal(field("ip", "saddr"), json!("10.0.0.1")),
                equal(field("ip", "daddr"), prefix("10.0.0.0", 8)),
                verdict("accept")
            ]),
        ),
        (
            rule("transport", [Match::Transport(Transport::Udp)], Drop),
            json!([equal(meta("l4proto"), json!("udp")), verdict("drop")]),
        ),
        (
            rule("port", [port(Transport::Tcp, 443)], Accept),
            json!([equal(field("tcp", "dport"), json!(443)), verdict("accept")]),
        ),
        (
            rule("all of icmp", [icmp(Family::V4, &[])], Accept),
            json!([equal(meta("l4proto"), json!("icmp")), verdict("accept")]),
        ),
        (
            rule("an icmp type", [icmp(Family::V6, &[128])], Accept),
            json!([equal(field("icmpv6", "type"), json!("echo-request")), verdict("accept")]),
        ),
        (
            rule("icmp types", [icmp(Family::V4, &[3, 11, 12])], Accept),
            json!([
                equal(
                    field("icmp", "type"),
                    json!({"set": [
                        "destination-unreachable", "time-exceeded", "parameter-problem"
                    ]})
                ),
                verdict("accept")
            ]),
        ),
        (
            rule("established", [Match::Established], Accept),
            json!([
                {"match": {"op": "in", "left": {"ct": {"key": "state"}},
                           "right": ["established", "related"]}},
                verdict("accept")
            ]),
        ),
        (
            rule("invalid", [Match::Invalid], Drop),
            json!([
                {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}},
                verdict("drop")
            ]),
        ),
        (
            rule("reverse path", [Match::NotReversePath], Drop),
            json!([
                equal(json!({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}), json!(false)),
                verdict("drop")
            ]),
        ),
        (
            rule("tunnels", [Match::Protocol(41)], Drop),
            json!([equal(meta("l4proto"), json!("ipv6")), verdict("drop")]),
        ),
        (
            rule("long", [Match::LongerThan(1400)], Drop),
            json!([
                {"match": {"op": ">", "left": meta("length"), "right": 1400}},
                verdict("drop")
            ]),
        ),
        (
            rule("ä label, with \"marks\"", [], Reject),
            json!([{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]),
        ),
        (
            rule("reset", [], Reset),
            json!([equal(meta("l4proto"), json!("tcp")), {"reject": {"type": "tcp reset"}}]),
        ),
        (
            rule("reset a port", [port(Transport::Tcp, 25)], Reset),
            json!([equal(field("tcp", "dport"), json!(25)), {"reject": {"type": "tcp reset"}}]),
        ),
    ]
}

fn everything() -> Filter {
    let rules: Vec<_> = every_kind().into_iter().map(|(rule, _)| rule).collect();
    let input = Chain { hook: Hook::Input, policy: Action::Drop, rules: rules.clone() };
    let forward = Chain { hook: Hook::Forward, policy: Action::Accept, rules };
    Filter { chains: vec![input, forward] }
}

/// The objects of a kind in what `nft -j list ruleset` prints.
fn listed(namespace: &Namespace, kind: &str) -> Vec<Value> {
    let text = run(namespace, "nft", &["-j", "list", "ruleset"], "");
    let ruleset: Value = serde_json::from_str(&text).expect("JSON");
    let objects = ruleset["nftables"].as_array().expect("a list");
    objects.iter().filter_map(|object| object.get(kind)).cloned().collect()
}

/// Sets have no order; the rest of an expression has.
fn without_counters_and_order(expressions: &Value) -> Value {
    let mut list = expressions.as_array().expect("a list").clone();
    list.retain(|expression| expression.get("counter").is_none());
    for expression in &mut list {
        if let Some(set) = expression.pointer_mut("/match/right/set").and_then(Value::as_array_mut)
        {
            set.sort_by_key(ToString::to_string);
        }
    }
    Value::Array(list)
}

#[test]
fn nft_sees_our_rules_as_it_would_have_written_them() {
    if !support::inside_sandbox("nft_sees_our_rules_as_it_would_have_written_them") {
        return;
    }
    let namespace = Namespace::create().unwrap();
    replace(&namespace, &everything()).unwrap();
    let chains = listed(&namespace, "chain");
    let facts =
        |chain: &Value| json!([chain["name"], chain["hook"], chain["policy"], chain["prio"]]);
    assert_eq!(
        chains.iter().map(facts).collect::<Vec<_>>(),
        [json!(["input", "input", "drop", 0]), json!(["forward", "forward", "accept", 0])]
    );
    let rules = listed(&namespace, "rule");
    assert_eq!(rules.len(), 2 * every_kind().len());
    for (index, (rule, expected)) in every_kind().into_iter().enumerate() {
        let seen = &rules[index];
        assert_eq!(seen["comment"], json!(rule.label));
        assert_eq!(
            without_counters_and_order(&seen["expr"]),
            without_counters_and_order(&expected),
            "{rule}"
        );
        assert!(
            seen["expr"].as_array().unwrap().iter().any(|e| e.get("counter").is_some()),
            "{rule} has no counter"
        );
    }
}

#[test]
fn what_nft_lists_and_loads_again_reads_as_the_same_filter() {
    if !support::inside_sandbox("what_nft_lists_and_loads_again_reads_as_the_same_filter") {
        return;
    }
    let [ours, theirs] = [(); 2].map(|()| Namespace::create().unwrap());
    let mut filter = everything();
    // `nft` cannot read back a quotation mark in a comment that it has printed itself.
    for rule in filter.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        rule.label = rule.label.replace('"', "");
    }
    replace(&ours, &filter).unwrap();
    nft(&theirs, &run(&ours, "nft", &["list", "ruleset"], ""));
    assert_eq!(read(&theirs).unwrap(), (canonical(&filter), Vec::new()));
}

/// The rules that are read from a chain of `nft`, in words, and what is not read.
fn words(family: &str, rules: &str) -> (Vec<String>, Vec<String>) {
    let namespace = Namespace::create().unwrap();
    nft(
        &namespace,
        &format!(
            "table {family} foreign {{\n set none {{ type icmp_type; }}\n chain side {{ }}\n chain forward {{\n\
             type filter hook forward priority 10\n{rules}\n}}\n}}\n"
        ),
    );
    let (filter, unread) = read(&namespace).unwrap();
    let shown = |chain: &Chain| chain.rules.iter().map(ToString::to_string).collect();
    (filter.chain(Hook::Forward).map(shown).unwrap_or_default(), unread)
}

#[test]
fn rules_of_others_are_read_where_our_words_can_say_them() {
    if !support::inside_sandbox("rules_of_others_are_read_where_our_words_can_say_them") {
        return;
    }
    let cases: &[(&str, &str, &[&str])] = &[
        ("inet", "tcp dport { 22, 80 } accept", &["tcp dport 22 accept", "tcp dport 80 accept"]),
        (
            "inet",
            "meta l4proto { tcp, udp } th dport 53 accept",
            &["tcp dport 53 accept", "udp dport 53 accept"],
        ),
        ("inet", "icmpv6 type { 130-132, 141 } drop", &["icmpv6 type { 130, 131, 132, 141 } drop"]),
        (
            "inet",
            "ip6 saddr { 2001:db8::/33, 2001:db8:f000::1 } drop",
            &["ip6 saddr 2001:db8::/33 drop", "ip6 saddr 2001:db8:f000::1/128 drop"],
        ),
        ("inet", "iif lo accept", &["iifname lo accept"]),
        ("inet", "meta l4proto 47 accept", &["meta l4proto 47 accept"]),
        ("inet", "log prefix \"x\" limit rate 3/second", &[]),
        ("inet", "counter", &[]),
        ("inet", "icmp type @none accept", &[]),
        ("ip", "ip saddr 10.0.0.0/8 tcp dport 22 drop", &["ip saddr 10.0.0.0/8 tcp dport 22 drop"]),
        (
            "ip",
            "reject with icmp admin-prohibited",
            &["meta nfproto ipv4 reject with icmpx admin-prohibited"],
        ),
        ("ip6", "tcp dport 22 drop", &["meta nfproto ipv6 tcp dport 22 drop"]),
    ];
    for (family, rule, expected) in cases {
        let (seen, _) = words(family, rule);
        assert_eq!(seen, *expected, "{family}: {rule}");
    }
}

#[test]
fn what_our_words_cannot_say_is_named() {
    if !support::inside_sandbox("what_our_words_cannot_say_is_named") {
        return;
    }
    let cases = [
        ("limit rate 3/second accept", "`limit`"),
        ("meta mark 7 accept", "`meta mark`"),
        ("meta mark set 7", "`immediate` into a data register"),
        ("jump side", "`jump side`"),
        ("ct state established accept", "`ct state` with bits 0x2"),
        ("tcp dport 1000-2000 accept", "other than for equality"),
        ("tcp sport 53 accept", "at 0 of the transport header"),
        ("iifname \"eth*\" accept", "a comparison of a part of `meta iifname`"),
        ("ip6 saddr != 2001:db8::/32 accept", "other than for equality"),
        ("tcp dport vmap { 22 : accept, 23 : drop }", "a lookup in a map"),
        ("ip saddr . tcp dport { 10.0.0.1 . 22 } accept", "a lookup of more than"),
        ("reject", "`reject` of kind 2 with code 1"),
    ];
    for (rule, reason) in cases {
        let (seen, unread) = words("inet", &format!("{rule} comment \"odd\""));
        assert_eq!(seen, [""; 0], "{rule}");
        let [sentence] = unread.as_slice() else { panic!("{rule}: {unread:?}") };
        assert!(
            sentence.starts_with("table inet foreign, chain forward, rule `odd`"),
            "{sentence}"
        );
        assert!(sentence.contains(reason), "{rule}: {sentence}");
    }
    let namespace = Namespace::create().unwrap();
    nft(
        &namespace,
        "table ip nat { chain post { type nat hook postrouting priority 100; masquerade; }; }\n\
         table inet asleep { flags dormant; chain f { type filter hook forward priority 0; drop; }; }\n",
    );
    let (filter, unread) = read(&namespace).unwrap();
    assert_eq!(filter, Filter::default(), "a dormant table filters nothing");
    assert_eq!(unread, ["table ip nat, chain post: type nat at hook 4, 1 rules, policy accept"]);
}

#[test]
fn chains_of_several_tables_are_read_as_what_they_do_together() {
    if !support::inside_sandbox("chains_of_several_tables_are_read_as_what_they_do_together") {
        return;
    }
    let namespace = Namespace::create().unwrap();
    let web = rule("web", [port(Transport::Tcp, 80)], Action::Accept);
    replace(&namespace, &filter(Hook::Forward, Action::Drop, [web])).unwrap();
    nft(
        &namespace,
        "table ip early { chain f { type filter hook forward priority -5; policy drop\n\
         ip saddr 10.0.0.0/8 accept comment \"ours\"\n}\n}\n",
    );
    let (filter, unread) = read(&namespace).unwrap();
    let rules: Vec<_> = filter.chains[0].rules.iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        [
            "ip saddr 10.0.0.0/8 tcp dport 80 accept",
            "ip saddr 10.0.0.0/8 drop",
            "meta nfproto ipv4 drop",
            "tcp dport 80 accept",
        ]
    );
    assert_eq!((filter.chains[0].policy, unread), (Action::Drop, Vec::new()));
}

#[test]
fn a_filter_is_replaced_whole_or_not_at_all() {
    if !support::inside_sandbox("a_filter_is_replaced_whole_or_not_at_all") {
        return;
    }
    let [namespace, other] = [(); 2].map(|()| Namespace::create().unwrap());
    nft(&namespace, "table inet foreign { chain f { }\n }\n");
    let first =
        filter(Hook::Forward, Action::Drop, [rule("a", [Match::Established], Action::Accept)]);
    replace(&namespace, &first).unwrap();

    // The kernel has no reverse path to look up for a packet that has not come in.
    let odd = rule("spoof", [Match::NotReversePath], Action::Drop);
    let refused = filter(Hook::Output, Action::Accept, [rule("b", [], Action::Accept), odd]);
    let error = replace(&namespace, &refused).unwrap_err();
    assert!(
        matches!(&error, NftError::Refused { subject, .. } | NftError::RefusedBecause { subject, .. }
            if subject.starts_with("rule 2 of chain output, `spoof`")),
        "{error}"
    );
    assert_eq!(read(&namespace).unwrap(), (first, Vec::new()));
    assert_eq!(read(&other).unwrap(), (Filter::default(), Vec::new()));

    replace(&namespace, &everything()).unwrap();
    assert_eq!(read(&namespace).unwrap(), (canonical(&everything()), Vec::new()));
    replace(&namespace, &Filter::default()).unwrap();
    let tables: Vec<_> = listed(&namespace, "table").iter().map(|t| t["name"].clone()).collect();
    assert_eq!(tables, ["foreign"]);
    replace(&namespace, &Filter::default()).unwrap();
}

#[test]
fn a_rule_put_in_by_hand_shows_with_its_place() {
    if !support::inside_sandbox("a_rule_put_in_by_hand_shows_with_its_place") {
        return;
    }
    let namespace = Namespace::create().unwrap();
    replace(&namespace, &filter(Hook::Input, Action::Accept, [])).unwrap();
    nft(&namespace, "add rule inet sixwalk input tcp dport 9 drop\n");
    let (filter, unread) = read(&namespace).unwrap();
    let [rule] = filter.chains[0].rules.as_slice() else { panic!("{filter:?}") };
    assert!(rule.label.starts_with("inet sixwalk handle "), "{rule:?}");
    assert_eq!((rule.to_string().as_str(), unread), ("tcp dport 9 drop", Vec::new()));
}

#[test]
fn a_filter_of_many_rules_is_loaded_at_once() {
    if !support::inside_sandbox("a_filter_of_many_rules_is_loaded_at_once") {
        return;
    }
    let namespace = Namespace::create().unwrap();
    let rules = |count: u16| {
        let rule = |number| {
            let source = Match::Source("2001:db8:0:1::/64".parse().unwrap());
            let target = Match::Destination("2001:db8:0:2::1/128".parse().unwrap());
            rule("web", [source, target, port(Transport::Tcp, number)], Action::Accept)
        };
        filter(Hook::Forward, Action::Drop, (0..count).map(rule).collect::<Vec<_>>())
    };
    replace(&namespace, &rules(500)).unwrap();
    assert_eq!(read(&namespace).unwrap(), (rules(500), Vec::new()));
}

#[test]
fn an_ordinary_user_filters_in_a_namespace_of_his_own() {
    if !support::inside_sandbox_of_ordinary_user(
        "an_ordinary_user_filters_in_a_namespace_of_his_own",
    ) {
        return;
    }
    let namespace = Namespace::create().unwrap();
    replace(&namespace, &everything()).unwrap();
    assert_eq!(read(&namespace).unwrap(), (canonical(&everything()), Vec::new()));
}

/// left — router — right, with both families; the router forwards.
struct Line {
    left: Namespace,
    router: Namespace,
    right: Namespace,
}

/// For connections that nothing answers.
const SHORT: Duration = Duration::from_millis(300);
/// For those that are answered. An ICMP error that comes back within the call to `connect` itself is only remembered by
/// the kernel and told at the next one, which is after the first retransmission, one second later.
const PATIENT: Duration = Duration::from_secs(5);

impl Line {
    fn build() -> Self {
        let [left, router, right] = [(); 3].map(|()| Namespace::create().unwrap());
        let path =
            |ns: &Namespace| format!("/proc/{}/fd/{}", process::id(), ns.as_fd().as_raw_fd());
        let batch = |ns: &Namespace, text: &str| run(ns, "ip", &["-batch", "-"], text);
        batch(
            &router,
            &format!(
                "link add left type veth peer name wire netns {}\n\
             link add right type veth peer name wire netns {}\n",
                path(&left),
                path(&right),
            ),
        );
        run(
            &router,
            "sh",
            &[
                "-c",
                "echo 1 > /proc/sys/net/ipv4/ip_forward; \
             echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
            ],
            "",
        );
        batch(&router, &router_lines());
        for (net, ns) in [(1, &left), (2, &right)] {
            batch(ns, &end_lines(net));
        }
        let line = Self { left, router, right };
        line.wait_until_it_carries();
        line
    }

    /// The kernel notices the carrier of a new link, and neighbours each other, in its own time.
    fn wait_until_it_carries(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        for family in Family::ALL {
            // Nothing listens there: the refusal comes from the other end.
            let far = SocketAddr::from((address(family, 2), 9));
            let refused = |error: &io::Error| error.kind() == ErrorKind::ConnectionRefused;
            while !connect(&self.left, far, SHORT).as_ref().is_err_and(refused) {
                assert!(Instant::now() < deadline, "no {family} across the line");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn filter(&self, policy: Action, rules: impl Into<Vec<Rule>>) {
        replace(&self.router, &filter(Hook::Forward, policy, rules)).unwrap();
    }

    fn packets(&self, label: &str) -> u64 {
        let counters = counters(&self.router).unwrap();
        counters.iter().filter(|counter| counter.label == label).map(|c| c.packets).sum()
    }
}

fn router_lines() -> String {
    let lines = |(net, name)| {
        format!(
            "link set {name} up\naddr add 10.0.{net}.254/24 dev {name}\n\
             addr add 2001:db8:{net}::fe/64 dev {name} nodad\n"
        )
    };
    [(1, "left"), (2, "right")].map(lines).concat()
}

/// The second address of each family is one that the router has no route to.
fn end_lines(net: u8) -> String {
    format!(
        "link set lo up\nlink set wire up\n\
         addr add 10.0.{net}.1/24 dev wire\naddr add 2001:db8:{net}::1/64 dev wire nodad\n\
         addr add 203.0.113.{net}/32 dev wire\naddr add 2001:db8:f::{net}/128 dev wire nodad\n\
         route add default via 10.0.{net}.254\nroute add default via 2001:db8:{net}::fe\n"
    )
}

fn address(family: Family, net: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([10, 0, net, 1]),
        Family::V6 => format!("2001:db8:{net}::1").parse().unwrap(),
    }
}

fn unrouted(family: Family, net: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([203, 0, 113, net]),
        Family::V6 => format!("2001:db8:f::{net}").parse().unwrap(),
    }
}

fn listen(namespace: &Namespace, family: Family) -> TcpListener {
    namespace.run(|| TcpListener::bind((family.unspecified(), 0))).unwrap()
}

fn udp(namespace: &Namespace, address: IpAddr) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind((address, 0))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn connect(from: &Namespace, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    from.run(|| TcpStream::connect_timeout(&to, patience))
}

fn tcp_to(listener: &TcpListener, family: Family, net: u8) -> SocketAddr {
    (address(family, net), listener.local_addr().unwrap().port()).into()
}

#[test]
fn each_action_meets_a_connection_as_it_says() {
    if !support::inside_sandbox("each_action_meets_a_connection_as_it_says") {
        return;
    }
    let line = Line::build();
    for family in Family::ALL {
        let server = listen(&line.right, family);
        let target = tcp_to(&server, family, 2);
        let rejected = if family == Family::V4 { libc::EHOSTUNREACH } else { libc::EACCES };
        let only = |action| {
            let conditions = [Match::Family(family), port(Transport::Tcp, target.port())];
            line.filter(Action::Accept, [rule("it", conditions, action)]);
            connect(&line.left, target, if action == Action::Drop { SHORT } else { PATIENT })
        };
        only(Action::Accept).unwrap();
        assert_eq!(only(Action::Drop).unwrap_err().kind(), ErrorKind::TimedOut, "{family}");
        assert_eq!(only(Action::Reject).unwrap_err().raw_os_error(), Some(rejected), "{family}");
        let reset = only(Action::Reset).unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionRefused, "{family}");
        assert_eq!(line.packets("it"), 1, "{family}");
    }
}

#[test]
fn answers_pass_and_new_connections_do_not() {
    if !support::inside_sandbox("answers_pass_and_new_connections_do_not") {
        return;
    }
    let line = Line::build();
    line.filter(
        Action::Drop,
        [
            rule("answers", [Match::Established], Action::Accept),
            rule("invalid", [Match::Invalid], Action::Drop),
            rule("prefix of a name", [Match::InInterface("righ".parse().unwrap())], Action::Accept),
            rule("from left", [Match::InInterface("left".parse().unwrap())], Action::Accept),
        ],
    );
    for family in Family::ALL {
        let (left, right) = (listen(&line.left, family), listen(&line.right, family));
        connect(&line.left, tcp_to(&right, family, 2), PATIENT).unwrap();
        let back = connect(&line.right, tcp_to(&left, family, 1), SHORT).unwrap_err();
        assert_eq!(back.kind(), ErrorKind::TimedOut, "{family}");
    }
    assert_eq!(line.packets("prefix of a name"), 0);
    assert!(line.packets("answers") > 0);
}

/// Sends two datagrams one after the other and gives those that arrive up to the second.
fn arriving(to: &UdpSocket, target: SocketAddr, sends: [(&UdpSocket, usize); 2]) -> Vec<usize> {
    for (socket, length) in sends {
        socket.send_to(&vec![0; length], target).unwrap();
    }
    let mut lengths = Vec::new();
    while lengths.last() != Some(&sends[1].1) {
        let mut buffer = [0; 2000];
        lengths.push(to.recv(&mut buffer).expect("the second datagram must arrive"));
    }
    lengths
}

#[test]
fn the_reverse_path_filter_stops_foreign_sources_of_both_families() {
    if !support::inside_sandbox("the_reverse_path_filter_stops_foreign_sources_of_both_families") {
        return;
    }
    let line = Line::build();
    for family in Family::ALL {
        let to = udp(&line.right, family.unspecified());
        let target = SocketAddr::from((address(family, 2), to.local_addr().unwrap().port()));
        let own = udp(&line.left, address(family, 1));
        let foreign = udp(&line.left, unrouted(family, 1));
        line.filter(Action::Accept, []);
        assert_eq!(arriving(&to, target, [(&foreign, 1), (&own, 2)]), [1, 2], "{family}");
        line.filter(Action::Accept, [rule("spoof", [Match::NotReversePath], Action::Drop)]);
        assert_eq!(arriving(&to, target, [(&foreign, 3), (&own, 4)]), [4], "{family}");
        assert_eq!(line.packets("spoof"), 1, "{family}");
    }
}

#[test]
fn only_packets_beyond_the_length_are_stopped() {
    if !support::inside_sandbox("only_packets_beyond_the_length_are_stopped") {
        return;
    }
    let line = Line::build();
    line.filter(Action::Accept, [rule("long", [Match::LongerThan(1280)], Action::Drop)]);
    for (family, headers) in [(Family::V4, 28), (Family::V6, 48)] {
        let to = udp(&line.right, family.unspecified());
        let target = SocketAddr::from((address(family, 2), to.local_addr().unwrap().port()));
        let from = udp(&line.left, address(family, 1));
        let fits = 1280 - headers;
        assert_eq!(arriving(&to, target, [(&from, fits + 1), (&from, fits)]), [fits], "{family}");
    }
    assert_eq!(line.packets("long"), 2);
}

#[test]
fn lists_of_icmp_types_find_the_error_that_comes_back() {
    if !support::inside_sandbox("lists_of_icmp_types_find_the_error_that_comes_back") {
        return;
    }
    let line = Line::build();
    let errors = [(Family::V4, [3, 11, 12]), (Family::V6, [1, 2, 3])];
    let rules = errors.map(|(family, types)| rule("error", [icmp(family, &types)], Action::Accept));
    line.filter(Action::Accept, rules);
    for (count, family) in (1..).zip(Family::ALL) {
        let socket = udp(&line.left, address(family, 1));
        // Nothing listens on the discard port, so an ICMP error comes back.
        socket.connect((address(family, 2), 9)).unwrap();
        socket.send(b"x").unwrap();
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(line.packets("error"), count, "{family}");
    }
}

#[test]
fn a_filter_beyond_one_message_is_an_error_with_its_length() {
    let name = "a_filter_beyond_one_message_is_an_error_with_its_length";
    if !support::inside_sandbox_of_ordinary_user(name) {
        return;
    }
    let namespace = Namespace::create().unwrap();
    let many = (0..30_000).map(|_| rule("established", [Match::Established], Action::Accept));
    let error = replace(&namespace, &filter(Hook::Input, Action::Drop, many.collect::<Vec<_>>()));
    let error = error.unwrap_err();
    assert!(matches!(error, NftError::TooLarge { octets } if octets > 1 << 20), "{error}");
    assert_eq!(read(&namespace).unwrap(), (Filter::default(), Vec::new()));
}
