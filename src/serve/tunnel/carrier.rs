//! Who carries the tunnel of a gateway where that is a program, over all the starts of a run: what it was told, how it was
//! heard, and what became of it.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::appliance::{Appliance, Place};
use crate::{
    engine::{Esp, TunnelEngine},
    model::{name::NodeName, tunnel::TunnelEnd},
    net::patience::{Deadline, within},
    report::run::EngineRun,
    serve::{
        Shared,
        daemon::{Call, Engines, FOLDERS, Log, Memory, Process, Program, lay_out},
    },
};

/// How long a program may take until it has been told everything: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who carries a tunnel at one gateway.
pub(super) struct Carrier {
    engine: &'static TunnelEngine,
    /// Where it encrypts.
    esp: Esp,
    engines: Engines,
    node: NodeName,
    log: Arc<Log>,
    past: Mutex<Past>,
}

#[derive(Default)]
struct Past {
    starts: u32,
    ready_us: Option<u64>,
    memory: Memory,
    /// Why nobody carries the tunnel, as a sentence.
    trouble: Option<String>,
    /// What has gone wrong without being asked for, as sentences that nobody has been told yet.
    losses: Vec<String>,
}

impl Carrier {
    pub(super) fn new(
        engine: &'static TunnelEngine,
        shared: &Shared,
        node: &NodeName,
        end: &TunnelEnd,
    ) -> Self {
        let engines = shared.engines().clone();
        let log = Log::new(engines.logs.as_deref(), &format!("{node}.{}", end.tunnel));
        let esp = shared.esp();
        Self { engine, esp, engines, node: node.clone(), log, past: Mutex::default() }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the record calls it: its version, and where it encrypts.
    pub(super) fn title(&self) -> String {
        let version = self.program().map(|program| program.version.as_str());
        let version = version.filter(|version| !version.is_empty());
        format!("{}, {}", version.unwrap_or(self.engine.name), self.esp.words())
    }

    fn program(&self) -> Option<&Program> {
        self.engines.programs.get(self.engine.name)
    }

    /// Starts the program, and tells it of the tunnel. An error is a sentence, with its last words.
    pub(super) async fn start(&self, end: &TunnelEnd, secret: &str) -> Result<Appliance, String> {
        let started = self.launch(end, secret).await.map_err(|what| self.sentence(end, &what));
        self.past().trouble = started.as_ref().err().cloned();
        started
    }

    async fn launch(&self, end: &TunnelEnd, secret: &str) -> Result<Appliance, String> {
        let TunnelEngine { program: name, .. } = self.engine;
        let missing = || format!("is not on this machine as `{name}`; {}", self.engine.remedy());
        let program = self.program().ok_or_else(missing)?;
        let failed = |error: io::Error| format!("cannot be started: {error}");
        let place = Place::prepare(self.engine, self.esp, end).map_err(failed)?;
        let work = Path::new(FOLDERS).join(self.node.as_str()).join(end.tunnel.as_str());
        lay_out(&work, &self.node).map_err(failed)?;
        let (file, text) = self.engine.file;
        std::fs::write(work.join(file), text(self.esp)).map_err(failed)?;
        self.log.begin(&format!("{} for {} to {}", program.path.display(), end.local, end.remote));
        let began = Instant::now();
        let call = Call {
            program: &program.path,
            arguments: Vec::new(),
            variables: &[self.engine.variable],
            node: &self.node,
        };
        let process = Process::start(call, &place.namespace, &work, &self.log).map_err(failed)?;
        self.past().starts += 1;
        let ready = place.ready(self.engine, &work, &self.node, end, secret);
        let ready = tokio::select! {
            biased;
            how = process.ending() => Err(format!("has ended before it was ready ({how})")),
            ready = within(Deadline::after(PATIENCE), ready) => match ready {
                Ok(ready) => ready.map_err(|error| format!("is of no use: {error}")),
                Err(_) => Err(format!("was not ready within {PATIENCE:?}")),
            },
        };
        match ready {
            Ok((device, charon)) => {
                self.note_ready(began, &process);
                Ok(Appliance { process, device, relay: place.relay, charon })
            }
            Err(what) => {
                process.stop().await;
                Err(what)
            }
        }
    }

    fn note_ready(&self, began: Instant, process: &Process) {
        let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let memory = process.memory();
        let mut past = self.past();
        past.ready_us = past.ready_us.max(Some(us));
        past.memory = past.memory.most(memory);
    }

    fn sentence(&self, end: &TunnelEnd, what: &str) -> String {
        let (engine, words) = (self.engine.name, self.log.last_words());
        format!(
            "the engine `{engine}` of tunnel `{}` at node `{}` {what}; {words}",
            end.tunnel, self.node
        )
    }

    /// Notes that the program does not carry the tunnel any more, and why.
    pub(super) fn lose(&self, end: &TunnelEnd, what: &str) {
        let said = self.sentence(end, what);
        let mut past = self.past();
        past.losses.push(said.clone());
        past.trouble = Some(said);
    }

    /// Why nobody carries the tunnel, though somebody should; a sentence.
    pub(super) fn trouble(&self) -> Option<String> {
        self.past().trouble.clone()
    }

    /// Notes a trouble that shows while questions are asked.
    pub(super) fn tell_trouble(&self) {
        let mut past = self.past();
        let said = past.trouble.clone();
        past.losses.extend(said);
    }

    /// What has gone wrong and nobody has been told yet.
    pub(super) fn losses(&self) -> Vec<String> {
        std::mem::take(&mut self.past().losses)
    }

    /// What the record holds of it.
    pub(super) fn record(&self, end: &TunnelEnd) -> Option<EngineRun> {
        let past = self.past();
        let program = self.program();
        Some(EngineRun {
            node: self.node.clone(),
            service: end.tunnel.as_str().parse().ok()?,
            engine: self.engine.name.to_owned(),
            program: program.map(|p| p.path.display().to_string()).unwrap_or_default(),
            version: self.title(),
            starts: past.starts,
            ready_us: past.ready_us,
            pss_kib: past.memory.pss_kib,
            rss_kib: past.memory.rss_kib,
        })
    }
}
