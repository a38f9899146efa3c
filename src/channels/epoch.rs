//! The epoch watch: it notices when a new lifetime of the database begins, and closes all sockets.
//!
//! A restored backup begins a new epoch. The numbers of events, groups and memberships mean something else in it.

use std::sync::{Arc, PoisonError, RwLock};

use sea_orm::{DatabaseConnection, DbErr};

use super::{
    broker::Broker,
    delivery::{ConnectedSockets, Rooms},
    membership_notifier::MembershipNotifier,
    protocol::CloseReason,
};
use crate::{
    database::with_db_timeout,
    models::{epochs, log::AcknowledgedHeads},
};

/// The current epoch, and the change to the next one.
pub(super) struct EpochWatch {
    db: DatabaseConnection,
    broker: Arc<Broker>,
    rooms: Arc<Rooms>,
    connected: Arc<ConnectedSockets>,
    memberships: Arc<MembershipNotifier>,
    acknowledged_heads: Arc<AcknowledgedHeads>,
    current: RwLock<Arc<epochs::Model>>,
    /// Held while the epoch changes, so that it changes once.
    change_lock: tokio::sync::Mutex<()>,
}

impl EpochWatch {
    /// Watches from an epoch on, which the database had when the process started.
    pub fn new(
        current: epochs::Model,
        db: DatabaseConnection,
        broker: Arc<Broker>,
        rooms: Arc<Rooms>,
        connected: Arc<ConnectedSockets>,
        memberships: Arc<MembershipNotifier>,
        acknowledged_heads: Arc<AcknowledgedHeads>,
    ) -> Self {
        Self {
            db,
            broker,
            rooms,
            connected,
            memberships,
            acknowledged_heads,
            current: RwLock::new(current.into()),
            change_lock: tokio::sync::Mutex::default(),
        }
    }

    /// The current epoch.
    pub fn current(&self) -> Arc<epochs::Model> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Compares the epoch with the database, and adopts an epoch that an operator or another node has begun. Begins
    /// a new epoch where the database has an older one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check(&self) -> Result<(), DbErr> {
        let _changing = self.change_lock.lock().await;
        let known = self.current();
        let stored = with_db_timeout(epochs::Model::current(&self.db)).await?;
        if stored.name == known.name {
            return Ok(());
        }
        self.memberships.reset().await?;
        if stored.id > known.id {
            self.adopt(stored);
            return Ok(());
        }
        // A backup of an earlier epoch was restored, and its numbers get a new meaning from now on.
        tracing::error!(epoch = %stored.name, "the database returned to an older epoch");
        let next = epochs::Model::begin_next(&self.db, Some(&stored.name));
        let next = with_db_timeout(next).await?;
        if next.name != known.name {
            self.memberships.reset().await?;
            self.adopt(next);
        }
        Ok(())
    }

    /// Changes to an epoch, and closes all sockets. Their clients reload, because all their knowledge is of another
    /// epoch.
    fn adopt(&self, epoch: epochs::Model) {
        tracing::warn!(epoch = %epoch.name, "epoch changed: closing all sockets");
        self.rooms.clear_after(|| {
            self.broker.set_epoch(&epoch.name);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(epoch);
            self.acknowledged_heads.clear();
        });
        for socket in self.connected.all() {
            socket.close(CloseReason::EpochChanged);
        }
    }
}
