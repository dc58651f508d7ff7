//! What becomes of a program beside a gateway over all its starts of a run: how it was heard, what it took, and what went wrong.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::{
    Engines, Memory, Process, Program,
    log::Log,
    trust::{PATIENCE, Trust},
};
use crate::{
    model::name::{NodeName, ServiceName},
    net::patience::{Deadline, Stopwatch, within},
    report::run::EngineRun,
};

/// Who works for a gateway, and at what.
pub(in crate::serve) struct Career {
    engine: &'static str,
    /// Its work in the words of the testbed: `tunnel` or `translation`.
    kind: &'static str,
    work: ServiceName,
    node: NodeName,
    program: Option<Program>,
    log: Arc<Log>,
    trust: Arc<Trust>,
    past: Mutex<Past>,
}

#[derive(Default)]
struct Past {
    starts: u32,
    ready_us: Option<u64>,
    memory: Memory,
    /// Why nobody does the work, as a sentence.
    trouble: Option<String>,
    /// Why nobody did it for a while since the phase was entered, though somebody may do so again.
    gap: Option<String>,
    /// What has gone wrong without being asked for, as sentences that nobody has been told yet.
    losses: Vec<String>,
    /// The last of these.
    told: Option<String>,
}

impl Career {
    /// A career that has not begun.
    pub(in crate::serve) fn new(
        engine: &'static str,
        (kind, work): (&'static str, ServiceName),
        node: &NodeName,
        engines: &Engines,
    ) -> Self {
        let log = Log::new(engines.logs.as_deref(), &format!("{node}.{work}"));
        let program = engines.programs.get(engine).cloned();
        let (trust, past) = (Arc::clone(&engines.trust), Mutex::default());
        Self { engine, kind, work, node: node.clone(), program, log, trust, past }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that it works for.
    pub(in crate::serve) fn node(&self) -> &NodeName {
        &self.node
    }

    /// What it says.
    pub(in crate::serve) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The program, where it is on this machine.
    pub(in crate::serve) fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// Notes that the program was started.
    pub(in crate::serve) fn note_start(&self) {
        self.past().starts += 1;
    }

    /// Waits until the program that was started is ready. An error is what it did instead.
    pub(in crate::serve) async fn see_ready<T>(
        &self,
        process: &Process,
        began: Instant,
        ready: impl Future<Output = io::Result<T>>,
    ) -> Result<T, String> {
        let ready = tokio::select! {
            biased;
            how = process.ending() => return Err(format!("has ended before it was ready ({how})")),
            ready = within(Deadline::after(PATIENCE), ready) => match ready {
                Ok(ready) => ready.map_err(|error| format!("is of no use: {error}"))?,
                Err(_) => return Err(format!("was not ready within {PATIENCE:?}")),
            },
        };
        self.note_ready(began, process.memory());
        Ok(ready)
    }

    /// Notes that the work can be done, and what that has taken.
    pub(in crate::serve) fn note_ready(&self, began: Instant, memory: Memory) {
        let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut past = self.past();
        past.ready_us = past.ready_us.max(Some(us));
        past.memory = past.memory.most(memory);
    }

    /// Makes a start, where there is still hope, and notes what comes of it. An error becomes a sentence, with the last words of
    /// the program.
    pub(in crate::serve) async fn attempt<T>(
        &self,
        start: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let place = self.place();
        let started = if let Some(what) = self.trust.given_up(self.engine, &place) {
            Err(what)
        } else {
            let watch = Stopwatch::start();
            let started = start.await;
            started
                .inspect(|_| self.trust.note_works(self.engine, &place))
                .map_err(|it| self.trust.note_vain(self.engine, &place, watch.elapsed(), it))
        };
        let started = started.map_err(|what| self.sentence(&what));
        self.past().trouble = started.as_ref().err().cloned();
        started
    }

    fn place(&self) -> String {
        let Self { kind, work, node, .. } = self;
        format!("of {kind} `{work}` at node `{node}`")
    }

    fn sentence(&self, what: &str) -> String {
        let (engine, place) = (self.engine, self.place());
        let said = format!("the engine `{engine}` {place} {what}");
        // The kernel, and what is not on this machine, say nothing.
        if self.program.as_ref().is_none_or(|program| program.path.as_os_str().is_empty()) {
            return said;
        }
        format!("{said}; {}", self.log.last_words())
    }

    /// Notes that the program does not do its work any more, and why.
    pub(in crate::serve) fn lose(&self, what: &str) {
        let said = self.sentence(what);
        let mut past = self.past();
        past.losses.push(said.clone());
        past.gap = Some(said.clone());
        past.trouble = Some(said);
    }

    /// Forgets what went wrong before: whoever does the work now does it in all of the phase.
    pub(in crate::serve) fn begin_phase(&self) {
        self.past().gap = None;
    }

    /// Why nobody does the work, though somebody should, or did not for a part of the phase; a sentence.
    pub(in crate::serve) fn trouble(&self) -> Option<String> {
        let past = self.past();
        past.trouble.clone().or_else(|| past.gap.clone())
    }

    /// Notes a trouble that shows while questions are asked; nobody is told the same twice in a row.
    pub(in crate::serve) fn tell_trouble(&self) {
        let mut past = self.past();
        let trouble = past.trouble.clone();
        if trouble != past.told {
            past.losses.extend(trouble.clone());
            past.told = trouble;
        }
    }

    /// What has gone wrong and nobody has been told yet.
    pub(in crate::serve) fn losses(&self) -> Vec<String> {
        std::mem::take(&mut self.past().losses)
    }

    /// What the record holds of it, under this version.
    pub(in crate::serve) fn record(&self, version: String) -> EngineRun {
        let past = self.past();
        EngineRun {
            node: self.node.clone(),
            service: self.work.clone(),
            engine: self.engine.to_owned(),
            program: self.program().map(|p| p.path.display().to_string()).unwrap_or_default(),
            version,
            starts: past.starts,
            ready_us: past.ready_us,
            pss_kib: past.memory.pss_kib,
            rss_kib: past.memory.rss_kib,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn who_was_lost_and_started_again_has_not_worked_all_the_phase() {
        let (work, node) = ("offices".parse().unwrap(), "gw".parse().unwrap());
        let career = Career::new("strongswan", ("tunnel", work), &node, &Engines::default());
        let start = || career.attempt(async { Ok(()) });
        start().await.unwrap();
        assert_eq!(career.trouble(), None);
        career.lose("hangs");
        start().await.unwrap();
        let said = "the engine `strongswan` of tunnel `offices` at node `gw` hangs";
        assert_eq!(career.trouble().as_deref(), Some(said));
        assert_eq!(career.losses(), [said]);
        career.begin_phase();
        assert_eq!(career.trouble(), None);
    }
}
