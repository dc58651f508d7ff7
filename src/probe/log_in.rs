//! `Question::LogIn`: what the node's logs say of a log-in, once they say something.

use std::time::Duration;

use tokio::time::interval;

use super::{Deadline, Vantage, within};
use crate::model::{answer::Answer, probe::Keeper};

/// How often they are looked at, until the deadline.
const PERIOD: Duration = Duration::from_millis(10);

pub(super) async fn ask(at: &Vantage, token: &str, keeper: Keeper, deadline: Deadline) -> Answer {
    let mut beat = interval(PERIOD);
    let found = within(deadline, async {
        loop {
            beat.tick().await;
            let clients = at.host.log_in(token, keeper);
            if !clients.is_empty() {
                return clients;
            }
        }
    });
    Answer::LogIn { clients: found.await.unwrap_or_default() }
}
