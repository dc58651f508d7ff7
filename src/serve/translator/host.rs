//! The translators of one gateway.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::JoinHandle;

use super::engine::{Knowledge, run};
use crate::{
    model::{
        fault::TranslationFault,
        name::{NodeName, TranslationName},
        step::Change,
        translation::{Translator, TranslatorState},
    },
    serve::tube::{Mouth, Tube},
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
}

/// The translators of one gateway. Dropping it closes all of them.
pub struct TranslatorHost {
    node: NodeName,
    mouths: BTreeMap<TranslationName, Mouth>,
    open: Mutex<BTreeMap<TranslationName, Opened>>,
}

/// A translator at work.
struct Opened {
    knowledge: Arc<Knowledge>,
    task: JoinHandle<()>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TranslatorHost {
    /// A node with no translator open.
    pub fn new(node: NodeName, mouths: BTreeMap<TranslationName, Mouth>) -> Self {
        Self { node, mouths, open: Mutex::default() }
    }

    /// Makes a change that concerns translators. When it returns, one that was closed translates nothing any more.
    pub async fn apply(&self, change: &Change) -> Result<(), TranslatorError> {
        match change {
            Change::OpenTranslator { told } => {
                self.close(&told.translation).await;
                let opened = self.start(told)?;
                self.opened().insert(told.translation.clone(), opened);
            }
            Change::CloseTranslator { translation } => self.close(translation).await,
            _ => {}
        }
        Ok(())
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
        opened.values().for_each(|opened| opened.knowledge.faults().push(what));
        Ok(())
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
        if let Some(mut opened) = opened {
            opened.task.abort();
            // It can only have been cancelled.
            let _ = (&mut opened.task).await;
        }
    }

    fn start(&self, told: &Translator) -> Result<Opened, TranslatorError> {
        let (node, translation) = (|| self.node.clone(), || told.translation.clone());
        let mouth = self.mouths.get(&told.translation);
        let mouth = mouth
            .ok_or_else(|| TranslatorError::NotOurs { node: node(), translation: translation() })?;
        let tube = Tube::open(mouth).map_err(|source| TranslatorError::Open {
            node: node(),
            translation: translation(),
            source,
        })?;
        let knowledge = Knowledge::new(told.clone());
        let task = tokio::spawn(run(Arc::clone(&knowledge), tube));
        Ok(Opened { knowledge, task })
    }
}
