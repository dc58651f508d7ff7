//! Why a node cannot serve what it is told.

use std::{io, net::SocketAddr};

use super::authority::CertificateError;
use crate::model::{
    name::{DomainName, InterfaceName, NodeName, ServiceName},
    service::Transport,
};

/// Why a node cannot serve what it is told.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A change or a fault that services have no part in.
    #[error("the services of node `{node}` have no part in this: {what}")]
    NotOurs {
        /// The node.
        node: NodeName,
        /// The change or fault.
        what: String,
    },
    /// The node has no such service, or one of another kind.
    #[error("node `{node}` has no service {service} of kind {kinds}; its services are: {known}")]
    NoService {
        /// The node.
        node: NodeName,
        /// The name that was given, quoted.
        service: String,
        /// The kinds that were possible.
        kinds: String,
        /// What there is.
        known: String,
    },
    /// The node has no such interface.
    #[error("node `{node}` has no interface `{interface}`")]
    NoInterface {
        /// The node.
        node: NodeName,
        /// The name that was given.
        interface: InterfaceName,
    },
    /// The node announces nothing there that could be wrong.
    #[error("node `{node}` announces nothing on `{interface}` in this phase")]
    NotAnnouncing {
        /// The node.
        node: NodeName,
        /// The interface.
        interface: InterfaceName,
    },
    /// The node does nothing for DHCPv6 that could be wrong.
    #[error("node `{node}` neither serves nor relays DHCPv6 in this phase")]
    NoDhcp {
        /// The node.
        node: NodeName,
    },
    /// The socket of DHCPv6 could not be opened.
    #[error("node `{node}` cannot open the socket of its DHCPv6 service: {source}")]
    Dhcp {
        /// The node.
        node: NodeName,
        /// Why.
        source: io::Error,
    },
    /// No zone of the node holds a name.
    #[error("node `{node}` serves no zone that `{name}` belongs to in this phase")]
    NoZone {
        /// The node.
        node: NodeName,
        /// The name.
        name: DomainName,
    },
    /// A listening socket could not be opened.
    #[error("`{service}` of node `{node}` cannot listen on {transport} {address}: {source}")]
    Listen {
        /// The node.
        node: NodeName,
        /// The service.
        service: ServiceName,
        /// The transport.
        transport: Transport,
        /// The address and port.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The application behind the engine of a web service could not be placed there.
    #[error("the application behind `{service}` of node `{node}` cannot be asked: {source}")]
    Application {
        /// The node.
        node: NodeName,
        /// The service.
        service: ServiceName,
        /// What the kernel said.
        source: io::Error,
    },
    /// Announcing could not begin.
    #[error("node `{node}` cannot announce as a router on `{interface}`: {source}")]
    Announce {
        /// The node.
        node: NodeName,
        /// The interface.
        interface: InterfaceName,
        /// What the kernel said.
        source: io::Error,
    },
    /// The namespace of the node could not be entered.
    #[error("cannot enter the namespace of node `{node}`: {source}")]
    Enter {
        /// The node.
        node: NodeName,
        /// What the kernel said.
        source: io::Error,
    },
    /// An engine cannot be made to do that.
    #[error(
        "the engine `{engine}` of service `{service}` of node `{node}` cannot be made to do this: {what}; plant the fault \
         in the service that is built in"
    )]
    Engine {
        /// The node.
        node: NodeName,
        /// The service.
        service: ServiceName,
        /// The engine.
        engine: &'static str,
        /// What.
        what: String,
    },
    /// An engine did not come up with a fault.
    #[error("{said}")]
    Trouble {
        /// What is the matter, as a sentence.
        said: String,
    },
    /// There is no certificate to serve with.
    #[error("node `{node}` has no certificate: {source}")]
    Certificate {
        /// The node.
        node: NodeName,
        /// Why.
        source: CertificateError,
    },
}
