//! What the kernel answers to a batch or a request, apart from the objects themselves.

use super::{
    attribute::{Attributes, Malformed},
    kernel::{flag, message},
    message::{Message, messages},
};

/// The kernel's sentence in an extended acknowledgement (`NLMSGERR_ATTR_MSG`).
const SENTENCE: u16 = 1;
const ERROR_CODE: usize = 4;
const ECHOED_HEADER: usize = 16;

/// What the kernel did not do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error number, positive.
    pub errno: i32,
    /// The kernel's own sentence, where it gave one.
    pub sentence: Option<String>,
}

/// A message from the kernel, as far as the conversation goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A request was carried out, or refused.
    Result {
        /// The number of the request.
        sequence: u32,
        /// How it ended.
        result: Result<(), Refusal>,
    },
    /// A part of a dump: objects, which [`Ruleset::take`](super::Ruleset::take) reads, or its end.
    Dump {
        /// Whether nothing more follows.
        end: bool,
        /// Whether the rules changed while they were dumped, so that the dump is worth nothing.
        overtaken: bool,
    },
}

/// What the messages in some received bytes say, with the number of the request that each belongs to.
pub fn replies(bytes: &[u8]) -> Result<Vec<(u32, Reply)>, Malformed> {
    messages(bytes)?.iter().map(|message| Ok((message.sequence, reply(message)?))).collect()
}

fn reply(message: &Message<'_>) -> Result<Reply, Malformed> {
    Ok(match message.kind {
        message::ERROR => Reply::Result { sequence: message.sequence, result: result_of(message)? },
        kind => Reply::Dump {
            end: kind == message::DONE,
            overtaken: message.flags & flag::DUMP_INTERRUPTED != 0,
        },
    })
}

fn result_of(message: &Message<'_>) -> Result<Result<(), Refusal>, Malformed> {
    let missing = Malformed::Missing { what: "an acknowledgement", kind: 0 };
    let code = message.payload.first_chunk::<ERROR_CODE>().ok_or(missing)?;
    Ok(match i32::from_ne_bytes(*code) {
        0 => Ok(()),
        code => Err(Refusal { errno: code.saturating_neg(), sentence: sentence(message) }),
    })
}

/// The attributes stand behind the echoed request: its header only where the kernel was asked to cap it.
fn sentence(message: &Message<'_>) -> Option<String> {
    if message.flags & flag::ACK_ATTRIBUTES == 0 {
        return None;
    }
    let echoed = message.payload.get(ERROR_CODE..)?;
    let length = match message.flags & flag::CAPPED {
        0 => u32::from_ne_bytes(*echoed.first_chunk()?) as usize,
        _ => ECHOED_HEADER,
    };
    let attributes = Attributes::split("an acknowledgement", echoed.get(length..)?).ok()?;
    attributes.text(SENTENCE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(flags: u16, attributes: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let length = 16 + 4 + 16 + attributes.len();
        bytes.extend(u32::try_from(length).unwrap().to_ne_bytes());
        bytes.extend(message::ERROR.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend((-95i32).to_ne_bytes());
        bytes.extend([16, 0, 0, 0].into_iter().chain([0; 12]));
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn the_kernels_sentence_is_found_behind_the_echoed_header() {
        let mut attributes = super::super::attribute::Writer::default();
        attributes.text(SENTENCE, "no such thing");
        let bytes = refusal(flag::CAPPED | flag::ACK_ATTRIBUTES, &attributes.bytes);
        let result = Err(Refusal { errno: 95, sentence: Some("no such thing".to_owned()) });
        assert_eq!(replies(&bytes), Ok(vec![(7, Reply::Result { sequence: 7, result })]));
    }

    #[test]
    fn a_refusal_without_sentence_keeps_its_number() {
        let result = Err(Refusal { errno: 95, sentence: None });
        assert_eq!(replies(&refusal(0, &[])), Ok(vec![(7, Reply::Result { sequence: 7, result })]));
    }
}
