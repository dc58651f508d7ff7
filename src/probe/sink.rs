//! `Question::Sink`: whether a token has come to the syslog service of this node, and from where.

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
                Some(from) if from.is_empty() => {}
                said => return said,
            }
        }
    });
    match seen.await {
        Ok(Some(from)) => Answer::Sink { from },
        Ok(None) => not_asked(format!("node `{}` has no syslog service", at.node)),
        Err(_) => Answer::Sink { from: Vec::new() },
    }
}
