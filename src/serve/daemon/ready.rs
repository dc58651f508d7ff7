//! Readiness: the service is asked by its own protocol, from its own node. Only an answer counts.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::guest;
use crate::{
    engine::{Job, LOG, Part, Place},
    model::{
        family::Family, function::Function, name::DomainName, record::RecordType,
        service::ServiceKind,
    },
    net::namespace::Namespace,
    serve::{Shared, ldap},
    wire::{dns::Query, snmp, sntp},
};

/// How long one question is waited for before it is asked again.
const ONCE: Duration = Duration::from_millis(300);
/// The same of a router, which may think for half a second before it answers (RFC 4861 section 6.2.6).
const ROUTER: Duration = Duration::from_millis(800);
/// What a message to a syslog sink says, and a question to a resolver asks for.
const TOKEN: &str = "sixwalk-ready";

/// Somebody who asks a service whether it is there.
pub(super) struct Caller<'c> {
    pub(super) namespace: &'c Namespace,
    pub(super) job: &'c Job,
    pub(super) work: &'c Path,
    pub(super) shared: &'c Shared,
    /// What tells its questions from those of others.
    pub(super) turn: u32,
}

impl Caller<'_> {
    /// Whether it answers in a place, asked once.
    pub(super) async fn answers(&self, place: &Place) -> bool {
        let asked = match place {
            Place::Address(bound) => {
                let ip = bound.ip();
                let ip = if ip.is_unspecified() { Family::of(ip).loopback() } else { ip };
                let Part::Service(kind) = self.job.part else { return false };
                timeout(ONCE, self.ask(kind, SocketAddr::new(ip, bound.port()))).await
            }
            Place::Link(on) => match self.job.part {
                Part::Function(Function::Advertisements) => {
                    timeout(ROUTER, guest::solicit(self.namespace, on)).await
                }
                _ => timeout(ONCE, guest::inform(self.namespace, on)).await,
            },
            Place::Socket(port) => Ok(guest::is_open(self.namespace, *port)),
        };
        matches!(asked, Ok(Ok(true)))
    }

    async fn ask(&self, kind: ServiceKind, to: SocketAddr) -> io::Result<bool> {
        match kind {
            // A front answers for its sites, which may not be there yet.
            ServiceKind::Https if self.job.front.is_some() => Ok(self.connect(to).await.is_ok()),
            ServiceKind::Dns => self.zones(to).await,
            ServiceKind::Resolver => Ok(self.name(to, &resolver_name()).await?.is_some()),
            ServiceKind::Http => self.page(self.connect(to).await?).await,
            ServiceKind::Https => self.page(self.tls(to).await?).await,
            ServiceKind::Ssh => {
                let mut start = [0; 4];
                self.connect(to).await?.read_exact(&mut start).await?;
                Ok(start == *b"SSH-")
            }
            ServiceKind::Ntp => {
                let reply = self.datagram(to, &sntp::query(1)).await?;
                Ok(sntp::read_stratum(&reply, 1).is_ok())
            }
            ServiceKind::Snmp => {
                let reply = self.datagram(to, &snmp::query(1, to.ip())).await?;
                Ok(snmp::read_told(&reply, 1, to.ip()).is_ok())
            }
            ServiceKind::Syslog => {
                let token = format!("{TOKEN}-{}-{}.", self.turn, to.ip().is_ipv6());
                let message = format!("<134>1 - {} sixwalk - - - {token}", self.job.node);
                self.socket(to)?.send(message.as_bytes()).await?;
                tokio::task::yield_now().await;
                Ok(fs::read_to_string(self.work.join(LOG))?.contains(&token))
            }
            ServiceKind::Ldap => {
                ldap::Client::new(self.connect(to).await?).root_dse().await.map(|_| true)
            }
            // Nobody stands in for these.
            ServiceKind::Echo
            | ServiceKind::Manager
            | ServiceKind::Box
            | ServiceKind::Smtp
            | ServiceKind::Radius => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Every zone is served; without any, some answer will do.
    async fn zones(&self, to: SocketAddr) -> io::Result<bool> {
        if self.job.zones.is_empty() {
            return Ok(self.name(to, &resolver_name()).await?.is_some());
        }
        for zone in &self.job.zones {
            if self.name(to, &zone.origin).await?.as_deref() != Some("NoError") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The code of the answer to a question about a name.
    async fn name(&self, to: SocketAddr, name: &DomainName) -> io::Result<Option<String>> {
        let query = Query {
            id: 6,
            name: name.clone(),
            rtype: RecordType::Soa,
            edns: None,
            recurse: false,
            mixed_case: false,
        };
        let reply = self.datagram(to, &query.encode()).await?;
        Ok(query.read(&reply).ok().map(|reply| reply.rcode))
    }

    async fn page(
        &self,
        mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    ) -> io::Result<bool> {
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: ready\r\nConnection: close\r\n\r\n").await?;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await?;
        let expected = if self.job.front.is_some() { b"HTTP/1.1 421" } else { b"HTTP/1.1 200" };
        // Without a page of its own it says that nobody is behind it yet.
        Ok(start == *expected || self.job.paths.is_empty() && start.starts_with(b"HTTP/1.1 "))
    }

    async fn tls(&self, to: SocketAddr) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = self.connect(to).await?;
        let mut roots = RootCertStore::empty();
        let root = self.shared.root_certificate().map_err(io::Error::other)?;
        roots.add(root).map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(self.shared.crypto())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = self.job.identity.as_ref().map(|identity| identity.name.clone());
        let name = ServerName::try_from(name.unwrap_or_default()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.namespace.run(|| match Family::of(to.ip()) {
            Family::V4 => TcpSocket::new_v4(),
            Family::V6 => TcpSocket::new_v6(),
        })?;
        socket.connect(to).await
    }

    fn socket(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        self.namespace.run(|| {
            let domain = Domain::for_address(to);
            let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
            socket.connect(&to.into())?;
            UdpSocket::from_std(socket.into())
        })
    }

    async fn datagram(&self, to: SocketAddr, octets: &[u8]) -> io::Result<Vec<u8>> {
        let socket = self.socket(to)?;
        socket.send(octets).await?;
        let mut buffer = vec![0; 2048];
        let length = socket.recv(&mut buffer).await?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

fn resolver_name() -> DomainName {
    format!("{TOKEN}.test").parse().expect("a constant that is a name")
}
