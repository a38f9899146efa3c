//! Reads of the log by sockets that are behind the event buffer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    event_buffer::{BATCH_BYTES, NextEvents, take_batch},
    room::Room,
};
use crate::{
    channels::protocol::event::EncodedEvent, database::with_db_timeout, metrics::METRICS,
    models::events,
};

/// Sockets that read the log at the same time. The database has other work too.
const MAX_CONCURRENT_LOG_READS: usize = 4;

/// The size of one read.
pub(super) enum PageSize {
    Full,
    /// Only the events that are sent next, because the socket's other groups fill its read-ahead.
    Reduced,
}

impl PageSize {
    /// Events in one read, and bytes that are kept until they are sent. The first event is kept even if it is larger.
    const fn limits(&self) -> (u64, usize) {
        match self {
            Self::Full => (64, 256 * 1024),
            Self::Reduced => (8, BATCH_BYTES),
        }
    }
}

/// Events that were read from the log.
pub(super) struct LogPage {
    /// The events in order. Empty if the log has no event after the requested seq.
    pub events: Vec<Arc<EncodedEvent>>,
    /// The room's content version before the read.
    pub content_version: u64,
    /// The room's last seq before the read.
    pub room_last_seq: i64,
}

/// Reads the log for sockets, a few reads at the same time.
pub(in crate::channels) struct LogReader {
    db: DatabaseConnection,
    permits: Semaphore,
}

impl LogReader {
    /// The reader of a node.
    pub fn new(db: DatabaseConnection) -> Self {
        Self {
            db,
            permits: Semaphore::new(MAX_CONCURRENT_LOG_READS),
        }
    }

    /// Reads the events of a room after a seq. Waits for its turn for `turn_timeout` at most. Returns `None` if the
    /// room has the events by then, because another socket has read them.
    ///
    /// # Errors
    /// When the turn does not come in time, and when the database fails.
    pub(super) async fn read(
        &self,
        room: &Room,
        after: i64,
        size: PageSize,
        turn_timeout: Duration,
    ) -> Result<Option<LogPage>, DbErr> {
        let started_at = Instant::now();
        let turn = async {
            (
                // One socket reads for all sockets that are as far behind.
                room.log_read_lock.lock().await,
                self.permits.acquire().await,
            )
        };
        let _turn = timeout(turn_timeout, turn)
            .await
            .map_err(|_| DbErr::Custom("too many sockets wait to read the log".to_owned()))?;
        if !matches!(room.next_events(after), NextEvents::InLog) {
            return Ok(None);
        }
        let (content_version, room_last_seq) = (room.content_version(), room.last_seq());
        let (max_events, max_bytes) = size.limits();
        let page = with_db_timeout(events::Model::list_after(
            &self.db, room.id, after, max_events,
        ))
        .await?;
        let encoded = page
            .iter()
            .map(|event| Arc::new(EncodedEvent::encode_logged(&room.name, event)));
        let events = take_batch(encoded, page.len(), max_bytes);
        room.cache_older(&events, content_version);
        METRICS.log_read_seconds.observe(started_at.elapsed());
        Ok(Some(LogPage {
            events,
            content_version,
            room_last_seq,
        }))
    }
}
