//! The translators of one gateway.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::JoinHandle;

use super::{
    carrier::Carrier,
    engine::{By, Knowledge, pass_on, run},
};
use crate::{
    engine::TranslatorEngine,
    model::{
        fault::TranslationFault,
        name::{NodeName, TranslationName},
        step::Change,
        translation::{Translator, TranslatorState},
    },
    report::run::EngineRun,
    serve::{
        Shared,
        daemon::Vitals,
        tube::{Mouth, Tube},
    },
};

/// Why a translator cannot be as it is told.
#[derive(Debug, thiserror::Error)]
pub enum TranslatorError {
    /// The node has no part in it.
    #[error("node `{node}` has no link to a translator of `{translation}`")]
    NotOurs {
        /// The node.
        node: NodeName,
        /// The translation.
        translation: TranslationName,
    },
    /// Its socket could not be opened.
    #[error("node `{node}` cannot open the translator of `{translation}`: {source}")]
    Open {
        /// The node.
        node: NodeName,
        /// The translation.
        translation: TranslationName,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is none that a fault could be planted in.
    #[error("node `{0}` translates nothing in this phase")]
    None(NodeName),
    /// A program cannot be made to do something.
    #[error(
        "the engine `{engine}` of translation `{translation}` cannot be made to do this: {what}; take the translator that is built in"
    )]
    Engine {
        /// Its name.
        engine: &'static str,
        /// The translation.
        translation: TranslationName,
        /// What it is to do.
        what: &'static str,
    },
}

/// The translators of one gateway. Dropping it closes all of them.
pub struct TranslatorHost {
    node: NodeName,
    shared: Arc<Shared>,
    mouths: BTreeMap<TranslationName, Mouth>,
    open: Mutex<BTreeMap<TranslationName, Opened>>,
    /// The programs that translate, over all phases.
    carriers: Mutex<BTreeMap<TranslationName, Arc<Carrier>>>,
}

/// A translator that was opened, and its work; nothing where a program has not come up.
struct Opened {
    knowledge: Arc<Knowledge>,
    task: Option<JoinHandle<()>>,
    /// What tells of a program whether it still does something.
    vitals: Option<Vitals>,
}

impl Opened {
    fn is_over(&self) -> bool {
        self.task.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

impl TranslatorHost {
    /// A node with no translator open.
    pub fn new(
        node: NodeName,
        shared: Arc<Shared>,
        mouths: BTreeMap<TranslationName, Mouth>,
    ) -> Self {
        Self { node, shared, mouths, open: Mutex::default(), carriers: Mutex::default() }
    }

    /// Makes a change that concerns translators. When it returns, one that was closed translates nothing any more.
    pub async fn apply(&self, change: &Change) -> Result<(), TranslatorError> {
        match change {
            Change::OpenTranslator { told } => {
                self.close(&told.translation).await;
                let opened = self.start(told).await?;
                self.opened().insert(told.translation.clone(), opened);
            }
            Change::CloseTranslator { translation } => self.close(translation).await,
            _ => {}
        }
        Ok(())
    }

    /// Starts programs that have ended by themselves once more. That one does not come up is told by `troubles`.
    pub async fn settle(&self) -> Result<(), TranslatorError> {
        let over = |opened: &Opened| opened.is_over().then(|| opened.knowledge.told.clone());
        let lost: Vec<_> = self.opened().values().filter_map(over).collect();
        for told in lost.iter().filter(|told| told.engine.is_some()) {
            let opened = self.start(told).await?;
            self.opened().insert(told.translation.clone(), opened);
        }
        self.carriers().values().for_each(|carrier| carrier.career.begin_phase());
        Ok(())
    }

    /// Looks whether programs have been stopped: one that was is ended, and told as one that has ended by itself is.
    pub fn hear_again(&self) {
        for opened in self.opened().values().filter(|opened| !opened.is_over()) {
            let is_stopped = opened.vitals.as_ref().is_some_and(Vitals::are_stopped);
            if let (true, Some(carrier)) = (is_stopped, self.carrier(&opened.knowledge.told)) {
                opened.task.iter().for_each(JoinHandle::abort);
                carrier.career.lose("hangs: somebody has stopped it");
            }
        }
    }

    /// What its translators are and have learned.
    pub fn states(&self) -> Vec<TranslatorState> {
        self.opened().values().map(|opened| opened.knowledge.state()).collect()
    }

    /// Plants a fault in every translator that is open.
    pub fn leave_out(&self, what: TranslationFault) -> Result<(), TranslatorError> {
        let opened = self.opened();
        if opened.is_empty() {
            return Err(TranslatorError::None(self.node.clone()));
        }
        let of_program = |opened: &Opened| self.carrier(&opened.knowledge.told);
        if let (TranslationFault::ShortTimers | TranslationFault::ForgetsEarly, Some(carrier)) =
            (what, opened.values().find_map(of_program))
        {
            let translation = opened.keys().next().expect("there is one").clone();
            let (engine, what) = (carrier.engine().name, "to forget sooner: it keeps no sessions");
            return Err(TranslatorError::Engine { engine, translation, what });
        }
        opened.values().for_each(|opened| opened.knowledge.faults().push(what));
        Ok(())
    }

    /// What the record holds of the programs that have translated.
    pub fn engines(&self) -> Vec<EngineRun> {
        self.carriers().values().map(|carrier| carrier.record()).collect()
    }

    /// Translations that are open and that no program does though one should, as sentences.
    pub fn troubles(&self) -> Vec<(TranslationName, String)> {
        let open: Vec<_> = self.opened().values().map(|o| o.knowledge.told.clone()).collect();
        let of = |told: &Translator| {
            Some((told.translation.clone(), self.carrier(told)?.career.trouble()?))
        };
        open.iter().filter_map(of).collect()
    }

    /// What programs have done without being asked to and nobody has been told of yet, as sentences.
    pub fn losses(&self) -> Vec<String> {
        self.carriers().values().flat_map(|carrier| carrier.career.losses()).collect()
    }

    fn carriers(&self) -> MutexGuard<'_, BTreeMap<TranslationName, Arc<Carrier>>> {
        self.carriers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who translates, where that is a program.
    fn carrier(&self, told: &Translator) -> Option<Arc<Carrier>> {
        let engine = TranslatorEngine::of(told.engine.as_ref()?)?;
        let mut carriers = self.carriers();
        let carrier = carriers
            .entry(told.translation.clone())
            .or_insert_with(|| Arc::new(Carrier::new(engine, &self.shared, &self.node, told)));
        Some(Arc::clone(carrier))
    }

    /// Takes all faults back.
    pub fn mend(&self) {
        self.opened().values().for_each(|opened| opened.knowledge.faults().clear());
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<TranslationName, Opened>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn close(&self, translation: &TranslationName) {
        let opened = self.opened().remove(translation);
        if let Some(task) = opened.and_then(|mut opened| opened.task.take()) {
            task.abort();
            // It can only have been cancelled.
            let _ = task.await;
        }
    }

    async fn start(&self, told: &Translator) -> Result<Opened, TranslatorError> {
        let (node, translation) = (|| self.node.clone(), || told.translation.clone());
        let mouth = self.mouths.get(&told.translation);
        let mouth = mouth
            .ok_or_else(|| TranslatorError::NotOurs { node: node(), translation: translation() })?;
        let tube = Tube::open(mouth).map_err(|source| TranslatorError::Open {
            node: node(),
            translation: translation(),
            source,
        })?;
        let carrier = self.carrier(told);
        let knowledge = Knowledge::new(told.clone(), By::of(told, carrier.clone()));
        let shared = Arc::clone(&knowledge);
        let Some(carrier) = carrier else {
            let task = Some(tokio::spawn(run(shared, tube)));
            return Ok(Opened { knowledge, task, vitals: None });
        };
        // That a program does not come up is told by `troubles`, and is no reason to stop.
        let machine = carrier.start(told).await.ok();
        let vitals = machine.as_ref().map(|machine| machine.process.vitals());
        let task = machine.map(|machine| tokio::spawn(pass_on(shared, tube, machine, carrier)));
        Ok(Opened { knowledge, task, vitals })
    }
}
