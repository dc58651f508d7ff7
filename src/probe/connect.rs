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
            return Answer::Connection { attempt: *attempt, greeting: None, key: None };
        }
    };
    match within(deadline, hello::greet(&asker.roots, stream, hello)).await {
        Ok(Ok(greeting)) => Answer::Connection {
            attempt: course.end(Outcome::Answered),
            greeting: greeting.text,
            key: greeting.key,
        },
        Ok(Err(error)) => {
            Answer::Connection { attempt: garbled(course, &error), greeting: None, key: None }
        }
        Err(_) => {
            let attempt = course.end(Outcome::Stalled);
            Answer::Connection { attempt, greeting: None, key: None }
        }
    }
}

/// The end because of an answer that is none.
pub(super) fn garbled(course: Course, error: &io::Error) -> Attempt {
    let outcome = Outcome::Garbled { what: error.to_string() };
    Attempt { errno: errno(error), ..course.end(outcome) }
}
