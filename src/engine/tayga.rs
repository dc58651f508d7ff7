//! TAYGA, as translator: stateless (RFC 7915), with an address of the pool for each user, which keeps it for two hours after its
//! last packet. Nothing is shared by ports, so that there are no sessions and no timers of them.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::Ipv4Net;

use super::TranslatorEngine;
use crate::model::translation::{Pref64, Translator};

/// Addresses that no packet is ever for (RFC 6666): they stand behind addresses of the pool that no user is to have.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0);

/// What it gives to users is a prefix. Of the smallest that holds the pool, it has the first address of the pool itself, and
/// what is not of the pool is given to nobody.
fn conf(told: &Translator) -> String {
    let own = told.pool.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut text = format!("tun-device {DEVICE}\nipv4-addr {own}\nprefix {}\n", told.prefix);
    if told.pool.len() < 2 {
        return text;
    }
    let net = covering(&told.pool);
    let _ = writeln!(text, "dynamic-pool {net}"); // writing to a String cannot fail
    // It never gives the first address of a prefix to anybody.
    let others = Ipv4Net::hosts(&net).chain([net.broadcast()]);
    let others = others.filter(|ip| *ip != net.network() && !told.pool.contains(ip));
    for (number, other) in (1..).zip(others) {
        let nobody = Ipv6Addr::from_bits(NOBODY.to_bits() + number);
        let _ = writeln!(text, "map {other} {nobody}");
    }
    text
}

/// The smallest prefix with all these addresses.
fn covering(pool: &[Ipv4Addr]) -> Ipv4Net {
    let first = pool.first().map_or(0, |ip| ip.to_bits());
    let differs = pool.iter().fold(0, |all, ip| all | (ip.to_bits() ^ first));
    let length = u8::try_from(differs.leading_zeros()).unwrap_or(32);
    Ipv4Net::new_assert(Ipv4Addr::from_bits(first), length).trunc()
}

/// `assigned new pool address 192.0.2.67 (2001:db8::1)`
fn assigned(line: &str) -> Option<(Ipv4Addr, Ipv6Addr)> {
    let (_, said) =
        line.split_once("pool address ").filter(|(how, _)| !how.starts_with("unmapped"))?;
    let (shown, user) = said.trim_end().strip_suffix(')')?.split_once(" (")?;
    Some((shown.parse().ok()?, user.parse().ok()?))
}

/// `64:ff9b:1::/48`, for local use (RFC 8215). TAYGA 0.9.2 calls it reserved and ends.
fn is_of_local_use(prefix: Pref64) -> bool {
    prefix.net().network().segments()[..3] == [0x64, 0xff9b, 1]
}

const DEVICE: &str = "nat64";

pub(super) static ENGINE: TranslatorEngine = TranslatorEngine {
    name: "tayga",
    package: "tayga",
    program: "tayga",
    says: "starting ",
    file: ("tayga.conf", conf),
    make: &["--mktun", "--config", "/run/tayga.conf"],
    command: &["-d", "--config", "/run/tayga.conf"],
    device: DEVICE,
    own: 1,
    shuns: (is_of_local_use, "prefixes for local use (RFC 8215)"),
    assigned,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_pool_is_given_to_nobody() {
        let prefix: ipnet::Ipv6Net = "2001:db8:64::/96".parse().unwrap();
        let told = Translator {
            translation: "nat64".parse().unwrap(),
            interface: "nat0".parse().unwrap(),
            gateway: "2001:db8:64::1".parse().unwrap(),
            prefix: Pref64::try_from(prefix).unwrap(),
            pool: (66..71).map(|last| Ipv4Addr::new(192, 0, 2, last)).collect(),
            refuses: Vec::new(),
            engine: None,
        };
        assert_eq!(
            conf(&told),
            "tun-device nat64\nipv4-addr 192.0.2.66\nprefix 2001:db8:64::/96\ndynamic-pool 192.0.2.64/29\n\
             map 192.0.2.65 100::1\nmap 192.0.2.71 100::2\n"
        );
        let alone = Translator { pool: told.pool[..1].to_vec(), ..told };
        assert!(!conf(&alone).contains("dynamic-pool"));
    }

    #[test]
    fn its_log_tells_who_has_which_address() {
        let (shown, user) = ("192.0.2.67".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let said = assigned("assigned new pool address 192.0.2.67 (2001:db8::1)");
        assert_eq!(said, Some((shown, user)));
        assert_eq!(assigned("unmapped dormant pool address 192.0.2.67 (2001:db8::1)"), None);
        assert_eq!(assigned("Dynamic pool: 192.0.2.64/29"), None);
    }
}
