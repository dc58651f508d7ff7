//! `Question::Dialogue`: calls to a management product, one after another.

use super::{
    Deadline, Vantage,
    attempt::{Course, micros},
    connect::garbled,
    dial::{Line, dial},
    not_asked, within,
};
use crate::{
    model::{
        answer::{Answer, Outcome},
        probe::Call,
    },
    net::{patience::Stopwatch, request::request},
};

pub(super) async fn ask(at: &Vantage, calls: &[Call], deadline: Deadline) -> Answer {
    let Some(first) = calls.first() else { return not_asked("a dialogue without calls") };
    let mut attempt = Course::start(first.to).end(Outcome::Answered);
    let mut replies = Vec::new();
    for call in calls {
        let watch = Stopwatch::start();
        let Line { stream, course } = match dial(at, call.to, None, false, deadline).await {
            Ok(line) => line,
            Err(attempt) => return Answer::Dialogue { attempt: *attempt, replies },
        };
        match within(deadline, request(stream, call)).await {
            Ok(Ok(reply)) => replies.push((reply, micros(watch.elapsed()))),
            Ok(Err(error)) => {
                return Answer::Dialogue { attempt: garbled(course, &error), replies };
            }
            Err(_) => return Answer::Dialogue { attempt: course.end(Outcome::Stalled), replies },
        }
        attempt = course.end(Outcome::Answered);
    }
    Answer::Dialogue { attempt, replies }
}
