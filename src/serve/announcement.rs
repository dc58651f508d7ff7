//! What a router of a node announces: by plan, or as a fault bends it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    model::{
        answer::HeardPrefix, fault::AdvertisementFault, mac::Mac, segment::Advertisement,
        translation::Pref64,
    },
    wire::ra::Announcement,
};

/// `AdvValidLifetime` and `AdvPreferredLifetime` in seconds: the defaults of RFC 4861 section 6.2.1.
const PREFIX_LIFETIMES_S: (u32, u32) = (2_592_000, 604_800);
/// How long announced servers may be used, in seconds: three times `MaxRtrAdvInterval` (RFC 8106 section 5.1).
const DNS_LIFETIME_S: u32 = 39;

pub(super) fn planned(
    mac: Mac,
    plan: &Advertisement,
    prefix: IpNet,
    mtu: u32,
    dns: &[IpAddr],
    pref64: &[Pref64],
) -> Announcement {
    let (valid_s, preferred_s) = PREFIX_LIFETIMES_S;
    let v6 = |address: &IpAddr| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    };
    Announcement {
        hop_limit: 64,
        managed: plan.managed,
        other: plan.other,
        lifetime_s: plan.lifetime_s,
        standby: false,
        mac,
        mtu: Some(mtu),
        prefixes: vec![HeardPrefix {
            prefix: prefix.trunc(),
            on_link: plan.on_link,
            autonomous: plan.autonomous,
            valid_s,
            preferred_s,
        }],
        dns: dns.iter().filter_map(v6).collect(),
        dns_lifetime_s: DNS_LIFETIME_S,
        // As long as the router itself (RFC 8781 section 4.1).
        pref64: pref64.iter().map(|prefix| (*prefix, plan.lifetime_s)).collect(),
    }
}

/// Silence is not bent: then there is no announcement at all, or no last one.
pub(super) fn bend(announcement: &mut Announcement, change: AdvertisementFault) {
    match change {
        AdvertisementFault::Silent | AdvertisementFault::NoFarewell => {}
        AdvertisementFault::NotOnLink => {
            announcement.prefixes.iter_mut().for_each(|prefix| prefix.on_link = false);
        }
        AdvertisementFault::AutonomousInverted => {
            announcement.prefixes.iter_mut().for_each(|prefix| prefix.autonomous ^= true);
        }
        AdvertisementFault::ManagedInverted => announcement.managed ^= true,
        AdvertisementFault::LifetimeZero => announcement.lifetime_s = 0,
        AdvertisementFault::NoDns => announcement.dns.clear(),
        AdvertisementFault::NoPref64 => announcement.pref64.clear(),
        AdvertisementFault::OtherPref64 => {
            for (prefix, _) in &mut announcement.pref64 {
                *prefix = elsewhere(*prefix);
            }
        }
        AdvertisementFault::Dns(resolver) => announcement.dns = vec![resolver],
        AdvertisementFault::Mtu(mtu) => announcement.mtu = Some(mtu),
    }
}

/// A prefix of the same length that is another.
pub(super) fn elsewhere(prefix: Pref64) -> Pref64 {
    let mut octets = prefix.net().network().octets();
    octets[3] ^= 1;
    let net = ipnet::Ipv6Net::new(octets.into(), prefix.net().prefix_len());
    net.ok().and_then(|net| Pref64::try_from(net).ok()).unwrap_or(prefix)
}
