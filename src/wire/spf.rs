//! Sender Policy Framework (RFC 7208): who may bring mail of a domain, as far as its own record says.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::name::DomainName;

/// What a record of version 1 begins with (RFC 7208 section 4.5).
const VERSION: &str = "v=spf1";

/// A term of a record: what matches, and whether mail from there passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Whether the mail passes: no qualifier, or `+`.
    pub passes: bool,
    /// What matches.
    pub who: Who,
}

/// Whom a term matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Addresses of a network.
    Net(IpNet),
    /// The addresses of a name; of the domain itself where none is given.
    Name(Option<DomainName>),
    /// The addresses of the places where mail of the domain is brought.
    MailServers,
    /// Everybody.
    All,
    /// Whom other records tell: `include`, `redirect`, macros and whatever else is not followed here.
    Elsewhere(String),
}

/// The terms of a text, in the order in which they are tried; `None` if it is no SPF record.
pub fn terms(text: &str) -> Option<Vec<Term>> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    words.next().filter(|word| word.eq_ignore_ascii_case(VERSION))?;
    let mut terms = Vec::new();
    let mut at_last = Vec::new();
    for word in words {
        match word.split_once('=') {
            // What is said of other modifiers changes nothing about who passes (RFC 7208 section 6).
            Some((name, _)) if name.eq_ignore_ascii_case("redirect") => {
                at_last.push(Term { passes: false, who: Who::Elsewhere(word.to_owned()) });
            }
            Some((name, _)) if !name.contains(':') => {}
            _ => terms.push(term(word)),
        }
    }
    terms.append(&mut at_last);
    Some(terms)
}

fn term(word: &str) -> Term {
    let bare = word.strip_prefix(['+', '-', '~', '?']).unwrap_or(word);
    let passes = bare.len() == word.len() || word.starts_with('+');
    Term { passes, who: who(bare).unwrap_or_else(|| Who::Elsewhere(word.to_owned())) }
}

fn who(word: &str) -> Option<Who> {
    let (name, of) = match word.split_once(':') {
        Some((name, of)) => (name, Some(of)),
        None => (word, None),
    };
    match (name.to_ascii_lowercase().as_str(), of) {
        ("all", None) => Some(Who::All),
        ("mx", None) => Some(Who::MailServers),
        ("a", of) => Some(Who::Name(of.map(str::parse).transpose().ok()?)),
        ("ip4" | "ip6", Some(of)) => {
            let alone = |_| of.parse::<IpAddr>().map(IpNet::from);
            of.parse::<IpNet>().or_else(alone).ok().map(Who::Net)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_read_and_other_texts_are_not() {
        let read = terms(
            "v=spf1 ip4:192.0.2.0/24  +IP6:2001:db8::5 ?a:mail.example.test mx exp=why.test -all",
        );
        let pass = |who| Term { passes: true, who };
        let net = |text: &str| Who::Net(text.parse().unwrap());
        let name = Who::Name(Some("mail.example.test".parse().unwrap()));
        assert_eq!(
            read,
            Some(vec![
                pass(net("192.0.2.0/24")),
                pass(net("2001:db8::5/128")),
                Term { passes: false, who: name },
                pass(Who::MailServers),
                Term { passes: false, who: Who::All },
            ])
        );
        for text in ["v=spf10 -all", "spf1 -all", "hello", ""] {
            assert_eq!(terms(text), None, "{text}");
        }
    }

    #[test]
    fn what_other_records_tell_is_not_taken_for_a_match() {
        let read =
            terms("v=spf1 redirect=other.test include:more.test a/24 mx:other.test ip6:nonsense")
                .unwrap();
        let words: Vec<_> = read
            .iter()
            .map(|term| match &term.who {
                Who::Elsewhere(word) => word.as_str(),
                who => panic!("{who:?}"),
            })
            .collect();
        assert_eq!(
            words,
            ["include:more.test", "a/24", "mx:other.test", "ip6:nonsense", "redirect=other.test"]
        );
        assert_eq!(terms("v=spf1"), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(v=spf1 )?.{0,80}") {
            let _ = terms(&text);
        }
    }
}
