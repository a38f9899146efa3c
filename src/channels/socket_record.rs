//! The record of one socket or event stream: its lines in the log, from its opening to its end.

use std::{
    net::IpAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::extract::ws::{CloseCode, close_code};

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

    /// Records the end of the socket, with the code of the close frame and the reason in words. Only the first end of an
    /// open socket counts.
    pub fn ended(&self, code: CloseCode, reason: &str) {
        if !self.is_open.swap(false, Ordering::Relaxed) {
            return;
        }
        let label = match reason {
            // The ends without a close code of the server.
            "client" => "client".into(),
            "lost" => "lost".into(),
            "aborted" => "aborted".into(),
            _ => code.to_string().into(),
        };
        METRICS.sockets.record_closed(self.mode.name(), label);
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
            code = has_frames.then_some(code),
            reason,
            "socket ended"
        );
    }
}

impl Drop for SocketRecord {
    fn drop(&mut self) {
        self.ended(close_code::ABNORMAL, "aborted");
    }
}

fn now() -> u64 {
    let since_start = CLOCK_START.elapsed().as_millis();
    u64::try_from(since_start).unwrap_or(u64::MAX)
}
