//! Spellings: how a text that cannot stand where it does is written, where that is plain. Names are of lower-case ASCII
//! (`model::name`), and people write them as they speak them.

use crate::model::name::DomainName;

/// What to write in the place of a text, where that would do.
pub(super) fn hint(text: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
    let lower = lower(text);
    if fits(&lower) {
        return Some(format!("write `{lower}`"));
    }
    if is_of_domains(&fits) {
        let ascii = a_labels(text).filter(|ascii| fits(ascii))?;
        return Some(format!("write `{ascii}`, its form in ASCII (RFC 5891)"));
    }
    let dashed = lower.replace([' ', '_', '.'], "-");
    fits(&dashed).then(|| format!("write `{dashed}`"))
}

/// The domain name that a text means, so that the rest of what is said of it is read all the same.
pub(super) fn domain(text: &str) -> Option<DomainName> {
    lower(text).parse().ok().or_else(|| a_labels(text)?.parse().ok())
}

/// In lower case, without the final dot.
fn lower(text: &str) -> String {
    text.trim().trim_end_matches('.').to_ascii_lowercase()
}

/// Its labels as the DNS has them (RFC 5891).
fn a_labels(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('.');
    if text.is_ascii() {
        return None;
    }
    idna::domain_to_ascii_strict(text).ok()
}

/// Whether domain names would do: only those have a form in ASCII.
fn is_of_domains(fits: impl Fn(&str) -> bool) -> bool {
    fits("a.example")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::NodeName;

    #[test]
    fn names_are_spelled_as_they_can_be_written() {
        let domain = |text| hint(text, |name| name.parse::<DomainName>().is_ok());
        let node = |text| hint(text, |name| name.parse::<NodeName>().is_ok());
        assert_eq!(domain("WWW.Example.Test.").as_deref(), Some("write `www.example.test`"));
        let ascii = "write `xn--bcher-kva.example`, its form in ASCII (RFC 5891)";
        assert_eq!(domain("B\u{fc}cher.example").as_deref(), Some(ascii));
        assert_eq!(domain("a..b"), None);
        assert_eq!(domain("\u{202e}.example"), None, "no letter at all");
        assert_eq!(node("Web Server_2").as_deref(), Some("write `web-server-2`"));
        assert_eq!(node("b\u{fc}cher"), None, "nodes are named in ASCII");
        assert_eq!(super::domain("B\u{dc}CHER.example"), "xn--bcher-kva.example".parse().ok());
    }
}
