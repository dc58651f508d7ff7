//! The directory (RFC 4511): lets everybody bind, shows its root DSE and speaks TLS if asked to (section 4.14). It holds no
//! entries. And whoever asks one for that.

use std::{collections::BTreeSet, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

use super::speaker::Speaker;
use crate::{
    model::{
        family::Family,
        fault::{ContentFault, Reference},
        name::DomainName,
    },
    wire::{
        ber,
        ldap::{self, BadLdap, Found, Request},
    },
};

/// The most octets of one message.
const MOST: usize = 64 << 10;
/// How long whoever has reached a directory waits for being sent on.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often TLS is asked for while operations are outstanding, and how long it is waited for in between.
const MOST_REQUESTS: usize = 20;
const RESPITE: Duration = Duration::from_millis(20);

/// What a directory has to say to the client before it.
struct Words<'d> {
    /// The names of what it holds.
    contexts: &'d [String],
    /// Whom it sends on to.
    others: &'d [&'d str],
    /// Whether TLS can be started: it is meant to, and not spoken already.
    offers_tls: bool,
}

pub(super) async fn converse(
    speaker: &Speaker,
    mut stream: TcpStream,
    family: Family,
) -> io::Result<()> {
    speaker.hold_back(family).await;
    if !session(speaker, &mut stream, family, false).await? {
        return Ok(());
    }
    let mut secured = speaker.secure(stream, family).await?;
    session(speaker, &mut secured, family, true).await.map(drop)
}

/// Answers messages until there are no more, or until TLS is to begin: whether it is.
async fn session(
    speaker: &Speaker,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    family: Family,
    is_secure: bool,
) -> io::Result<bool> {
    let service = speaker.premises.node.service(speaker.service.as_str());
    let contexts = service.map(|service| contexts(&service.names)).unwrap_or_default();
    let mut held = Vec::new();
    while let Some(octets) = message(stream, &mut held).await? {
        let Ok((id, request)) = ldap::read_request(&octets) else { return Ok(false) };
        if request == Request::Unbind {
            return Ok(false);
        }
        let behaviour = speaker.premises.behaviour();
        let others: Vec<_> = behaviour.refers(&speaker.service, Reference::Refers).collect();
        let is_clear = behaviour.differs(&speaker.service, family, ContentFault::NoStarttls);
        let words =
            Words { contexts: &contexts, others: &others, offers_tls: !is_secure && !is_clear };
        stream.write_all(&words.answer(id, &request)).await?;
        stream.flush().await?;
        if request == Request::StartTls && words.offers_tls {
            // What was sent ahead of TLS is not taken for what comes in it.
            return Ok(held.is_empty());
        }
    }
    Ok(false)
}

/// What a directory says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// The names of what it holds.
    pub(crate) contexts: Vec<String>,
    /// The servers that it names or sends on to, as URLs. Foreign text.
    pub(crate) others: Vec<String>,
    /// Whether it offers StartTLS.
    pub(crate) offers_tls: bool,
}

/// Somebody who asks a directory.
pub(crate) struct Client<S> {
    stream: S,
    /// What came and is not read yet.
    held: Vec<u8>,
    /// The id of the last message.
    id: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// The first to speak over a connection.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, held: Vec::new(), id: 0 }
    }

    /// Asks for the root DSE, which is whole once the search is over.
    pub(crate) async fn root_dse(&mut self) -> io::Result<Shown> {
        let mut shown = Shown::default();
        let (code, has_entry) = self.search("", &mut shown).await?;
        if code != ldap::SUCCESS {
            return Err(io::Error::other(BadLdap::Result(code)));
        }
        if !has_entry {
            return Err(io::Error::other("the directory shows no root DSE"));
        }
        Ok(shown)
    }

    /// Asks for what the directory does not hold: some send on whoever does. It has been reached before, whatever it makes of
    /// this: any result will do (RFC 4511 section 4.1.9), and so will the end of the connection and silence.
    pub(crate) async fn sends_on(&mut self) -> Vec<String> {
        let mut shown = Shown::default();
        let _ = timeout(PATIENCE, self.search(ldap::ELSEWHERE, &mut shown)).await;
        shown.others
    }

    /// Asks for TLS: the connection, over which it is to be spoken now. A server that still puts a search away, the answer to which
    /// is out, says that operations are outstanding (RFC 4511 section 4.14.1), and is asked again.
    pub(crate) async fn start_tls(mut self) -> io::Result<S> {
        let mut beat = interval(RESPITE);
        for left in (0..MOST_REQUESTS).rev() {
            beat.tick().await;
            self.id += 1;
            self.stream.write_all(&ldap::start_tls(self.id)).await?;
            let octets = self.next().await?;
            match ldap::read_started(&octets, self.id) {
                Ok(()) => break,
                Err(BadLdap::Result(ldap::OPERATIONS_ERROR)) if left > 0 => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        if !self.held.is_empty() {
            return Err(io::Error::other("more than a reply came before TLS began"));
        }
        Ok(self.stream)
    }

    /// The next message.
    async fn next(&mut self) -> io::Result<Vec<u8>> {
        let closed = || io::Error::other("the connection was closed before an answer was whole");
        message(&mut self.stream, &mut self.held).await?.ok_or_else(closed)
    }

    /// The result code, and whether an entry came.
    async fn search(&mut self, base: &str, shown: &mut Shown) -> io::Result<(u32, bool)> {
        self.id += 1;
        self.stream.write_all(&ldap::search(self.id, base)).await?;
        self.stream.flush().await?;
        let mut has_entry = false;
        loop {
            let octets = self.next().await?;
            match ldap::read_found(&octets, self.id).map_err(io::Error::other)? {
                Found::Entry { contexts, others, offers_tls } => {
                    has_entry = true;
                    shown.offers_tls |= offers_tls;
                    shown.contexts.extend(contexts);
                    shown.others.extend(others);
                }
                Found::Reference(others) => shown.others.extend(others),
                Found::Done { code, others } => {
                    shown.others.extend(others);
                    return Ok((code, has_entry));
                }
            }
        }
    }
}

/// The next message; `None` where nothing more comes.
async fn message(
    stream: &mut (impl AsyncRead + Unpin),
    held: &mut Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    loop {
        match ber::extent(held).map_err(io::Error::other)? {
            Some(length) if held.len() >= length => {
                return Ok(Some(held.drain(..length).collect()));
            }
            _ if held.len() > MOST => {
                return Err(io::Error::other("a message is longer than any about a root DSE"));
            }
            _ if stream.read_buf(held).await? == 0 => return Ok(None),
            _ => {}
        }
    }
}

impl Words<'_> {
    fn answer(&self, id: u32, request: &Request) -> Vec<u8> {
        let (entry, code) = match request {
            Request::Search { base } if base.is_empty() => {
                (ldap::root_dse(id, self.contexts, self.offers_tls), ldap::SUCCESS)
            }
            Request::Search { .. } if !self.others.is_empty() => (Vec::new(), ldap::REFERRAL),
            Request::Search { .. } => (Vec::new(), ldap::NO_SUCH_OBJECT),
            Request::StartTls if !self.offers_tls => (Vec::new(), ldap::PROTOCOL_ERROR),
            Request::Bind | Request::StartTls => (Vec::new(), ldap::SUCCESS),
            Request::Unbind | Request::Other => (Vec::new(), ldap::UNWILLING),
        };
        let others = if code == ldap::REFERRAL { self.others } else { &[] };
        let result = ldap::result(id, request, code, others).unwrap_or_default();
        [entry, result].concat()
    }
}

/// The domains of names under which a service is published, as names of a directory (RFC 2247): each once, and what lies
/// within another before that.
pub(super) fn contexts(names: &[DomainName]) -> Vec<String> {
    let domains: BTreeSet<Vec<&str>> = names
        .iter()
        .map(|name| name.as_str().split('.').skip(1).collect())
        .filter(|labels: &Vec<_>| !labels.is_empty())
        .collect();
    let mut domains: Vec<_> = domains.into_iter().collect();
    domains.sort_by_key(|labels| std::cmp::Reverse(labels.len()));
    let name = |labels: &Vec<&str>| {
        let labels: Vec<_> = labels.iter().map(|label| format!("dc={label}")).collect();
        labels.join(",")
    };
    domains.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_is_held_once_and_the_narrower_ones_first() {
        let names = ["users.test", "ldap.dc.test", "directory.dc.test", "alone"];
        let names: Vec<DomainName> = names.iter().map(|name| name.parse().unwrap()).collect();
        assert_eq!(contexts(&names), ["dc=dc,dc=test", "dc=test"]);
    }

    /// What comes of asking a directory that shows its root DSE and then ends the conversation, with or without a last word.
    async fn asked(last: Option<u32>) -> (io::Result<Shown>, Vec<String>) {
        let (near, mut far) = tokio::io::duplex(4096);
        let directory = async {
            let mut held = Vec::new();
            let first = message(&mut far, &mut held).await.unwrap().unwrap();
            let (id, request) = ldap::read_request(&first).unwrap();
            let contexts = ["dc=test".to_owned()];
            let words = Words { contexts: &contexts, others: &[], offers_tls: false };
            far.write_all(&words.answer(id, &request)).await.unwrap();
            let second = message(&mut far, &mut held).await.unwrap().unwrap();
            let (id, request) = ldap::read_request(&second).unwrap();
            let word = last.and_then(|code| ldap::result(id, &request, code, &["ldap://a.test/"]));
            far.write_all(&word.unwrap_or_default()).await.unwrap();
            drop(far);
        };
        let mut client = Client::new(near);
        let all = async { (client.root_dse().await, client.sends_on().await) };
        tokio::join!(all, directory).0
    }

    #[tokio::test(flavor = "current_thread")]
    async fn tls_is_asked_for_again_while_operations_are_outstanding_and_not_for_ever() {
        let asked = async |refusals: usize| {
            let (near, mut far) = tokio::io::duplex(4096);
            let directory = async {
                let mut held = Vec::new();
                for left in (0..=refusals).rev() {
                    let Some(next) = message(&mut far, &mut held).await.unwrap() else { return };
                    let (id, request) = ldap::read_request(&next).unwrap();
                    let code = if left > 0 { ldap::OPERATIONS_ERROR } else { ldap::SUCCESS };
                    far.write_all(&ldap::result(id, &request, code, &[]).unwrap()).await.unwrap();
                }
            };
            tokio::join!(Client::new(near).start_tls(), directory).0
        };
        assert!(asked(2).await.is_ok());
        let error = asked(MOST_REQUESTS).await.unwrap_err();
        assert!(error.to_string().ends_with("result 1"), "{error}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn whatever_a_directory_makes_of_an_unknown_name_it_has_been_reached() {
        for (last, others) in [
            (None, &[][..]),
            (Some(ldap::REFERRAL), &["ldap://a.test/"]),
            (Some(ldap::NO_SUCH_OBJECT), &["ldap://a.test/"]),
            (Some(ldap::UNWILLING), &["ldap://a.test/"]),
        ] {
            let (shown, sent_on) = asked(last).await;
            assert_eq!(
                (shown.unwrap().contexts, sent_on),
                (vec!["dc=test".to_owned()], others.iter().map(|url| (*url).to_owned()).collect())
            );
        }
    }
}
