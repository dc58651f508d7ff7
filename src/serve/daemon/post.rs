//! The post of a service that an engine provides: what it is told, who holds it, what became of those who did.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nix::net::if_::if_nametoindex;
use tokio::time::interval;

use super::{
    Memory, Process, Program,
    log::Log,
    ready::Caller,
    running::Running,
    trust::{PATIENCE, Trust},
};
use crate::{
    engine::{Engine, Job, LOG, Part, Place},
    model::{
        answer::{AddressState, Logged},
        function::Function,
        name::{EngineName, NodeName, ServiceName},
        service::{Service, ServiceKind, Transport},
    },
    net::{
        links,
        namespace::Namespace,
        netlink::Netlink,
        patience::{Deadline, Stopwatch},
    },
    report::run::EngineRun,
    serve::Shared,
};

/// Where the folders of engines are, in the lab's own `/run`.
pub(in crate::serve) const FOLDERS: &str = "/run/sixwalk/engines";
/// How often one that starts is asked.
const BETWEEN: Duration = Duration::from_millis(10);

/// How long one is waited for that has answered before: as long as a router may take that has just spoken (RFC 4861 section
/// 6.2.6).
const PATIENCE_AGAIN: Duration = Duration::from_secs(4);
/// How often somebody has been asked, so that no two questions are alike.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// What a program does instead of answering.
enum Lack {
    /// It has ended, in this way.
    Ended(String),
    /// It says nothing, there.
    Silent(String),
}

/// The post of a service.
pub(in crate::serve) struct Post {
    pub(in crate::serve) service: ServiceName,
    pub(in crate::serve) engine: &'static Engine,
    pub(in crate::serve) part: Part,
    node: NodeName,
    ports: Vec<(Transport, u16)>,
    program: Option<Program>,
    work: PathBuf,
    log: Arc<Log>,
    trust: Arc<Trust>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    starts: u32,
    ready_us: Option<u64>,
    memory: Memory,
    /// Those who have ended by themselves, as long as somebody may be left whom they have started.
    gone: Vec<Process>,
    /// Why nobody holds the post, as a sentence.
    trouble: Option<String>,
    /// Whether that is because who held it has ended or fallen silent.
    is_lost: bool,
    /// Who has ended or fallen silent, as sentences that nobody has been told yet.
    losses: Vec<String>,
}

impl Post {
    /// The post of a service, if an engine is to provide it. Nothing is started before there is something to do.
    pub(in crate::serve) fn of(
        node: &NodeName,
        service: &Service,
        shared: &Shared,
    ) -> Option<Self> {
        let engine = Engine::of(service.engine.as_ref()?)?;
        let ports = service.ports().map(|port| (port.transport, port.number)).collect();
        let part = Part::Service(service.kind);
        Some(Self::new(node, service.name.clone(), part, engine, ports, shared))
    }

    /// The post of what a node does for the network, likewise.
    pub(in crate::serve) fn of_function(
        node: &NodeName,
        function: Function,
        name: &EngineName,
        shared: &Shared,
    ) -> Option<Self> {
        let part = Part::Function(function);
        let word = part.word().parse().expect("words are names");
        Some(Self::new(node, word, part, Engine::of(name)?, Vec::new(), shared))
    }

    fn new(
        node: &NodeName,
        service: ServiceName,
        part: Part,
        engine: &'static Engine,
        ports: Vec<(Transport, u16)>,
        shared: &Shared,
    ) -> Self {
        let engines = shared.engines();
        // A service may bear the name of a function.
        let folder = match part {
            Part::Service(_) => service.to_string(),
            Part::Function(function) => format!("@{function}"),
        };
        Self {
            engine,
            part,
            node: node.clone(),
            ports,
            program: engines.program(engine),
            work: Path::new(FOLDERS).join(node.as_str()).join(folder),
            log: Log::new(engines.logs.as_deref(), &format!("{node}.{service}")),
            trust: Arc::clone(&engines.trust),
            service,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the post in line with a job: the program is started, started anew, or stopped. Whether somebody holds it now who
    /// did not before.
    pub(in crate::serve) async fn take(
        &self,
        job: Option<Job>,
        namespace: &Namespace,
        shared: &Shared,
    ) -> bool {
        self.notice();
        let before: Vec<_> = {
            let mut state = self.state();
            if state.trouble.is_none()
                && state.running.as_ref().map(|running| &running.job) == job.as_ref()
            {
                return false;
            }
            state.trouble = None;
            state.is_lost = false;
            let running = state.running.take().map(|running| running.process);
            std::mem::take(&mut state.gone).into_iter().chain(running).collect()
        };
        for process in before {
            process.stop().await;
        }
        let Some(job) = job else { return false };
        match self.start(job, namespace, shared).await {
            Ok(running) => self.state().running = Some(running),
            Err(said) => {
                self.state().trouble = Some(said);
                return false;
            }
        }
        true
    }

    async fn start(
        &self,
        job: Job,
        namespace: &Namespace,
        shared: &Shared,
    ) -> Result<Running, String> {
        let program = self.program.as_ref().ok_or_else(|| {
            let Engine { program, .. } = self.engine;
            self.sentence(&format!(
                "is not on this machine as `{program}`; {}",
                self.engine.remedy()
            ))
        })?;
        if let Some(what) = self.trust.given_up(self.engine.name, &self.place()) {
            return Err(self.sentence(&what));
        }
        let (now, later) = usable(namespace, job.places())
            .map_err(|error| self.sentence(&format!("cannot be started: {error}")))?;
        self.log.begin(&format!("{} for {}", program.path.display(), places(&job)));
        let running = Running::start(program, namespace, &self.work, self.engine, job, &self.log);
        let mut running =
            running.map_err(|error| self.sentence(&format!("cannot be started: {error}")))?;
        running.unasked = later;
        self.state().starts += 1;
        if let Err(said) = self.heard(&running, &now, namespace, shared).await {
            running.process.stop().await;
            return Err(said);
        }
        if !now.is_empty() {
            let us = u64::try_from(running.since.elapsed().as_micros()).unwrap_or(u64::MAX);
            let mut state = self.state();
            state.ready_us = state.ready_us.max(Some(us));
        }
        self.weigh(&running);
        Ok(running)
    }

    /// Waits until the program has answered in each of these places. An error is a sentence.
    async fn heard(
        &self,
        running: &Running,
        places: &[Place],
        namespace: &Namespace,
        shared: &Shared,
    ) -> Result<(), String> {
        let watch = Stopwatch::start();
        let answers = self.answers(running, places, PATIENCE, namespace, shared).await;
        let what = match answers {
            Ok(()) if places.is_empty() => return Ok(()),
            Ok(()) => {
                self.trust.note_works(self.engine.name, &self.place());
                return Ok(());
            }
            Err(Lack::Ended(how)) => format!("has ended before it answered ({how})"),
            Err(Lack::Silent(at)) => format!("has not answered {at} within {PATIENCE:?}"),
        };
        Err(self.in_vain(&watch, what))
    }

    /// Notes what a program did instead of answering; a sentence.
    fn in_vain(&self, watch: &Stopwatch, what: String) -> String {
        let time = watch.elapsed();
        self.sentence(&self.trust.note_vain(self.engine.name, &self.place(), time, what))
    }

    /// The same, with so much patience. An error is what it did instead.
    async fn answers(
        &self,
        running: &Running,
        places: &[Place],
        patience: Duration,
        namespace: &Namespace,
        shared: &Shared,
    ) -> Result<(), Lack> {
        let caller = self.caller(running, namespace, shared);
        let deadline = Deadline::after(patience);
        for place in places {
            let mut beat = interval(BETWEEN);
            let answered = async {
                while !caller.answers(place).await {
                    beat.tick().await;
                }
            };
            tokio::select! {
                biased;
                how = running.process.ending() => return Err(Lack::Ended(how)),
                () = answered => {}
                () = deadline.passed() => {
                    let at = if matches!(place, Place::Address(_)) { "at" } else { "on" };
                    return Err(Lack::Silent(format!("{at} {place}")));
                }
            }
        }
        Ok(())
    }

    fn caller<'c>(
        &'c self,
        running: &'c Running,
        namespace: &'c Namespace,
        shared: &'c Shared,
    ) -> Caller<'c> {
        let turn = ASKED.fetch_add(1, Ordering::Relaxed);
        Caller { namespace, job: &running.job, work: &self.work, shared, turn }
    }

    /// Asks where nobody could be reached when the program was started.
    pub(in crate::serve) async fn settle(&self, namespace: &Namespace, shared: &Shared) {
        self.notice();
        let Some(mut running) = self.state().running.take() else { return };
        let unasked = std::mem::take(&mut running.unasked);
        match self.heard(&running, &unasked, namespace, shared).await {
            Ok(()) => {
                running.answered = self.answering(&running, namespace, shared).await;
                self.state().running = Some(running);
            }
            Err(said) => {
                running.process.stop().await;
                self.state().trouble = Some(said);
            }
        }
    }

    /// Where a program answers now that all is in place around it: what keeps it from answering elsewhere is no fault of its.
    async fn answering(
        &self,
        running: &Running,
        namespace: &Namespace,
        shared: &Shared,
    ) -> Vec<Place> {
        let caller = self.caller(running, namespace, shared);
        let mut answering = Vec::new();
        for place in running.job.places() {
            // Nothing stands between a node and its own links, on which an answer may take its time.
            if matches!(place, Place::Link(_)) || caller.answers(&place).await {
                answering.push(place);
            }
        }
        answering
    }

    /// Asks once more where the program has answered before. One that does not any more is ended, so that nobody half holds the
    /// post.
    pub(in crate::serve) async fn hear_again(&self, namespace: &Namespace, shared: &Shared) {
        self.notice();
        let Some(running) = self.state().running.take() else { return };
        let watch = Stopwatch::start();
        let places = &running.answered;
        let answers = self.answers(&running, places, PATIENCE_AGAIN, namespace, shared).await;
        let Err(Lack::Silent(at)) = answers else {
            self.state().running = Some(running);
            return self.notice();
        };
        let said = self.in_vain(&watch, format!("does not answer {at} any more"));
        running.process.stop().await;
        lose(&mut self.state(), said);
    }

    fn weigh(&self, running: &Running) {
        let memory = running.process.memory();
        let mut state = self.state();
        state.memory = state.memory.most(memory);
    }

    /// Sees whether the program has ended without being asked to.
    fn notice(&self) {
        let mut state = self.state();
        let Some(how) = state.running.as_ref().and_then(|running| running.process.end()) else {
            return;
        };
        if let Some(running) = state.running.take() {
            running.process.clear();
            state.gone.push(running.process);
        }
        lose(&mut state, self.sentence(&format!("has ended by itself ({how})")));
    }

    /// Whether nobody holds the post because who held it has ended or fallen silent.
    pub(in crate::serve) fn is_lost(&self) -> bool {
        self.notice();
        self.state().is_lost
    }

    fn place(&self) -> String {
        let Self { node, service, .. } = self;
        match self.part {
            Part::Service(_) => format!("of service `{service}` of node `{node}`"),
            Part::Function(function) => format!("for `{function}` of node `{node}`"),
        }
    }

    fn sentence(&self, what: &str) -> String {
        let (engine, place) = (self.engine.name, self.place());
        format!("the engine `{engine}` {place} {what}; {}", self.log.last_words())
    }

    /// Why the service is not there, though it should be; a sentence.
    pub(in crate::serve) fn trouble(&self) -> Option<String> {
        self.notice();
        self.state().trouble.clone()
    }

    /// Whose end or silence nobody has been told yet.
    pub(in crate::serve) fn losses(&self) -> Vec<String> {
        self.notice();
        std::mem::take(&mut self.state().losses)
    }

    /// What the record holds of it.
    pub(in crate::serve) fn record(&self) -> EngineRun {
        let mut state = self.state();
        let now = state.running.as_ref().map(|running| running.process.memory());
        state.memory = state.memory.most(now.unwrap_or_default());
        let program = self.program.as_ref();
        EngineRun {
            node: self.node.clone(),
            service: self.service.clone(),
            engine: self.engine.name.to_owned(),
            program: program.map(|p| p.path.display().to_string()).unwrap_or_default(),
            version: program.map(|p| p.version.clone()).unwrap_or_default(),
            starts: state.starts,
            ready_us: state.ready_us,
            pss_kib: state.memory.pss_kib,
            rss_kib: state.memory.rss_kib,
        }
    }

    /// The sockets that are the program's by its job.
    pub(in crate::serve) fn sockets(&self) -> Vec<(Transport, SocketAddr)> {
        let state = self.state();
        let listen = state.running.as_ref().map_or(&[][..], |running| &running.job.listen);
        let at = |ip: &IpAddr| {
            let ip = *ip;
            self.ports.iter().map(move |(transport, port)| (*transport, SocketAddr::new(ip, *port)))
        };
        listen.iter().flat_map(at).collect()
    }

    /// The log messages that hold a token, by the file that the program writes.
    pub(in crate::serve) fn holding(&self, token: &str) -> Vec<Logged> {
        let held = |line: &str| {
            let (sender, rest) = line.split_once(' ')?;
            let (host, message) = rest.split_once(' ')?;
            // The program does not tell the port.
            let from = SocketAddr::new(sender.parse().ok()?, 0);
            message.contains(token).then(|| Logged { from, host: host.to_owned() })
        };
        read(&self.work).lines().filter_map(held).collect()
    }

    /// What the program has written down of log-ins, in its file or on its standard output, if its service has any.
    pub(in crate::serve) fn access_log(&self) -> String {
        match self.part {
            Part::Service(ServiceKind::Http | ServiceKind::Https) => {
                read(&self.work) + &self.log.said()
            }
            _ => String::new(),
        }
    }

    /// The folder of the program.
    pub(in crate::serve) fn work(&self) -> &Path {
        &self.work
    }
}

/// Notes that the program does not do its work any more, and why.
fn lose(state: &mut State, said: String) {
    state.losses.push(said.clone());
    state.trouble = Some(said);
    state.is_lost = true;
}

/// What the engine of a service has written into its file.
pub(in crate::serve) fn written(node: &NodeName, service: &ServiceName) -> String {
    read(&Path::new(FOLDERS).join(node.as_str()).join(service.as_str()))
}

fn read(work: &Path) -> String {
    let octets = fs::read(work.join(LOG)).unwrap_or_default();
    String::from_utf8_lossy(&octets).into_owned()
}

/// `0.0.0.0:53 and [::]:53`.
fn places(job: &Job) -> String {
    let places: Vec<_> = job.places().iter().map(ToString::to_string).collect();
    places.join(" and ")
}

/// Where the node can be reached at this moment, and where it cannot: addresses there are in duplicate address detection. To
/// bind to one of these all the same, as the built-in services do, takes a switch.
fn usable(namespace: &Namespace, places: Vec<Place>) -> io::Result<(Vec<Place>, Vec<Place>)> {
    let at_once = |place: &Place| match place {
        Place::Address(at) => at.ip().is_unspecified() || at.is_ipv4(),
        Place::Link(_) => false,
        Place::Socket(_) => true,
    };
    if places.iter().all(at_once) {
        return Ok((places, Vec::new()));
    }
    let (there, indices) = namespace.run(|| {
        fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1")?;
        let netlink = Netlink::open_here()?;
        let there = links::read_addresses(&netlink).map_err(io::Error::other)?;
        let index = |place: &Place| match place {
            Place::Link(on) => if_nametoindex(on.as_str()).ok(),
            _ => None,
        };
        Ok((there, places.iter().map(index).collect::<Vec<_>>()))
    })?;
    let is_usable = |at: &AddressState| !at.tentative && !at.dad_failed;
    let has = |ip: IpAddr| there.iter().any(|(_, at)| at.net.addr() == ip && is_usable(at));
    let has_link_local = |index: Option<u32>| {
        let own = there.iter().filter(|(link, _)| Some(*link) == index);
        own.map(|(_, at)| at).any(|at| links::is_link_local(at.net.addr()) && is_usable(at))
    };
    let (mut now, mut later) = (Vec::new(), Vec::new());
    for (place, index) in places.into_iter().zip(indices) {
        let usable = match &place {
            Place::Address(at) => at_once(&place) || has(at.ip()),
            Place::Link(_) => has_link_local(index),
            Place::Socket(_) => true,
        };
        if usable { now.push(place) } else { later.push(place) }
    }
    Ok((now, later))
}
