//! What a server answers. Pure: a link, a question, an answer.

use crate::{
    model::dhcp::{DhcpDuty, DhcpFault, DhcpLink},
    wire::dhcpv6::{
        Association, Kind, Leased, MOST_HOPS, Message, NO_ADDRESSES, NO_BINDING, Relayed, mac_of,
    },
};

/// How long an address is used for what is new, and how long at all, in seconds.
const LIFETIMES_S: [u32; 2] = [3_600, 7_200];
/// When a host asks its server anew, and when any: half and eight tenths of the former (RFC 8415 section 21.4).
const RENEWAL_S: [u32; 2] = [1_800, 2_880];

/// What a server that has two names puts behind its first.
const OTHER_NAME: [u8; 2] = [0xff, 0xff];

/// The answer to a host on a link; `None` where a server keeps silent (RFC 8415 sections 16 and 18.3).
pub(super) fn answer(link: &DhcpLink, duid: &[u8], question: &Message) -> Option<Message> {
    let kind = match question.kind {
        Kind::Solicit => Kind::Advertise,
        Kind::Request | Kind::Renew | Kind::Rebind | Kind::Release | Kind::InformationRequest => {
            Kind::Reply
        }
        Kind::Advertise | Kind::Reply => return None,
    };
    if ignores(link, question.kind) {
        return None;
    }
    let is_for_us = question.server.is_empty() || question.server == duid;
    let must_name = matches!(question.kind, Kind::Request | Kind::Renew | Kind::Release);
    let must_not = matches!(question.kind, Kind::Solicit | Kind::Rebind);
    let names = !question.server.is_empty();
    if !is_for_us || must_name && !names || must_not && names {
        return None;
    }
    // Only a question for everything but addresses may come from nobody.
    if question.client.is_empty() && question.kind != Kind::InformationRequest {
        return None;
    }
    let mut answer = Message::new(kind, question.transaction);
    answer.client.clone_from(&question.client);
    answer.server = duid.to_vec();
    let is_other = question.kind == Kind::InformationRequest;
    if is_other && link.spoilt.contains(&DhcpFault::TwoNames) {
        answer.server.extend(OTHER_NAME);
    }
    if question.kind == Kind::Release {
        answer.status = Some(0);
        return Some(answer);
    }
    if let Some(asked) = question.association.as_ref() {
        answer.association = Some(lease(link, question, asked));
    }
    let wants = |code| question.wanted.contains(&code);
    let [dns, search] = crate::wire::dhcpv6::WANTED;
    if wants(dns) {
        answer.dns.clone_from(&link.dns);
    }
    if wants(search) {
        answer.search.clone_from(&link.search);
    }
    Some(answer)
}

/// Whether a fault makes the server deaf to a question.
fn ignores(link: &DhcpLink, kind: Kind) -> bool {
    let deaf = match kind {
        Kind::Renew => DhcpFault::NeverRenews,
        Kind::Rebind => DhcpFault::NeverRebinds,
        Kind::Release => DhcpFault::NeverReleases,
        _ => return false,
    };
    link.spoilt.contains(&deaf)
}

/// Each host has its address by plan; others get none.
fn lease(link: &DhcpLink, question: &Message, asked: &Association) -> Association {
    let mac = mac_of(&question.client);
    let planned = link.leases.iter().find(|(host, _)| Some(*host) == mac);
    let is_renewal = matches!(question.kind, Kind::Renew | Kind::Rebind);
    let does = |fault| is_renewal && link.spoilt.contains(&fault);
    if does(DhcpFault::ForgetsLeases) {
        // RFC 8415 section 18.3.4.
        return Association { id: asked.id, status: Some(NO_BINDING), ..Association::default() };
    }
    let part = if does(DhcpFault::RenewsForLess) { 2 } else { 1 };
    let [preferred_s, valid_s] = LIFETIMES_S.map(|whole| whole / part);
    let [renew_s, rebind_s] = RENEWAL_S.map(|whole| whole / part);
    match planned {
        Some((_, address)) => Association {
            id: asked.id,
            renew_s,
            rebind_s,
            addresses: vec![Leased { address: *address, preferred_s, valid_s }],
            status: None,
        },
        None => Association { id: asked.id, status: Some(NO_ADDRESSES), ..Association::default() },
    }
}

/// The answer to what a relay has brought: the same way back, through every relay that it has passed. The first relay
/// knows the link of the host (RFC 8415 section 13.1).
pub(super) fn relayed(duties: &[DhcpDuty], duid: &[u8], relayed: &Relayed) -> Option<Vec<u8>> {
    if relayed.hops >= MOST_HOPS {
        return None;
    }
    let message = match Relayed::decode(&relayed.message).ok()? {
        Some(inner) if inner.forward && inner.hops < relayed.hops => {
            self::relayed(duties, duid, &inner)?
        }
        Some(_) => return None,
        None => {
            let of_host = |duty: &DhcpDuty| match duty {
                DhcpDuty::Serve(link) if link.interface.is_none() => {
                    link.prefix.contains(&std::net::IpAddr::V6(relayed.link)).then(|| link.clone())
                }
                _ => None,
            };
            let link = duties.iter().find_map(of_host)?;
            answer(&link, duid, &Message::decode(&relayed.message).ok()?)?.encode()
        }
    };
    Some(Relayed { forward: false, message, ..relayed.clone() }.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::mac::Mac,
        wire::dhcpv6::{self, WANTED},
    };

    const HOST: Mac = Mac([2, 0, 0, 0, 0, 10]);

    fn link() -> DhcpLink {
        DhcpLink {
            segment: "office".parse().unwrap(),
            interface: None,
            prefix: "2001:db8:1::/64".parse().unwrap(),
            leases: vec![(HOST, "2001:db8:1::10".parse().unwrap())],
            dns: vec!["2001:db8::53".parse().unwrap()],
            search: vec!["dc.test".parse().unwrap()],
            relayed_to: None,
            spoilt: Vec::new(),
        }
    }

    fn question(kind: Kind, host: Mac) -> Message {
        Message {
            client: dhcpv6::duid(host),
            association: Some(Association { id: 7, ..Association::default() }),
            wanted: WANTED.to_vec(),
            ..Message::new(kind, 5)
        }
    }

    #[test]
    fn a_planned_host_gets_its_address_and_others_get_none() {
        let said = answer(&link(), b"us", &question(Kind::Solicit, HOST)).unwrap();
        assert_eq!((said.kind, said.transaction), (Kind::Advertise, 5));
        let leased = &said.association.as_ref().unwrap().addresses;
        assert_eq!(leased[0].address.to_string(), "2001:db8:1::10");
        assert_eq!((said.dns.len(), said.search.len()), (1, 1));
        let other = answer(&link(), b"us", &question(Kind::Solicit, Mac([9; 6]))).unwrap();
        assert_eq!(other.refusal(), Some(NO_ADDRESSES));
    }

    #[test]
    fn who_is_not_asked_keeps_silent() {
        let to = |kind, server: &[u8]| {
            let question = Message { server: server.to_vec(), ..question(kind, HOST) };
            answer(&link(), b"us", &question)
        };
        assert_eq!(to(Kind::Request, b"them"), None);
        assert_eq!(to(Kind::Request, b""), None, "a request names its server");
        assert_eq!(to(Kind::Solicit, b"us"), None, "a solicitation names none");
        assert_eq!(to(Kind::Reply, b"us"), None);
        assert_eq!(to(Kind::Request, b"us").unwrap().kind, Kind::Reply);
        let nobody = Message { client: Vec::new(), ..question(Kind::Solicit, HOST) };
        assert_eq!(answer(&link(), b"us", &nobody), None);
    }

    #[test]
    fn a_lease_is_kept_and_given_back_unless_a_fault_is_deaf_to_it() {
        let asks = |link: &DhcpLink, kind| {
            let question = Message { server: b"us".to_vec(), ..question(kind, HOST) };
            answer(link, b"us", &question)
        };
        let address = |said: Message| said.association.unwrap().addresses[0];
        let renewed = address(asks(&link(), Kind::Renew).unwrap());
        assert_eq!(asks(&link(), Kind::Release).unwrap().status, Some(0));
        let spoilt = |fault| DhcpLink { spoilt: vec![fault], ..link() };
        let two = spoilt(DhcpFault::TwoNames);
        let named = |kind| asks(&two, kind).unwrap().server.len();
        assert_eq!(named(Kind::InformationRequest), named(Kind::Request) + OTHER_NAME.len());
        let deaf = spoilt(DhcpFault::NeverRenews);
        assert_eq!(asks(&deaf, Kind::Renew), None);
        assert!(asks(&deaf, Kind::Request).is_some() && asks(&deaf, Kind::Release).is_some());
        let forgets = spoilt(DhcpFault::ForgetsLeases);
        assert_eq!(asks(&forgets, Kind::Renew).unwrap().refusal(), Some(NO_BINDING));
        assert_eq!(address(asks(&forgets, Kind::Request).unwrap()), renewed);
        let shorter = address(asks(&spoilt(DhcpFault::RenewsForLess), Kind::Renew).unwrap());
        assert_eq!((shorter.address, 2 * shorter.valid_s), (renewed.address, renewed.valid_s));
    }

    #[test]
    fn what_nobody_asked_for_is_not_told() {
        let mut silent = question(Kind::InformationRequest, HOST);
        silent.association = None;
        silent.wanted.clear();
        let said = answer(&link(), b"us", &silent).unwrap();
        assert_eq!((said.kind, said.dns, said.association), (Kind::Reply, Vec::new(), None));
    }

    #[test]
    fn an_answer_goes_back_through_every_relay() {
        let inner = Relayed {
            forward: true,
            hops: 0,
            link: "2001:db8:1::1".parse().unwrap(),
            peer: "fe80::10".parse().unwrap(),
            interface: b"office".to_vec(),
            message: question(Kind::Solicit, HOST).encode(),
        };
        let outer = Relayed { hops: 1, message: inner.encode(), ..inner.clone() };
        let duties = [DhcpDuty::Serve(link())];
        let back = |relay: &Relayed| {
            let octets = relayed(&duties, b"us", relay)?;
            Relayed::decode(&octets).unwrap()
        };
        let said = back(&inner).unwrap();
        assert!(!said.forward && said.peer == inner.peer && said.interface == b"office");
        let inside = Relayed::decode(&back(&outer).unwrap().message).unwrap().unwrap();
        assert_eq!(Message::decode(&inside.message).unwrap().kind, Kind::Advertise);
        let elsewhere = Relayed { link: "2001:db8:9::1".parse().unwrap(), ..inner.clone() };
        assert_eq!(back(&elsewhere), None);
        assert_eq!(back(&Relayed { hops: MOST_HOPS, ..inner.clone() }), None);
        assert_eq!(back(&Relayed { hops: 0, message: inner.encode(), ..inner }), None, "no loop");
    }
}
