//! The driver: nodes of namespaces with built-in services, questions put from them, taps on their links.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};

use super::{
    BuildError, NetnsLab, PATIENCE, folder,
    impaired::{Carrier, Planted as Burden, Treatment},
    lease::Leases,
    node::Node,
    planted::Planted,
};
use crate::{
    lab::{ChangeError, Driver, Errand, OpenTap, Settled, Soon},
    model::{
        absence::Absence,
        answer::{Answer, Logged},
        family::Family,
        fault::Sabotage,
        function::Function,
        name::{InterfaceName, NodeName, SegmentName, ServiceName, TranslationName, TunnelName},
        node as planned,
        probe::{Aspect, Keeper, Probe, Question, RouterAct},
        service::Transport,
        step::Change,
        tap::{Reading, Tap},
        testbed::Testbed,
        translation::Translation,
        tunnel::{Acted, Tunnel, TunnelAct, TunnelState},
    },
    net::{
        conntrack,
        crowding::{self, Crowding},
        nftables,
        patience::{Deadline, until},
    },
    probe::{Asker, Host, Vantage, canary::Canary, tap},
    report::run::{EngineRun, Wait},
    serve::{
        ServiceHost, Shared,
        daemon::Engines,
        translator::TranslatorHost,
        tube::Mouth,
        tunnel::{Keys, TunnelHost},
    },
    stage::Stage,
};

/// How often tunnels are looked at that have not agreed on keys yet.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A lab of namespaces with everything that runs in it.
pub struct Netns {
    pub(super) lab: Arc<NetnsLab>,
    pub(super) occupants: BTreeMap<NodeName, Arc<Occupant>>,
    pub(super) testbed: Arc<Testbed>,
    pub(super) planted: Planted,
    asker: Asker,
    canaries: Mutex<BTreeMap<SegmentName, Arc<Canary>>>,
    /// The links that this program carries; `None` until those of the testbed are laid.
    carriers: tokio::sync::Mutex<Option<BTreeMap<SegmentName, Carrier>>>,
    origin: Instant,
    crowding: Crowding,
}

/// A node with its services: what a probe may ask about it.
pub(super) struct Occupant {
    pub(super) node: Arc<Node>,
    pub(super) services: ServiceHost,
    pub(super) tunnels: Arc<TunnelHost>,
    pub(super) translators: TranslatorHost,
    pub(super) leases: Leases,
    resolvers: Mutex<Vec<IpAddr>>,
    /// Those that it took from advertisements by a fault; they are asked first.
    taken: Mutex<Vec<IpAddr>>,
}

/// An errand, and how far it has come.
struct UnderWay {
    errand: Errand,
    made: usize,
    failed: Option<ChangeError>,
}

impl UnderWay {
    fn new(errand: Errand) -> Self {
        Self { errand, made: 0, failed: None }
    }

    fn goes_on(&self) -> bool {
        self.failed.is_none() && self.made < self.errand.changes.len()
    }

    /// The next changes that are of a kind.
    fn run(&self, of_kind: impl Fn(&Change) -> bool) -> Range<usize> {
        let left = if self.goes_on() { &self.errand.changes[self.made..] } else { &[] };
        self.made..self.made + left.iter().take_while(|change| of_kind(change)).count()
    }

    /// Notes what came of a run; the error counts from the beginning of the run.
    fn note(&mut self, result: Result<(), ChangeError>, run: Range<usize>) {
        match result {
            Ok(()) => self.made = run.end,
            Err(error) => {
                self.made = run.start + error.index;
                self.failed = Some(error.after(run.start));
            }
        }
    }
}

/// Why a lab could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The namespaces could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The test certificate authority could not be made, or is not trusted by its own users.
    #[error("cannot make the certificate authority of the lab: {0}")]
    Authority(String),
}

impl Netns {
    /// Builds the lab of a stage's testbed, with nothing live. `origin` is the clock of the run.
    pub fn build(stage: &Stage, origin: Instant) -> Result<Self, MakeError> {
        Self::build_with(stage, origin, Engines::default())
    }

    /// The same, with what engines need to know of the machine and of the run.
    pub fn build_with(stage: &Stage, origin: Instant, engines: Engines) -> Result<Self, MakeError> {
        let lab = NetnsLab::build(stage, folder::FOLDERS.as_ref())?;
        let shared = Shared::with(engines);
        let offers = stage.testbed.nodes.values().any(|node| !node.services.is_empty());
        let root = offers.then(|| shared.root_certificate()).transpose();
        let root = root.map_err(|error| MakeError::Authority(error.to_string()))?;
        let asker = Asker::new(root).map_err(|error| MakeError::Authority(error.to_string()))?;
        let keys = Arc::new(Keys::default());
        let occupant = |node: &Arc<Node>| {
            let planned = &stage.testbed.nodes[&node.name];
            let tunnels = Arc::new(TunnelHost::new(
                node.name.clone(),
                node.namespace.clone(),
                Arc::clone(&keys),
                Arc::clone(&shared),
                mouths(&lab, &stage.testbed, planned),
            ));
            let services = ServiceHost::new(planned, node.namespace.clone(), Arc::clone(&shared));
            let services = services.setting(Arc::clone(&tunnels));
            let translators = TranslatorHost::new(
                node.name.clone(),
                Arc::clone(&shared),
                translator_mouths(&lab, &stage.testbed, planned),
            );
            let resolvers = Mutex::default();
            let leases = Leases::new(Arc::clone(node));
            let name = node.name.clone();
            let node = Arc::clone(node);
            let occupant = Occupant {
                node,
                services,
                tunnels,
                translators,
                leases,
                resolvers,
                taken: Mutex::default(),
            };
            (name, Arc::new(occupant))
        };
        let occupants = lab.nodes().map(occupant).collect();
        let testbed = Arc::clone(&stage.testbed);
        Ok(Self {
            lab: Arc::new(lab),
            occupants,
            testbed,
            planted: Planted::default(),
            asker,
            canaries: Mutex::default(),
            carriers: tokio::sync::Mutex::default(),
            origin,
            crowding: Crowding::default(),
        })
    }

    /// The same lab, which also looks at the tables of neighbours that it shares with the rest of the machine.
    #[must_use]
    pub fn amid(self, crowding: Crowding) -> Self {
        Self { crowding, ..self }
    }

    /// The lab of namespaces alone.
    pub fn lab(&self) -> &NetnsLab {
        &self.lab
    }

    /// In turns: what the kernel makes of all nodes is one piece of work on one thread, then their services act, and so
    /// on. A wave takes one turn or two.
    async fn make(&self, errands: Vec<Errand>) -> Vec<Result<(), ChangeError>> {
        if let Err(said) = self.lay().await {
            let refuse = |errand: Errand| {
                let change = errand.changes.first().map(ToString::to_string).unwrap_or_default();
                Err(ChangeError { node: errand.node, index: 0, change, said: said.clone() })
            };
            return errands.into_iter().map(refuse).collect();
        }
        let mut under_way: Vec<_> = errands.into_iter().map(UnderWay::new).collect();
        while under_way.iter().any(UnderWay::goes_on) {
            under_way = self.kernels_turn(under_way).await;
            join_all(under_way.iter_mut().map(|one| self.services_turn(one))).await;
        }
        under_way.into_iter().map(|one| one.failed.map_or(Ok(()), Err)).collect()
    }

    /// Lays the links that do more than carry frames, before anything is live on them.
    async fn lay(&self) -> Result<(), String> {
        if self.carriers.lock().await.is_some() {
            return Ok(());
        }
        *self.carriers.lock().await = Some(BTreeMap::new());
        let links = self.testbed.segments.values();
        for segment in links.filter(|s| s.ra_guard || !s.impairment.is_none()) {
            self.burden(&segment.name, &Burden::default()).await?;
        }
        Ok(())
    }

    /// Lets a link treat frames as the testbed says and as was planted; where nothing is left of that, its bridge carries
    /// them again. An error is a sentence.
    pub(super) async fn burden(
        &self,
        segment: &SegmentName,
        planted: &Burden,
    ) -> Result<(), String> {
        let wire = self.lab.wire(segment).ok_or(format!("there is no segment `{segment}`"))?;
        let ends = || {
            let ends = wire.ports.keys();
            ends.map(|(node, interface)| (&*self.occupants[node].node, interface.as_str()))
        };
        let treatment = Treatment::of(&self.testbed.segments[segment], wire, planted);
        let mut carriers = self.carriers.lock().await;
        let carriers = carriers.get_or_insert_default();
        let before = carriers.remove(segment);
        let failed = |error| format!("cannot carry segment `{segment}`: {error}");
        let Some(treatment) = treatment else {
            return match before {
                Some(before) => {
                    before.give_back(wire, ends()).await.map_err(|e| failed(e.to_string()))
                }
                None => Ok(()),
            };
        };
        if let Some(before) = before {
            before.end().await;
        }
        let carrier =
            Carrier::take_over(wire, ends(), treatment).map_err(|e| failed(e.to_string()))?;
        carriers.insert(segment.clone(), carrier);
        Ok(())
    }

    async fn kernels_turn(&self, mut under_way: Vec<UnderWay>) -> Vec<UnderWay> {
        let lab = Arc::clone(&self.lab);
        let done = tokio::task::spawn_blocking(move || {
            for one in &mut under_way {
                let run = one.run(|change| !is_services(change));
                one.note(lab.apply(&one.errand.node, &one.errand.changes[run.clone()]), run);
            }
            under_way
        });
        let under_way = done.await.expect("making changes does not panic");
        for one in &under_way {
            self.note_resolvers(&one.errand.node, &one.errand.changes[..one.made]);
        }
        under_way
    }

    async fn services_turn(&self, one: &mut UnderWay) {
        let run = one.run(is_services);
        let mut result = Ok(());
        for (index, change) in one.errand.changes[run.clone()].iter().enumerate() {
            result = self.serve(&one.errand.node, change, index).await;
            if result.is_err() {
                break;
            }
        }
        one.note(result, run);
    }

    async fn serve(
        &self,
        node: &NodeName,
        change: &Change,
        index: usize,
    ) -> Result<(), ChangeError> {
        let occupant = self.occupant(node, change, index)?;
        let made = match change {
            Change::OpenTunnel { .. } | Change::CloseTunnel { .. } => {
                occupant.tunnels.apply(change).await.map_err(|error| error.to_string())
            }
            Change::OpenTranslator { .. } | Change::CloseTranslator { .. } => {
                occupant.translators.apply(change).await.map_err(|error| error.to_string())
            }
            Change::Lease { .. } => occupant.leases.apply(change).map_err(|e| e.to_string()),
            _ => occupant.services.apply(change).await.map_err(|error| error.to_string()),
        };
        made.map_err(|said| failed(node, change, index, said))
    }

    fn occupant(
        &self,
        node: &NodeName,
        change: &Change,
        index: usize,
    ) -> Result<&Arc<Occupant>, ChangeError> {
        let missing = || failed(node, change, index, "the lab has no such node".to_owned());
        self.occupants.get(node).ok_or_else(missing)
    }

    fn note_resolvers(&self, node: &NodeName, changes: &[Change]) {
        for change in changes {
            if let (Change::UseResolvers { servers }, Some(occupant)) =
                (change, self.occupants.get(node))
            {
                let mut known = occupant.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
                known.clone_from(servers);
            }
        }
    }

    pub(super) async fn put(&self, probe: &Probe, patience: Duration) -> Answer {
        let Some(occupant) = self.occupants.get(&probe.from) else {
            return Answer::NotAsked { reason: format!("the lab has no node `{}`", probe.from) };
        };
        if let Question::LateTime { after_s, .. } = probe.question
            && let Err(error) = self.track_udp_beyond(after_s)
        {
            let reason = format!("filters would forget UDP before the silence is over: {error}");
            return Answer::NotAsked { reason };
        }
        self.asker.ask(&occupant.vantage(), &probe.question, patience).await
    }

    /// Filters of nodes are stand-ins, and how long the kernel of this machine remembers is none of the testbed's: no node
    /// forgets UDP before a silence is over.
    fn track_udp_beyond(&self, seconds: u16) -> std::io::Result<()> {
        let nodes = self.occupants.values();
        nodes
            .map(|it| &it.node.namespace)
            .try_for_each(|namespace| conntrack::track_udp_for(namespace, u32::from(seconds) * 2))
    }

    async fn listen(&self, tap: &Tap, capture: Option<&Path>) -> Result<Box<dyn OpenTap>, String> {
        let wire = self
            .lab
            .wire(&tap.segment)
            .ok_or_else(|| format!("the lab has no segment `{}`", tap.segment))?;
        let nobody = || format!("nobody is on segment `{}` to send a canary", tap.segment);
        let (node, interface) = wire.ports.keys().next().ok_or_else(nobody)?;
        let canary = self.canary(&tap.segment, node, interface)?;
        let live = tap::open_tap(&wire.namespace, tap, self.origin, canary, capture).await?;
        Ok(Box::new(LiveTap(live)))
    }

    /// The sender of canaries on a segment: an interface of a node there, opened when it is first needed.
    fn canary(
        &self,
        segment: &SegmentName,
        node: &NodeName,
        interface: &InterfaceName,
    ) -> Result<Arc<Canary>, String> {
        let mut canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(canary) = canaries.get(segment) {
            return Ok(Arc::clone(canary));
        }
        let namespace = &self.occupants[node].node.namespace;
        let canary = Arc::new(Canary::open(namespace, interface.as_str())?);
        canaries.insert(segment.clone(), Arc::clone(&canary));
        Ok(canary)
    }

    async fn wait(&self, stage: &Stage) -> Settled {
        // Hosts may wait for what one of them is to tell.
        join_all(self.occupants.values().map(|node| node.services.revive())).await;
        let mut settled = match self.lab.settle(stage, PATIENCE).await {
            Ok(settled) => Settled {
                waits: settled.waited.iter().map(|(reason, time)| wait(*reason, *time)).collect(),
                unsettled: settled.unsettled.iter().map(ToString::to_string).collect(),
            },
            Err(error) => Settled { waits: Vec::new(), unsettled: vec![error.to_string()] },
        };
        let started = self.occupants.values().map(|node| async {
            let translators = node.translators.settle().await.map_err(|error| error.to_string());
            [translators, node.tunnels.settle().await.map_err(|error| error.to_string())]
        });
        let started = join_all(started).await.into_iter().flatten();
        settled.unsettled.extend(started.filter_map(Result::err));
        self.shake_hands(&mut settled).await;
        join_all(self.occupants.values().map(|node| node.services.settle())).await;
        settled
    }

    /// Waits until every tunnel that is open and has keys has agreed on them; not for one that an end does not carry.
    async fn shake_hands(&self, settled: &mut Settled) {
        let began = Instant::now();
        let without_keys = || {
            let states = self.occupants.values().flat_map(|node| node.tunnels.states());
            let (at_work, idle): (Vec<_>, Vec<_>) = states.partition(|state| state.running);
            let waits = |state: &TunnelState| {
                state.end.kind.is_encrypted()
                    && state.counters.handshakes == 0
                    && idle.iter().all(|other| other.end.tunnel != state.end.tunnel)
            };
            at_work.into_iter().filter(waits).collect::<Vec<_>>()
        };
        let mut waiting = without_keys();
        if waiting.is_empty() {
            return;
        }
        let all_have = || {
            waiting = without_keys();
            waiting.is_empty().then_some(())
        };
        // Who has none by then is told below.
        let _ = until(Deadline::after(PATIENCE), BETWEEN_LOOKS, all_have).await;
        let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        settled.waits.push(Wait { reason: "handshakes of tunnels".to_owned(), us });
        settled.unsettled.extend(waiting.iter().map(|state| {
            format!("the tunnel {} to {} has agreed on no keys", state.end.tunnel, state.end.peer)
        }));
    }
}

/// Where a node stands on the inside of its tunnels.
fn mouths(lab: &NetnsLab, testbed: &Testbed, node: &planned::Node) -> BTreeMap<TunnelName, Mouth> {
    let of = |tunnel: &Tunnel| Some((tunnel.name.clone(), mouth(lab, node, &tunnel.inside)?));
    testbed.tunnels.values().filter_map(of).collect()
}

/// Where a node stands on the links to its translators.
fn translator_mouths(
    lab: &NetnsLab,
    testbed: &Testbed,
    node: &planned::Node,
) -> BTreeMap<TranslationName, Mouth> {
    let of = |one: &Translation| Some((one.name.clone(), mouth(lab, node, &one.inside)?));
    testbed.translations.values().filter_map(of).collect()
}

fn mouth(lab: &NetnsLab, node: &planned::Node, inside: &SegmentName) -> Option<Mouth> {
    let (wire, interface) = (lab.wire(inside)?, node.interface_on(inside)?);
    let port = wire.ports.get(&(node.name.clone(), interface.name.clone()))?;
    let wire = wire.namespace.clone();
    Some(Mouth { wire, port: port.index, mac: interface.mac })
}

fn wait(reason: super::Reason, time: Duration) -> Wait {
    Wait { reason: reason.to_string(), us: u64::try_from(time.as_micros()).unwrap_or(u64::MAX) }
}

fn failed(node: &NodeName, change: &Change, index: usize, said: String) -> ChangeError {
    ChangeError { node: node.clone(), index, change: change.to_string(), said }
}

/// Whether a change is for the services of a node rather than for the kernel.
fn is_services(change: &Change) -> bool {
    matches!(
        change,
        Change::Listen { .. }
            | Change::StopListening { .. }
            | Change::PublishZones { .. }
            | Change::Delegate { .. }
            | Change::LogTo { .. }
            | Change::Watch { .. }
            | Change::Front { .. }
            | Change::Advertise { .. }
            | Change::StopAdvertising { .. }
            | Change::OpenTunnel { .. }
            | Change::CloseTunnel { .. }
            | Change::OpenTranslator { .. }
            | Change::CloseTranslator { .. }
            | Change::Synthesize { .. }
            | Change::DoDhcp { .. }
            | Change::Lease { .. }
    )
}

impl Driver for Netns {
    fn change(&self, errands: Vec<Errand>) -> Soon<'_, Vec<Result<(), ChangeError>>> {
        Box::pin(self.make(errands))
    }

    fn ask<'a>(&'a self, probe: &'a Probe, patience: Duration) -> Soon<'a, Answer> {
        Box::pin(self.put(probe, patience))
    }

    fn tap<'a>(
        &'a self,
        tap: &'a Tap,
        capture: Option<&'a Path>,
    ) -> Soon<'a, Result<Box<dyn OpenTap>, String>> {
        Box::pin(self.listen(tap, capture))
    }

    fn settle<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Settled> {
        Box::pin(self.wait(stage))
    }

    fn verify<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Vec<String>> {
        Box::pin(async {
            let deviations = self.lab.verify(stage);
            let troubles = self.absences(stage).into_iter().map(|absence| absence.why);
            deviations.iter().map(ToString::to_string).chain(troubles).collect()
        })
    }

    fn engines(&self) -> Vec<EngineRun> {
        let of = |node: &Arc<Occupant>| {
            let beside = [node.tunnels.engines(), node.translators.engines()].concat();
            [node.services.engines(), beside].concat()
        };
        self.occupants.values().flat_map(of).collect()
    }

    fn absences(&self, stage: &Stage) -> Vec<Absence> {
        let Testbed { tunnels, translations, .. } = &*stage.testbed;
        let of = |(name, node): (&NodeName, &Arc<Occupant>)| {
            let alone = |why| Absence {
                nodes: vec![name.clone()],
                hosts: Vec::new(),
                tunnel: None,
                inside: None,
                why,
            };
            let tunnel = |(name, why): (TunnelName, String)| {
                let planned = &tunnels[&name];
                let inside = Some(planned.inside.clone());
                Absence {
                    nodes: planned.between.to_vec(),
                    tunnel: Some(name),
                    inside,
                    ..alone(why)
                }
            };
            let translation = |(name, why): (TranslationName, String)| {
                let inside = Some(translations[&name].inside.clone());
                Absence { inside, ..alone(why) }
            };
            let of_links = |(function, why): (Function, String)| {
                let nodes = stage.at_work_with(name, function).into_iter().collect();
                let hosts = stage.told_by(name, function).into_iter().collect();
                Absence { nodes, hosts, ..alone(why) }
            };
            let services = node.services.troubles_of_services();
            let mut absences: Vec<_> = services.into_iter().map(alone).collect();
            absences.extend(node.services.troubles_of_functions().into_iter().map(of_links));
            absences.extend(node.tunnels.troubles().into_iter().map(tunnel));
            absences.extend(node.translators.troubles().into_iter().map(translation));
            absences
        };
        self.occupants.iter().flat_map(of).collect()
    }

    fn hear_again<'a>(&'a self, spared: &'a BTreeSet<NodeName>) -> Soon<'a, ()> {
        let asked = self.occupants.iter().filter(|(name, _)| !spared.contains(*name));
        let asked = asked.map(|(_, node)| async {
            node.translators.hear_again();
            join(node.services.hear_again(), node.tunnels.hear_again()).await;
        });
        Box::pin(async { drop(join_all(asked).await) })
    }

    fn losses(&self) -> Vec<String> {
        let of = |node: &Arc<Occupant>| {
            let beside = [node.tunnels.losses(), node.translators.losses()].concat();
            [node.services.losses(), beside].concat()
        };
        self.occupants.values().flat_map(of).collect()
    }

    fn doubts(&self) -> Vec<String> {
        let turned_away = self.crowding.since().into_iter();
        turned_away.map(|(family, times)| overflow(family, times)).collect()
    }

    fn sabotage<'a>(&'a self, fault: &'a Sabotage) -> Soon<'a, Result<(), String>> {
        Box::pin(self.plant(fault))
    }

    fn mend<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Result<(), String>> {
        Box::pin(self.heal(stage))
    }
}

struct LiveTap(tap::LiveTap);

impl OpenTap for LiveTap {
    fn close(self: Box<Self>) -> Soon<'static, Reading> {
        Box::pin(self.0.close())
    }
}

impl Occupant {
    /// Takes these resolvers from advertisements, in place of those that it took before.
    pub(super) fn take_resolvers(&self, told: Vec<IpAddr>) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    /// The resolvers that its programs ask, in this order.
    fn resolvers(&self) -> Vec<IpAddr> {
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let given = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(given.iter().copied());
        let mut known = std::collections::BTreeSet::new();
        all.retain(|resolver| known.insert(*resolver));
        all
    }

    fn vantage(self: &Arc<Self>) -> Vantage {
        let interfaces = self.node.indices.keys().filter_map(|name| name.parse().ok());
        Vantage {
            node: self.node.name.clone(),
            namespace: self.node.namespace.clone(),
            interfaces: interfaces.collect(),
            resolvers: self.resolvers(),
            host: Arc::clone(self) as Arc<dyn Host>,
        }
    }

    fn look(&self, aspect: Aspect) -> Result<Answer, String> {
        let said = |error: &dyn std::error::Error| error.to_string();
        Ok(match aspect {
            Aspect::Addresses => Answer::Addresses(self.node.links().map_err(|e| said(&e))?),
            Aspect::Routes => Answer::Routes(self.node.routes().map_err(|e| said(&e))?),
            Aspect::Neighbours => Answer::Neighbours(self.node.neighbours().map_err(|e| said(&e))?),
            Aspect::Switches => {
                Answer::Switches(self.node.family_switches().map_err(|e| said(&e))?)
            }
            Aspect::Filter => {
                let (filter, unread) =
                    nftables::read(&self.node.namespace).map_err(|e| said(&e))?;
                Answer::Filter { filter, unread }
            }
            Aspect::Tunnels => Answer::Tunnels(self.tunnels.states()),
            Aspect::Resolvers => Answer::Resolvers(self.resolvers()),
            Aspect::Translators => Answer::Translators(self.translators.states()),
            Aspect::Sockets => return Err("sockets are read by the probe itself".to_owned()),
        })
    }
}

impl Host for Occupant {
    fn tunnel<'a>(
        &'a self,
        tunnel: &'a TunnelName,
        act: TunnelAct,
    ) -> Soon<'a, Result<Acted, String>> {
        Box::pin(async move { self.tunnels.act(tunnel, act).await.map_err(|e| e.to_string()) })
    }

    fn router<'a>(
        &'a self,
        interface: &'a InterfaceName,
        act: RouterAct,
    ) -> Soon<'a, Result<(), String>> {
        Box::pin(async move {
            self.services.router(interface, act).await.map_err(|error| error.to_string())
        })
    }

    fn logged(&self, token: &str) -> Option<Vec<Logged>> {
        Some(self.services.sink(token))
    }

    fn log_in(&self, token: &str, keeper: Keeper) -> Vec<String> {
        self.services.log_in(token, keeper)
    }

    fn service_at(&self, transport: Transport, local: SocketAddr) -> Option<ServiceName> {
        self.services.service_at(transport, local)
    }

    fn inspect(&self, aspect: Aspect) -> Soon<'_, Answer> {
        Box::pin(
            async move { self.look(aspect).unwrap_or_else(|reason| Answer::NotAsked { reason }) },
        )
    }
}

/// What an overflow of a table of neighbours means for those who read the results.
fn overflow(family: Family, times: u64) -> String {
    let switch = crowding::switch(family);
    format!(
        "the machine's table of {family} neighbours, which all its network namespaces share, was full and has turned \
         entries away {times} times, so packets of this lab may have been lost that no node of it lost; walk again with \
         fewer labs at once, or raise {switch}"
    )
}
