//! Who encrypts for an end in the place of what is built in, what he is told, and what he says of keys.

use std::{io, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::charon::Charon;
use crate::{
    net::{
        patience::{Deadline, within},
        wireguard::{Agreed, Device},
    },
    serve::daemon::Process,
};

/// How long a program that cannot be talked to any more may take to end.
const MOURNING: Duration = Duration::from_secs(1);
/// How often the kernel is asked for the state of its keys, which it tells nobody by itself.
const BETWEEN: Duration = Duration::from_millis(20);

/// What has become of keys: names of those that were agreed on, and of those that are no more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) new: Vec<String>,
    pub(super) old: Vec<String>,
}

/// Who does the work.
pub(super) enum Agent {
    /// A program, and the connection by which it is told.
    Program { process: Process, charon: Charon },
    /// A device of the kernel.
    Kernel(Watched),
}

/// A device of the kernel, and what is known of its keys.
pub(super) struct Watched {
    device: Device,
    agreed: Option<Agreed>,
    beat: Interval,
}

impl Watched {
    pub(super) fn new(device: Device) -> Self {
        let mut beat = interval(BETWEEN);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { device, agreed: None, beat }
    }

    async fn next(&mut self) -> io::Result<News> {
        loop {
            self.beat.tick().await;
            let agreed = self.device.agreed().map_err(io::Error::other)?;
            let before = std::mem::replace(&mut self.agreed, agreed);
            if agreed != before {
                let name =
                    |agreed: Option<Agreed>| agreed.iter().map(ToString::to_string).collect();
                return Ok(News { new: name(agreed), old: name(before) });
            }
        }
    }
}

impl Agent {
    /// What has become of keys since it was asked last. Nothing is lost when it is not waited for to the end.
    pub(super) async fn next(&mut self) -> io::Result<News> {
        match self {
            Self::Program { charon, .. } => charon.next().await,
            Self::Kernel(watched) => watched.next().await,
        }
    }

    /// Has it agree on first keys; nobody waits for what comes of that.
    pub(super) async fn initiate(&mut self) -> io::Result<()> {
        match self {
            Self::Program { charon, .. } => charon.initiate().await,
            Self::Kernel(watched) => watched.device.renew().map_err(io::Error::other),
        }
    }

    /// Has it agree on new keys.
    pub(super) async fn renew(&mut self) -> io::Result<()> {
        match self {
            Self::Program { charon, .. } => charon.rekey().await,
            Self::Kernel(watched) => watched.device.renew().map_err(io::Error::other),
        }
    }

    /// What has become of it that it cannot be talked to, as the end of a sentence.
    pub(super) async fn fate(&self, why: &io::Error) -> String {
        if let Self::Program { process, .. } = self
            && let Ok(how) = within(Deadline::after(MOURNING), process.ending()).await
        {
            return format!("has ended by itself ({how})");
        }
        format!("cannot be told anything any more: {why}")
    }

    /// Has it end.
    pub(super) async fn stop(self) {
        if let Self::Program { process, .. } = self {
            process.stop().await;
        }
    }
}
