//! What the broker lost is read from the log.
//!
//! A gap in a group's numbers shows that something is missing; a sweep finds what nothing came
//! after. Both end in one comparison of what was told with the heads of the logs.

use std::{sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio::{
    select,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{ANSWER_WITHIN, Arrival, Hub, Order, Post};
use crate::models::{chat_groups, events};

/// What comes from another node is often a little later than what was stored here after it.
const GRACE: Duration = Duration::from_millis(25);

/// Events of one group that are read at once: with those that wait behind them, fewer than fit
/// into a listener's queue.
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
            for name in &batch {
                if let Some(group) = self.groups().get_mut(name) {
                    group.gap_reported = false;
                }
            }
            self.compare_with_log(std::mem::take(&mut batch)).await;
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
                let active = self.groups().keys().cloned().collect();
                self.compare_with_log(active).await;
            }
            until_next = until_next.saturating_sub(Duration::from_secs(1));
        }
    }

    /// Finds the groups whose log has gone on unheard, and lets them hear.
    async fn compare_with_log(&self, names: Vec<Arc<str>>) {
        for names in names.chunks(GROUPS) {
            if let Err(error) = self.heal_behind(names).await {
                // The next sweep tries again.
                tracing::warn!(%error, "the log could not be read; some messages are late");
            }
        }
    }

    async fn heal_behind(&self, names: &[Arc<str>]) -> Result<(), DbErr> {
        // Before the heads are read, so that a head behind it is one that went back.
        let known: Vec<(&Arc<str>, i64, i64)> = names
            .iter()
            .filter_map(|name| self.place(name).map(|(id, last)| (name, id, last)))
            .collect();
        let ids = known.iter().map(|(_, id, _)| *id).collect();
        let heads = in_time(chat_groups::Model::heads(&self.db, ids)).await?;
        for (name, id, last) in known {
            match heads.get(&id) {
                Some(head) if *head > last => self.heal(name).await?,
                Some(head) if *head < last => self.go_back(name).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A group's id, and the number of the last event that its listeners here were told.
    fn place(&self, name: &Arc<str>) -> Option<(i64, i64)> {
        self.groups()
            .get(name)
            .map(|group| (group.id, group.order.last()))
    }

    /// Reads what listeners here have not been told from the log.
    async fn heal(&self, name: &Arc<str>) -> Result<(), DbErr> {
        loop {
            let storing = self.storing.lock().await;
            let Some((id, last)) = self.place(name) else {
                return Ok(());
            };
            let page = in_time(events::Model::after(&self.db, id, last, PAGE as u64)).await?;
            let is_last = page.len() < PAGE;
            for event in page {
                // What the log does not have does not come any more.
                if let Some(group) = self.groups().get_mut(name) {
                    group.order.skip_to(event.seq - 1);
                }
                let post = Post::of(event);
                self.arrive(name, Arrival { post, sender: None });
            }
            drop(storing);
            if is_last {
                return Ok(());
            }
            // Time for the listeners to write what they have.
            sleep(GRACE).await;
        }
    }

    /// A log that ends before what was told is another one: a backup was restored, or a replica
    /// became the database before it had everything.
    async fn go_back(&self, name: &Arc<str>) -> Result<(), DbErr> {
        let _storing = self.storing.lock().await;
        let Some((id, last)) = self.place(name) else {
            return Ok(());
        };
        let heads = in_time(chat_groups::Model::heads(&self.db, vec![id])).await?;
        if let Some(head) = heads.get(&id).filter(|head| **head < last) {
            tracing::error!(group = %name, last, head, "the database has lost what it had stored");
            if let Some(group) = self.groups().get_mut(name) {
                group.order = Order::after(*head);
                for listener in &mut group.listeners {
                    listener.after = *head;
                }
            }
        }
        Ok(())
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
async fn in_time<T>(query: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    timeout(ANSWER_WITHIN, query).await.unwrap_or_else(|_| {
        Err(DbErr::Custom(
            "the database did not answer in time".to_owned(),
        ))
    })
}
