//! Questions in their usual form. Checks that ask the same thing build it here, so that it is sent once.

use std::net::{IpAddr, SocketAddr};

use crate::{
    model::{
        name::NodeName,
        node::Node,
        probe::{Aspect, Hello, Probe, Question},
        record::RecordType,
        service::{Port, Service, ServiceKind, Transport},
    },
    stage::Stage,
};

/// A question of a node, for the first time.
pub fn probe(from: &NodeName, question: Question) -> Probe {
    Probe { from: from.clone(), question, round: 0 }
}

/// The same question once more; a connection then also watches who answers.
pub fn again(first: &Probe, round: u8) -> Probe {
    let mut probe = Probe { round, ..first.clone() };
    if let Question::Connect { watch, .. } = &mut probe.question {
        *watch = true;
    }
    probe
}

/// A property of a node.
pub fn inspect(node: &NodeName, aspect: Aspect) -> Probe {
    probe(node, Question::Inspect(aspect))
}

/// An address as it stands in a URL or a Host header: IPv6 in brackets (RFC 3986).
pub fn url_host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The name under which a service is asked for: its first published name, or that of a site behind it, or the literal.
pub fn host_of(service: &Service, address: IpAddr) -> String {
    let fronted = service.front.iter().flat_map(|front| &front.names);
    let name = service.names.iter().chain(fronted).next();
    name.map_or_else(|| url_host(address), ToString::to_string)
}

/// Does a service answer as its protocol asks? `None` for a syslog sink, which answers nothing: see `svc.syslog-v6`.
pub fn hello(
    stage: &Stage,
    from: &NodeName,
    node: &Node,
    service: &Service,
    to: IpAddr,
) -> Option<Probe> {
    let socket = SocketAddr::new(to, service.port);
    let connect = |hello| Question::Connect { to: socket, source: None, hello, watch: false };
    let question = match service.kind {
        // Whether a front leads to its sites is a question of its own: `out.v4-front-for-v6-only`.
        _ if service.front.is_some() => connect(Hello::Nothing),
        ServiceKind::Manager | ServiceKind::Box => {
            connect(Hello::Http { host: url_host(to), path: "/".to_owned() })
        }
        ServiceKind::Http => {
            connect(Hello::Http { host: host_of(service, to), path: service.path.clone() })
        }
        ServiceKind::Https => connect(Hello::Tls { name: host_of(service, to) }),
        ServiceKind::Ssh => connect(Hello::Ssh),
        ServiceKind::Echo => connect(Hello::Echo),
        ServiceKind::Ldap => connect(Hello::Ldap { name: host_of(service, to) }),
        ServiceKind::Smtp => connect(Hello::Smtp),
        ServiceKind::Ntp => Question::Time { to: socket },
        ServiceKind::Snmp => Question::Snmp { to: socket, source: None },
        ServiceKind::Radius => Question::Radius { to: socket },
        ServiceKind::Dns | ServiceKind::Resolver => {
            let staged = &stage.nodes[&node.name];
            let zones = staged.zones.as_ref().and_then(|(_, zones)| zones.first());
            let delegations = staged.delegations.as_ref().and_then(|(_, all)| all.first());
            let zone = zones.map(|z| &z.origin).or(delegations.map(|d| &d.zone))?;
            Question::Lookup {
                server: socket,
                transport: Transport::Udp,
                name: zone.clone(),
                rtype: RecordType::Soa,
                edns: None,
                recurse: service.kind == ServiceKind::Resolver,
                mixed_case: false,
            }
        }
        ServiceKind::Syslog => return None,
    };
    Some(probe(from, question))
}

/// Is a port open at all? For ports behind which no service is planned.
pub fn knock(from: &NodeName, to: IpAddr, port: Port) -> Probe {
    let to = SocketAddr::new(to, port.number);
    let question = match port.transport {
        Transport::Tcp => {
            Question::Connect { to, source: None, hello: Hello::Nothing, watch: false }
        }
        Transport::Udp => Question::Datagram { to, size: 32 },
    };
    probe(from, question)
}

/// A page, whole.
pub fn fetch(from: &NodeName, service: &Service, to: IpAddr, path: &str) -> Probe {
    let host = host_of(service, to);
    let tls = (service.kind == ServiceKind::Https).then(|| host.clone());
    let to = SocketAddr::new(to, service.port);
    probe(from, Question::Fetch { to, tls, host, path: path.to_owned() })
}

/// An echo request of the usual size.
pub fn ping(from: &NodeName, to: IpAddr) -> Probe {
    probe(from, Question::Ping { to, source: None, size: 56, hop_limit: None })
}
