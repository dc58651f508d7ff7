//! A lab that stays and answers on its control socket.

use std::{io::Write, os::fd::AsFd, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::mpsc,
    time::timeout,
};

use super::{
    Failure,
    choice::Choice,
    control::{Checked, Reply, Request, SOCKET, Status, short_path},
    lab::{self, Task},
    source,
};
use crate::{
    check::{Check, cause},
    lab::{Driver, netns::Netns},
    model::phase::Phase,
    record::{Clock, RunDirectory},
    stage::Stage,
    walk::{Event, Order, Stopped, Visit},
};

/// Builds the lab, says on stdout where it is, and answers until it is told to end.
pub(super) fn stand(task: &Task, detached: bool) -> Result<(), Failure> {
    lab::inside(|inside, outside, mut stop| async move {
        let engines = lab::engines(task, &Phase::ALL, inside)?;
        let clock = Clock::start();
        let mut directory = lab::begin(task, clock)?;
        outside.tell(&directory.path().display().to_string());
        lab::warn_of_limit(inside, &task.testbed);
        directory.write_run(&lab::blank(task, inside, clock))?;
        let stage = Stage::new(&task.testbed, task.phases[0]);
        let engines = engines.kept_in(lab::logs(&directory));
        let driver = Netns::build_with(&stage, clock.origin(), engines)?.amid(outside.crowding());
        driver.lab().publish()?;
        let at_once = lab::at_once(inside, &task.testbed);
        let mut standing = Standing { task, at_once, clock, driver, stage: None, evidence: 0 };
        let say = |line: String| drop(writeln!(std::io::stderr(), "{line}"));
        standing.go_to(task.phases[0], &mut directory, &say).await.map_err(Failure::Sentence)?;
        let socket = short_path(directory.path())?.join(SOCKET);
        let listener = UnixListener::bind(&socket)?;
        say_where(&directory)?;
        if detached {
            leave_terminal(&directory)?;
        }
        let result = tokio::select! {
            result = standing.answer_all(&listener, &mut directory) => result,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        // It has no use any more; whoever ended the lab has taken it away, or the run directory.
        let _ = std::fs::remove_file(&socket);
        result
    })
}

/// Says on stdout where the lab is. Nobody could find a lab whose starter has gone away meanwhile, so that is an error.
fn say_where(directory: &RunDirectory) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{}", directory.path().display()).and_then(|()| out.flush());
    said.map_err(|error| {
        Failure::Sentence(format!("nobody waits for the lab any more ({error}), so it has ended"))
    })
}

/// From now on, what is written to stdout and stderr goes to `lab.log`.
fn leave_terminal(directory: &RunDirectory) -> Result<(), Failure> {
    let log = std::fs::File::create(directory.path().join("lab.log"))?;
    nix::unistd::dup2_stdout(log.as_fd())?;
    nix::unistd::dup2_stderr(log.as_fd())?;
    Ok(())
}

/// How long a client may take to ask, and to hear the last word.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes replies to a client until there are no more, or it has gone away.
async fn write(mut told: mpsc::UnboundedReceiver<Reply>, mut writer: OwnedWriteHalf) {
    while let Some(reply) = told.recv().await {
        let mut line = serde_json::to_vec(&reply).expect("a reply is plain data");
        line.push(b'\n');
        if writer.write_all(&line).await.is_err() {
            break;
        }
    }
}

struct Standing<'t> {
    task: &'t Task,
    at_once: usize,
    clock: Clock,
    driver: Netns,
    stage: Option<Stage>,
    evidence: u32,
}

impl Standing<'_> {
    async fn answer_all(
        &mut self,
        listener: &UnixListener,
        directory: &mut RunDirectory,
    ) -> Result<(), Failure> {
        loop {
            let (stream, _) = listener.accept().await?;
            if self.answer(stream, directory).await {
                return Ok(());
            }
        }
    }

    /// Answers the one request of a client; true when the lab is to end. Neither a client that asks nothing nor one that
    /// does not read its answer may keep others waiting.
    async fn answer(&mut self, stream: UnixStream, directory: &mut RunDirectory) -> bool {
        let (reader, writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let Ok(Ok(Some(line))) = timeout(PATIENCE, lines.next_line()).await else { return false };
        let (tell, told) = mpsc::unbounded_channel::<Reply>();
        let writing = tokio::spawn(write(told, writer));
        let say = |line: String| drop(tell.send(Reply::Progress { line }));
        let request = serde_json::from_str(&line);
        let end = matches!(request, Ok(Request::Down));
        if end {
            // Nobody finds it any more once it has said that it is down.
            let _ = std::fs::remove_file(directory.path().join(SOCKET));
        }
        let reply = match request {
            Ok(request) => self.carry_out(request, directory, &say).await,
            Err(error) => Err(format!("the request is not one of this version: {error}")),
        };
        drop(tell.send(reply.unwrap_or_else(|why| Reply::Refused { why })));
        drop(tell);
        if end {
            // The last word, if somebody still listens.
            let _ = timeout(PATIENCE, writing).await;
        }
        end
    }

    async fn carry_out(
        &mut self,
        request: Request,
        directory: &mut RunDirectory,
        say: &(dyn Fn(String) + Sync),
    ) -> Result<Reply, String> {
        match request {
            Request::Status => Ok(Reply::Status(self.status(directory).await?)),
            Request::Phase { phase } => {
                self.go_to(phase, directory, say).await?;
                Ok(Reply::Status(self.status(directory).await?))
            }
            Request::Check { choice } => {
                Ok(Reply::Checked(self.check(&choice, directory, say).await?))
            }
            Request::Down => Ok(Reply::Gone),
        }
    }

    fn stage(&self) -> Result<&Stage, String> {
        self.stage
            .as_ref()
            .ok_or_else(|| "the lab is in no phase; go to one with `sixwalk phase`".to_owned())
    }

    async fn status(&self, directory: &RunDirectory) -> Result<Status, String> {
        let stage = self.stage()?;
        let nodes = stage.nodes.iter().map(|(name, node)| {
            let addresses = node.interfaces.iter().flat_map(|interface| &interface.addresses);
            (name.to_string(), addresses.map(|address| address.net.to_string()).collect())
        });
        Ok(Status {
            title: self.task.testbed.title.clone(),
            run: directory.path().to_owned(),
            phase: stage.phase,
            age_s: self.clock.us() / 1_000_000,
            deviations: self.driver.verify(stage).await,
            nodes: nodes.collect(),
        })
    }

    async fn go_to(
        &mut self,
        phase: Phase,
        directory: &mut RunDirectory,
        say: &(dyn Fn(String) + Sync),
    ) -> Result<(), String> {
        if let Some(stage) = &self.stage {
            self.driver.mend(stage).await?;
        }
        let stage = Stage::new(&self.task.testbed, phase);
        let tell = |event: Event<'_>| line(&event).into_iter().for_each(say);
        let retest = retest(self.task);
        let order = self.order(&[], &retest);
        let visit = self.visit(&order, &stage, &tell);
        visit.enter(self.stage.as_ref(), directory).await.map_err(|stopped| said(&stopped))?;
        visit.plant(directory).await.map_err(|stopped| said(&stopped))?;
        self.driver
            .lab()
            .name_nodes(&stage)
            .map_err(|error| format!("cannot write /etc/hosts: {error}"))?;
        self.stage = Some(stage);
        Ok(())
    }

    async fn check(
        &mut self,
        choice: &Choice,
        directory: &mut RunDirectory,
        say: &(dyn Fn(String) + Sync),
    ) -> Result<Checked, String> {
        let checks =
            choice.checks().map_err(|_| "one of the checks is not known to the lab".to_owned())?;
        let stage = self.stage()?;
        let tell = |event: Event<'_>| line(&event).into_iter().for_each(say);
        let retest = retest(self.task);
        let order = self.order(&checks, &retest);
        let examined = self
            .visit(&order, stage, &tell)
            .examine(directory)
            .await
            .map_err(|stopped| said(&stopped))?;
        let judged = [(stage.phase, examined.judgements)];
        let findings = cause::findings(&judged, &retest);
        let [(phase, judgements)] = judged;
        self.evidence += u32::try_from(examined.probes + examined.taps).unwrap_or(u32::MAX);
        let row = |j: crate::model::verdict::Judgement| (j.check, j.subject, j.verdict, j.reason);
        Ok(Checked { phase, judgements: judgements.into_iter().map(row).collect(), findings })
    }

    fn order<'o>(
        &'o self,
        checks: &'o [&'static dyn Check],
        retest: &'o (dyn Fn(&str, &[Phase]) -> String + Sync),
    ) -> Order<'o> {
        let task = self.task;
        Order {
            testbed: &task.testbed,
            phases: &[],
            checks,
            gates: &task.gates,
            faults: &task.faults,
            capture: false,
            at_once: self.at_once,
            retest,
        }
    }

    fn visit<'v>(
        &'v self,
        order: &'v Order<'v>,
        stage: &'v Stage,
        tell: &'v (dyn Fn(Event<'_>) + Sync),
    ) -> Visit<'v> {
        Visit {
            order,
            driver: &self.driver,
            clock: self.clock,
            stage,
            first_evidence: self.evidence,
            tell,
        }
    }
}

fn retest(task: &Task) -> impl Fn(&str, &[Phase]) -> String + Sync + use<> {
    let start = task.retest.clone();
    move |check, phases| source::retest(&start, check, phases)
}

fn said(stopped: &Stopped) -> String {
    stopped.to_string()
}

/// What is worth a line to somebody who waits.
fn line(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Made { wave, done, of } => {
            Some(format!("{done} of {of} steps: {}", wave.purpose.title()))
        }
        Event::Settling => {
            Some("waiting for duplicate address detection and advertisements".to_owned())
        }
        Event::Verified { deviations: [] } => Some("kernel state verified".to_owned()),
        Event::Verified { deviations } => {
            Some(format!("{} differences to the plan", deviations.len()))
        }
        Event::Without { said } => Some(format!("warning: {said}")),
        Event::Entering { .. } | Event::Stopping | Event::Asking { .. } | Event::Left { .. } => {
            None
        }
    }
}
