//! References of a page: where it sends its readers on to, and what it loads. Read as text: what scripts load in their turn is
//! not seen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::name::DomainName;

/// Where a server lists its mirrors.
pub const MIRRORS: &str = "/mirrors";
/// The most references of a page that are kept.
const MOST: usize = 64;
/// The longest of them.
const LONGEST: usize = 512;

/// Who is asked for what a page refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A name.
    Name(DomainName),
}

/// Why a text is no reference that can be followed from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is to be an absolute URL such as `https://www.example.test/logo.png`, of ASCII without quotes and angle brackets"
)]
pub struct NotAbsolute;

/// Where an absolute URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whether by TLS; `None` where the scheme is left to the page.
    pub tls: Option<bool>,
    /// Who is asked.
    pub host: Host,
    /// The port, where the URL says one.
    pub port: Option<u16>,
    /// The path with its query, as written.
    pub path: String,
}

impl Reference {
    /// The name that it leads to, if it is one.
    pub fn name(&self) -> Option<&DomainName> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }
}

/// An absolute URL of HTTP (RFC 3986 section 3), also one that leaves the scheme to the page.
pub fn read(url: &str) -> Result<Reference, NotAbsolute> {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"'<>\\".contains(c);
    if url.len() > LONGEST || !url.chars().all(is_plain) {
        return Err(NotAbsolute);
    }
    let begins = |scheme: &str| {
        url.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    let schemes = [("https://", Some(true)), ("http://", Some(false)), ("//", None)];
    let (scheme, tls) = schemes.into_iter().find(|(s, _)| begins(s)).ok_or(NotAbsolute)?;
    let rest = url[scheme.len()..].split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = host(authority.rsplit('@').next().unwrap_or_default())?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(Reference { tls, host, port, path: format!("{slash}{path}") })
}

/// The host of a directory (RFC 4516 section 2): who is asked by an absolute URL of LDAP.
pub fn directory(url: &str) -> Result<Host, NotAbsolute> {
    let (scheme, rest) = url.split_once("://").ok_or(NotAbsolute)?;
    if !["ldap", "ldaps"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return Err(NotAbsolute);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    host(&rest[..end]).map(|(host, _)| host)
}

/// The host of an authority, and its port (RFC 3986 section 3.2).
fn host(authority: &str) -> Result<(Host, Option<u16>), NotAbsolute> {
    let (host, after) = if let Some(literal) = authority.strip_prefix('[') {
        let (literal, after) = literal.split_once(']').ok_or(NotAbsolute)?;
        let address: Ipv6Addr = literal.parse().map_err(|_| NotAbsolute)?;
        (Host::Address(address.into()), after)
    } else {
        let (name, after) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        let name = name.strip_suffix('.').unwrap_or(name);
        let host = match name.parse::<Ipv4Addr>() {
            Ok(address) => Host::Address(address.into()),
            Err(_) => Host::Name(name.to_ascii_lowercase().parse().map_err(|_| NotAbsolute)?),
        };
        (host, after)
    };
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok((host, None)),
        Some("") => Ok((host, None)),
        Some(port) => Ok((host, Some(port.parse().map_err(|_| NotAbsolute)?))),
        None => Err(NotAbsolute),
    }
}

/// The absolute URLs that a text lists, one on a line of its own.
pub fn listed(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| read(line).is_ok());
    lines.take(MOST).map(str::to_owned).collect()
}

/// The element by which a page loads something.
pub fn loading(url: &str) -> String {
    format!("<script src=\"{url}\"></script>\n")
}

/// What a page loads by itself, as absolute URLs: scripts, pictures, frames, styles. Links that readers may follow are not
/// among them.
pub fn loaded(body: &str) -> Vec<String> {
    let tags = body.split('<').skip(1).filter_map(|rest| rest.split('>').next());
    let urls = tags.filter_map(|tag| {
        let name = tag.split(|c: char| c.is_ascii_whitespace() || c == '/').next()?;
        let key = match name.to_ascii_lowercase().as_str() {
            "script" | "img" | "iframe" | "source" | "video" | "audio" | "embed" | "track" => "src",
            "link" if is_loaded(&attribute(tag, "rel")?) => "href",
            "object" => "data",
            _ => return None,
        };
        attribute(tag, key).filter(|url| read(url).is_ok())
    });
    let mut urls: Vec<_> = urls.take(MOST).collect();
    urls.sort();
    urls.dedup();
    urls
}

/// Whether what a `link` leads to is loaded with the page, and not only named.
fn is_loaded(relation: &str) -> bool {
    const LOADED: [&str; 5] = ["stylesheet", "icon", "preload", "modulepreload", "manifest"];
    relation
        .split_ascii_whitespace()
        .any(|word| LOADED.contains(&word.to_ascii_lowercase().as_str()))
}

/// The value of an attribute, with or without quotes.
fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let lower = tag.to_ascii_lowercase();
    let found = lower.match_indices(wanted).find_map(|(at, _)| {
        let before = lower[..at].chars().next_back()?;
        let after = tag[at + wanted.len()..].trim_start().strip_prefix('=')?;
        (before.is_ascii_whitespace() || before == '"').then(|| after.trim_start())
    })?;
    let value = match found.chars().next()? {
        quote @ ('"' | '\'') => found[1..].split(quote).next()?,
        _ => found.split_ascii_whitespace().next()?,
    };
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_found_in_urls() {
        let name = |text: &str| Ok(Host::Name(text.parse().unwrap()));
        let address = |text: &str| Ok(Host::Address(text.parse().unwrap()));
        for (url, expected) in [
            ("https://CDN.example.test/lib.js?v=1", name("cdn.example.test")),
            ("http://user@www.example.test:8080", name("www.example.test")),
            ("//www.example.test./", name("www.example.test")),
            ("http://10.2.0.9/logo.png", address("10.2.0.9")),
            ("https://[2001:db8::1]:8443/", address("2001:db8::1")),
            ("/logo.png", Err(NotAbsolute)),
            ("data:image/png;base64,AA", Err(NotAbsolute)),
            ("https://[2001:db8::x]/", Err(NotAbsolute)),
            ("https://a\"><b/", Err(NotAbsolute)),
            ("https://[2001:db8::1]8443/", Err(NotAbsolute)),
            ("https://www.example.test:99999/", Err(NotAbsolute)),
        ] {
            assert_eq!(read(url).map(|reference| reference.host), expected, "{url}");
        }
    }

    #[test]
    fn directories_are_found_in_their_urls() {
        let address = |text: &str| Ok(Host::Address(text.parse().unwrap()));
        assert_eq!(directory("ldap://10.0.0.1/dc=test??sub"), address("10.0.0.1"));
        assert_eq!(directory("LDAPS://[2001:db8::1]:636"), address("2001:db8::1"));
        assert_eq!(directory("ldap://ldap.test"), Ok(Host::Name("ldap.test".parse().unwrap())));
        assert_eq!(directory("ldap:///dc=test"), Err(NotAbsolute));
        assert_eq!(directory("http://a.test/"), Err(NotAbsolute));
    }

    #[test]
    fn lists_have_a_url_on_a_line() {
        let text =
            "# mirrors\nhttp://a.test/deb\n see http://b.test/\r\n  https://[2001:db8::1]/ \n";
        assert_eq!(listed(text), ["http://a.test/deb", "https://[2001:db8::1]/"]);
    }

    #[test]
    fn scheme_port_and_path_are_kept_as_written() {
        let read = |url| read(url).map(|found| (found.tls, found.port, found.path)).unwrap();
        assert_eq!(
            read("HTTPS://a.test:8443/Lib.js?V=1#top"),
            (Some(true), Some(8443), "/Lib.js?V=1".to_owned())
        );
        assert_eq!(read("http://a.test?q"), (Some(false), None, "/?q".to_owned()));
        assert_eq!(read("//[2001:db8::1]"), (None, None, "/".to_owned()));
    }

    #[test]
    fn what_is_loaded_is_told_from_what_is_linked() {
        let page = "<html><a href=\"https://a.test/\">x</a><LINK rel='stylesheet' HREF='https://b.test/s.css'>\
                    <link rel=canonical href=https://c.test/><img alt=\"\" src=https://d.test/p.png >\
                    <script src=\"/own.js\"></script><script data-src=\"https://e.test/\"></script>";
        assert_eq!(loaded(page), ["https://b.test/s.css", "https://d.test/p.png"]);
        let made = loading("https://f.test/lib.js");
        assert_eq!(loaded(&made), ["https://f.test/lib.js"]);
    }

    proptest! {
        #[test]
        fn hostile_pages_never_panic(body: String, url: String) {
            let _ = (loaded(&body), read(&url), listed(&body), directory(&url));
        }

        #[test]
        fn hostile_tags_never_panic(inner in "[a-z =\"'ſé<>/]{0,40}") {
            let _ = loaded(&format!("<img {inner}><link {inner}>"));
        }
    }
}
