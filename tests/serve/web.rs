//! The web services.

use std::{
    io::{Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use sixwalk::{
    model::{
        family::Family,
        fault::{ContentFault, Sabotage},
    },
    wire::page,
};

use crate::{
    lab::{Lab, V4, V6, every_service},
    support,
};

fn header<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn a_page_says_who_served_it_and_is_otherwise_the_same() {
    if !support::inside_sandbox("web::a_page_says_who_served_it_and_is_otherwise_the_same") {
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
    if !support::inside_sandbox("web::requests_are_answered_as_rfc_9112_asks") {
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
        ("GET / HTTP/1.0\r\n", "200", None),
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
    if !support::inside_sandbox("web::the_certificate_is_valid_for_names_and_literal_addresses") {
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

    lab.sabotage(&Sabotage::ServeDifferently {
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
    if !support::inside_sandbox("web::content_faults_show_to_their_family_only") {
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
    lab.sabotage(&fault(ContentFault::Unavailable));
    assert!(lab.get(V6).starts_with("HTTP/1.1 503 "));
    assert!(lab.get(V4).starts_with("HTTP/1.1 200 "));
    lab.clear();

    let bracketed = "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\nConnection: close\r\n\r\n";
    lab.sabotage(&fault(ContentFault::RejectsBrackets));
    assert!(lab.http(V6, bracketed).starts_with("HTTP/1.1 400 "));
    assert!(lab.get(V6).starts_with("HTTP/1.1 200 "));
    lab.clear();
    assert!(lab.http(V6, bracketed).starts_with("HTTP/1.1 200 "));

    let bare = |ip| page::without_mark(body(&lab.get(ip)).as_bytes()).into_owned();
    lab.sabotage(&fault(ContentFault::OtherBody));
    assert_ne!(bare(V6), bare(V4));
    lab.clear();

    lab.sabotage(&fault(ContentFault::Stale));
    let stamp = |ip| header(&lab.get(ip), page::STAMP).parse::<u64>().unwrap();
    assert!(stamp(V4) - stamp(V6) >= 3_600);
    assert_eq!(bare(V6), bare(V4));
    lab.clear();

    let no_web = Sabotage::ServeDifferently {
        node: "portal".parse().unwrap(),
        service: "echo".parse().unwrap(),
        family: Family::V6,
        how: ContentFault::Stale,
    };
    let error = lab.runtime.block_on(lab.host.sabotage(&no_web)).unwrap_err();
    assert!(error.to_string().contains("no service `echo` of kind http or https;"), "{error}");

    lab.sabotage(&Sabotage::Delay {
        node: "portal".parse().unwrap(),
        service: "http".parse().unwrap(),
        family: Family::V6,
        ms: 1_000,
    });
    let took = |ip| {
        let began = Instant::now();
        lab.get(ip);
        began.elapsed()
    };
    assert!(took(V6) >= Duration::from_secs(1));
    assert!(took(V4) < Duration::from_secs(1));
}
