//! A zone as a file (RFC 1035 section 5): what the built-in name server holds in memory, for engines to read.

use std::{collections::BTreeSet, fmt::Write, net::IpAddr};

use crate::model::{
    name::NodeName,
    record::{MAIL_PREFERENCE, RecordData, Zone, server_name},
};

/// Seconds; the same as those of the built-in name server, because phases change records under the feet of programs.
const TTL_S: u32 = 5;
/// Octets of one string (RFC 1035 section 3.3.14).
const LONGEST: usize = 255;

/// The file of a zone. All names are written out. A server that has no address in the zone, as in a reverse one, goes by its
/// name in one of the others where it has: some programs take no zone without.
pub(super) fn text(zone: &Zone, all: &[Zone]) -> String {
    let origin = &zone.origin;
    let name = |node: &NodeName| {
        let known = [zone].into_iter().chain(all).find(|zone| has_address(node, zone));
        server_name(node, &known.unwrap_or(zone).origin)
    };
    let servers: Vec<_> = zone.servers.iter().map(name).collect();
    let primary = servers.first().unwrap_or(origin);
    let mut text = format!(
        "$TTL {TTL_S}\n{origin}. SOA {primary}. hostmaster.{origin}. 1 3600 600 86400 {TTL_S}\n"
    );
    for server in &servers {
        let _ = writeln!(text, "{origin}. NS {server}."); // writing to a String cannot fail
    }
    for record in &zone.extra {
        let data = match &record.data {
            RecordData::Address(IpAddr::V4(address)) => format!("A {address}"),
            RecordData::Address(IpAddr::V6(address)) => format!("AAAA {address}"),
            RecordData::Alias(name) => format!("CNAME {name}."),
            RecordData::Pointer(name) => format!("PTR {name}."),
            RecordData::Server(name) => format!("NS {name}."),
            RecordData::Mail(Some(name)) => format!("MX {MAIL_PREFERENCE} {name}."),
            RecordData::Mail(None) => "MX 0 .".to_owned(),
            RecordData::Text(text) => format!("TXT {}", strings(text)),
            RecordData::Https(hints) => format!("HTTPS 1 .{}", hinted(hints)),
        };
        let _ = writeln!(text, "{}. {data}", record.name);
    }
    text
}

/// Whether some zone has a server that has no address in any of them.
pub fn lacks_glue(zones: &[Zone]) -> bool {
    let mut servers = zones.iter().flat_map(|zone| &zone.servers);
    servers.any(|server| !zones.iter().any(|zone| has_address(server, zone)))
}

/// Whether a server has an address by its name in a zone.
fn has_address(server: &NodeName, zone: &Zone) -> bool {
    let name = server_name(server, &zone.origin);
    let mut records = zone.extra.iter().filter(|record| record.name == name);
    records.any(|record| matches!(record.data, RecordData::Address(_)))
}

/// The hints of an HTTPS record, by family (RFC 9460 section 7.3).
fn hinted(hints: &BTreeSet<IpAddr>) -> String {
    let of = |key: &str, wanted: fn(&IpAddr) -> bool| {
        let hints: Vec<_> =
            hints.iter().filter(|hint| wanted(hint)).map(IpAddr::to_string).collect();
        if hints.is_empty() { String::new() } else { format!(" {key}={}", hints.join(",")) }
    };
    of("ipv4hint", IpAddr::is_ipv4) + &of("ipv6hint", IpAddr::is_ipv6)
}

fn strings(text: &str) -> String {
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let quoted = text.as_bytes().chunks(LONGEST).map(|chunk| {
        let octets = chunk.iter().map(|octet| match octet {
            b' ' => " ".to_owned(),
            octet if octet.is_ascii_alphanumeric() => char::from(*octet).to_string(),
            octet => format!("\\{octet:03}"),
        });
        format!("\"{}\"", octets.collect::<String>())
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Record;

    #[test]
    fn a_zone_is_written_out() {
        let record = |name: &str, data| Record { name: name.parse().unwrap(), data };
        let zone = Zone {
            origin: "dc.test".parse().unwrap(),
            inside: None,
            servers: vec!["ns".parse().unwrap()],
            extra: vec![
                record("ns.dc.test", RecordData::Address("2001:db8::53".parse().unwrap())),
                record("www.dc.test", RecordData::Alias("portal.dc.test".parse().unwrap())),
                record("note.dc.test", RecordData::Text("say \"ü\"".to_owned())),
                record(
                    "portal.dc.test",
                    RecordData::Https(
                        ["192.0.2.1", "2001:db8::1"].map(|a| a.parse().unwrap()).into(),
                    ),
                ),
            ],
        };
        assert_eq!(
            text(&zone, &[]),
            "$TTL 5\n\
             dc.test. SOA ns.dc.test. hostmaster.dc.test. 1 3600 600 86400 5\n\
             dc.test. NS ns.dc.test.\n\
             ns.dc.test. AAAA 2001:db8::53\n\
             www.dc.test. CNAME portal.dc.test.\n\
             note.dc.test. TXT \"say \\034\\195\\188\\034\"\n\
             portal.dc.test. HTTPS 1 . ipv4hint=192.0.2.1 ipv6hint=2001:db8::1\n"
        );
    }

    #[test]
    fn the_server_of_a_reverse_zone_goes_by_its_name_elsewhere() {
        let zone = |origin: &str, extra| Zone {
            origin: origin.parse().unwrap(),
            inside: None,
            servers: vec!["ns".parse().unwrap()],
            extra,
        };
        let address = Record {
            name: "ns.dc.test".parse().unwrap(),
            data: RecordData::Address("192.0.2.53".parse().unwrap()),
        };
        let all = [zone("admin.test", Vec::new()), zone("dc.test", vec![address])];
        let reverse = text(&zone("2.0.192.in-addr.arpa", Vec::new()), &all);
        assert!(reverse.contains("NS ns.dc.test.\n"), "{reverse}");
    }

    #[test]
    fn a_long_text_is_several_strings() {
        assert_eq!(strings(&"a".repeat(256)), format!("\"{}\" \"a\"", "a".repeat(255)));
        assert_eq!(strings(""), "\"\"");
    }
}
