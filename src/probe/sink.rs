//! `Question::Sink`: whether a token has come to the syslog service of this node, from where, and under which host it
//! is filed.

use std::time::Duration;

use tokio::time::interval;

use super::{Deadline, Vantage, not_asked, within};
use crate::model::answer::Answer;

/// How often the service is asked, until the deadline.
const PERIOD: Duration = Duration::from_millis(10);

pub(super) async fn ask(at: &Vantage, token: &str, deadline: Deadline) -> Answer {
    let mut beat = interval(PERIOD);
    let seen = within(deadline, async {
        loop {
            beat.tick().await;
            match at.host.logged(token) {
                Some(messages) if messages.is_empty() => {}
                said => return said,
            }
        }
    });
    match seen.await {
        Ok(Some(messages)) => Answer::of_sink(messages),
        Ok(None) => not_asked(format!("node `{}` has no syslog service", at.node)),
        Err(_) => Answer::of_sink(Vec::new()),
    }
}
