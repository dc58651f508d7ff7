//! Probes: how each kind of question is carried out, one file each, and taps on links. A probe never fails: what goes
//! wrong is part of its answer, and local trouble is kept apart from what the network said.

mod attempt;
mod dial;
mod call;
mod tls;
mod hello;
mod connect;
mod page;
mod fetch;
mod dialogue;
mod lookup;
mod ping;
mod stream;
mod datagram;
mod time;
mod admission;
mod manage;
mod log_in;
mod log;
mod sink;
mod inspect;
mod source_for;
mod spoof;
mod encapsulated;
mod forge;
mod provoke;
mod echoes;
mod path_mtu;
mod trace;
mod by_hand;
mod solicit;
mod listeners;
mod dhcp;
mod lease;
mod neighbour;
mod order;
mod journey;
pub mod sweep;
pub mod canary;
pub mod tap;

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use rustls::{RootCertStore, pki_types::CertificateDer};

use crate::{
    model::{
        answer::{Answer, Logged},
        name::{InterfaceName, NodeName, ServiceName, TunnelName},
        probe::{Aspect, Keeper, Question, RouterAct},
        service::Transport,
        tunnel::{Acted, TunnelAct},
    },
    net::{
        namespace::Namespace,
        patience::{Deadline, within},
    },
};

/// How much later than its patience a question may end: waits end on time, and then the answer is put together.
const SLACK: Duration = Duration::from_millis(500);

/// What a probe must be told about its node, since only the lab knows.
pub trait Host: Send + Sync {
    /// The messages with a token that have reached the syslog services of the node; `None` if it has no such service.
    fn logged(&self, token: &str) -> Option<Vec<Logged>>;

    /// The addresses, as text, under which a log of the node knows a log-in.
    fn log_in(&self, token: &str, keeper: Keeper) -> Vec<String>;

    /// The built-in service that holds a listening socket.
    fn service_at(&self, transport: Transport, local: SocketAddr) -> Option<ServiceName>;

    /// Does something to a tunnel that the node ends; an error is a sentence.
    fn tunnel<'a>(
        &'a self,
        tunnel: &'a TunnelName,
        act: TunnelAct,
    ) -> Pin<Box<dyn Future<Output = Result<Acted, String>> + Send + 'a>>;

    /// Lets a router of the plan withdraw from a link, or return to it; an error is a sentence.
    fn router<'a>(
        &'a self,
        interface: &'a InterfaceName,
        act: RouterAct,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

    /// Reads an aspect of the node that netlink or the lab knows: every one but `Aspect::Sockets`.
    fn inspect(&self, aspect: Aspect) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>>;
}

/// The place that a question is asked from. Cheap to make anew for every question.
#[derive(Clone)]
pub struct Vantage {
    /// The node.
    pub node: NodeName,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its interfaces. Where there are several, a link-local destination is on the one that has the source address.
    pub interfaces: Vec<InterfaceName>,
    /// Its resolvers, in the order asked.
    pub resolvers: Vec<IpAddr>,
    /// What the lab knows about it.
    pub host: Arc<dyn Host>,
}

/// Puts questions. Clones share everything.
#[derive(Clone)]
pub struct Asker {
    roots: Arc<RootCertStore>,
}

impl Asker {
    /// An asker that trusts certificates of this test authority only; with none it trusts no certificate, which the
    /// answers then say.
    pub fn new(authority: Option<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        if let Some(certificate) = authority {
            roots.add(certificate)?;
        }
        Ok(Self { roots: Arc::new(roots) })
    }

    /// Puts a question from a node. Always ends, within this patience.
    pub async fn ask(&self, at: &Vantage, question: &Question, patience: Duration) -> Answer {
        let deadline = Deadline::after(patience);
        // One state for every kind of question is large, and most of a walk's futures wait: on the heap, not in each.
        let answer = Box::pin(self.put(at, question, deadline));
        match within(Deadline::after(patience + SLACK), answer).await {
            Ok(answer) => answer,
            Err(_) => not_asked(format!("the probe did not end within {patience:?}")),
        }
    }

    async fn put(&self, at: &Vantage, question: &Question, deadline: Deadline) -> Answer {
        match question {
            Question::Connect { to, source, hello, watch } => {
                connect::ask(self, at, *to, *source, hello, *watch, deadline).await
            }
            Question::Fetch { to, tls, host, path } => {
                fetch::ask(self, at, *to, tls.as_deref(), host, path, deadline).await
            }
            Question::Lookup { server, transport, name, rtype, edns, recurse, mixed_case } => {
                let query = lookup::query(name, *rtype, *edns, *recurse, *mixed_case);
                lookup::ask(at, *server, *transport, &query, deadline).await
            }
            Question::Ping { to, source, size, hop_limit } => {
                ping::ask(at, *to, *source, *size, *hop_limit, deadline).await
            }
            Question::Datagram { to, size } => datagram::ask(at, *to, *size, deadline).await,
            Question::Time { to } => time::ask(at, *to, deadline).await,
            Question::LateTime { to, after_s } => time::ask_late(at, *to, *after_s, deadline).await,
            Question::Snmp { to, source } => manage::ask(at, *to, *source, deadline).await,
            Question::Radius { to } => admission::ask(at, *to, deadline).await,
            Question::Log { to, token } => log::ask(at, *to, token),
            Question::LogIn { token, keeper } => log_in::ask(at, token, *keeper, deadline).await,
            Question::Sink { token } => sink::ask(at, token, deadline).await,
            Question::Inspect(aspect) => inspect::ask(at, *aspect).await,
            Question::PathMtu { to, ceiling } => path_mtu::ask(at, *to, *ceiling, deadline).await,
            Question::Trace { to, most } => trace::ask(at, *to, *most, deadline).await,
            Question::Solicit { interface } => solicit::ask(at, interface, deadline).await,
            Question::Listeners { interface } => listeners::ask(at, interface, deadline).await,
            Question::Lease { interface } => lease::ask(at, interface, deadline).await,
            Question::Dhcp { interface, stateful } => {
                dhcp::ask(at, interface, *stateful, deadline).await
            }
            Question::Neighbour { interface, target, known } => {
                neighbour::ask(at, interface, (*target, *known), deadline).await
            }
            Question::Journey { name, port, tls, path, pinned } => {
                let errand =
                    journey::Errand { name, port: *port, tls: *tls, path, pinned: *pinned };
                journey::ask(self, at, errand, deadline).await
            }
            Question::Spoof { source, to, token } => spoof::ask(at, *source, *to, token).await,
            Question::Router { interface, act } => match at.host.router(interface, *act).await {
                Ok(()) => Answer::Done,
                Err(reason) => not_asked(reason),
            },
            Question::Forge { interface, how, token } => forge::ask(at, interface, *how, token),
            Question::Encapsulated { to, how, token } => {
                encapsulated::ask(at, *to, *how, token).await
            }
            Question::Provoke { to, how } => provoke::ask(at, *to, *how, deadline).await,
            Question::Dialogue { calls } => dialogue::ask(at, calls, deadline).await,
            Question::SourceFor { to } => source_for::ask(at, *to),
            Question::Canary { to, token } => ping::canary(at, *to, token, deadline).await,
            Question::Stream { to, packets, size, class, opened } => {
                let requests = stream::Requests { packets: *packets, size: *size, class: *class };
                stream::ask(at, *to, requests, *opened, deadline).await
            }
            Question::Tunnel { tunnel, act, .. } => match at.host.tunnel(tunnel, *act).await {
                Ok(_) if *act == TunnelAct::Read => inspect::ask(at, Aspect::Tunnels).await,
                Ok(Acted::Done) => Answer::Done,
                Ok(Acted::Declined(said)) => Answer::Declined { said },
                Err(reason) => not_asked(reason),
            },
        }
    }
}

fn not_asked(reason: impl Into<String>) -> Answer {
    Answer::NotAsked { reason: reason.into() }
}
