//! What an engine is told, and the files and the command line that follow from it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use ipnet::IpNet;
use minijinja::{
    Environment, UndefinedBehavior,
    syntax::SyntaxConfig,
    value::{Serde, Value},
};
use serde::Serialize;

use super::{
    Engine, Part,
    link::{self, Announced, Carried, Leased},
    zone_file,
};
use crate::model::{
    dhcp::DhcpDuty,
    family::Family,
    front::{Fronted, ProxyProtocol, Site},
    function::Function,
    mac::Mac,
    name::{DomainName, InterfaceName, NodeName, ServiceName},
    record::Zone,
    translation::Pref64,
};
use crate::wire::{dhcpv6, log_in, ra::Announcement};

/// Where an engine finds its files: its folder is mounted there for it alone.
pub const WORK: &str = "/run";

/// The file, below that folder, into which a syslog sink writes a line for every message: sender, the host that
/// it is filed under, message, with blanks between them; and a web service one for every log-in.
pub const LOG: &str = "messages";

/// The socket, likewise, at which the application behind a web service is asked for what that does not serve itself.
pub const APPLICATION: &str = "application";

/// A certificate and its key, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A name or an address that the certificate is for.
    pub name: String,
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// How a resolver is to synthesize addresses (DNS64, RFC 6147).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synthesis {
    /// The prefix that addresses of IPv4 are embedded in.
    pub prefix: Pref64,
    /// What addresses under the prefix are called in reverse.
    pub reverse: DomainName,
    /// The addresses that it gives for `ipv4only.arpa`, by which hosts learn the prefix (RFC 7050).
    pub discovery: Vec<Ipv6Addr>,
}

/// What an engine is to do from now on. When it changes, the engine is started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The node.
    pub node: NodeName,
    /// The service.
    pub service: ServiceName,
    /// What the engine stands in for.
    pub part: Part,
    /// The port.
    pub port: u16,
    /// The paths whose page a web service has itself; all others are for the application behind it.
    pub paths: Vec<String>,
    /// The addresses that a service binds to: unspecified for every address of a family. There is at least one.
    pub listen: Vec<IpAddr>,
    /// The zones that it serves.
    pub zones: Vec<Zone>,
    /// The zones that it asks others for, and whom.
    pub delegations: Vec<(DomainName, Vec<IpAddr>)>,
    /// How it synthesizes addresses, where it does.
    pub synthesis: Option<Synthesis>,
    /// What it holds as a directory, by names (RFC 2247); what lies within another comes before that.
    pub contexts: Vec<String>,
    /// What it passes on, where it is a front.
    pub front: Option<Fronted>,
    /// Whom it lets in; everybody where nobody is named.
    pub admits: Vec<IpNet>,
    /// Where it sends on what it logs of log-ins.
    pub sink: Option<SocketAddr>,
    /// What it shows to users of TLS.
    pub identity: Option<Identity>,
    /// What it shows to users of SSH, in the form of OpenSSH.
    pub host_key: Option<String>,
    /// What it announces as a router, by interface.
    pub announcements: Vec<(InterfaceName, Announcement)>,
    /// What it does for DHCPv6.
    pub duties: Vec<DhcpDuty>,
    /// The link-layer address that its DUID is made of (RFC 8415 section 11.4).
    pub mac: Option<Mac>,
    /// Whether it is root in a user namespace only.
    pub rootless: bool,
}

/// Where an engine must have answered before it counts as started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address that it is bound to, and its port.
    Address(SocketAddr),
    /// On a link, to hosts there.
    Link(InterfaceName),
    /// To those who carry questions to it or are to carry them for it: its socket is open.
    Socket(u16),
}

/// `192.0.2.1:53`, `interface lan`, `port 547`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Link(interface) => write!(f, "interface {interface}"),
            Self::Socket(port) => write!(f, "port {port}"),
        }
    }
}

/// A file of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the folder of the engine.
    pub path: String,
    /// What it holds.
    pub text: String,
    /// Whether only its owner may read it.
    pub secret: bool,
}

/// What templates see.
#[derive(Serialize)]
struct Context<'j> {
    work: &'static str,
    log: &'static str,
    application: &'static str,
    login: &'static str,
    /// The header by which the application tells of a log-in.
    told: &'static str,
    admits: Vec<Admitted>,
    sink: Option<String>,
    node: &'j str,
    service: &'j str,
    kind: &'static str,
    port: u16,
    paths: &'j [String],
    listen: Vec<Bound>,
    v4: bool,
    v6: bool,
    zones: Vec<ServedZone<'j>>,
    delegations: Vec<Delegation<'j>>,
    synthesis: Option<Synthesized<'j>>,
    contexts: &'j [String],
    /// The sites that it passes on to; none where it is no front.
    sites: Vec<SiteBehind<'j>>,
    is_front: bool,
    /// `v1` or `v2`, or nothing.
    tells: &'static str,
    announcements: Vec<Announced<'j>>,
    leased: Vec<Leased<'j>>,
    carried: Vec<Carried>,
    /// Where it is asked for leases: interfaces with hosts, and addresses to which relays send.
    asked_at: Vec<String>,
    mac: String,
    rootless: bool,
}

/// A site behind a front.
#[derive(Serialize)]
struct SiteBehind<'j> {
    node: &'j str,
    names: Vec<&'j str>,
    at: Vec<String>,
}

/// A prefix that is let in.
#[derive(Serialize)]
struct Admitted {
    net: String,
    v6: bool,
}

/// An address to bind to.
#[derive(Serialize)]
struct Bound {
    address: String,
    /// As it stands in a URL: IPv6 in brackets.
    host: String,
    family: &'static str,
    v6: bool,
    /// Whether it stands for every address of its family.
    any: bool,
}

#[derive(Serialize)]
struct ServedZone<'j> {
    origin: &'j str,
    file: String,
}

#[derive(Serialize)]
struct Delegation<'j> {
    origin: &'j str,
    servers: &'j [IpAddr],
}

#[derive(Serialize)]
struct Synthesized<'j> {
    prefix: String,
    reverse: &'j str,
    discovery: &'j [Ipv6Addr],
}

impl Job {
    /// The files that an engine needs for it.
    pub fn files(&self, engine: &Engine) -> Vec<File> {
        let context = self.context();
        let plain = |path: String, text| File { path, text, secret: false };
        let secret = |path: &str, text: String| File { path: path.to_owned(), text, secret: true };
        let mut files: Vec<_> = engine
            .files
            .iter()
            .map(|(path, template)| plain((*path).to_owned(), render(engine, template, &context)))
            .collect();
        files.extend(self.zones.iter().map(|zone| {
            plain(format!("zones/{}.zone", zone.origin), zone_file::text(zone, &self.zones))
        }));
        if let Some(Identity { certificate, key, .. }) = &self.identity {
            files.push(plain("certificate.pem".to_owned(), certificate.clone()));
            files.push(secret("key.pem", key.clone()));
            files.push(secret("both.pem", format!("{certificate}{key}")));
        }
        files.extend(self.host_key.iter().map(|key| secret("host_key", key.clone())));
        files
    }

    /// The command line of an engine for it, without the program.
    pub fn command(&self, engine: &Engine) -> Vec<String> {
        let context = self.context();
        let words = engine.command.iter().map(|word| render(engine, word, &context));
        words.filter(|word| !word.is_empty()).collect()
    }

    /// Where it must be heard.
    pub fn places(&self) -> Vec<Place> {
        match self.part {
            Part::Service(_) => {
                let at = |ip: &IpAddr| Place::Address(SocketAddr::new(*ip, self.port));
                self.listen.iter().map(at).collect()
            }
            Part::Function(Function::Advertisements) => {
                self.announcements.iter().map(|(on, _)| Place::Link(on.clone())).collect()
            }
            Part::Function(Function::Dhcpv6) => {
                let place = |duty: &DhcpDuty| match duty {
                    DhcpDuty::Serve(link) => link.interface.clone().map(Place::Link),
                    DhcpDuty::Relay { .. } => None,
                };
                let socket = || Place::Socket(dhcpv6::SERVER_PORT);
                self.duties.iter().map(|duty| place(duty).unwrap_or_else(socket)).collect()
            }
        }
    }

    fn context(&self) -> Context<'_> {
        let (leased, carried) = link::by_duty(&self.duties);
        let place = |address: &IpAddr| Bound {
            address: address.to_string(),
            host: match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            },
            family: Family::of(*address).word(),
            v6: address.is_ipv6(),
            any: address.is_unspecified(),
        };
        let zone = |zone: &'_ Zone| format!("{WORK}/zones/{}.zone", zone.origin);
        Context {
            work: WORK,
            log: LOG,
            application: APPLICATION,
            login: log_in::LOGIN,
            told: log_in::TOLD,
            admits: self
                .admits
                .iter()
                .map(|net| Admitted { net: net.to_string(), v6: net.addr().is_ipv6() })
                .collect(),
            sink: self.sink.map(|sink| sink.to_string()),
            node: self.node.as_str(),
            service: self.service.as_str(),
            kind: self.part.word(),
            port: self.port,
            paths: &self.paths,
            listen: self.listen.iter().map(place).collect(),
            v4: self.listen.iter().any(IpAddr::is_ipv4),
            v6: self.listen.iter().any(IpAddr::is_ipv6),
            zones: self
                .zones
                .iter()
                .map(|z| ServedZone { origin: z.origin.as_str(), file: zone(z) })
                .collect(),
            delegations: self
                .delegations
                .iter()
                .map(|(origin, servers)| Delegation { origin: origin.as_str(), servers })
                .collect(),
            synthesis: self.synthesis.as_ref().map(|synthesis| Synthesized {
                prefix: synthesis.prefix.to_string(),
                reverse: synthesis.reverse.as_str(),
                discovery: &synthesis.discovery,
            }),
            contexts: &self.contexts,
            sites: self.sites(),
            is_front: self.front.is_some(),
            tells: self.front.as_ref().and_then(|f| f.tells).map_or("", ProxyProtocol::word),
            announcements: self.announcements.iter().map(Announced::of).collect(),
            leased,
            carried,
            asked_at: link::asked_at(&self.duties),
            mac: self.mac.map(|mac| link::octets(&mac.0)).unwrap_or_default(),
            rootless: self.rootless,
        }
    }

    fn sites(&self) -> Vec<SiteBehind<'_>> {
        self.front.iter().flat_map(|front| &front.sites).map(SiteBehind::from).collect()
    }
}

impl<'j> From<&'j Site> for SiteBehind<'j> {
    fn from(site: &'j Site) -> Self {
        Self {
            node: site.node.as_str(),
            names: site.names.iter().map(DomainName::as_str).collect(),
            at: site.at.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Templates are our own, and so are the names that they use.
fn render(engine: &Engine, template: &str, context: &Context<'_>) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    environment.set_syntax(syntax.expect("delimiters that differ"));
    let rendered = environment.render_str(template, Value::from(Serde(context)));
    rendered.unwrap_or_else(|error| panic!("the templates of {} hold: {error:#}", engine.name))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{answer::HeardPrefix, dhcp::DhcpLink};

    /// A job of a kind, on both families.
    pub(crate) fn job(part: Part) -> Job {
        let origin: DomainName = "dc.test".parse().unwrap();
        Job {
            node: "ns".parse().unwrap(),
            service: part.word().parse().unwrap(),
            part,
            port: 53,
            paths: vec!["/".to_owned(), "/app?it's=$(this)".to_owned()],
            listen: vec!["0.0.0.0".parse().unwrap(), "2001:db8::53".parse().unwrap()],
            zones: vec![Zone {
                origin: origin.clone(),
                inside: None,
                servers: vec!["ns".parse().unwrap()],
                extra: Vec::new(),
            }],
            delegations: vec![(origin, vec!["2001:db8::53".parse().unwrap()])],
            synthesis: None,
            contexts: vec!["dc=dc,dc=test".to_owned()],
            front: None,
            admits: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8:1::/64".parse().unwrap()],
            sink: Some("[2001:db8::514]:514".parse().unwrap()),
            identity: None,
            host_key: None,
            announcements: vec![("lan".parse().unwrap(), announcement())],
            duties: vec![
                DhcpDuty::Serve(link(Some("lan"))),
                DhcpDuty::Serve(link(None)),
                DhcpDuty::Relay {
                    interface: "lan".parse().unwrap(),
                    link: "2001:db8:1::1".parse().unwrap(),
                    server: "2001:db8::53".parse().unwrap(),
                },
            ],
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            rootless: false,
        }
    }

    fn announcement() -> Announcement {
        Announcement {
            hop_limit: 64,
            managed: true,
            other: true,
            lifetime_s: 1800,
            standby: true,
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: Some(1500),
            prefixes: vec![HeardPrefix {
                prefix: "2001:db8:1::/64".parse().unwrap(),
                on_link: true,
                autonomous: false,
                valid_s: 7200,
                preferred_s: 3600,
            }],
            dns: vec!["2001:db8::53".parse().unwrap()],
            dns_lifetime_s: 39,
            pref64: vec![(synthesis().prefix, 1800)],
        }
    }

    fn link(interface: Option<&str>) -> DhcpLink {
        let relayed_to = ("wan".parse().unwrap(), "2001:db8::1".parse().unwrap());
        DhcpLink {
            segment: "office".parse().unwrap(),
            interface: interface.map(|name| name.parse().unwrap()),
            prefix: "2001:db8:1::/64".parse().unwrap(),
            leases: vec![(Mac([2, 0, 0, 0, 0, 10]), "2001:db8:1::10".parse().unwrap())],
            dns: vec!["2001:db8::53".parse().unwrap()],
            search: vec!["dc.test".parse().unwrap()],
            relayed_to: interface.is_none().then_some(relayed_to),
            spoilt: Vec::new(),
        }
    }

    fn synthesis() -> Synthesis {
        Synthesis {
            prefix: Pref64::try_from("2001:db8:64::/96".parse::<ipnet::Ipv6Net>().unwrap())
                .unwrap(),
            reverse: "0.4.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa".parse().unwrap(),
            discovery: vec!["2001:db8:64::c000:aa".parse().unwrap()],
        }
    }

    /// Every template renders for every kind, on each family alone and on both, as root and not.
    #[test]
    fn every_engine_has_files_and_a_command_for_every_job() {
        for engine in Engine::all() {
            for part in engine.parts {
                for rootless in [false, true] {
                    let synthesis = rootless.then(synthesis);
                    let both = Job { synthesis, rootless, ..job(*part) };
                    for listen in [&both.listen[..], &both.listen[..1], &both.listen[1..]] {
                        let job = Job { listen: listen.to_vec(), ..both.clone() };
                        let text: String =
                            job.files(engine).into_iter().map(|file| file.text).collect();
                        let all = format!("{text} {}", job.command(engine).join(" "));
                        assert!(!all.contains("{{") && !all.contains("{%"), "{all}");
                        assert!(job.command(engine).iter().all(|word| !word.is_empty()));
                    }
                }
            }
        }
    }
}
