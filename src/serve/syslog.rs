//! The syslog sink (RFC 5424 over UDP, RFC 5426): keeps what came, from where, and under which host it is filed, for later
//! questions.

use std::{collections::VecDeque, net::SocketAddr};

use crate::{
    model::{answer::Logged, fault::LogFault, name::NodeName},
    wire::syslog,
};

/// Messages that are kept; older ones are forgotten.
const MOST_MESSAGES: usize = 10_000;
/// Octets of a message that are kept: what every receiver must take over IPv6 (RFC 5426 section 3.2).
const MOST_OCTETS: usize = 1_180;

/// What came, oldest first.
#[derive(Default)]
pub(super) struct Sink {
    messages: VecDeque<(String, Logged)>,
}

impl Sink {
    pub(super) fn take(
        &mut self,
        payload: &[u8],
        from: SocketAddr,
        own: &NodeName,
        faults: impl Iterator<Item = LogFault>,
    ) {
        if self.messages.len() == MOST_MESSAGES {
            self.messages.pop_front();
        }
        let kept = &payload[..payload.len().min(MOST_OCTETS)];
        let message = String::from_utf8_lossy(kept).into_owned();
        let host = filed_under(&message, from, own, faults);
        self.messages.push_back((message, Logged { from, host }));
    }

    /// The messages that hold a token.
    pub(super) fn holding(&self, token: &str) -> Vec<Logged> {
        let holds = |(message, _): &&(String, Logged)| message.contains(token);
        self.messages.iter().filter(holds).map(|(_, logged)| logged.clone()).collect()
    }
}

/// The host that a message is filed under: the one that it names, or else the address that it came from; with a fault, the
/// address all the same, or the sink itself.
fn filed_under(
    message: &str,
    from: SocketAddr,
    own: &NodeName,
    mut faults: impl Iterator<Item = LogFault>,
) -> String {
    let from = from.ip().to_canonical();
    let otherwise = faults.find_map(|fault| match fault {
        LogFault::ByAddress => Some(from.to_string()),
        LogFault::ByIpv4Hosts => from.is_ipv6().then(|| from.to_string()),
        LogFault::AsItsOwn => Some(own.to_string()),
        _ => None,
    });
    let named = || syslog::host(message).map(str::to_owned);
    otherwise.or_else(named).unwrap_or_else(|| from.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_messages_are_kept() {
        let mut sink = Sink::default();
        let from = "[2001:db8::1]:514".parse().unwrap();
        for number in 0..=MOST_MESSAGES {
            let message = format!("<14>1 - portal - - - - token-{number}.");
            sink.take(message.as_bytes(), from, &"log".parse().unwrap(), std::iter::empty());
        }
        assert_eq!(sink.holding("token-0."), []);
        assert_eq!(sink.holding("token-10000."), [Logged { from, host: "portal".to_owned() }]);
    }

    #[test]
    fn a_message_is_filed_under_the_host_that_it_names_unless_the_sink_goes_by_addresses() {
        let (v4, v6) =
            ("[::ffff:192.0.2.1]:5".parse().unwrap(), "[2001:db8::1]:5".parse().unwrap());
        let own = "log".parse().unwrap();
        let filed = |from, fault: Option<LogFault>| {
            filed_under("<14>1 - portal - - - - x", from, &own, fault.into_iter())
        };
        assert_eq!((filed(v4, None), filed(v6, None)), ("portal".into(), "portal".into()));
        let by_address = Some(LogFault::ByAddress);
        assert_eq!(filed(v4, by_address), "192.0.2.1");
        assert_eq!(filed(v6, by_address), "2001:db8::1");
        let by_hosts = Some(LogFault::ByIpv4Hosts);
        assert_eq!(
            (filed(v4, by_hosts), filed(v6, by_hosts)),
            ("portal".into(), "2001:db8::1".into())
        );
        assert_eq!(filed(v4, Some(LogFault::AsItsOwn)), "log");
        assert_eq!(filed_under("no header", v6, &own, std::iter::empty()), "2001:db8::1");
    }
}
