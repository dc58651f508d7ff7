//! Locks: who failed to log in too often waits, whatever is said next. Locks are of a user and a source, and last as long as
//! the lab.

use std::{collections::BTreeMap, net::IpAddr};

use hyper::StatusCode;
use ipnet::IpNet;

use crate::{
    model::{
        access::{LockFault, Lockout},
        name::ServiceName,
    },
    wire::log_in::{self, Proof},
};

/// Failures that are remembered; beyond that, all are forgotten.
const MOST: usize = 10_000;

/// Failed log-ins, by service, user and source.
#[derive(Default)]
pub(super) struct Failures(BTreeMap<(ServiceName, String, IpNet), u8>);

impl Failures {
    /// Why a log-in is refused, where it is: `429` while it is locked (RFC 6585), `401` for a wrong password.
    pub(super) fn refusal(
        &mut self,
        service: &ServiceName,
        (lockout, fault): (Lockout, Option<LockFault>),
        query: &str,
        client: IpAddr,
    ) -> Option<StatusCode> {
        let (user, proof) = log_in::proof(query)?;
        let source = source(lockout, client.to_canonical(), fault);
        let who = source.map(|source| (service.clone(), user.to_owned(), source));
        let failed = who.as_ref().and_then(|who| self.0.get(who)).copied().unwrap_or(0);
        if failed >= lockout.after {
            return Some(StatusCode::TOO_MANY_REQUESTS);
        }
        if proof == Proof::Right {
            return None;
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.extend(who.map(|who| (who, failed + 1)));
        Some(StatusCode::UNAUTHORIZED)
    }
}

/// What is counted as one source; `None` where nothing is counted.
fn source(lockout: Lockout, client: IpAddr, fault: Option<LockFault>) -> Option<IpNet> {
    let bent = fault.filter(|_| client.is_ipv6());
    let bits = |ipv6| Lockout { ipv6, ..lockout }.source(client);
    match bent {
        None => Some(lockout.source(client)),
        Some(LockFault::EachAddress) => Some(bits(128)),
        Some(LockFault::Everybody) => Some(bits(0)),
        Some(LockFault::Never) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_concern_ipv6_alone() {
        let lockout = Lockout { after: 3, ipv4: 32, ipv6: 64 };
        let shown = |client: &str, fault| {
            let source = source(lockout, client.parse().unwrap(), fault);
            source.map(|source| source.to_string())
        };
        let v6 = |fault| shown("2001:db8::1", fault);
        assert_eq!(v6(None).unwrap(), "2001:db8::/64");
        assert_eq!(v6(Some(LockFault::EachAddress)).unwrap(), "2001:db8::1/128");
        assert_eq!(v6(Some(LockFault::Everybody)).unwrap(), "::/0");
        assert_eq!(v6(Some(LockFault::Never)), None);
        assert_eq!(shown("192.0.2.1", Some(LockFault::Never)).unwrap(), "192.0.2.1/32");
    }
}
