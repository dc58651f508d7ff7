//! What the engines of a node are told, and what stands behind them.

use std::sync::{Arc, PoisonError};

use ipnet::IpNet;

use super::{
    application, daemon::Post, error::ServeError, ldap, orders::Orders, service_host::ServiceHost,
    speaker::Speaker, synthesis::Synthesis,
};
use crate::{
    engine::{Engine, Job, Part, lacks_glue},
    model::{
        family::Family,
        function::Function,
        name::ServiceName,
        service::{Service, ServiceKind},
    },
};

/// The paths of which a web service itself has a page. One that loads others is of the application.
fn own_paths(path: &str, loads: bool) -> Vec<String> {
    let mut paths = vec!["/".to_owned(), path.to_owned()];
    paths.dedup();
    paths.retain(|own| !(loads && own == path));
    paths
}

impl ServiceHost {
    /// Brings engines in line with orders, those at some posts. That one does not come up is told by `troubles`, and is no
    /// reason to stop.
    pub(super) async fn employ(
        &self,
        orders: &Orders,
        at: impl Fn(&Post) -> bool,
    ) -> Result<(), ServeError> {
        for post in self.posts.iter().filter(|post| at(post)) {
            let service = self.premises.node.service(post.service.as_str());
            let job = service.map(|service| self.job(orders, service)).transpose()?.flatten();
            let is_new = post.take(job, &self.premises.namespace, &self.premises.shared).await;
            if let Some(service) = service.filter(|service| is_new && service.is_site()) {
                self.place_application(post, service)?;
            }
        }
        for (function, post) in self.functions.iter().filter(|(_, post)| at(post)) {
            let job = self.function_job(orders, *function);
            post.take(job, &self.premises.namespace, &self.premises.shared).await;
        }
        Ok(())
    }

    /// Puts the application behind a web service that an engine has just begun to provide.
    fn place_application(&self, post: &Post, service: &Service) -> Result<(), ServeError> {
        let speaker = Speaker {
            service: service.name.clone(),
            kind: service.kind,
            premises: Arc::clone(&self.premises),
        };
        let opened = application::open(post.work(), speaker);
        let opened = opened.map_err(|source| ServeError::Application {
            node: self.node().clone(),
            service: service.name.clone(),
            source,
        })?;
        let mut applications = self.applications.lock().unwrap_or_else(PoisonError::into_inner);
        applications.insert(service.name.clone(), opened);
        Ok(())
    }

    /// What an engine is told that does something for the network; nothing where there is nothing to do.
    fn function_job(&self, orders: &Orders, function: Function) -> Option<Job> {
        let mut job = self.bare_job(Part::Function(function), function.word().parse().ok()?);
        match function {
            Function::Advertisements => {
                job.announcements = orders.announced().into_iter().collect();
            }
            Function::Dhcpv6 => job.duties = orders.dhcp(),
        }
        (!job.places().is_empty()).then_some(job)
    }

    /// What every engine of the node is told.
    fn bare_job(&self, part: Part, service: ServiceName) -> Job {
        Job {
            node: self.node().clone(),
            service,
            part,
            port: 0,
            paths: Vec::new(),
            listen: Vec::new(),
            zones: Vec::new(),
            delegations: Vec::new(),
            synthesis: None,
            contexts: Vec::new(),
            front: None,
            admits: Vec::new(),
            sink: None,
            identity: None,
            host_key: None,
            announcements: Vec::new(),
            duties: Vec::new(),
            mac: self.premises.node.interfaces.first().map(|interface| interface.mac),
            rootless: self.premises.shared.engines().rootless,
        }
    }

    /// Whom an engine lets in: whom its list names, and the node itself, from which it is asked whether it is there.
    fn admitted(&self, service: &Service) -> Vec<IpNet> {
        if service.admits.is_empty() {
            return Vec::new();
        }
        let loopback = Family::ALL.map(Family::loopback).into_iter();
        let own = loopback.chain(self.premises.addresses()).map(IpNet::from);
        service.admits.iter().copied().chain(own).collect()
    }

    /// What an engine is told; nothing where it is to be bound to no address.
    fn job(&self, orders: &Orders, service: &Service) -> Result<Option<Job>, ServeError> {
        let listen = orders.listen(&service.name);
        let zones = orders.zones_of(&service.name);
        let engine = service.engine.as_ref().and_then(Engine::of);
        let waits = engine.is_some_and(|it| it.needs_glue) && lacks_glue(&zones);
        if listen.is_empty() || waits {
            return Ok(None);
        }
        let (premises, is_site) = (&self.premises, service.is_site());
        let certificate = |source| ServeError::Certificate { node: self.node().clone(), source };
        let shows = match service.kind {
            ServiceKind::Https => is_site,
            kind => kind == ServiceKind::Ldap,
        };
        let identity = shows.then(|| premises.identity()).transpose().map_err(certificate)?;
        Ok(Some(Job {
            port: service.port,
            paths: own_paths(&service.path, !service.loads.is_empty()),
            listen,
            zones,
            delegations: orders.delegations.get(&service.name).cloned().unwrap_or_default(),
            synthesis: orders.synthesis_of(&service.name).map(Synthesis::for_engine),
            contexts: match service.kind {
                ServiceKind::Ldap => ldap::contexts(&service.names),
                _ => Vec::new(),
            },
            front: orders.fronted(&service.name),
            admits: self.admitted(service),
            sink: orders.log_sinks.first().copied().filter(|_| is_site),
            identity,
            host_key: (service.kind == ServiceKind::Ssh)
                .then(|| premises.shared.host_key_text(self.node())),
            ..self.bare_job(Part::Service(service.kind), service.name.clone())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::own_paths;

    #[test]
    fn a_page_that_loads_others_is_never_that_of_an_engine() {
        assert_eq!(own_paths("/app", false), ["/", "/app"]);
        assert_eq!(own_paths("/app", true), ["/"]);
        assert_eq!(own_paths("/", false), ["/"]);
        assert!(own_paths("/", true).is_empty());
    }
}
