//! The notification of sockets of many groups that their user has become a member of a group.
//!
//! The node on which the membership was created announces it to the others. A sweep reads the memberships that no
//! announcement has named. Each node notifies its sockets once for each membership.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use sea_orm::{DatabaseConnection, DbErr};

use super::{
    broker::Broker,
    delivery::ConnectedSockets,
    protocol::node_message::{CLUSTER_TOPIC, NodeMessage},
};
use crate::{database::with_db_timeout, models::memberships};

/// Memberships in one query.
const MEMBERSHIP_PAGE_SIZE: u64 = 1000;

/// Memberships that may have an id already, and are not committed.
const MAX_UNCOMMITTED_IDS: i64 = 100;

/// Notifies sockets of new memberships.
pub(super) struct MembershipNotifier {
    db: DatabaseConnection,
    broker: Arc<Broker>,
    connected: Arc<ConnectedSockets>,
    /// The highest id that a sweep has read.
    last_id: AtomicI64,
    /// The ids near or above `last_id` of which this node has notified its sockets.
    notified: Mutex<BTreeSet<i64>>,
}

impl MembershipNotifier {
    /// Notifies from now on. A socket that opens later finds the existing memberships in its own list.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        db: DatabaseConnection,
        broker: Arc<Broker>,
        connected: Arc<ConnectedSockets>,
    ) -> Result<Self, DbErr> {
        let (last_id, notified) = load_recent(&db).await?;
        Ok(Self {
            db,
            broker,
            connected,
            last_id: AtomicI64::new(last_id),
            notified: Mutex::new(notified),
        })
    }

    /// Announces a new membership to all nodes.
    pub fn announce(&self, user: &str, group: &str, membership_id: i64) {
        let message = NodeMessage::MemberAdded {
            user: user.into(),
            group: group.into(),
            membership_id,
        };
        drop(self.broker.publish(CLUSTER_TOPIC, message.encode()));
        self.notify(user, group, membership_id);
    }

    /// Notifies the user's sockets of this node, once for each membership.
    ///
    /// No clock is compared: a socket that has opened since the first notification found the group in its list.
    pub fn notify(&self, user: &str, group: &str, membership_id: i64) {
        let is_new = self.notified().insert(membership_id);
        if is_new {
            self.connected.notify_member_added(user, &group.into());
        }
    }

    /// Notifies the sockets of memberships that no announcement has named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notify_missed(&self) -> Result<(), DbErr> {
        loop {
            let last = self.last_id.load(Ordering::Relaxed);
            // An id is taken before the commit, so a membership with a lower id may appear later.
            let after = last - MAX_UNCOMMITTED_IDS;
            let page = with_db_timeout(memberships::Model::list_after(
                &self.db,
                after,
                MEMBERSHIP_PAGE_SIZE,
            ))
            .await?;
            {
                let mut notified = self.notified();
                // Lower ids are never read again.
                *notified = notified.split_off(&after);
            }
            for membership in &page {
                self.notify(&membership.username, &membership.group, membership.id);
            }
            let newest = page.last().map_or(last, |membership| membership.id);
            let order = Ordering::Relaxed;
            let is_same_epoch = self
                .last_id
                .compare_exchange(last, newest, order, order)
                .is_ok();
            if !is_same_epoch || newest == last || (page.len() as u64) < MEMBERSHIP_PAGE_SIZE {
                return Ok(());
            }
        }
    }

    /// Starts again in another epoch, in which the ids of memberships mean something else.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reset(&self) -> Result<(), DbErr> {
        let (last_id, notified) = with_db_timeout(load_recent(&self.db)).await?;
        self.last_id.store(last_id, Ordering::Relaxed);
        *self.notified() = notified;
        Ok(())
    }

    fn notified(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        // A panic elsewhere leaves the set as it was between two calls of its own methods.
        self.notified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the highest id of a membership, and the ids near it. Memberships with a lower id may be committed later.
async fn load_recent(db: &DatabaseConnection) -> Result<(i64, BTreeSet<i64>), DbErr> {
    let last = memberships::Model::last_id(db).await?;
    let after = last - MAX_UNCOMMITTED_IDS;
    let limit = MAX_UNCOMMITTED_IDS.unsigned_abs();
    let recent = memberships::Model::list_after(db, after, limit).await?;
    Ok((
        last,
        recent.iter().map(|membership| membership.id).collect(),
    ))
}
