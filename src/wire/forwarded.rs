//! Who is at both ends of a connection that a web server passes on to the application behind it (RFC 7239). It is believed from
//! the server alone, to which nobody else has a way.

use std::net::SocketAddr;

/// The client (`for`) and the address at which it asked (`by`), both with their ports, of the header `Forwarded` of one server:
/// `for="[2001:db8::1]:4711";by="[2001:db8::80]:443"`. `None` where one of them is missing or is no address.
pub fn ends(header: &str) -> Option<(SocketAddr, SocketAddr)> {
    let of = |wanted: &str| {
        let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted))?;
        value.trim_matches('"').parse().ok()
    };
    Some((of("for")?, of("by")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ends_are_read() {
        let parsed = |text: &str| text.parse::<SocketAddr>().unwrap();
        let v6 = "for=\"[2001:db8::1]:4711\";by=\"[2001:db8::80]:443\"";
        assert_eq!(ends(v6), Some((parsed("[2001:db8::1]:4711"), parsed("[2001:db8::80]:443"))));
        let v4 = "For=\"192.0.2.1:4711\"; By=\"192.0.2.80:443\"";
        assert_eq!(ends(v4), Some((parsed("192.0.2.1:4711"), parsed("192.0.2.80:443"))));
        for none in ["", "for=unknown;by=\"192.0.2.80:443\"", "for=\"192.0.2.1:1\"", "for;by"] {
            assert_eq!(ends(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(text in ".{0,80}") {
            let _ = ends(&text);
        }
    }
}
