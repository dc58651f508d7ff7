//! The syslog sink (RFC 5424 over UDP, RFC 5426): keeps what came and from where, for later questions.

use std::{collections::VecDeque, net::SocketAddr};

/// Messages that are kept; older ones are forgotten.
const MOST_MESSAGES: usize = 10_000;
/// Octets of a message that are kept: what every receiver must take over IPv6 (RFC 5426 section 3.2).
const MOST_OCTETS: usize = 1_180;

/// What came, oldest first.
#[derive(Default)]
pub(super) struct Sink {
    messages: VecDeque<(String, SocketAddr)>,
}

impl Sink {
    pub(super) fn take(&mut self, payload: &[u8], from: SocketAddr) {
        if self.messages.len() == MOST_MESSAGES {
            self.messages.pop_front();
        }
        let kept = &payload[..payload.len().min(MOST_OCTETS)];
        self.messages.push_back((String::from_utf8_lossy(kept).into_owned(), from));
    }

    /// Who sent messages that hold a token.
    pub(super) fn senders(&self, token: &str) -> Vec<SocketAddr> {
        let holds = |(message, _): &&(String, SocketAddr)| message.contains(token);
        self.messages.iter().filter(holds).map(|(_, from)| *from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_messages_are_kept() {
        let mut sink = Sink::default();
        let from = "[2001:db8::1]:514".parse().unwrap();
        for number in 0..=MOST_MESSAGES {
            sink.take(format!("<14>1 - portal - - - - token-{number}.").as_bytes(), from);
        }
        assert_eq!(sink.senders("token-0."), []);
        assert_eq!(sink.senders("token-10000."), [from]);
    }
}
