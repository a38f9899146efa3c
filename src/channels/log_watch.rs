//! The log watch: it stops the writes of this node when the database has lost acknowledged events.
//!
//! The database loses events when a backup is restored under the running server, a replica becomes the primary
//! before it has all events, or a disk reports a write that it has not done. Only an operator knows which, and what
//! to do. A new epoch is not a loss, because its numbers mean something else.

use std::{fmt::Display, sync::Arc};

use sea_orm::{DatabaseConnection, DbErr};

use super::{
    delivery::{MAX_GROUPS_PER_COMPARISON, Rooms},
    epoch::EpochWatch,
};
use crate::{
    database::with_db_timeout,
    health::{Fault, Health},
    models::{chat_groups, log::AcknowledgedHeads},
};

/// Compares the heads of the logs with the events that this node has acknowledged and delivered.
pub(super) struct LogWatch {
    db: DatabaseConnection,
    rooms: Arc<Rooms>,
    epoch: Arc<EpochWatch>,
    acknowledged_heads: Arc<AcknowledgedHeads>,
    health: Health,
}

impl LogWatch {
    /// Watches the logs of all groups.
    pub fn new(
        db: DatabaseConnection,
        rooms: Arc<Rooms>,
        epoch: Arc<EpochWatch>,
        acknowledged_heads: Arc<AcknowledgedHeads>,
        health: Health,
    ) -> Self {
        Self {
            db,
            rooms,
            epoch,
            acknowledged_heads,
            health,
        }
    }

    /// The heads of the logs that the writer has acknowledged.
    pub fn acknowledged_heads(&self) -> &AcknowledgedHeads {
        &self.acknowledged_heads
    }

    /// Returns `true` while writes are stopped.
    pub fn is_behind(&self) -> bool {
        self.health.has_fault(Fault::LogBehind)
    }

    /// Stops all writes of this node, if a log ends before an event that was acknowledged or delivered. `why` is
    /// for the operator.
    pub async fn stop_writes_if_behind(&self, why: &(impl Display + Sync)) {
        if let Err(error) = self.epoch.check().await {
            tracing::warn!(%error, "the epoch could not be checked before the check for lost events");
        }
        match self.is_log_behind().await {
            Ok(false) => {}
            Ok(true) => {
                if self.health.add_fault(Fault::LogBehind) {
                    tracing::error!(
                        %why,
                        "the database has lost acknowledged events: this node stops all writes; restore \
                         what is missing, or accept the loss with `cargo loco task epoch:begin`"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the check for lost events failed; the next write or sweep tries again");
            }
        }
    }

    /// Resumes the writes of this node, if they are stopped and the logs have all events again.
    pub async fn resume_writes_if_complete(&self) {
        if !self.is_behind() {
            return;
        }
        match self.is_log_behind().await {
            Ok(true) => {}
            Ok(false) => {
                self.health.clear_fault(Fault::LogBehind);
                tracing::warn!(
                    "the log has all acknowledged events again: this node resumes writes"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "the check for returned events failed: writes stay stopped; the next sweep tries again");
            }
        }
    }

    async fn is_log_behind(&self) -> Result<bool, DbErr> {
        // The known heads are read first. A head that is read later is not lower, unless the database has lost events.
        let mut known = self.acknowledged_heads.snapshot();
        for room in self.rooms.all() {
            let head = known.entry(room.id).or_default();
            *head = room.last_seq().max(*head);
        }
        let groups: Vec<i64> = known.keys().copied().collect();
        for groups in groups.chunks(MAX_GROUPS_PER_COMPARISON) {
            let heads =
                with_db_timeout(chat_groups::Model::find_heads(&self.db, groups.to_vec())).await?;
            let mut heads = heads.iter();
            if heads.any(|(group, head)| known.get(group).is_some_and(|known| head < known)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
