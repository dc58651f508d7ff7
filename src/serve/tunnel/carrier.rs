//! Who carries the tunnel of a gateway where that is a program or the kernel, over all the starts of a run.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::time::Instant;

use super::{
    agent::{Agent, Watched},
    appliance::{Appliance, Place},
    keys::Keys,
    more::Selective,
    sides::{PORT, theirs, there},
};
use crate::{
    engine::{Esp, TunnelEngine, TunnelProgram, TunnelWorker},
    model::{name::NodeName, tunnel::TunnelEnd},
    net::wireguard::Told,
    report::run::EngineRun,
    serve::{
        Shared,
        daemon::{Call, Career, FOLDERS, Memory, Process, Vitals, lay_out},
    },
};

/// Who carries a tunnel at one gateway.
pub(super) struct Carrier {
    engine: &'static TunnelEngine,
    /// Where it encrypts.
    esp: Esp,
    pub(super) career: Career,
}

impl Carrier {
    pub(super) fn new(
        engine: &'static TunnelEngine,
        shared: &Shared,
        node: &NodeName,
        end: &TunnelEnd,
    ) -> Self {
        let work = end.tunnel.as_str().parse().expect("names of tunnels are as those of services");
        let career = Career::new(engine.name, ("tunnel", work), node, shared.engines());
        Self { engine, esp: shared.esp(), career }
    }

    /// What the record calls it: its version, and where it encrypts.
    pub(super) fn title(&self) -> String {
        let version = self.career.program().map(|program| program.version.as_str());
        let version = version.filter(|version| !version.is_empty()).unwrap_or(self.engine.name);
        match self.engine.by {
            TunnelWorker::Program(_) => format!("{version}, {}", self.esp.words()),
            TunnelWorker::Kernel => format!("{version}, WireGuard of the kernel"),
        }
    }

    /// The program that carries it, told over its control connection; `None` where it is none, and no selectors are agreed on.
    pub(super) fn selective(&self, end: &TunnelEnd, is_spoilt: bool) -> Option<Selective> {
        let TunnelWorker::Program(program) = &self.engine.by else { return None };
        let node = self.career.node().clone();
        let control = self.folder(end).join(program.control);
        Some(Selective { node, end: end.clone(), esp: self.esp, is_spoilt, control })
    }

    /// What a program does that hangs, as the end of a sentence; `None` if it does not. The kernel does not hang.
    pub(super) async fn hangs(&self, end: &TunnelEnd, vitals: &Vitals) -> Option<String> {
        if vitals.are_stopped() {
            return Some("hangs: somebody has stopped it".to_owned());
        }
        let program = self.selective(end, false)?;
        let why = program.answers().await.err()?;
        Some(format!("hangs: asked for its version over its control connection, {why}"))
    }

    /// Where a program has its files.
    fn folder(&self, end: &TunnelEnd) -> PathBuf {
        Path::new(FOLDERS).join(self.career.node().as_str()).join(end.tunnel.as_str())
    }

    /// Has it begin, with a device of this MTU where it is made here. An error is a sentence, with the last words of a program.
    pub(super) async fn start(
        &self,
        end: &TunnelEnd,
        keys: &Keys,
        mtu: u32,
    ) -> Result<Appliance, String> {
        let start = async {
            match &self.engine.by {
                TunnelWorker::Program(program) => self.launch(program, end, keys).await,
                TunnelWorker::Kernel => self.employ(end, keys, mtu),
            }
        };
        self.career.attempt(Box::pin(start)).await
    }

    /// Has the kernel carry the tunnel.
    fn employ(&self, end: &TunnelEnd, keys: &Keys, mtu: u32) -> Result<Appliance, String> {
        let (career, node) = (&self.career, self.career.node());
        let failed = |error: io::Error| format!("cannot begin: {error}");
        let began = Instant::now();
        let place = Place::prepare(self.engine, end).map_err(failed)?;
        let told = Told {
            secret: keys.secret(node, &end.tunnel).to_bytes(),
            port: PORT,
            peer: keys.public(&end.peer, &end.tunnel).to_bytes(),
            remote: theirs(end),
            beyond: there(end).into_iter().collect(),
        };
        career.note_start();
        let device = place.add_wireguard(mtu, &told)?;
        // The kernel sends from the address that it sends to.
        let relay = place.relay(end, end.remote.ip()).map_err(failed)?;
        let ear = place.device().map_err(failed)?;
        career.note_ready(began, Memory::default());
        let place = place.namespace;
        Ok(Appliance { agent: Agent::Kernel(Watched::new(device)), device: ear, relay, place })
    }

    /// Starts a program, and tells it of the tunnel.
    async fn launch(
        &self,
        of: &TunnelProgram,
        end: &TunnelEnd,
        keys: &Keys,
    ) -> Result<Appliance, String> {
        let (career, node) = (&self.career, self.career.node());
        let missing = || format!("is not on this machine as `{}`; {}", of.program, of.remedy());
        let program = career.program().ok_or_else(missing)?;
        let failed = |error: io::Error| format!("cannot be started: {error}");
        let place = Place::prepare(self.engine, end).map_err(failed)?;
        if self.esp == Esp::Kernel {
            place.add_esp().map_err(failed)?;
        }
        let relay = place.relay(end, end.local.ip()).map_err(failed)?;
        let work = self.folder(end);
        lay_out(&work, node).map_err(failed)?;
        let (file, text) = of.file;
        std::fs::write(work.join(file), text(self.esp)).map_err(failed)?;
        let title = format!("{} for {} to {}", program.path.display(), end.local, end.remote);
        career.log().begin(&title);
        let began = Instant::now();
        let call = Call {
            program: &program.path,
            arguments: Vec::new(),
            variables: &[of.variable],
            node,
            is_somebody: false,
        };
        let process =
            Process::start(call, &place.namespace, &work, career.log()).map_err(failed)?;
        career.note_start();
        let secret = keys.shared(node, &end.peer, &end.tunnel);
        let ready = Box::pin(async {
            let charon = place.ready(of, &work, (node, end), self.esp, &secret).await?;
            Ok((place.device()?, charon))
        });
        match career.see_ready(&process, began, ready).await {
            Ok((device, charon)) => {
                let (agent, place) = (Agent::Program { process, charon }, place.namespace);
                Ok(Appliance { agent, device, relay, place })
            }
            Err(what) => {
                process.stop().await;
                Err(what)
            }
        }
    }

    /// What the record holds of it.
    pub(super) fn record(&self) -> EngineRun {
        self.career.record(self.title())
    }
}
