//! The name server and the resolver.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv6Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use sixwalk::{
    model::{
        family::Family,
        fault::{Sabotage, WrongAnswer},
        node::Node,
        record::{Record, RecordData, Zone},
        service::ServiceKind,
        step::Change,
    },
    serve::{ServeError, ServiceHost},
};

use crate::{
    lab::{Lab, V4, V6, V6_CLIENT, every_service, listen, node, service},
    support,
};

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const TXT: u16 = 16;
const AAAA: u16 = 28;
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
fn query(name: &str, rtype: u16, rd: bool, edns: Option<u16>) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, u8::from(rd), 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
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
fn summary(reply: &[u8]) -> (u8, bool, bool, bool, u8, u8) {
    assert_eq!(reply[..2], [0x12, 0x34]);
    assert_ne!(reply[2] & 0x80, 0, "QR");
    let (aa, tc, ra) = (reply[2] & 4 != 0, reply[2] & 2 != 0, reply[3] & 0x80 != 0);
    (reply[3] & 15, aa, tc, ra, reply[7], reply[9])
}

fn record(name: &str, data: RecordData) -> Record {
    Record { name: name.parse().unwrap(), data }
}

fn address(name: &str, ip: &str) -> Record {
    record(name, RecordData::Address(ip.parse().unwrap()))
}

fn zone() -> Zone {
    let alias = |name: &str| RecordData::Alias(name.parse().unwrap());
    Zone {
        origin: "dc.test".parse().unwrap(),
        inside: None,
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

fn publish(zones: Vec<Zone>) -> Change {
    Change::PublishZones { service: "dns".parse().unwrap(), zones }
}

fn lab() -> Lab {
    let lab = Lab::new(every_service());
    lab.apply(&publish(vec![zone()])).unwrap();
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
        lab.sabotage(&Sabotage::AnswerWrongly {
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
    lab.sabotage(&Sabotage::SetRecord {
        node: "portal".parse().unwrap(),
        name: "portal.dc.test".parse().unwrap(),
        data: RecordData::Address(dead.into()),
    });
    assert!(answer(AAAA).ends_with(&dead.octets()));
    assert_eq!(summary(&answer(A)).4, 1);
    lab.sabotage(&Sabotage::RemoveRecord {
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
        inside: None,
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
    let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
    let zones = vec![
        ("dc.test".parse().unwrap(), ips(&[V6, V4])),
        // Nothing listens on the first, nothing is at the second: the third answers.
        ("other.test".parse().unwrap(), ips(&["192.0.2.9", "192.0.2.200", "2001:db8::9"])),
        ("lame.test".parse().unwrap(), ips(&[V6, V4])),
    ];
    lab.apply(&Change::Delegate { service: "resolver".parse().unwrap(), zones }).unwrap();
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
    let malformed = Sabotage::AnswerWrongly {
        node: "ns".parse().unwrap(),
        name: None,
        family: Family::V6,
        how: WrongAnswer::Malformed,
    };
    lab.runtime.block_on(second.sabotage(&malformed)).unwrap();
    let (summary, _) = ask("portal.other.test", AAAA, true).unwrap();
    assert_eq!(summary.0, 2, "what cannot be read is not passed on");
    lab.stop("dns", "::");
    let (summary, _) = ask("portal.dc.test", AAAA, true).unwrap();
    assert_eq!(summary.4, 1, "the other address of the server answers");
    lab.stop("dns", "0.0.0.0");
    let (summary, _) = ask("portal.dc.test", AAAA, true).unwrap();
    assert_eq!(summary.0, 2, "SERVFAIL once nobody is left");
}
