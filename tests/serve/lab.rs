//! Two nodes and the link between them.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    process::Command,
    sync::Arc,
    time::Duration,
};

use sixwalk::{
    model::{
        family::{Families, Family},
        fault::Sabotage,
        mac::Mac,
        node::{Address, Interface, Node, Origin, Role},
        phase::PerPhase,
        service::{Revocation, Service, ServiceKind},
        step::Change,
    },
    net::namespace::Namespace,
    serve::{ServeError, ServiceHost, Shared},
};
use tokio::runtime::Runtime;

pub(crate) const V4: &str = "192.0.2.1";
pub(crate) const V6: &str = "2001:db8::1";
pub(crate) const V6_CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// Two namespaces and a link between them: `portal` on `s0`, who asks on `c0`.
pub(crate) struct Lab {
    pub(crate) runtime: Runtime,
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
    pub(crate) shared: Arc<Shared>,
    pub(crate) host: ServiceHost,
}

impl Lab {
    pub(crate) fn new(services: Vec<Service>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let (server, client) = (Namespace::create().unwrap(), Namespace::create().unwrap());
        let peer = format!("/proc/{}/fd/{}", std::process::id(), client.as_fd().as_raw_fd());
        ip(&server, "link set lo up");
        ip(&server, "link add s0 address 02:00:00:00:00:01 type veth peer name c0");
        ip(&server, &format!("link set c0 netns {peer}"));
        ip(&server, "link set s0 up");
        ip(&client, "link set c0 up");
        for address in ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64"] {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            ip(&server, &format!("address add {address} dev s0 {nodad}"));
        }
        ip(&client, "address add 192.0.2.9/24 dev c0");
        ip(&client, "address add 2001:db8::9/64 dev c0 nodad");
        let shared = Shared::new();
        let host = ServiceHost::new(&node(services), server.clone(), Arc::clone(&shared));
        Self { runtime: runtime.unwrap(), server, client, shared, host }
    }

    pub(crate) fn apply(&self, change: &Change) -> Result<(), ServeError> {
        self.runtime.block_on(self.host.apply(change))
    }

    pub(crate) fn listen(&self, service: &str, address: &str) {
        self.apply(&listen(service, address)).unwrap();
    }

    pub(crate) fn stop(&self, service: &str, address: &str) {
        let service = service.parse().unwrap();
        self.apply(&Change::StopListening { service, address: address.parse().unwrap() }).unwrap();
    }

    pub(crate) fn sabotage(&self, fault: &Sabotage) {
        self.runtime.block_on(self.host.sabotage(fault)).unwrap();
    }

    pub(crate) fn clear(&self) {
        self.runtime.block_on(self.host.clear_sabotage()).unwrap();
    }

    pub(crate) fn connect(&self, ip: &str, port: u16) -> io::Result<TcpStream> {
        let to = SocketAddr::new(ip.parse().unwrap(), port);
        let stream = self.client.run(|| TcpStream::connect_timeout(&to, PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends a datagram from a connected socket, which takes a reply from nowhere but the address asked.
    pub(crate) fn datagram(&self, ip: &str, port: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
        let to = SocketAddr::new(ip.parse().unwrap(), port);
        let socket = self.client.run(|| {
            let socket = UdpSocket::bind((Family::of(to.ip()).unspecified(), 0))?;
            socket.connect(to)?;
            Ok(socket)
        })?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(payload)?;
        let mut buffer = vec![0; 65_535];
        let length = socket.recv(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    }

    pub(crate) fn http(&self, ip: &str, request: &str) -> String {
        let mut stream = self.connect(ip, 80).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn get(&self, ip: &str) -> String {
        self.http(ip, "GET / HTTP/1.1\r\nHost: portal.dc.test\r\nConnection: close\r\n\r\n")
    }
}

pub(crate) fn ip(namespace: &Namespace, words: &str) {
    let status = namespace.run(|| Command::new("ip").args(words.split_whitespace()).status());
    assert!(status.unwrap().success(), "ip {words}");
}

pub(crate) fn node(services: Vec<Service>) -> Node {
    let address = |net: &str| Address { net: net.parse().unwrap(), origin: Origin::Static };
    Node {
        name: "portal".parse().unwrap(),
        title: "Portal".to_owned(),
        site: None,
        role: Role::Server,
        interfaces: vec![Interface {
            name: "s0".parse().unwrap(),
            segment: "dmz".parse().unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            addresses: vec![address("192.0.2.1/24"), address("2001:db8::1/64")],
            families: PerPhase::from_fn(|_| Families::BOTH),
        }],
        services,
        routes: Vec::new(),
        resolvers: Vec::new(),
        logs_to: None,
        time_from: None,
        users_from: None,
        engines: BTreeMap::default(),
    }
}

pub(crate) fn service(kind: ServiceKind) -> Service {
    Service {
        name: kind.word().parse().unwrap(),
        kind,
        port: kind.usual_port(),
        on: None,
        listen: PerPhase::from_fn(|_| Families::BOTH),
        names: vec!["portal.dc.test".parse().unwrap()],
        path: "/app".to_owned(),
        engine: None,
        admits: Vec::new(),
        lockout: None,
        loads: Vec::new(),
        mirrors: Vec::new(),
        revocation: Revocation::default(),
        polls: Vec::new(),
        front: None,
    }
}

pub(crate) fn every_service() -> Vec<Service> {
    let mut services: Vec<_> = ServiceKind::ALL.into_iter().map(service).collect();
    services.iter_mut().find(|s| s.kind == ServiceKind::Resolver).unwrap().port = 5353;
    services
}

pub(crate) fn listen(service: &str, address: &str) -> Change {
    Change::Listen { service: service.parse().unwrap(), address: address.parse().unwrap() }
}
