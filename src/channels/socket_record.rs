//! The record of one socket or event stream: its lines in the log and its metrics, from its opening to its end.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::extract::ws::{CloseCode, close_code};

use super::protocol::CloseReason;
use crate::metrics::METRICS;

/// The time from which records count. A time of 8 bytes needs less memory than an [`Instant`].
static CLOCK_START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The kind of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketMode {
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

/// The end of a connection.
pub(super) enum ConnectionEnd {
    /// The client sent a close frame, with this code.
    ClosedByPeer(Option<CloseCode>),
    /// The connection was lost without a close frame.
    ConnectionLost,
    ClosedByServer(CloseReason),
    /// The task of the socket panicked or was cancelled.
    TaskFailed,
}

impl From<CloseReason> for ConnectionEnd {
    fn from(reason: CloseReason) -> Self {
        Self::ClosedByServer(reason)
    }
}

impl ConnectionEnd {
    /// Returns the code of the close frame. Without a frame, returns the code that stands for its absence (RFC 6455,
    /// section 7.4.1).
    const fn code(&self) -> CloseCode {
        match self {
            Self::ClosedByPeer(Some(code)) => *code,
            Self::ClosedByPeer(None) => close_code::STATUS,
            Self::ConnectionLost | Self::TaskFailed => close_code::ABNORMAL,
            Self::ClosedByServer(reason) => reason.code(),
        }
    }

    /// Returns the reason in words, for the log.
    const fn reason(&self) -> &'static str {
        match self {
            Self::ClosedByPeer(_) => "client",
            Self::ConnectionLost => "lost",
            Self::ClosedByServer(reason) => reason.text(),
            Self::TaskFailed => "aborted",
        }
    }

    /// Returns the label in the metrics: the code of the server, or the reason of another end. The codes of clients are
    /// too many for a label.
    fn label(&self) -> Cow<'static, str> {
        match self {
            Self::ClosedByServer(reason) => reason.code().to_string().into(),
            other => other.reason().into(),
        }
    }
}

/// The record of one socket, in its handle. An idle socket pays for the fields, so they are small.
///
/// A record that is dropped while its socket is open records the end too: a task that panics has no other end.
pub(super) struct SocketRecord {
    mode: SocketMode,
    user: i64,
    /// The name of the group. `None` for a socket of many groups.
    group: Option<Arc<str>>,
    client: IpAddr,
    /// Milliseconds since [`CLOCK_START`].
    opened_at: AtomicU64,
    frames_received: AtomicU32,
    is_open: AtomicBool,
}

impl SocketRecord {
    /// The record of a socket that is not open yet.
    pub fn new(mode: SocketMode, user: i64, group: Option<Arc<str>>, client: IpAddr) -> Self {
        Self {
            mode,
            user,
            group,
            client,
            opened_at: AtomicU64::new(0),
            frames_received: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
        }
    }

    /// Records that the socket is open.
    pub fn opened(&self) {
        self.opened_at.store(now(), Ordering::Relaxed);
        self.is_open.store(true, Ordering::Relaxed);
        METRICS.sockets.record_opened(self.mode.name());
        tracing::info!(
            user = self.user,
            group = self.group.as_deref().unwrap_or_default(),
            mode = self.mode.name(),
            client = %self.client,
            "socket opened"
        );
    }

    /// Counts frames that the client has sent.
    pub fn count_received(&self, frames: usize) {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.frames_received.fetch_add(frames, Ordering::Relaxed);
    }

    /// Records the end of the socket. Only the first end of an open socket counts.
    pub fn ended(&self, end: &ConnectionEnd) {
        if !self.is_open.swap(false, Ordering::Relaxed) {
            return;
        }
        METRICS.sockets.record_closed(self.mode.name(), end.label());
        let opened_at = self.opened_at.load(Ordering::Relaxed);
        let frames_received = self.frames_received.load(Ordering::Relaxed);
        // A stream has no frames of its client, and no code.
        let has_frames = self.mode != SocketMode::Stream;
        tracing::info!(
            user = self.user,
            group = self.group.as_deref().unwrap_or_default(),
            mode = self.mode.name(),
            client = %self.client,
            ms = now().saturating_sub(opened_at),
            frames_received = has_frames.then_some(frames_received),
            code = has_frames.then_some(end.code()),
            reason = end.reason(),
            "socket ended"
        );
    }
}

impl Drop for SocketRecord {
    fn drop(&mut self) {
        self.ended(&ConnectionEnd::TaskFailed);
    }
}

fn now() -> u64 {
    let since_start = CLOCK_START.elapsed().as_millis();
    u64::try_from(since_start).unwrap_or(u64::MAX)
}
