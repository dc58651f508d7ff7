//! The words that occur in many places: names, families, prefixes, addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::DeserializeOwned;

use crate::{
    input::{
        diagnostic::Span,
        shape::{Shape, key},
        table::{At, Table, read},
    },
    model::{
        family::{Families, Family},
        impairment::{Delay, Rate, Share},
        name::{DomainName, InterfaceName, NodeName, SegmentName, ServiceName, SiteName},
        phase::Phase,
    },
};

fn planned_share(text: &str) -> Result<(), String> {
    let (share, most): (Share, _) = (text.parse()?, Share::MOST_PLANNED);
    if share > most {
        Err(format!("`{share}` is too much for a plan; at most `{most}`"))
    } else {
        Ok(())
    }
}

fn planned_rate(text: &str) -> Result<(), String> {
    let (rate, least): (Rate, _) = (text.parse()?, Rate::LEAST_PLANNED);
    if rate < least {
        Err(format!(
            "`{rate}` is too slow for a plan, because answers would come later than programs wait for them; at least \
             `{least}`"
        ))
    } else {
        Ok(())
    }
}

/// Whether a text can be read as a type, and why not.
pub(in crate::input) fn parses<T: DeserializeOwned>(text: &str) -> Result<(), String> {
    read::<T>(text).map(drop).map_err(|why| why.to_string())
}

pub(in crate::input) const NODE: Shape =
    Shape::Parsed { what: "the name of a node", check: parses::<NodeName> };
pub(in crate::input) const NODES: Shape = Shape::List { of: &NODE, most: 64 };
pub(in crate::input) const SEGMENT: Shape =
    Shape::Parsed { what: "the name of a segment", check: parses::<SegmentName> };
pub(in crate::input) const SEGMENTS: Shape = Shape::List { of: &SEGMENT, most: 2000 };
pub(in crate::input) const SITE: Shape =
    Shape::Parsed { what: "the name of a site", check: parses::<SiteName> };
pub(in crate::input) const INTERFACE: Shape =
    Shape::Parsed { what: "the name of an interface", check: parses::<InterfaceName> };
pub(in crate::input) const SERVICE: Shape =
    Shape::Parsed { what: "the name of a service", check: parses::<ServiceName> };
pub(in crate::input) const DOMAIN: Shape =
    Shape::Parsed { what: "a domain name such as `portal.dc.test`", check: parses::<DomainName> };
/// Where mail is brought, or nowhere.
pub(in crate::input) const MAIL: Shape = Shape::Parsed {
    what: "the name of a mail server such as `mail.dc.test`, or `.`",
    check: |text| if text == "." { Ok(()) } else { parses::<DomainName>(text) },
};
/// What a page may refer to.
pub(in crate::input) const URL: Shape = Shape::Parsed {
    what: "a URL such as `https://www.example.test/logo.png`",
    check: |url| crate::wire::reference::read(url).map(drop).map_err(|why| why.to_string()),
};
/// The same, or what a directory sends on to.
pub(in crate::input) const REFERENCE: Shape = Shape::Parsed {
    what: "a URL such as `https://www.example.test/logo.png` or `ldap://ldap.example.test/`",
    check: |url| {
        let read = crate::wire::reference::read(url).map(drop);
        let is_directory = crate::wire::reference::directory(url).is_ok();
        read.or(if is_directory { Ok(()) } else { read }).map_err(|why| why.to_string())
    },
};
pub(in crate::input) const FAMILY: Shape =
    Shape::Word(|| Family::ALL.into_iter().map(Family::word).collect());
pub(in crate::input) const FAMILIES: Shape = Shape::List { of: &FAMILY, most: 2 };
pub(in crate::input) const PHASE: Shape =
    Shape::Word(|| Phase::ALL.into_iter().map(Phase::word).collect());
pub(in crate::input) const ADDRESS: Shape = Shape::Parsed {
    what: "an address such as `192.0.2.1` or `2001:db8::1`",
    check: |text| address(text).map(drop),
};
pub(in crate::input) const NET: Shape = Shape::Parsed {
    what: "a prefix such as `10.1.0.0/24` or `2001:db8:a:1::/64`",
    check: |text| net(text).map(drop),
};
pub(in crate::input) const SHARE: Shape =
    Shape::Parsed { what: "a share of frames such as `2%`", check: parses::<Share> };
/// That of a planned link.
pub(in crate::input) const PLANNED_SHARE: Shape =
    Shape::Parsed { what: "a share of frames such as `2%`", check: planned_share };
pub(in crate::input) const RATE: Shape =
    Shape::Parsed { what: "a rate such as `10mbit`", check: parses::<Rate> };
/// That of a planned link.
pub(in crate::input) const PLANNED_RATE: Shape =
    Shape::Parsed { what: "a rate such as `10mbit`", check: planned_rate };
pub(in crate::input) const DELAY: Shape =
    Shape::Parsed { what: "a delay such as `20ms`", check: parses::<Delay> };
/// Families by phase: `{ partial = ["ipv4"] }`.
pub(in crate::input) const BY_PHASE: Shape = Shape::Table(&[
    key("ipv4-only", FAMILIES, "The families in the IPv4-only phase."),
    key("partial", FAMILIES, "The families in the partial phase."),
    key("dual-stack", FAMILIES, "The families in the dual-stack phase."),
    key("ipv6-only", FAMILIES, "The families in the IPv6-only phase."),
]);

/// What a file says of one phase.
#[derive(Clone, Debug)]
pub(in crate::input) struct InPhase {
    pub phase: Phase,
    pub families: Families,
    pub at: Span,
}

/// What a file says of families phase by phase.
pub(in crate::input) fn by_phase(table: &Table<'_>, key: &str) -> Vec<InPhase> {
    let one = |entry: crate::input::table::Entry<'_>| {
        let families = entry.items().iter().filter_map(|item| Some(item.one()?.is)).collect();
        Some(InPhase { phase: Phase::from_word(&entry.key)?, families, at: entry.span() })
    };
    table.children(key).into_iter().filter_map(one).collect()
}

/// A prefix or an address with a prefix length; host bits are kept.
pub(in crate::input) fn net(text: &str) -> Result<IpNet, String> {
    let Some((ip, length)) = text.split_once('/') else {
        return Err(match text.parse::<IpAddr>() {
            Ok(_) => format!("`{text}` has no prefix length; write it as `{text}/…`"),
            Err(_) => format!("`{text}` is not a prefix such as `10.1.0.0/24`"),
        });
    };
    let ip = address(ip)?;
    // By its form: an IPv4-mapped address counts as IPv4 elsewhere, but its prefix has up to 128 bits.
    let bits = Family::of_net(IpNet::from(ip)).bits();
    let length = length.parse::<u8>().ok().filter(|n| *n <= bits);
    let length = length.ok_or_else(|| {
        format!("`{text}` is not a prefix: after `/` comes a number from 0 to {bits}")
    })?;
    IpNet::new(ip, length).map_err(|_| format!("`{text}` is not a prefix"))
}

/// An address.
pub(in crate::input) fn address(text: &str) -> Result<IpAddr, String> {
    if text.contains('%') {
        return Err(format!("`{text}` names an interface; the testbed says it by the segment"));
    }
    text.parse().map_err(|_| format!("`{text}` is not an IPv4 or IPv6 address"))
}

/// An address of a family that a host can have.
pub(in crate::input) fn host_address(text: &str, family: Family) -> Result<IpAddr, String> {
    let ip = address(text)?;
    of_family(IpNet::from(ip), family)?;
    Ok(ip)
}

/// The prefixes of a table that can be used, and, apart from them, those that cannot: they are to be given another length,
/// but where they lie is known.
pub(in crate::input) fn prefixes(
    table: &Table<'_>,
    keys: &[(&str, Family)],
    fits: impl Fn(&str, Family) -> Result<IpNet, String>,
) -> (Vec<At<IpNet>>, Vec<At<IpNet>>) {
    let (mut usable, mut misfits) = (Vec::new(), Vec::new());
    for (key, family) in keys {
        let Some(text) = table.one::<String>(key) else { continue };
        let Ok(net) = net(&text.is) else { continue };
        if of_family(net, *family).is_err() {
            continue;
        }
        // Host bits are complained of together with the prefix that is meant.
        match fits(&net.trunc().to_string(), *family) {
            Ok(is) => usable.push(At { is, at: text.at }),
            Err(_) => misfits.push(At { is: net, at: text.at }),
        }
    }
    (usable, misfits)
}

/// The prefix of a segment.
pub(in crate::input) fn segment_prefix(text: &str, family: Family) -> Result<IpNet, String> {
    let net = net(text)?;
    of_family(net, family)?;
    let (least, most) = match family {
        Family::V4 => (8, 31),
        Family::V6 => (16, 127),
    };
    if !(least..=most).contains(&net.prefix_len()) {
        return Err(format!(
            "`{text}` is no size for a segment: an {family} prefix has a length from {least} to {most}"
        ));
    }
    if net.trunc() != net {
        return Err(format!("`{text}` has host bits; the prefix is `{}`", net.trunc()));
    }
    Ok(net)
}

fn of_family(net: IpNet, family: Family) -> Result<(), String> {
    let written = match net {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    };
    if written != family {
        return Err(format!("`{}` is {written}, but `{}` is asked for", net.addr(), family.word()));
    }
    let special = match net.addr() {
        IpAddr::V4(ip) if ip.is_loopback() => "a loopback address",
        IpAddr::V4(ip) if ip.is_link_local() => "a link-local address",
        IpAddr::V4(ip) if ip.octets()[0] >= 224 => "a multicast or reserved address",
        IpAddr::V4(ip) if ip.octets()[0] == 0 => "in `0.0.0.0/8`, \"this network\"",
        IpAddr::V6(ip) if ip.is_multicast() => "a multicast address",
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            "a link-local address, which every interface has anyway"
        }
        IpAddr::V6(ip) if ip.to_ipv4().is_some() => "an IPv4 address in IPv6 clothes or loopback",
        _ => return Ok(()),
    };
    Err(format!("`{}` is {special}; nodes cannot be given it", net.addr()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_refused_with_their_reason() {
        let why = |text: &str, family| segment_prefix(text, family).unwrap_err();
        assert!(why("10.1.0.0", Family::V4).contains("no prefix length"));
        assert!(why("10.1.0.7/24", Family::V4).contains("`10.1.0.0/24`"));
        assert!(why("10.1.0.0/33", Family::V4).contains("from 0 to 32"));
        assert!(why("2001:db8::/64", Family::V4).contains("is IPv6"));
        assert!(why("fe80::/64", Family::V6).contains("link-local"));
        assert!(why("ff02::/64", Family::V6).contains("multicast"));
        assert!(why("::ffff:192.0.2.0/120", Family::V6).contains("clothes"));
        assert!(why("2001:db8::/128", Family::V6).contains("from 16 to 127"));
        assert!(segment_prefix("2001:DB8:0:0::/64", Family::V6).is_ok());
        assert!(segment_prefix("192.0.2.0/31", Family::V4).is_ok());
    }
}
