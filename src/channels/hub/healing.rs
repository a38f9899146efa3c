//! What the broker lost is read from the log.
//!
//! A gap in a group's numbers shows that something is missing; a sweep finds what nothing came
//! after. Both end in one comparison of what was told with the heads of the logs.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use sea_orm::DbErr;
use tokio::{
    select,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{ANSWER_WITHIN, Hub, room::Room};
use crate::{
    channels::protocol::{CloseReason, event::Told},
    models::{chat_groups, epochs, events},
};

/// What comes from another node is often a little later than what was stored here after it.
const GRACE: Duration = Duration::from_millis(25);

/// Events of one group that are read at once.
const PAGE: usize = 256;

/// Groups that are compared with their logs at once.
const GROUPS: usize = 500;

impl Hub {
    /// Heals the gaps that are reported.
    pub(super) async fn heal_gaps(self: Arc<Self>, mut gapped: mpsc::UnboundedReceiver<Arc<str>>) {
        let mut batch = Vec::new();
        while gapped.recv_many(&mut batch, usize::MAX).await > 0 {
            sleep(GRACE).await;
            while let Ok(group) = gapped.try_recv() {
                batch.push(group);
            }
            let rooms: Vec<_> = batch
                .drain(..)
                .filter_map(|name| self.room(&name))
                .collect();
            for room in &rooms {
                room.forget_gap();
            }
            self.compare_with_log(rooms).await;
        }
    }

    /// Looks after all active groups from time to time, and whenever Redis was away.
    pub(super) async fn sweep_by_the_clock(self: Arc<Self>) {
        let every = Duration::from_secs(self.settings.channels.sweep_every.into());
        let mut until_next = Duration::ZERO;
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sessions = self.broker.sessions();
        loop {
            // While Redis is away the log is the only way from node to node; and once it is back,
            // nobody tells what was lost meanwhile.
            let is_due = select! {
                _ = tick.tick() => until_next.is_zero() || self.broker.is_away(),
                () = next_session(&mut sessions) => true,
            };
            if is_due {
                until_next = every;
                self.sweep().await;
            }
            until_next = until_next.saturating_sub(Duration::from_secs(1));
        }
    }

    async fn sweep(&self) {
        match in_time(epochs::Model::current(&self.db)).await {
            Ok(epoch) if *epoch != *self.epoch() => self.begin_epoch(epoch).await,
            Ok(_) => {}
            // The next sweep tries again, and so does the comparison below.
            Err(error) => tracing::warn!(%error, "the epoch could not be read"),
        }
        let active = self.rooms().values().cloned().collect();
        self.compare_with_log(active).await;
    }

    /// Finds the groups whose log has gone on unheard, and lets them hear.
    async fn compare_with_log(&self, rooms: Vec<Arc<Room>>) {
        for rooms in rooms.chunks(GROUPS) {
            if let Err(error) = self.heal_behind(rooms).await {
                // The next sweep tries again.
                tracing::warn!(%error, "the log could not be read; some messages are late");
            }
        }
    }

    async fn heal_behind(&self, rooms: &[Arc<Room>]) -> Result<(), DbErr> {
        // Before the heads are read, so that a head behind it is one that went back.
        let known: Vec<(&Arc<Room>, i64)> =
            rooms.iter().map(|room| (room, room.cursor().seq)).collect();
        let heads = self.heads(rooms).await?;
        let mut went_back = false;
        for (room, last) in known {
            match heads.get(&room.id) {
                Some(head) if *head > last => self.heal(room).await?,
                Some(head) if *head < last => {
                    let group = &room.name;
                    tracing::error!(%group, last, head, "the database has lost what it had stored");
                    went_back = true;
                }
                Some(_) => {}
                None => room.end(CloseReason::GroupGone),
            }
        }
        if went_back {
            self.end_epoch().await?;
        }
        Ok(())
    }

    async fn heads(&self, rooms: &[Arc<Room>]) -> Result<HashMap<i64, i64>, DbErr> {
        let ids = rooms.iter().map(|room| room.id).collect();
        in_time(chat_groups::Model::heads(&self.db, ids)).await
    }

    /// Reads what listeners here have not been told from the log.
    async fn heal(&self, room: &Arc<Room>) -> Result<(), DbErr> {
        loop {
            let last = room.cursor().seq;
            let page = in_time(events::Model::after(&self.db, room.id, last, PAGE as u64)).await?;
            for event in &page {
                // What the log does not have does not come any more.
                room.skip_to(event.seq - 1);
                room.arrive(Arc::new(Told::new(&room.name, event)));
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// A log that ends before what was told is another one: a backup was restored, or a replica
    /// became the database before it had everything. Its numbers mean something else from now on,
    /// and others may have gone back unseen.
    async fn end_epoch(&self) -> Result<(), DbErr> {
        let ended = self.epoch();
        let epoch = in_time(epochs::Model::begin_after(&self.db, Some(&ended))).await?;
        self.begin_epoch(epoch).await;
        Ok(())
    }

    /// Takes all logs as they are in another life of the database.
    async fn begin_epoch(&self, epoch: String) {
        let rooms: Vec<_> = self.rooms().values().cloned().collect();
        for rooms in rooms.chunks(GROUPS) {
            match self.heads(rooms).await {
                Ok(heads) => {
                    for room in rooms {
                        // Of those that are gone the sweep knows too.
                        if let Some(head) = heads.get(&room.id) {
                            room.begin_another_life(*head);
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the heads could not be read; trying again");
                    // The epoch stays the old one, so the next sweep comes here again.
                    return;
                }
            }
        }
        tracing::warn!(%epoch, "the database has begun another life: clients are told to start anew");
        *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = epoch.into();
    }
}

/// Waits for the next session with Redis, for ever where there is none to come.
async fn next_session(sessions: &mut Option<watch::Receiver<u64>>) {
    if let Some(sessions) = sessions
        && sessions.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// A query that must not hold up the others for ever.
pub(super) async fn in_time<T>(query: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    timeout(ANSWER_WITHIN, query).await.unwrap_or_else(|_| {
        Err(DbErr::Custom(
            "the database did not answer in time".to_owned(),
        ))
    })
}
