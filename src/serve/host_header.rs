//! The Host header (RFC 9112 section 3.2): one, and well-formed, or the request is bad.

use std::net::Ipv6Addr;

use hyper::{HeaderMap, header::HOST};

/// What a request says about the host it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A name, an IPv4 address, or the empty text.
    Plain,
    /// An IPv6 address in brackets.
    Bracketed,
    /// There is none, as in HTTP/1.0.
    Missing,
    /// Given twice, or not written as RFC 3986 section 3.2.2 asks.
    Bad,
}

pub(super) fn host(headers: &HeaderMap) -> Host {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) => Host::Missing,
        (Some(value), None) => value.to_str().map_or(Host::Bad, parse),
        (Some(_), Some(_)) => Host::Bad,
    }
}

fn parse(text: &str) -> Host {
    if let Some(rest) = text.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((literal, port)) if literal.parse::<Ipv6Addr>().is_ok() && is_port(port) => {
                Host::Bracketed
            }
            _ => Host::Bad,
        };
    }
    let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    if name.chars().all(is_name_char) && is_port(port) { Host::Plain } else { Host::Bad }
}

/// Nothing, or a colon and a number, which may be missing (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some("") => true,
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => text.is_empty(),
    }
}

/// Unreserved characters, percent-encoding and sub-delimiters of a registered name.
fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_literal_stands_in_brackets_or_is_bad() {
        for good in ["[2001:db8::1]", "[2001:db8::1]:8080", "[::ffff:192.0.2.1]", "[::1]:"] {
            assert_eq!(parse(good), Host::Bracketed, "{good}");
        }
        for good in ["portal.dc.test", "portal.dc.test:80", "192.0.2.1", "", "a_b"] {
            assert_eq!(parse(good), Host::Plain, "{good}");
        }
        for bad in [
            "2001:db8::1",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "[fe80::1%eth0]",
            "[192.0.2.1]",
            "portal:http",
            "portal:65536",
            "por tal",
            "a/b",
            "user@portal",
        ] {
            assert_eq!(parse(bad), Host::Bad, "{bad}");
        }
    }
}
