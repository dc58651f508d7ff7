//! `Question::Connect`: a TCP connection, then a hello of the protocol.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use super::{
    Asker, Deadline, Vantage,
    attempt::{Course, errno},
    dial::{Line, dial},
    hello, within,
};
use crate::model::{
    answer::{Answer, Attempt, Outcome},
    probe::Hello,
};

pub(super) async fn ask(
    asker: &Asker,
    at: &Vantage,
    to: SocketAddr,
    source: Option<IpAddr>,
    hello: &Hello,
    watch: bool,
    deadline: Deadline,
) -> Answer {
    let Line { stream, course } = match dial(at, to, source, watch, deadline).await {
        Ok(line) => line,
        Err(attempt) => {
            return ended(*attempt);
        }
    };
    match within(deadline, hello::greet(&asker.roots, stream, hello)).await {
        Ok(Ok(greeting)) => Answer::Connection {
            attempt: course.end(Outcome::Answered),
            greeting: greeting.text,
            key: greeting.key,
            others: greeting.others,
        },
        Ok(Err(error)) => ended(garbled(course, &error)),
        Err(_) => ended(course.end(Outcome::Stalled)),
    }
}

/// Nothing was said that could be told.
fn ended(attempt: Attempt) -> Answer {
    Answer::Connection { attempt, greeting: None, key: None, others: Vec::new() }
}

/// The end because of an answer that is none.
pub(super) fn garbled(course: Course, error: &io::Error) -> Attempt {
    let outcome = Outcome::Garbled { what: error.to_string() };
    Attempt { errno: errno(error), ..course.end(outcome) }
}
