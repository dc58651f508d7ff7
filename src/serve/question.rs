//! A DNS question as it came and the reply that goes back: what the authoritative server and the resolver have in common
//! (RFC 1035 section 4, RFC 6891).

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::NULL},
};

use crate::model::{fault::WrongAnswer, service::Transport};

/// The largest UDP payload that is sent and taken: 1280 octets, the smallest MTU of IPv6 (RFC 8200
/// section 5), without the headers of IPv6 and UDP.
pub(super) const MOST_OCTETS: u16 = 1232;
/// The largest UDP reply to a question without EDNS (RFC 1035 section 4.2.1).
const MOST_WITHOUT_EDNS: u16 = 512;

/// A well-formed question.
pub(super) struct Question {
    request: Message,
    limit: usize,
}

/// What is to be done with octets that are no question that can be answered.
pub(super) enum Unasked {
    /// Nothing: they are no query at all.
    Ignore,
    /// This goes back.
    Reply(Vec<u8>),
}

impl Question {
    pub(super) fn read(octets: &[u8], transport: Transport) -> Result<Self, Unasked> {
        let [id0, id1, flags, _, ..] = *octets else { return Err(Unasked::Ignore) };
        if octets.len() < 12 || flags & 0x80 != 0 {
            return Err(Unasked::Ignore);
        }
        let malformed = || {
            let code = ResponseCode::FormErr.low();
            Unasked::Reply(vec![id0, id1, 0x80 | (flags & 0x79), code, 0, 0, 0, 0, 0, 0, 0, 0])
        };
        let request = Message::from_vec(octets).map_err(|_| malformed())?;
        let announced = request.edns.as_ref().map_or(MOST_WITHOUT_EDNS, Edns::max_payload);
        let limit = match transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => announced.clamp(MOST_WITHOUT_EDNS, MOST_OCTETS).into(),
        };
        let question = Self { request, limit };
        match question.objection() {
            Some(code) => Err(Unasked::Reply(question.write(&question.reply(code)))),
            None if question.request.queries.len() != 1 => Err(malformed()),
            None => Ok(question),
        }
    }

    /// Why a question that can be read is not looked up at all.
    fn objection(&self) -> Option<ResponseCode> {
        let query = self.request.queries.first();
        if self.request.metadata.op_code != OpCode::Query {
            return Some(ResponseCode::NotImp);
        }
        if self.request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Some(ResponseCode::BADVERS);
        }
        let transfer = |query: &Query| {
            matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR)
                || query.query_class() != DNSClass::IN
        };
        query.is_some_and(transfer).then_some(ResponseCode::Refused)
    }

    pub(super) fn name(&self) -> &Name {
        self.request.queries[0].name()
    }

    pub(super) fn rtype(&self) -> RecordType {
        self.request.queries[0].query_type()
    }

    /// Whether it comes with EDNS (RFC 6891).
    pub(super) fn has_edns(&self) -> bool {
        self.request.edns.is_some()
    }

    /// RD.
    pub(super) fn wants_recursion(&self) -> bool {
        self.request.metadata.recursion_desired
    }

    /// CD and DO: the asker validates by itself (RFC 6147 section 3, case 3).
    pub(super) fn validates(&self) -> bool {
        let wants_proof = self.request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        wants_proof && self.request.metadata.checking_disabled
    }

    /// An empty reply to the question. The name stands in it as it was asked, upper case and lower case: askers may compare
    /// octet by octet.
    pub(super) fn reply(&self, code: ResponseCode) -> Message {
        let asked = &self.request.metadata;
        let mut reply = Message::new(asked.id, MessageType::Response, asked.op_code);
        reply.metadata.recursion_desired = asked.recursion_desired;
        reply.metadata.response_code = code;
        reply.add_queries(self.request.queries.iter().cloned());
        if self.request.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(MOST_OCTETS);
            edns.set_rcode_high(code.high());
            reply.set_edns(edns);
        }
        reply
    }

    /// A reply on the wire: with TC and without records where it does not fit. A reply that cannot be written is SERVFAIL.
    pub(super) fn write(&self, reply: &Message) -> Vec<u8> {
        let octets = reply.to_vec().unwrap_or_else(|_| self.failure());
        if octets.len() <= self.limit {
            return octets;
        }
        reply.truncate().to_vec().unwrap_or_else(|_| self.failure())
    }

    fn failure(&self) -> Vec<u8> {
        let [id0, id1] = self.request.metadata.id.to_be_bytes();
        vec![id0, id1, 0x80, ResponseCode::ServFail.low(), 0, 0, 0, 0, 0, 0, 0, 0]
    }

    /// The reply as a fault bends it; `None` is silence.
    pub(super) fn bent(&self, how: WrongAnswer, soa: Option<Record>) -> Option<Message> {
        let code = match how {
            WrongAnswer::Silence | WrongAnswer::DropsEdns => return None,
            WrongAnswer::Nxdomain | WrongAnswer::MixedCase => ResponseCode::NXDomain,
            WrongAnswer::Servfail => ResponseCode::ServFail,
            WrongAnswer::Refused => ResponseCode::Refused,
            WrongAnswer::Notimp => ResponseCode::NotImp,
            WrongAnswer::Malformed | WrongAnswer::NoSoa | WrongAnswer::Late => {
                ResponseCode::NoError
            }
        };
        let mut reply = self.reply(code);
        match how {
            WrongAnswer::Nxdomain | WrongAnswer::MixedCase => reply.authorities.extend(soa),
            WrongAnswer::Malformed => reply.answers.push(self.record_of_wrong_length()),
            _ => {}
        }
        Some(reply)
    }

    /// Four octets in an AAAA record, sixteen in an A record: what comes when the two are mixed up.
    fn record_of_wrong_length(&self) -> Record {
        let octets = if self.rtype() == RecordType::AAAA { 4 } else { 16 };
        let rdata = NULL::with(vec![192; octets]);
        Record::from_rdata(self.name().clone(), 5, RData::Unknown { code: self.rtype(), rdata })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes, what goes back is nothing or a reply to it that is not too large.
        #[test]
        fn hostile_octets_get_a_reply_or_none(
            header in any::<[u8; 4]>(),
            counts in prop::collection::vec(0..3u8, 4),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let counts = counts.into_iter().flat_map(|count| [0, count]);
            let octets: Vec<u8> = header.into_iter().chain(counts).chain(rest).collect();
            let reply = match Question::read(&octets, Transport::Udp) {
                Ok(question) => question.write(&question.reply(ResponseCode::NXDomain)),
                Err(Unasked::Reply(reply)) => reply,
                Err(Unasked::Ignore) => return Ok(()),
            };
            prop_assert_eq!(&reply[..2], &octets[..2]);
            prop_assert!(reply[2] & 0x80 != 0);
            prop_assert!(reply.len() <= usize::from(MOST_OCTETS));
        }
    }
}
