//! The record of one socket or event stream: its lines in the log, from its opening to its end.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::Instant,
};

use axum::extract::ws::close_code;

use super::ConnectionEnd;
use crate::metrics::METRICS;

/// The time from which records count. A time of 8 bytes needs less memory than an [`Instant`].
static CLOCK_START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The kind of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::channels) enum SocketMode {
    /// A base socket.
    Base,
    /// A rich socket of one group.
    RichGroup,
    /// A rich socket of many groups.
    RichGroups,
    /// An event stream.
    Stream,
}

impl SocketMode {
    /// Returns the name of the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::RichGroup => "rich_group",
            Self::RichGroups => "rich_groups",
            Self::Stream => "stream",
        }
    }
}

/// The record of one socket. Boxed, because the futures of the socket's task own it.
///
/// A record that is dropped while its socket is open records the end too: a task that panics has no other end.
pub(in crate::channels) struct SocketRecord(Box<RecordFields>);

/// The fields of a record. An idle socket pays for them, so they are small.
struct RecordFields {
    user: i64,
    /// The name of the group. `None` for a socket of many groups.
    group: Option<Arc<str>>,
    /// Milliseconds since [`CLOCK_START`].
    opened_at: u64,
    frames_received: u32,
    client: IpAddr,
    mode: SocketMode,
    is_open: bool,
}

impl SocketRecord {
    /// The record of a socket that is not open yet.
    pub fn new(mode: SocketMode, user: i64, group: Option<Arc<str>>, client: IpAddr) -> Self {
        Self(Box::new(RecordFields {
            user,
            group,
            opened_at: 0,
            frames_received: 0,
            client,
            mode,
            is_open: false,
        }))
    }

    /// Records that the socket is open.
    pub fn opened(&mut self) {
        let record = &mut *self.0;
        record.opened_at = now();
        record.is_open = true;
        METRICS.sockets.record_opened(record.mode.name());
        tracing::info!(
            user = record.user,
            group = record.group.as_deref().unwrap_or_default(),
            mode = record.mode.name(),
            client = %record.client,
            "socket opened"
        );
    }

    /// Counts frames that the client has sent.
    pub(super) fn count_received(&mut self, frames: usize) {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.0.frames_received = self.0.frames_received.saturating_add(frames);
    }

    /// Records the end of the socket.
    pub(super) fn ended(&mut self, end: &ConnectionEnd) {
        match end {
            ConnectionEnd::ClosedByPeer(code) => {
                self.close(code.unwrap_or(close_code::STATUS), "client", "client");
            }
            ConnectionEnd::ConnectionLost => self.close(close_code::ABNORMAL, "lost", "lost"),
            ConnectionEnd::ClosedByServer(reason) => {
                let code = reason.code();
                self.close(code, reason.text(), code.to_string());
            }
        }
    }

    /// Records the end. `label` is the code in the metrics.
    fn close(&mut self, code: u16, reason: &str, label: impl Into<Cow<'static, str>>) {
        let record = &mut *self.0;
        if !record.is_open {
            return;
        }
        record.is_open = false;
        METRICS
            .sockets
            .record_closed(record.mode.name(), label.into());
        let is_stream = record.mode == SocketMode::Stream;
        tracing::info!(
            user = record.user,
            group = record.group.as_deref().unwrap_or_default(),
            mode = record.mode.name(),
            client = %record.client,
            ms = now().saturating_sub(record.opened_at),
            // A stream has no frames of its client, and no code.
            frames_received = (!is_stream).then_some(record.frames_received),
            code = (!is_stream).then_some(code),
            reason,
            "socket ended"
        );
    }
}

impl Drop for SocketRecord {
    fn drop(&mut self) {
        self.close(close_code::ABNORMAL, "aborted", "aborted");
    }
}

fn now() -> u64 {
    let since_start = CLOCK_START.elapsed().as_millis();
    u64::try_from(since_start).unwrap_or(u64::MAX)
}
