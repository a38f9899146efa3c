//! The repair of gaps: events that the broker lost are read from the log.
//!
//! A gap in a group's numbers shows that an event is missing. A sweep finds a missing last event. Both end in one
//! comparison of the rooms with the heads of the logs.

use std::{sync::Arc, time::Duration};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::sleep;

use super::{Delivery, GapReports, room::Room};
use crate::{
    channels::{
        log_watch::LogWatch,
        protocol::{CloseReason, event::EncodedEvent},
    },
    database::{clock, with_db_timeout},
    metrics::METRICS,
    models::{chat_groups, events},
};

/// The time that a missing event may take. Events of other nodes often arrive a little later than newer events of
/// this node.
const REORDER_GRACE: Duration = Duration::from_millis(25);

/// Events of one group in one query.
const REPAIR_PAGE_EVENTS: usize = 128;

/// Groups in one query of the heads.
pub(in crate::channels) const MAX_GROUPS_PER_COMPARISON: usize = 500;

/// Compares rooms with the log, and delivers the events that are missing.
pub(in crate::channels) struct GapRepair {
    delivery: Arc<Delivery>,
    db: DatabaseConnection,
    log_watch: Arc<LogWatch>,
}

impl GapRepair {
    /// The repair of the rooms of this delivery.
    pub fn new(delivery: Arc<Delivery>, db: DatabaseConnection, log_watch: Arc<LogWatch>) -> Self {
        Self {
            delivery,
            db,
            log_watch,
        }
    }

    /// Repairs the reported gaps.
    pub async fn run(self: Arc<Self>, GapReports(mut reports): GapReports) {
        let mut groups = Vec::new();
        while reports.recv_many(&mut groups, usize::MAX).await > 0 {
            sleep(REORDER_GRACE).await;
            while let Ok(group) = reports.try_recv() {
                groups.push(group);
            }
            let rooms: Vec<_> = groups
                .drain(..)
                .filter_map(|group| self.delivery.rooms.get(&group))
                .collect();
            for room in &rooms {
                room.clear_gap_reported();
            }
            self.repair_rooms(rooms).await;
        }
    }

    /// Compares all rooms with the log.
    pub async fn repair_all(&self) {
        self.repair_rooms(self.delivery.rooms.all()).await;
    }

    /// Brings a room up to a head of the log. Until then the room may keep texts that were deleted.
    pub async fn catch_up(&self, room: &Arc<Room>, head: i64) {
        if room.last_seq() >= head {
            return;
        }
        let repair = async {
            // If many sockets join at once, one socket reads.
            let _reading = room.log_read_lock.lock().await;
            if room.last_seq() < head {
                self.repair(room).await?;
            }
            Ok(())
        };
        if let Err(error) = with_db_timeout(repair).await {
            tracing::warn!(%error, group = %room.name, "a group could not catch up with its log; the next sweep tries again");
        }
    }

    async fn repair_rooms(&self, rooms: Vec<Arc<Room>>) {
        for rooms in rooms.chunks(MAX_GROUPS_PER_COMPARISON) {
            if let Err(error) = self.repair_lagging(rooms).await {
                tracing::warn!(%error, groups = rooms.len(), "groups could not be compared with their logs; the next sweep tries again");
            }
        }
    }

    async fn repair_lagging(&self, rooms: &[Arc<Room>]) -> Result<(), DbErr> {
        // The seqs are read first. A head that is read later is not lower, unless the database has lost events.
        let last_seqs: Vec<(&Arc<Room>, i64)> =
            rooms.iter().map(|room| (room, room.last_seq())).collect();
        let ids = rooms.iter().map(|room| room.id).collect();
        let heads = with_db_timeout(chat_groups::Model::find_heads(&self.db, ids)).await?;
        let mut result = Ok(());
        let mut log_behind = None;
        for (room, last) in last_seqs {
            match heads.get(&room.id) {
                // A room that cannot be repaired does not keep the others waiting.
                Some(head) if *head > last => result = self.repair(room).await.and(result),
                Some(head) if *head < last => log_behind = Some((room.name.clone(), *head, last)),
                Some(_) => {}
                None => room.close_all(CloseReason::GroupDeleted),
            }
        }
        if let Some((group, head, last)) = log_behind
            && !self.log_watch.is_behind()
        {
            let why = format!("the log of {group} ends at {head}, and {last} was delivered");
            self.log_watch.stop_writes_if_behind(&why).await;
        }
        result
    }

    /// Reads the events that a room lacks from the log.
    async fn repair(&self, room: &Arc<Room>) -> Result<(), DbErr> {
        let mut is_first_page = true;
        loop {
            let last = room.last_seq();
            let page = with_db_timeout(events::Model::list_after(
                &self.db,
                room.id,
                last,
                REPAIR_PAGE_EVENTS as u64,
            ))
            .await?;
            if let Some(oldest) = page.first() {
                METRICS.gap_events.inc_by(page.len() as u64);
                if is_first_page {
                    METRICS.gaps_repaired.inc();
                    METRICS.gap_age_seconds.observe(clock::age_of(oldest.at));
                }
            }
            is_first_page = false;
            for event in &page {
                // An event that the log lacks cannot arrive later.
                room.advance_to(event.seq - 1);
                self.delivery
                    .ingest(room, [EncodedEvent::encode_logged(&room.name, event)]);
            }
            if page.len() < REPAIR_PAGE_EVENTS {
                return Ok(());
            }
        }
    }
}
