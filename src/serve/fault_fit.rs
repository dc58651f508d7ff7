//! Whether a node can be made to go wrong in a way: it has what the fault is about, and no engine stands in the way.

use super::{daemon::Post, error::ServeError, orders::Orders, service_host::ServiceHost};
use crate::{
    engine::{Part, lacks_glue},
    model::{
        dhcp::DhcpFault,
        fault::{AdvertisementFault, ContentFault, Reference, Sabotage, SynthesisFault},
        function::Function,
        name::{InterfaceName, ServiceName},
        record::RecordData,
        service::ServiceKind,
    },
};

impl ServiceHost {
    pub(super) fn check_fault(&self, orders: &Orders, fault: &Sabotage) -> Result<(), ServeError> {
        self.check_engines(orders, fault)?;
        let node = self.node().clone();
        match fault {
            Sabotage::ListenOnly { service, .. }
            | Sabotage::AdmitWrongly { service, .. }
            | Sabotage::StopService { service, .. }
            | Sabotage::ListenEverywhere { service, .. }
            | Sabotage::Delay { service, .. } => self.service(service, &ServiceKind::ALL),
            Sabotage::ServeDifferently { service, how: ContentFault::OtherCertificate, .. } => {
                self.service(service, &[ServiceKind::Https])
            }
            Sabotage::ServeDifferently { service, how: ContentFault::OtherHostKey, .. } => {
                self.service(service, &[ServiceKind::Ssh])
            }
            Sabotage::Quirk { service, quirk, .. } => {
                let watches = |service: &ServiceName| {
                    orders.watches.iter().any(|watch| watch.service == *service)
                };
                let kind = match quirk {
                    quirk if quirk.is_of_monitor() && !watches(service) => {
                        return Err(self.no_service(&format!("`{service}` that polls"), &[]));
                    }
                    quirk if quirk.is_of_monitor() => &[ServiceKind::Http, ServiceKind::Https][..],
                    quirk if quirk.is_of_box() => &[ServiceKind::Box],
                    _ => &[ServiceKind::Manager],
                };
                self.service(service, kind)
            }
            Sabotage::ServeDifferently { service, how: ContentFault::TurnsAway, .. } => {
                self.service(service, &ServiceKind::ALL)
            }
            Sabotage::ServeDifferently { service, how: ContentFault::Lame, .. } => {
                self.service(service, &[ServiceKind::Dns, ServiceKind::Resolver])
            }
            Sabotage::ServeDifferently { service, how: ContentFault::Ipv4Table, .. } => {
                self.service(service, &[ServiceKind::Snmp])
            }
            Sabotage::Refer { service, how: Reference::Refers, .. } => {
                self.service(service, &[ServiceKind::Ldap])
            }
            Sabotage::ServeDifferently {
                service,
                how: ContentFault::NoStarttls | ContentFault::BrokenStarttls,
                ..
            } => self.service(service, &[ServiceKind::Smtp, ServiceKind::Ldap]),
            Sabotage::ServeDifferently { service, how: ContentFault::RejectsBrackets, .. } => {
                let kinds = [ServiceKind::Http, ServiceKind::Https, ServiceKind::Smtp];
                self.service(service, &kinds)
            }
            Sabotage::ServeDifferently { service, .. }
            | Sabotage::LockWrongly { service, .. }
            | Sabotage::Refer { service, .. } => {
                self.service(service, &[ServiceKind::Http, ServiceKind::Https])
            }
            Sabotage::LogWrongly { service, how, .. } if how.is_of_sinks() => {
                self.service(service, &[ServiceKind::Syslog])
            }
            Sabotage::LogWrongly { service, .. } => {
                let kinds = [ServiceKind::Http, ServiceKind::Https, ServiceKind::Syslog];
                self.service(service, &kinds)
            }
            Sabotage::FrontWrongly { service, .. } => {
                let known = orders.fronts.passes.iter().any(|(name, _)| name == service);
                let missing = || self.no_service(&format!("`{service}` that passes on"), &[]);
                if known { Ok(()) } else { Err(missing()) }
            }
            Sabotage::ExtraListener { .. } => Ok(()),
            Sabotage::DhcpWrongly { .. } if !orders.duties.is_empty() => Ok(()),
            Sabotage::DhcpWrongly { .. } => Err(ServeError::NoDhcp { node }),
            Sabotage::SetRecord { name, .. }
            | Sabotage::RemoveRecord { name, .. }
            | Sabotage::ShowOtherwise { name, .. } => {
                let name = name.clone();
                let known = orders.has_zone_for(&name);
                if known { Ok(()) } else { Err(ServeError::NoZone { node, name }) }
            }
            Sabotage::AnswerWrongly { .. } => self.answers_names(),
            Sabotage::ResolveOnly { .. } => {
                let has = self.premises.node.services.iter();
                let known = has.map(|service| service.kind).any(|k| k == ServiceKind::Resolver);
                let missing = || self.no_service("that resolves", &[ServiceKind::Resolver]);
                if known { Ok(()) } else { Err(missing()) }
            }
            Sabotage::SynthesizeWrongly { .. } => {
                let kinds = [ServiceKind::Resolver];
                let known = !orders.synthesis.is_empty();
                if known { Ok(()) } else { Err(self.no_service("that synthesizes", &kinds)) }
            }
            Sabotage::AdvertiseWrongly { interface, .. } => self.announces(orders, interface),
            other => Err(self.not_ours(format!("{other:?}"))),
        }
    }

    /// Whether the node announces itself on an interface.
    pub(super) fn announces(
        &self,
        orders: &Orders,
        interface: &InterfaceName,
    ) -> Result<(), ServeError> {
        let known = orders.announcements.contains_key(interface);
        let (node, interface) = (self.node().clone(), interface.clone());
        if known { Ok(()) } else { Err(ServeError::NotAnnouncing { node, interface }) }
    }

    /// Whether engines can do what a fault asks of them. They answer as they were written: what they are told can be bent,
    /// but not how they say it.
    fn check_engines(&self, orders: &Orders, fault: &Sabotage) -> Result<(), ServeError> {
        let refuse = |post: &Post, what: &str| ServeError::Engine {
            node: self.node().clone(),
            service: post.service.clone(),
            engine: post.engine.name,
            what: what.to_owned(),
        };
        let of = |name: &ServiceName| self.posts.iter().find(|post| post.service == *name);
        match fault {
            Sabotage::Delay { service, .. } => {
                of(service).map_or(Ok(()), |post| Err(refuse(post, "to answer one family later")))
            }
            Sabotage::AdmitWrongly { service, .. } => of(service)
                .map_or(Ok(()), |post| Err(refuse(post, "to let in others than its list names"))),
            Sabotage::LogWrongly { service, .. } => {
                of(service).map_or(Ok(()), |post| Err(refuse(post, "to log something else")))
            }
            Sabotage::Refer { service, .. } => {
                of(service).map_or(Ok(()), |post| Err(refuse(post, "to refer to something else")))
            }
            Sabotage::ServeDifferently { service, .. } => of(service).map_or(Ok(()), |post| {
                Err(refuse(post, "to show users of one family something else"))
            }),
            Sabotage::RemoveRecord { .. } => {
                let mut after = orders.clone();
                after.faults.push(fault.clone());
                let refuses = |post: &&Post| {
                    let lacks = |orders: &Orders| lacks_glue(&orders.zones_of(&post.service));
                    post.engine.needs_glue && !lacks(orders) && lacks(&after)
                };
                let post = self.posts.iter().find(refuses);
                let what = "to serve a zone without an address of its own server";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::ResolveOnly { .. } => {
                let fits = |post: &&Post| post.part == Part::Service(ServiceKind::Resolver);
                let post = self.posts.iter().find(fits);
                post.map_or(Ok(()), |post| Err(refuse(post, "to ask over one family only")))
            }
            Sabotage::AnswerWrongly { .. } | Sabotage::ShowOtherwise { .. } => {
                let names = [ServiceKind::Dns, ServiceKind::Resolver];
                let fits =
                    |post: &&Post| names.iter().any(|kind| post.part == Part::Service(*kind));
                let post = self.posts.iter().find(fits);
                post.map_or(Ok(()), |post| Err(refuse(post, "to answer wrongly")))
            }
            Sabotage::AdvertiseWrongly {
                change: AdvertisementFault::Silent | AdvertisementFault::NoFarewell,
                ..
            } => {
                let post = self.functions.get(&Function::Advertisements);
                let what = "to fall silent without a farewell";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::DhcpWrongly { how: DhcpFault::OutsidePrefix, .. } => {
                let post = self.functions.get(&Function::Dhcpv6);
                let what = "to give addresses that are not of the link";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::DhcpWrongly {
                how:
                    DhcpFault::NeverRenews
                    | DhcpFault::ForgetsLeases
                    | DhcpFault::NeverRebinds
                    | DhcpFault::NeverReleases
                    | DhcpFault::RenewsForLess
                    | DhcpFault::TwoNames,
                ..
            } => {
                let post = self.functions.get(&Function::Dhcpv6);
                let what = "to treat hosts otherwise from question to question";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::SynthesizeWrongly { how: SynthesisFault::OverNative, .. } => {
                let mut posts = self.posts.iter();
                let post = posts.find(|post| orders.synthesis.contains_key(&post.service));
                let what = "to synthesize for names that have addresses of IPv6";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::SetRecord { name, data, .. } => {
                let is_alias = |data: &RecordData| matches!(data, RecordData::Alias(_));
                let beside = |post: &&Post| {
                    let zones = orders.zones_of(&post.service);
                    let mut records = zones.iter().flat_map(|zone| &zone.extra);
                    records.any(|r| r.name == *name && is_alias(&r.data) != is_alias(data))
                        || is_alias(data) && zones.iter().any(|zone| zone.origin == *name)
                };
                self.posts.iter().find(beside).map_or(Ok(()), |post| {
                    let what = "to serve an alias beside other records of its name (RFC 2181 section 10.1)";
                    Err(refuse(post, what))
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn not_ours(&self, what: String) -> ServeError {
        ServeError::NotOurs { node: self.node().clone(), what }
    }

    /// Whether the node has a service of one of these kinds.
    pub(super) fn service(
        &self,
        name: &ServiceName,
        kinds: &[ServiceKind],
    ) -> Result<(), ServeError> {
        match self.premises.node.service(name.as_str()) {
            Some(service) if kinds.contains(&service.kind) => Ok(()),
            _ => Err(self.no_service(&format!("`{name}`"), kinds)),
        }
    }

    fn answers_names(&self) -> Result<(), ServeError> {
        let kinds = [ServiceKind::Dns, ServiceKind::Resolver];
        let known = self.premises.node.services.iter().any(|s| kinds.contains(&s.kind));
        if known { Ok(()) } else { Err(self.no_service("of any name", &kinds)) }
    }

    fn no_service(&self, service: &str, kinds: &[ServiceKind]) -> ServeError {
        let services = &self.premises.node.services;
        let known: Vec<_> = services.iter().map(|s| format!("`{}` ({})", s.name, s.kind)).collect();
        let kinds: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
        ServeError::NoService {
            node: self.node().clone(),
            service: service.to_owned(),
            kinds: kinds.join(" or "),
            known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        }
    }
}
