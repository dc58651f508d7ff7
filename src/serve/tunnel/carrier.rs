//! Who carries the tunnel of a gateway where that is a program, over all the starts of a run.

use std::{io, path::Path};

use tokio::time::Instant;

use super::appliance::{Appliance, Place};
use crate::{
    engine::{Esp, TunnelEngine},
    model::{name::NodeName, tunnel::TunnelEnd},
    report::run::EngineRun,
    serve::{
        Shared,
        daemon::{Call, Career, FOLDERS, Process, lay_out},
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
        let version = version.filter(|version| !version.is_empty());
        format!("{}, {}", version.unwrap_or(self.engine.name), self.esp.words())
    }

    /// Starts the program, and tells it of the tunnel. An error is a sentence, with its last words.
    pub(super) async fn start(&self, end: &TunnelEnd, secret: &str) -> Result<Appliance, String> {
        self.career.conclude(self.launch(end, secret).await)
    }

    async fn launch(&self, end: &TunnelEnd, secret: &str) -> Result<Appliance, String> {
        let (career, node) = (&self.career, self.career.node());
        let TunnelEngine { program: name, .. } = self.engine;
        let missing = || format!("is not on this machine as `{name}`; {}", self.engine.remedy());
        let program = career.program().ok_or_else(missing)?;
        let failed = |error: io::Error| format!("cannot be started: {error}");
        let place = Place::prepare(self.engine, self.esp, end).map_err(failed)?;
        let work = Path::new(FOLDERS).join(node.as_str()).join(end.tunnel.as_str());
        lay_out(&work, node).map_err(failed)?;
        let (file, text) = self.engine.file;
        std::fs::write(work.join(file), text(self.esp)).map_err(failed)?;
        let title = format!("{} for {} to {}", program.path.display(), end.local, end.remote);
        career.log().begin(&title);
        let began = Instant::now();
        let call = Call {
            program: &program.path,
            arguments: Vec::new(),
            variables: &[self.engine.variable],
            node,
            is_somebody: false,
        };
        let process =
            Process::start(call, &place.namespace, &work, career.log()).map_err(failed)?;
        career.note_start();
        let ready = Box::pin(place.ready(self.engine, &work, node, end, secret));
        match career.see_ready(&process, began, ready).await {
            Ok((device, charon)) => Ok(Appliance { process, device, relay: place.relay, charon }),
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
