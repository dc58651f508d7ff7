//! Conversations with a product: what is said, call by call, and what came back.

use std::net::SocketAddr;

use serde::Serialize;

use super::Product;
use crate::{
    check::{ask, reading},
    model::{
        answer::{Answer, Outcome},
        evidence::{EvidenceId, Seen},
        management::{Draft, Method, Reply},
        probe::{Call, Probe, Question},
    },
};

/// What is said, call by call, each under a name by which its reply is found again.
pub(in crate::check) struct Conversation {
    probe: Probe,
    names: Vec<String>,
}

/// What came back.
pub(in crate::check) struct Heard<'e> {
    names: Vec<String>,
    replies: &'e [(Reply, u64)],
    /// Its evidence.
    pub(in crate::check) id: EvidenceId,
}

/// Why nothing can be said of a product, and the evidence for that.
pub(in crate::check) type Mute = (String, Vec<EvidenceId>);

impl Conversation {
    pub(super) fn of(product: &Product<'_>) -> Self {
        let question = Question::Dialogue { calls: Vec::new() };
        Self { probe: ask::probe(&product.station.name, question), names: Vec::new() }
    }

    pub(super) fn say(
        &mut self,
        name: impl Into<String>,
        to: SocketAddr,
        method: Method,
        path: String,
        body: &impl Serialize,
    ) {
        let body = serde_json::to_string(body).expect("plain values are JSON");
        let Question::Dialogue { calls } = &mut self.probe.question else { return };
        calls.push(Call { to, method, path, body });
        self.names.push(name.into());
    }

    /// As a question.
    pub(in crate::check) fn probe(&self) -> Probe {
        self.probe.clone()
    }

    /// Once more.
    #[must_use]
    pub(in crate::check) fn again(&self) -> Self {
        Self { probe: ask::again(&self.probe, 1), names: self.names.clone() }
    }

    /// What came back, if the software worked with its operator at all.
    pub(in crate::check) fn heard<'e>(&self, seen: &Seen<'e>) -> Result<Heard<'e>, Mute> {
        let Some((id, answer)) = seen.answer(&self.probe) else {
            return Err(("it was not asked".to_owned(), Vec::new()));
        };
        let Answer::Dialogue { attempt, replies } = answer else {
            return Err((reading::describe(answer), vec![id]));
        };
        match replies.first() {
            Some((first, _)) if first.is_done() => {}
            Some((first, _)) => {
                let said = first.complaint().unwrap_or_else(|| format!("status {}", first.status));
                return Err((format!("the product says: {said}"), vec![id]));
            }
            None => return Err((reading::describe(answer), vec![id])),
        }
        if attempt.outcome != Outcome::Answered {
            let to = attempt.destination;
            return Err((format!("{to}: {}", reading::describe(answer)), vec![id]));
        }
        Ok(Heard { names: self.names.clone(), replies, id })
    }
}

impl Heard<'_> {
    /// The reply to a call and the microseconds that it took. Every call that was made has one.
    pub(in crate::check) fn reply(&self, name: &str) -> Option<(&Reply, u64)> {
        let at = self.names.iter().position(|known| known == name)?;
        self.replies.get(at).map(|(reply, took)| (reply, *took))
    }

    /// The draft or card in a reply.
    pub(in crate::check) fn draft(&self, name: &str) -> Option<Draft> {
        self.reply(name)?.0.value()
    }

    /// Whether a call was done.
    pub(in crate::check) fn is_done(&self, name: &str) -> bool {
        self.reply(name).is_some_and(|(reply, _)| reply.is_done())
    }

    /// Why a call was refused, in the words of the product.
    pub(in crate::check) fn refusal(&self, name: &str) -> Option<String> {
        let (reply, _) = self.reply(name)?;
        let said = || reply.complaint().unwrap_or_else(|| format!("status {}", reply.status));
        (!reply.is_done()).then(said)
    }
}
