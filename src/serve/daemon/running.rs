//! A program that runs for a service, from its start to its end.

use std::{io, path::Path, sync::Arc, time::Duration};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{sync::watch, time::Instant};

use super::{
    Program,
    launch::{self, Call, Launched},
    log::Log,
    members::{Household, Memory, Vitals},
};
use crate::{
    engine::{Engine, Job, Place},
    net::{
        namespace::Namespace,
        patience::{Deadline, until, within},
    },
};

/// How long a program may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether those that were killed are gone.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A program that runs for a service.
pub(super) struct Running {
    pub(super) job: Job,
    pub(super) since: Instant,
    /// Where it has not been asked, because the node could not be reached there yet.
    pub(super) unasked: Vec<Place>,
    /// Where it has answered when all was in place around it.
    pub(super) answered: Vec<Place>,
    pub(super) process: Process,
}

/// A program that runs. Dropping it kills it.
pub(in crate::serve) struct Process {
    pid: Pid,
    household: Option<Arc<Household>>,
    ended: watch::Receiver<Option<String>>,
}

impl Running {
    /// Starts a program for a job.
    pub(super) fn start(
        program: &Program,
        namespace: &Namespace,
        work: &Path,
        engine: &Engine,
        job: Job,
        log: &Arc<Log>,
    ) -> io::Result<Self> {
        launch::furnish(work, engine, &job)?;
        let since = Instant::now();
        let call = Call {
            program: &program.path,
            arguments: job.command(engine),
            variables: &[],
            node: &job.node,
            is_somebody: job.rootless && engine.gives_up_groups,
        };
        let process = Process::start(call, namespace, work, log)?;
        Ok(Self { job, since, unasked: Vec::new(), answered: Vec::new(), process })
    }
}

impl Process {
    /// Starts a program whose folder is furnished.
    pub(in crate::serve) fn start(
        call: Call,
        namespace: &Namespace,
        work: &Path,
        log: &Arc<Log>,
    ) -> io::Result<Self> {
        let Launched { mut child, own, said } = launch::launch(call, namespace, work)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = Pid::from_raw(pid.expect("a child that was just started"));
        let household = Household::of(pid).map(Arc::new);
        let (tell, ended) = watch::channel(None);
        let reading = tokio::spawn(Arc::clone(log).read(said));
        tokio::spawn(async move {
            let status = child.wait().await;
            drop(own);
            // What it has said before it ended comes first; somebody else may hold the other end for longer.
            let _ = within(Deadline::after(BETWEEN_LOOKS * 20), reading).await;
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            // Nobody listens if it was dropped.
            let _ = tell.send(Some(how));
        });
        Ok(Self { pid, household, ended })
    }

    /// How it has ended, if it has.
    pub(in crate::serve) fn end(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Waits until it has ended, and says how.
    pub(in crate::serve) fn ending(&self) -> impl Future<Output = String> + use<> {
        let mut ended = self.ended.clone();
        async move {
            let how = ended.wait_for(Option::is_some).await;
            how.ok().and_then(|how| how.clone()).unwrap_or_default()
        }
    }

    /// What tells whether it still does something.
    pub(in crate::serve) fn vitals(&self) -> Vitals {
        Vitals(self.household.clone())
    }

    /// The memory of all its processes.
    pub(in crate::serve) fn memory(&self) -> Memory {
        self.household.as_ref().map_or_else(Memory::default, |household| household.memory())
    }

    /// Kills whoever is left of one that has ended.
    pub(super) fn clear(&self) {
        if let Some(household) = &self.household {
            household.clear();
        }
    }

    /// Ends it: by asking, then by force, and whoever it has left behind.
    pub(in crate::serve) async fn stop(self) {
        if self.end().is_none() {
            let _ = kill(self.pid, Signal::SIGTERM);
            if within(Deadline::after(PATIENCE), self.ending()).await.is_err() {
                let _ = killpg(self.pid, Signal::SIGKILL);
                let _ = within(Deadline::after(PATIENCE), self.ending()).await;
            }
        }
        let Some(household) = &self.household else { return };
        let cleared = || household.clear().then_some(());
        // A process that the kernel holds back is the kernel's: it goes with the lab.
        let _ = until(Deadline::after(PATIENCE), BETWEEN_LOOKS, cleared).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.end().is_none() {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }
}
