//! Who encrypts for an end in the place of what is built in, what he is told, and what he says of keys.

use std::{io, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{
    charon::Charon,
    children::Child,
    news::{Key, News},
};
use crate::{
    net::{
        patience::{Deadline, within},
        wireguard::{Agreed, Device},
    },
    serve::daemon::{Process, Vitals},
};

/// How long a program that cannot be talked to any more may take to end.
const MOURNING: Duration = Duration::from_secs(1);
/// How often the kernel is asked for the state of its keys, which it tells nobody by itself.
const BETWEEN: Duration = Duration::from_millis(20);

/// What one key is for that does everything.
const ALL: &str = "all";

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
                let key = |agreed: &Agreed| Key { child: ALL.to_owned(), name: agreed.to_string() };
                let keys = |agreed: Option<Agreed>| agreed.iter().map(key).collect();
                return Ok(News { new: keys(agreed), old: keys(before) });
            }
        }
    }
}

impl Agent {
    /// What tells of a program whether it still does something.
    pub(super) fn vitals(&self) -> Option<Vitals> {
        match self {
            Self::Program { process, .. } => Some(process.vitals()),
            Self::Kernel(_) => None,
        }
    }

    /// What keys are to be agreed on for.
    pub(super) fn children<'a>(&self, told: &'a [Child]) -> Vec<&'a str> {
        match self {
            Self::Program { .. } => told.iter().map(|child| child.name.as_str()).collect(),
            Self::Kernel(_) => vec![ALL],
        }
    }

    /// What has become of keys since it was asked last. Nothing is lost when it is not waited for to the end.
    pub(super) async fn next(&mut self) -> io::Result<News> {
        match self {
            Self::Program { charon, .. } => charon.next().await,
            Self::Kernel(watched) => watched.next().await,
        }
    }

    /// Has it agree on first keys for children; nobody waits for what comes of that.
    pub(super) async fn initiate(&mut self, children: &[&str]) -> io::Result<()> {
        match self {
            Self::Program { charon, .. } => charon.initiate(children).await,
            Self::Kernel(watched) => watched.device.renew().map_err(io::Error::other),
        }
    }

    /// Has it agree on new keys for children.
    pub(super) async fn renew(&mut self, children: &[&str]) -> io::Result<()> {
        match self {
            Self::Program { charon, .. } => charon.rekey(children).await,
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
