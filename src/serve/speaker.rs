//! A service behind one of its sockets.

use std::sync::Arc;

use super::premises::Premises;
use crate::model::{family::Family, name::ServiceName, service::ServiceKind};

/// Who speaks at a socket.
pub(super) struct Speaker {
    pub(super) service: ServiceName,
    pub(super) kind: ServiceKind,
    pub(super) premises: Arc<Premises>,
}

impl Speaker {
    /// Waits where a fault says that users of a family get their answers later.
    pub(super) async fn hold_back(&self, family: Family) {
        let delay = self.premises.behaviour().delay(&self.service, family);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}
