//! The real-time room: the way of a message from one socket to all others of its group.
//!
//! 1. A request is upgraded by `controllers::socket`, which knows that the user is a member, and
//!    handed to [`Channels::serve`].
//! 2. One task serves the socket ([`connection`]). It joins the group in the [`hub`]; the first
//!    listener of a group on this node subscribes to the group's topic at the [`broker`].
//! 3. A frame arrives and is read by [`protocol`]. If it posts, it waits for the [`writer`], which
//!    stores all posts that wait in one transaction.
//! 4. Once stored, the hub puts one encoded frame into the bounded queue of each other listener
//!    here, the broker carries the post to the other nodes, whose hubs do the same, and the sender
//!    gets its answer: the acknowledgement.
//! 5. Every post carries its number. A hub that misses one, because Redis was away or a node died
//!    between storing and telling, reads it from the log: the [`order`] of a group is kept and
//!    nothing is told twice.
//! 6. Each connection writes what its queue holds, all of it before one flush.
//! 7. The last listener that leaves drops the topic.

pub mod broker;
mod connection;
mod heartbeat;
mod hub;
pub mod order;
pub mod protocol;
mod writer;

use std::{sync::Arc, time::Duration};

use axum::{extract::ws::WebSocketUpgrade, response::Response};
use sea_orm::DatabaseConnection;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    broker::{Broker, Unavailable},
    hub::Hub,
    writer::Writer,
};
use crate::settings::{ChannelSettings, Settings};

/// tungstenite fills the free part of this buffer with zeros on each read, and every idle socket
/// keeps one: small is fast and small is cheap.
const READ_BUFFER: usize = 4 * 1024;

/// Frames of a batch gather here and leave in one write; it grows with use alone.
const WRITE_BUFFER: usize = 16 * 1024;

/// More than this is never kept for a socket that takes nothing.
const MAX_WRITE_BUFFER: usize = 1024 * 1024;

/// How long [`connect`] tries to reach Redis.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Whose socket it is, and of which group.
#[derive(Debug, Clone)]
pub struct Member {
    pub user_id: i64,
    pub username: Arc<str>,
    pub group_id: i64,
    /// The group's name.
    pub group: Arc<str>,
    /// How far the group's log had gone when the member was let in.
    pub head: i64,
}

/// The real-time room of one process. Clones share it.
#[derive(Clone)]
pub struct Channels {
    hub: Arc<Hub>,
    writer: Writer,
    settings: Arc<Settings>,
    draining: CancellationToken,
    sockets: TaskTracker,
}

impl Channels {
    /// Opens the room: connects the broker and starts to listen to it.
    #[must_use]
    pub fn start(settings: Arc<Settings>, db: DatabaseConnection) -> Self {
        let (broker, inbox) = Broker::open(&settings.channels);
        let hub = Hub::start(broker, inbox, db.clone(), settings.clone());
        Self {
            writer: Writer::start(db, hub.clone()),
            hub,
            settings,
            draining: CancellationToken::new(),
            sockets: TaskTracker::new(),
        }
    }

    /// Upgrades a member's request and serves the socket until one side ends it.
    pub fn serve(self, upgrade: WebSocketUpgrade, member: Member) -> Response {
        let limit = self.settings.channels.frame_limit;
        // Held until the socket has ended, so that a drain waits for it.
        let socket_alive = self.sockets.token();
        upgrade
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(limit)
            .max_frame_size(limit)
            .on_failed_upgrade(|error| tracing::debug!(%error, "an upgrade failed"))
            .on_upgrade(move |socket| async move {
                connection::run(socket, &member, &self).await;
                drop(socket_alive);
            })
    }

    /// Tells every socket that the server restarts, and waits until they are gone, for at most
    /// `limit`. Sockets opened from now on are told at once.
    pub async fn drain(&self, limit: Duration) {
        self.draining.cancel();
        self.sockets.close();
        if timeout(limit, self.sockets.wait()).await.is_err() {
            tracing::warn!(
                sockets = self.sockets.len(),
                "some sockets did not close in time"
            );
        }
    }

    /// Waits until there is a way to the other nodes.
    ///
    /// # Errors
    /// [`Unavailable`] when there is none within `limit`, or none is configured.
    pub async fn connected(&self, limit: Duration) -> Result<(), Unavailable> {
        self.hub.connected(limit).await
    }

    /// How many groups have listeners on this node.
    #[must_use]
    pub fn active_groups(&self) -> usize {
        self.hub.active_groups()
    }

    /// The number of the last event that sockets of a group on this node were told, if there are any.
    #[must_use]
    pub fn last_told(&self, group: &str) -> Option<i64> {
        self.hub.last_told(group)
    }

    /// How many sockets on this node listen to a group.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.hub.listeners()
    }
}

/// A connected broker for a process that serves no sockets.
///
/// # Errors
/// [`Unavailable`] when no Redis is configured, or it cannot be reached within 5 s.
pub async fn connect(settings: &ChannelSettings) -> Result<Broker, Unavailable> {
    let (broker, _) = Broker::open(settings);
    broker.connected(CONNECT_WITHIN).await?;
    Ok(broker)
}
