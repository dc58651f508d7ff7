//! Log-ins that are kept: by the access log of a node, or by the node that has the sink.

use std::collections::VecDeque;

use crate::wire::log_in::{self, LogIn};

/// Log-ins that are kept; older ones are forgotten.
const MOST: usize = 10_000;

/// What is known of log-ins, oldest first.
#[derive(Default)]
pub(super) struct Kept(VecDeque<LogIn>);

impl Kept {
    /// What a log says of log-ins, line by line.
    pub(super) fn read(log: &str) -> Self {
        let all: Vec<_> = log.lines().filter_map(LogIn::of_line).collect();
        Self(all.into_iter().rev().take(MOST).rev().collect())
    }

    pub(super) fn keep(&mut self, log_in: LogIn) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(log_in);
    }

    /// The addresses, as text, that a token is known under.
    pub(super) fn clients(&self, token: &str) -> Vec<String> {
        let of = self.0.iter().filter(|log_in| log_in.token == token);
        of.map(|log_in| log_in.client.clone()).collect()
    }

    /// The last log-ins of a user, the newest first.
    pub(super) fn last(&self, user: &str) -> impl Iterator<Item = &LogIn> {
        self.0.iter().rev().filter(move |log_in| log_in.user == user).take(log_in::SHOWN)
    }
}
