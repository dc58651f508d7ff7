//! Whom a service lets in by its own list, whatever filters on the way say.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    model::{
        access::{self, AccessFault},
        fault::LogFault,
    },
    wire::log_in,
};

/// Whether a list lets a client in; a list that names nobody lets everybody in.
pub(super) fn admits(
    list: &[IpNet],
    client: IpAddr,
    mut faults: impl Iterator<Item = AccessFault>,
) -> bool {
    let planned = || access::names(list, client);
    faults.find_map(|fault| bent(client, fault)).unwrap_or_else(planned)
}

/// What a fault makes of a client that it concerns: let in or not, whatever the list says.
fn bent(client: IpAddr, fault: AccessFault) -> Option<bool> {
    // Compared as text, what is written otherwise is somebody else.
    let reads_as = |spoils| {
        let text = client.to_string();
        (log_in::spoiled(&text, spoils, client) != text).then_some(false)
    };
    match fault {
        AccessFault::Mapped => reads_as(LogFault::Mapped),
        AccessFault::UpperCase => reads_as(LogFault::UpperCase),
        AccessFault::ZeroPadded => reads_as(LogFault::ZeroPadded),
        AccessFault::WithoutIpv6 => client.is_ipv6().then_some(false),
        AccessFault::OpenToIpv6 => client.is_ipv6().then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets_in(client: &str, fault: Option<AccessFault>) -> bool {
        let list = ["192.0.2.0/28", "2001:db8:a::/64"].map(|net| net.parse().unwrap());
        admits(&list, client.parse().unwrap(), fault.into_iter())
    }

    #[test]
    fn a_list_lets_in_whom_it_names() {
        assert!(lets_in("192.0.2.1", None) && lets_in("2001:db8:a::1", None));
        assert!(!lets_in("192.0.2.17", None) && !lets_in("2001:db8:b::1", None));
        assert!(admits(&[], "192.0.2.1".parse().unwrap(), std::iter::empty()));
    }

    #[test]
    fn each_fault_concerns_the_clients_that_it_is_about() {
        assert!(!lets_in("192.0.2.1", Some(AccessFault::Mapped)));
        assert!(lets_in("2001:db8:a::1", Some(AccessFault::Mapped)));
        for fault in [AccessFault::UpperCase, AccessFault::ZeroPadded, AccessFault::WithoutIpv6] {
            assert!(!lets_in("2001:db8:a::1", Some(fault)), "{fault:?}");
            assert!(lets_in("192.0.2.1", Some(fault)), "{fault:?}");
        }
        assert!(lets_in("2001:db8:b::1", Some(AccessFault::OpenToIpv6)));
        assert!(!lets_in("192.0.2.17", Some(AccessFault::OpenToIpv6)));
    }
}
