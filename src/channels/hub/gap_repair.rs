//! What the broker lost is read from the log.
//!
//! A gap in a group's numbers shows that something is missing; a sweep finds what nothing came
//! after. Both end in one comparison of what was told with the heads of the logs.

use std::{
    collections::BTreeSet,
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};
use tokio::{
    select,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{DB_TIMEOUT, Hub, room::Room};
use crate::{
    channels::protocol::{CloseReason, event::EncodedEvent},
    health::Fault,
    models::{chat_groups, epochs, events, memberships},
};

/// What comes from another node is often a little later than what was stored here after it.
const REORDER_GRACE: Duration = Duration::from_millis(25);

/// Events of one group that are read at once.
const REPAIR_PAGE_EVENTS: usize = 128;

/// How often it is looked whether it is time to sweep; while Redis is away it always is.
const SWEEP_TICK: Duration = Duration::from_millis(500);

/// Memberships that are read at once.
const MEMBERSHIP_PAGE_SIZE: u64 = 1000;

/// Memberships that may have their number and are not to be seen yet.
const MAX_UNCOMMITTED_IDS: i64 = 100;

/// Groups that are compared with their logs at once.
const MAX_GROUPS_PER_COMPARISON: usize = 500;

/// Returns the last membership, and those that may be committed after it although their numbers are lower.
/// Sockets that are opened from now on know them.
pub(super) async fn load_recent_memberships(
    db: &DatabaseConnection,
) -> Result<(i64, BTreeSet<i64>), DbErr> {
    let last = memberships::Model::last_id(db).await?;
    let recent = last - MAX_UNCOMMITTED_IDS;
    let limit = MAX_UNCOMMITTED_IDS.unsigned_abs();
    let known = memberships::Model::list_after(db, recent, limit).await?;
    Ok((last, known.into_iter().map(|known| known.id).collect()))
}

impl Hub {
    /// Heals the gaps that are reported.
    pub(super) async fn run_gap_repair(
        self: Arc<Self>,
        mut gapped: mpsc::UnboundedReceiver<Arc<str>>,
    ) {
        let mut batch = Vec::new();
        while gapped.recv_many(&mut batch, usize::MAX).await > 0 {
            sleep(REORDER_GRACE).await;
            while let Ok(group) = gapped.try_recv() {
                batch.push(group);
            }
            let rooms: Vec<_> = batch
                .drain(..)
                .filter_map(|name| self.room(&name))
                .collect();
            for room in &rooms {
                room.clear_gap_reported();
            }
            self.repair_rooms(rooms).await;
        }
    }

    /// Looks after all active groups from time to time, and whenever Redis was away.
    pub(super) async fn run_sweep(self: Arc<Self>) {
        let every = Duration::from_secs(self.settings.channels.sweep_every.into());
        let mut until_next = Duration::ZERO;
        let mut tick = interval(SWEEP_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sessions = self.broker.reconnects();
        loop {
            // While Redis is away the log is the only way from node to node; and once it is back,
            // nobody tells what was lost meanwhile.
            // Writing goes on as soon as the log is whole again, or another epoch has begun.
            let is_due = select! {
                _ = tick.tick() => {
                    until_next.is_zero()
                        || self.broker.is_disconnected()
                        || self.health.has_fault(Fault::LogBehind)
                }
                () = next_reconnect(&mut sessions) => true,
            };
            if is_due {
                until_next = every;
                self.sweep().await;
            }
            until_next = until_next.saturating_sub(SWEEP_TICK);
        }
    }

    /// In another life of the database numbers of memberships begin anew, too.
    async fn reset_notified_memberships(&self) -> Result<(), DbErr> {
        let (last, known) = with_db_timeout(load_recent_memberships(&self.db)).await?;
        self.last_membership_id.store(last, Ordering::Relaxed);
        *self.notified_memberships() = known;
        Ok(())
    }

    pub(super) fn notified_memberships(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.notified_memberships
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn sweep(&self) {
        if let Err(error) = self.check_epoch().await {
            // The next sweep tries again.
            tracing::warn!(%error, "the epoch could not be read");
        }
        if let Err(error) = self.notify_new_memberships().await {
            tracing::warn!(%error, "the new memberships could not be read");
        }
        let active = self.rooms().values().cloned().collect();
        self.repair_rooms(active).await;
        if self.health.has_fault(Fault::LogBehind) {
            match self.is_log_behind().await {
                Ok(true) => {}
                Ok(false) => {
                    self.health.clear_fault(Fault::LogBehind);
                    tracing::warn!("the log has all that was acknowledged again: writing goes on");
                }
                Err(error) => tracing::warn!(%error, "the log could not be read"),
            }
        }
    }

    /// Stops all writes of this node, because the database has lost what it had stored: a backup was restored
    /// under the running server, a replica became the primary before it had everything, or a disk lies. Only an
    /// operator knows which, and what is to be done. Not where another epoch has begun: its numbers mean
    /// something else.
    pub async fn stop_writes_if_log_is_behind(&self, why: &(impl std::fmt::Display + Sync)) {
        if let Err(error) = self.check_epoch().await {
            tracing::warn!(%error, "the epoch could not be read");
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
            // The next write, or the next sweep, finds it again.
            Err(error) => tracing::warn!(%error, "the log could not be read"),
        }
    }

    /// Returns whether the log of a group ends before the last event that was acknowledged, or delivered here.
    async fn is_log_behind(&self) -> Result<bool, DbErr> {
        // Before the heads are read, which only grow meanwhile.
        let mut known = self.acknowledged_heads.snapshot();
        for room in self.rooms().values() {
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

    /// Finds the memberships that nobody told of here.
    async fn notify_new_memberships(&self) -> Result<(), DbErr> {
        loop {
            let last = self.last_membership_id.load(Ordering::Relaxed);
            // Numbers are taken before a commit: one that is lower may be seen later.
            let after = last - MAX_UNCOMMITTED_IDS;
            let newcomers = with_db_timeout(memberships::Model::list_after(
                &self.db,
                after,
                MEMBERSHIP_PAGE_SIZE,
            ))
            .await?;
            {
                let mut welcomed = self.notified_memberships();
                // Those are never looked at again.
                *welcomed = welcomed.split_off(&after);
            }
            for newcomer in &newcomers {
                self.notify_member_added(&newcomer.username, &newcomer.group, newcomer.id);
            }
            let newest = newcomers.last().map_or(last, |newcomer| newcomer.id);
            let (seen, order) = (&self.last_membership_id, Ordering::Relaxed);
            let is_same_life = seen.compare_exchange(last, newest, order, order).is_ok();
            if !is_same_life || newest == last || (newcomers.len() as u64) < MEMBERSHIP_PAGE_SIZE {
                return Ok(());
            }
        }
    }

    /// Finds the groups whose log has gone on unheard, and lets them hear.
    async fn repair_rooms(&self, rooms: Vec<Arc<Room>>) {
        for rooms in rooms.chunks(MAX_GROUPS_PER_COMPARISON) {
            if let Err(error) = self.repair_lagging(rooms).await {
                // The next sweep tries again.
                tracing::warn!(%error, "the log could not be read; some messages are late");
            }
        }
    }

    async fn repair_lagging(&self, rooms: &[Arc<Room>]) -> Result<(), DbErr> {
        let known: Vec<(&Arc<Room>, i64)> =
            rooms.iter().map(|room| (room, room.last_seq())).collect();
        let ids = rooms.iter().map(|room| room.id).collect();
        let heads = with_db_timeout(chat_groups::Model::find_heads(&self.db, ids)).await?;
        let mut healed = Ok(());
        let mut is_behind = None;
        for (room, last) in known {
            match heads.get(&room.id) {
                // One that cannot be read does not keep the others waiting.
                Some(head) if *head > last => healed = self.repair_gap(room).await.and(healed),
                Some(head) if *head < last => is_behind = Some((room.name.clone(), *head, last)),
                Some(_) => {}
                None => room.close_all(CloseReason::GroupDeleted),
            }
        }
        if let Some((group, head, last)) = is_behind
            && !self.health.has_fault(Fault::LogBehind)
        {
            let why = format!("the log of {group} ends at {head}, and {last} was delivered");
            self.stop_writes_if_log_is_behind(&why).await;
        }
        healed
    }

    /// Reads what listeners here have not been told from the log.
    pub(super) async fn repair_gap(&self, room: &Arc<Room>) -> Result<(), DbErr> {
        loop {
            let last = room.last_seq();
            let page = with_db_timeout(events::Model::list_after(
                &self.db,
                room.id,
                last,
                REPAIR_PAGE_EVENTS as u64,
            ))
            .await?;
            for event in &page {
                // What the log does not have does not come any more.
                room.advance_to(event.seq - 1);
                self.ingest_events(room, [EncodedEvent::encode(&room.name, event)]);
            }
            if page.len() < REPAIR_PAGE_EVENTS {
                return Ok(());
            }
        }
    }

    /// Follows the operator, or another node, into another life of the database.
    async fn check_epoch(&self) -> Result<(), DbErr> {
        let beginning = self.epoch_change_lock.lock().await;
        let known = self.epoch();
        let current = with_db_timeout(epochs::Model::current(&self.db)).await?;
        if current.name == known.name {
            return Ok(());
        }
        self.reset_notified_memberships().await?;
        if current.id <= known.id {
            // One that was before: a backup of that time was restored, and this is not that time.
            tracing::error!(epoch = %current.name, "the database has gone back to an older life");
            drop(beginning);
            return self.begin_epoch_after(&current).await;
        }
        self.adopt_epoch(current);
        Ok(())
    }

    /// Begins a new epoch after one that was restored from a backup: its numbers mean something else from now
    /// on.
    async fn begin_epoch_after(&self, ended: &epochs::Model) -> Result<(), DbErr> {
        let _beginning = self.epoch_change_lock.lock().await;
        let begun = with_db_timeout(epochs::Model::begin_next(&self.db, Some(&ended.name))).await?;
        if begun.name != self.epoch().name {
            self.reset_notified_memberships().await?;
            self.adopt_epoch(begun);
        }
        Ok(())
    }

    /// Sends all sockets away, to come back in another life of the database: with what they know,
    /// who they are and where they are let in, they begin anew.
    fn adopt_epoch(&self, epoch: epochs::Model) {
        tracing::warn!(epoch = %epoch.name, "another life of the database: all sockets begin anew");
        let mut rooms = self.rooms();
        self.broker.set_epoch(&epoch.name);
        *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(epoch);
        self.acknowledged_heads.clear();
        for (name, _) in rooms.drain() {
            self.broker.unsubscribe(&name);
        }
        drop(rooms);
        for peer in self.connected_users.all_sockets() {
            peer.close(CloseReason::EpochChanged);
        }
    }
}

/// Waits for the next session with Redis, for ever where there is none to come.
pub(super) async fn next_reconnect(sessions: &mut Option<watch::Receiver<u64>>) {
    if let Some(sessions) = sessions
        && sessions.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// A query that must not hold up the others for ever.
pub(in crate::channels) async fn with_db_timeout<T>(
    query: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    timeout(DB_TIMEOUT, query).await.unwrap_or_else(|_| {
        let silent = "the database did not answer in time".to_owned();
        Err(DbErr::Conn(RuntimeErr::Internal(silent)))
    })
}
