//! A piece of evidence in a line: what was asked, what was on the wire, what came back.

use std::net::{IpAddr, SocketAddr};

use super::phrase::{code, count, foreign, joined, sentence, words};
use crate::{
    model::{
        answer::{Answer, Attempt, Outcome, Sweep},
        evidence::{About, Evidence},
        family::Family,
        management::Method,
        probe::{Aspect, Hello, Keeper, Provocation, Question, RouterAct},
        record::RecordType,
        tap::{Reading, Tap, Watch},
        translation::TranslatorState,
        tunnel::{TunnelAct, TunnelState},
    },
    report::{
        document::{Inline, Line},
        figure::timeline::seconds,
    },
    wire::ra::ALL_ROUTERS,
};

/// From where, what, on the wire, answer.
pub(super) fn columns(evidence: &Evidence) -> [Line; 4] {
    match &evidence.about {
        About::Probe { probe, answer } => [
            code(probe.from.as_str()),
            question(&probe.question),
            wire(&probe.question, answer),
            outcome(answer),
        ],
        About::Tap { tap, reading } => {
            [code(tap.segment.as_str()), watch(tap), words("passive"), seen(reading)]
        }
    }
}

fn question(question: &Question) -> Line {
    let plain = |text: String| words(text);
    match question {
        Question::Connect { hello, .. } => plain(match hello {
            Hello::Nothing => "TCP connection".to_owned(),
            Hello::Tls { .. } => "TCP connection and TLS hello".to_owned(),
            Hello::Http { .. } => "TCP connection and HTTP request".to_owned(),
            Hello::Ssh => "TCP connection and SSH identification".to_owned(),
            Hello::Echo => "TCP connection and echo".to_owned(),
            Hello::Smtp => "TCP connection and SMTP greeting".to_owned(),
            Hello::Ldap { .. } => "TCP connection and LDAP search for the root DSE".to_owned(),
        }),
        Question::Fetch { host, path, tls, .. } => {
            let scheme = if tls.is_some() { "https" } else { "http" };
            let mut line = words(format!("{scheme} page "));
            line.extend(code(format!("{host}{path}")));
            line
        }
        Question::Lookup { name, rtype, transport, .. } => {
            let mut line = words(format!("DNS {} over {transport} for ", type_word(*rtype)));
            line.extend(code(name.as_str()));
            line
        }
        Question::Ping { size, .. } => plain(format!("echo request, {size} octets")),
        Question::Datagram { size, .. } => plain(format!("UDP datagram, {size} octets")),
        Question::Time { .. } => plain("NTP query".to_owned()),
        Question::Snmp { .. } => plain("SNMP request".to_owned()),
        Question::LateTime { after_s, .. } => {
            plain(format!("NTP query, to be answered after {after_s} s"))
        }
        Question::Radius { .. } => plain("RADIUS request".to_owned()),
        Question::Log { .. } => plain("syslog message".to_owned()),
        Question::LogIn { keeper, .. } => plain(match keeper {
            Keeper::Access => "log-in in the access log".to_owned(),
            Keeper::Table => "log-in in the table of the sink".to_owned(),
        }),
        Question::Sink { .. } => plain("has the message come?".to_owned()),
        Question::PathMtu { ceiling, .. } => plain(format!("path MTU up to {ceiling} octets")),
        Question::Trace { .. } => plain("routers on the way".to_owned()),
        Question::Solicit { interface } => plain(format!("Router Solicitation on {interface}")),
        Question::Listeners { interface } => {
            plain(format!("Multicast Listener Query on {interface}"))
        }
        Question::Dhcp { interface, stateful: true } => {
            plain(format!("DHCPv6 Solicit on {interface}"))
        }
        Question::Dhcp { interface, .. } => {
            plain(format!("DHCPv6 Information-Request on {interface}"))
        }
        Question::Lease { interface } => {
            plain(format!("DHCPv6 Solicit, Request, Renew, Rebind and Release on {interface}"))
        }
        Question::Neighbour { interface, known: Some(known), .. } => {
            plain(format!("does {known} have it, on {interface}?"))
        }
        Question::Neighbour { interface, .. } => plain(format!("who has it, on {interface}?")),
        Question::Inspect(aspect) => plain(format!("read on the node: {}", aspect_words(*aspect))),
        Question::Journey { name, pinned, .. } => {
            let how = pinned.map_or_else(|| "by default".to_owned(), |f| format!("{f} only"));
            let mut line = words(format!("user's journey, {how}, to "));
            line.extend(code(name.as_str()));
            line
        }
        Question::Spoof { .. } => plain("datagram with a false source".to_owned()),
        Question::Encapsulated { how, .. } => plain(format!("packet in a packet: {how}")),
        Question::Forge { interface, how, .. } => {
            plain(format!("forged Router Advertisement on {interface}: {how}"))
        }
        Question::Router { interface, act: RouterAct::Withdraw } => {
            plain(format!("the router withdraws from {interface}"))
        }
        Question::Router { interface, act: RouterAct::Return } => {
            plain(format!("the router returns to {interface}"))
        }
        Question::Provoke { how, .. } => {
            plain(format!("to provoke an ICMP error: {}", provocation(*how)))
        }
        Question::Dialogue { calls } => {
            let first = calls.iter().find(|call| call.method != Method::Get).or(calls.first());
            let mut line =
                words(format!("{} to a management product: ", count(calls.len(), "call")));
            line.extend(first.map_or_else(Vec::new, |call| code(&call.path)));
            line
        }
        Question::SourceFor { .. } => plain("source address that the kernel would use".to_owned()),
        Question::Canary { token, .. } => {
            let mut line = words("echo request with the token ");
            line.extend(code(token));
            line
        }
        Question::Stream { packets, class, .. } => {
            plain(format!("{packets} echo requests with traffic class {class:#04x}"))
        }
        Question::Tunnel { tunnel, act, .. } => {
            let mut line = words(format!("{} the tunnel ", act_words(*act)));
            line.extend(code(tunnel.as_str()));
            line
        }
    }
}

fn act_words(act: TunnelAct) -> &'static str {
    match act {
        TunnelAct::Stop => "stop",
        TunnelAct::Start => "start",
        TunnelAct::Renew => "renew the keys of",
        TunnelAct::Widen { .. } => "open the selectors of one end of",
        TunnelAct::Narrow => "close the selectors again of",
        TunnelAct::Read => "read the counters of",
        TunnelAct::Lose(Family::V4) => "take IPv4 away outside of",
        TunnelAct::Lose(Family::V6) => "take IPv6 away outside of",
        TunnelAct::Regain => "give every family back outside of",
    }
}

fn type_word(rtype: RecordType) -> String {
    format!("{rtype:?}").to_uppercase()
}

fn aspect_words(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Addresses => "addresses",
        Aspect::Routes => "routes",
        Aspect::Neighbours => "neighbour cache",
        Aspect::Sockets => "listening sockets",
        Aspect::Filter => "packet filter",
        Aspect::Switches => "switches of the families",
        Aspect::Tunnels => "tunnels",
        Aspect::Translators => "translators",
        Aspect::Resolvers => "resolvers",
    }
}

fn provocation(how: Provocation) -> String {
    match how {
        Provocation::ClosedPort => "closed port".to_owned(),
        Provocation::HopLimit(hops) => format!("hop limit {hops}"),
        Provocation::TooBig(octets) => format!("{octets} octets that must not be fragmented"),
        Provocation::UnknownNextHeader => "unknown next header".to_owned(),
        Provocation::UnknownOption => "unknown option".to_owned(),
    }
}

/// Source and destination as they really were, with the family; the destination asked for where nothing was sent.
fn wire(question: &Question, answer: &Answer) -> Line {
    let pair = |source: Option<String>, destination: String, family: String| {
        let mut line = source.map_or_else(Vec::new, code);
        line.push(Inline::text(if line.is_empty() { "to " } else { " → " }));
        line.extend(code(destination));
        line.push(Inline::text(format!(" ({family})")));
        line
    };
    let family = |ip: IpAddr| Family::of(ip).to_string();
    match (answer, answer.attempt(), question.destination()) {
        (_, Some(a), _) => {
            pair(a.source.as_ref().map(socket), socket(&a.destination), a.family.to_string())
        }
        (Answer::Journey { attempts, .. }, _, _) => joined(attempts.iter().map(|a| {
            pair(a.source.as_ref().map(socket), socket(&a.destination), a.family.to_string())
        })),
        (Answer::PathMtu { sweep }, _, _) => pair(
            sweep.source.map(|ip| ip.to_string()),
            sweep.destination.to_string(),
            family(sweep.destination),
        ),
        (_, None, Some(to)) => pair(None, to.to_string(), family(to)),
        (Answer::NotAsked { .. }, ..) => words("nothing sent"),
        (_, None, None) if matches!(question, Question::Solicit { .. }) => {
            pair(None, ALL_ROUTERS.to_string(), Family::V6.to_string())
        }
        _ => words("nothing sent"),
    }
}

/// An address, with its port where it has one: an echo request has none.
fn socket(address: &SocketAddr) -> String {
    if address.port() == 0 { address.ip().to_string() } else { address.to_string() }
}

fn translator_words(translator: &TranslatorState) -> String {
    let TranslatorState { told, engine, mappings, translated, dropped, .. } = translator;
    format!(
        "{} with {} ({engine}): {translated} packets translated, {dropped} dropped, {} mappings",
        told.translation,
        told.prefix,
        mappings.len()
    )
}

fn tunnel_words(tunnel: &TunnelState) -> String {
    let TunnelState { end, engine, counters, running } = tunnel;
    format!(
        "{} to {} over {} ({engine}): {}, {} packets sent, {} received, {} refused",
        end.tunnel,
        end.peer,
        end.outer(),
        if *running { "carries" } else { "is stopped" },
        counters.sent.packets,
        counters.received.packets,
        counters.refused
    )
}

fn outcome(answer: &Answer) -> Line {
    match answer {
        Answer::Connection { attempt, greeting, .. } => with(attempt, greeting.as_deref()),
        Answer::Page { attempt, page } => {
            let status = page.as_ref().map(|p| format!("status {}, {} octets", p.status, p.octets));
            with(attempt, status.as_deref())
        }
        Answer::Dns { attempt, reply } => {
            let reply = reply.as_ref().map(|r| {
                let addresses: Vec<_> = r.addresses().map(|ip| ip.to_string()).collect();
                let records = format!("{}, {}", r.rcode, count(r.answers.len(), "record"));
                if addresses.is_empty() {
                    records
                } else {
                    format!("{records}: {}", addresses.join(", "))
                }
            });
            with(attempt, reply.as_deref())
        }
        Answer::Echo { attempt } => with(attempt, None),
        Answer::Time { attempt, stratum } => {
            with(attempt, stratum.map(|s| format!("stratum {s}")).as_deref())
        }
        Answer::Managed { attempt, system, knows_address } => {
            let table = match knows_address {
                Some(true) => "its table has this address",
                Some(false) => "its table does not have this address",
                None => "no table",
            };
            let told = system.as_ref().map(|system| format!("{system}; {table}"));
            with(attempt, told.as_deref())
        }
        Answer::Sink { from, .. } if from.is_empty() => words("has not come"),
        Answer::Sink { from, hosts } => {
            let mut line = words("came from ");
            line.extend(joined(from.iter().map(|source| code(source.to_string()))));
            if !hosts.is_empty() {
                line.extend(words(", filed under "));
                line.extend(joined(hosts.iter().map(|host| code(host.clone()))));
            }
            line
        }
        Answer::LogIn { clients } if clients.is_empty() => words("is not there"),
        Answer::LogIn { clients } => joined(clients.iter().map(|client| code(client.clone()))),
        Answer::PathMtu { sweep } => words(swept(sweep)),
        Answer::Trace { hops, reached } => {
            let hops = hops.iter().map(|hop| match hop {
                Some(ip) => code(ip.to_string()),
                None => words("no answer"),
            });
            let mut line = joined(hops);
            line.push(Inline::text(if *reached { "; reached" } else { "; not reached" }));
            line
        }
        Answer::Listeners { heard } if heard.is_empty() => words("nobody reported a group"),
        Answer::Listeners { heard } => joined(heard.iter().map(|listener| {
            let mut line = code(listener.mac.to_string());
            line.push(Inline::text(format!(" {}", count(listener.groups.len(), "group"))));
            line
        })),
        Answer::Advertisements { heard } if heard.is_empty() => words("no router announced itself"),
        Answer::Advertisements { heard } => joined(heard.iter().map(|ra| {
            let mut line = code(ra.router.to_string());
            line.push(Inline::text(format!(" lifetime {} s", ra.lifetime_s)));
            for prefix in &ra.prefixes {
                line.push(Inline::text(" "));
                line.extend(code(prefix.prefix.to_string()));
            }
            line
        })),
        Answer::Dhcp { heard } if heard.is_empty() => words("no server answered"),
        Answer::Dhcp { heard } => joined(heard.iter().map(|said| {
            let mut line = words(format!("{} from ", said.kind));
            line.extend(code(said.from.to_string()));
            for address in &said.addresses {
                line.push(Inline::text(" with "));
                line.extend(code(address.to_string()));
            }
            line
        })),
        Answer::Lease { course } if course.given.is_none() => words("no server gave an address"),
        Answer::Lease { course } => joined(course.then.iter().map(|(act, said)| {
            let how = if said.is_some() { "answered" } else { "not answered" };
            words(format!("{act} {how}"))
        })),
        Answer::Neighbour { macs, .. } => joined(macs.iter().map(|mac| code(mac.to_string()))),
        Answer::Addresses(links) => {
            let n: usize = links.iter().map(|link| link.addresses.len()).sum();
            words(format!("{n} addresses on {} interfaces", links.len()))
        }
        Answer::Routes(routes) => words(format!("{} routes", routes.len())),
        Answer::Resolvers(resolvers) => {
            joined(resolvers.iter().map(|resolver| code(resolver.to_string())))
        }
        Answer::Translators(translators) => {
            joined(translators.iter().map(|translator| words(translator_words(translator))))
        }
        Answer::Tunnels(tunnels) => {
            joined(tunnels.iter().map(|tunnel| words(tunnel_words(tunnel))))
        }
        Answer::Stream { sent, answered, duplicates, late, classes, .. } => {
            let classes: Vec<_> = classes.iter().map(|class| format!("{class:#04x}")).collect();
            words(format!(
                "{answered} of {sent} answered, {duplicates} twice, {late} late, traffic class {}",
                if classes.is_empty() { "unknown".to_owned() } else { classes.join(", ") }
            ))
        }
        Answer::Done => words("done"),
        Answer::Declined { said } => words(format!("the other end declines: {said}")),
        Answer::Neighbours(entries) => words(format!("{} neighbours", entries.len())),
        Answer::Sockets(sockets) => joined(sockets.iter().take(12).map(|socket| {
            let mut line = words(format!("{} ", socket.transport));
            line.extend(code(socket.local.to_string()));
            line
        })),
        Answer::Filter { filter, unread } => {
            let rules: usize = filter.chains.iter().map(|chain| chain.rules.len()).sum();
            words(format!("{rules} rules read, {} not understood", unread.len()))
        }
        Answer::Switches(switches) => words(format!("{} switches", switches.len())),
        Answer::Journey { page, failure, total_us, .. } => match (page, failure) {
            (_, Some(failure)) => foreign(failure),
            (Some(page), None) => {
                let mut line =
                    words(format!("status {} after {}", page.status, seconds(*total_us)));
                if let Some(server) = &page.served_by {
                    line.push(Inline::text(", served by "));
                    line.push(Inline::foreign(server));
                }
                line
            }
            (None, None) => words("no page"),
        },
        Answer::Dialogue { attempt, replies } => match replies.last() {
            Some((reply, _)) if attempt.outcome == Outcome::Answered => {
                let statuses: Vec<_> = replies.iter().map(|(r, _)| r.status.to_string()).collect();
                let mut line = words(format!("status {}", statuses.join(", ")));
                line.push(Inline::text("; at last "));
                line.push(Inline::foreign(&reply.body.chars().take(120).collect::<String>()));
                line
            }
            _ => with(attempt, None),
        },
        Answer::SourceFor { source } => {
            source.map_or_else(|| words("no route"), |ip| code(ip.to_string()))
        }
        Answer::NotAsked { reason } => not_asked(reason),
    }
}

fn not_asked(reason: &str) -> Line {
    let mut line = words("not asked: ");
    line.extend(sentence(reason));
    line
}

/// How an attempt ended, with what the peer said.
fn with(attempt: &Attempt, said: Option<&str>) -> Line {
    let mut line = match &attempt.outcome {
        Outcome::Answered => words(format!("answered after {}", seconds(attempt.connect_us))),
        Outcome::Refused => words("refused"),
        Outcome::Rejected => words("rejected"),
        Outcome::NoRoute => words("no route"),
        Outcome::TimedOut => words(format!("nothing within {}", seconds(attempt.total_us))),
        Outcome::Stalled => words("connected, then the data stopped"),
        Outcome::Garbled { what } => vec![Inline::text("garbled: "), Inline::foreign(what)],
        Outcome::NotAsked { reason } => not_asked(reason),
    };
    if let Some(errno) = &attempt.errno {
        line.push(Inline::text(", "));
        line.push(Inline::code(errno));
    }
    if let Some(icmp) = &attempt.icmp {
        let name = if icmp.family == Family::V4 { "ICMP" } else { "ICMPv6" };
        line.push(Inline::text(format!(", {name} type {} code {} from ", icmp.kind, icmp.code)));
        line.push(Inline::code(icmp.sender.to_string()));
    }
    if let Some(said) = said {
        line.push(Inline::text(": "));
        line.push(Inline::foreign(said));
    }
    line
}

fn swept(sweep: &Sweep) -> String {
    let passed = sweep.passed.map_or("nothing".to_owned(), |size| format!("{size} octets"));
    match (sweep.lost, sweep.too_big.first()) {
        (None, _) => format!("{passed} passed; nothing larger was tried"),
        (Some(lost), Some(error)) => {
            format!("{passed} passed, {lost} did not; told so by {}", error.sender)
        }
        (Some(lost), None) => format!("{passed} passed, {lost} vanished without an ICMP error"),
    }
}

fn watch(tap: &Tap) -> Line {
    words(match &tap.watch {
        Watch::Ethertypes(types) => {
            let types: Vec<_> = types.iter().map(|kind| format!("0x{kind:04x}")).collect();
            format!("tap: frames of type {}", types.join(", "))
        }
        Watch::Packets { family, .. } => format!("tap: {family} packets"),
        Watch::Answers { port, .. } => format!("tap: answers from {port}"),
        Watch::Protocol { family, number, .. } => {
            format!("tap: {family} packets of protocol {number}")
        }
        Watch::Icmp { family, types, .. } => format!("tap: {family} ICMP types {types:?}"),
        Watch::Payload { family: Some(family), .. } => {
            format!("tap: {family} packets with a token")
        }
        Watch::Payload { family: None, .. } => "tap: packets with a token".to_owned(),
        Watch::Delivered { family, .. } => {
            format!("tap: {family} packets with a token, as they leave the link")
        }
    })
}

fn seen(reading: &Reading) -> Line {
    let alive = match (reading.alive_before, reading.alive_after) {
        (true, true) => "proved alive before and after",
        (true, false) => "alive before, not after",
        (false, _) => "not proved alive",
    };
    words(format!("{} frames, {} lost; {alive}", reading.frames, reading.lost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_solicitation_is_something_that_was_sent() {
        let question = Question::Solicit { interface: "eth0".parse().expect("a name") };
        let words = |answer| wire(&question, &answer).iter().map(Inline::plain).collect::<String>();
        assert_eq!(words(Answer::Advertisements { heard: Vec::new() }), "to ff02::2 (IPv6)");
        assert_eq!(words(Answer::NotAsked { reason: "no".to_owned() }), "nothing sent");
    }
}
