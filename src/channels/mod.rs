//! The real-time room: the way of a message from one socket to all others of its group.
//!
//! 1. A request is upgraded by `controllers::socket`, which knows that the user is a member, and
//!    handed to [`Channels::serve_basic`] (the base contract) or [`Channels::serve_rich_group`].
//! 2. One task serves the socket ([`connection`]). It joins the group in the [`hub`]; the first
//!    listener of a group on this node subscribes to the group's topic at the [`broker`].
//! 3. A frame arrives and is read by [`protocol`]. If it changes something, it waits for the
//!    [`writer`], which makes all changes that wait in one transaction.
//! 4. Once it is committed, the event is encoded once, the broker carries it to the other nodes,
//!    the hub puts it at the end of the group's tail and wakes the listeners, and the sender gets
//!    its answer: the acknowledgement. What the REST API changes comes in here, by
//!    [`Channels::execute`] and [`Channels::run_and_broadcast`].
//! 5. Every event carries its number. A hub that misses one, because Redis was away or a node died
//!    between storing and telling, reads it from the log: the [`order`] of a group is kept and
//!    nothing is told twice.
//! 6. Each connection has its own place in the group's log. It writes what comes after it: from the
//!    tail, or from the database where it is further behind, whether it is slow or has come back.
//!    To a socket that was told all there is the room writes the next event itself ([`mod@line`]).
//! 7. What is in no log, who is here and who types, is whispered beside it.
//! 8. The last listener that leaves drops the topic, unless its user comes back in time.

pub mod broker;
mod connection;
mod doing;
mod heartbeat;
mod hub;
mod member;
pub mod presence;
pub mod protocol;
mod readiness;
pub mod sequencer;
pub mod socket_writer;
mod text_frame;
pub mod transport;
mod writer;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    extract::ws::{WebSocket, WebSocketUpgrade},
    response::Response,
};
use ipnet::IpNet;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::timeout;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use self::{
    broker::{Broker, BrokerUnavailable, RedisScripts},
    connection::{BasicProtocol, RichProtocol},
    hub::{Hub, SocketHandle, SocketScope},
    protocol::{CloseReason, rich::SUBPROTOCOL},
    readiness::ReadinessCache,
    socket_writer::SocketWriter,
    writer::Writer,
};
pub use self::{connection::ResumePoint, member::Member, writer::StoreError};
use crate::{
    database::{
        self,
        checkpoint::{Checkpointer, WriterLock},
    },
    limits::{RateKey, RateLimited, RateLimiter, SocketLimiter, SocketPermit, TooManySockets},
    models::{
        chat_groups, epochs,
        events::Actor,
        group_commands::{CommandOutcome, GroupCommand},
        memberships,
        sessions::{ActiveSession, TokenClaims},
        users,
    },
    settings::Settings,
    supervisor::Supervisor,
    tokens::Tokens,
};

/// How long [`connect`] tries to reach Redis.
const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time over which a user's sends, and the groups subscribed to, are limited.
const RATE_LIMIT_WINDOW: Duration = Duration::from_secs(10);

/// A drain takes no longer than this, and so many sockets a second where they are few.
const MAX_DRAIN_SPREAD: Duration = Duration::from_secs(25);
const DRAIN_SOCKETS_PER_SECOND: f64 = 400.0;

/// How long the last sockets of a drain get to close.
const DRAIN_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Held until a socket has ended: its seat, and so that a drain waits for it.
struct SocketGuard {
    _permit: Option<SocketPermit>,
    _drain_token: TaskTrackerToken,
}

/// The real-time room of one process. Clones share it.
#[derive(Clone)]
pub struct Channels {
    hub: Arc<Hub>,
    writer: Writer,
    settings: Arc<Settings>,
    tokens: Arc<Tokens>,
    send_limiter: RateLimiter,
    subscribe_limiter: RateLimiter,
    socket_limiter: SocketLimiter,
    counters: RedisScripts,
    tasks: TaskTracker,
    supervisor: Supervisor,
    readiness: Arc<ReadinessCache>,
}

impl Channels {
    /// Opens the room: connects the broker and starts to listen to it. The supervisor watches over its tasks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(
        settings: Arc<Settings>,
        db: DatabaseConnection,
        supervisor: Supervisor,
    ) -> Result<Self, DbErr> {
        let (broker, inbox) = Broker::open(&settings, &supervisor);
        let counters = broker.redis_scripts();
        let gate = WriterLock::default();
        let hub = Hub::start(
            broker,
            inbox,
            db.clone(),
            settings.clone(),
            gate.clone(),
            &supervisor,
        );
        let hub = hub.await?;
        if let Some(checkpointer) = Checkpointer::new(&db, gate.clone()).await? {
            let health = supervisor.health().clone();
            let run = checkpointer.run(move |is_replaced| health.set_file_replaced(is_replaced));
            supervisor.spawn("checkpointer", run);
        }
        let run_on_start = settings.database.as_ref();
        let run_on_start = run_on_start.and_then(|database| database.run_on_start.as_deref());
        let writing = database::open_writer_pool(&db, run_on_start);
        Ok(Self {
            writer: Writer::start(writing, hub.clone(), gate, &supervisor),
            hub,
            supervisor,
            readiness: Arc::default(),
            tokens: Arc::new(Tokens::new(&settings.tokens)),
            send_limiter: RateLimiter::new(settings.channels.sends_per_10s, RATE_LIMIT_WINDOW),
            subscribe_limiter: RateLimiter::new(settings.limits.subs_per_10s, RATE_LIMIT_WINDOW),
            socket_limiter: SocketLimiter::new(
                settings.limits.sockets_per_user,
                settings.limits.sockets_per_network,
            ),
            counters,
            settings,
            tasks: TaskTracker::new(),
        })
    }

    /// Takes one of the sockets and streams that a user, and a network, may have at once.
    ///
    /// # Errors
    /// [`Full`] when there is none left.
    pub fn acquire_socket_permit(
        &self,
        user_id: i64,
        network: IpNet,
    ) -> Result<SocketPermit, TooManySockets> {
        self.socket_limiter.try_acquire(user_id, network)
    }

    /// Upgrades a member's request and serves a base socket until one side ends it.
    pub fn serve_basic(
        self,
        upgrade: WebSocketUpgrade,
        member: Member,
        session: ActiveSession,
        (seat, line): (SocketPermit, Option<Arc<SocketWriter>>),
    ) -> Response {
        self.clone()
            .upgrade(upgrade, Some(seat), async move |socket, _alive| {
                let peer =
                    self.new_socket_handle(&member.actor, SocketScope::EventsOnly, session, line);
                let members = vec![member.clone()];
                let mut base = BasicProtocol::new(&member, &self);
                connection::run(socket, peer, members, &self, &mut base).await;
            })
    }

    /// Upgrades a member's request and serves a rich socket of this group until one side ends it.
    pub fn serve_rich_group(
        self,
        upgrade: WebSocketUpgrade,
        member: Member,
        session: ActiveSession,
        entry: ResumePoint,
        (seat, line): (SocketPermit, Option<Arc<SocketWriter>>),
    ) -> Response {
        // What is needed at the beginning alone takes no place in the socket's task.
        let beginning = Box::new((member, entry));
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        self.clone()
            .upgrade(upgrade, Some(seat), async move |socket, _alive| {
                let (member, entry) = *beginning;
                let peer =
                    self.new_socket_handle(&member.actor, SocketScope::OneGroup, session, line);
                let mut rich = RichProtocol::for_group(&member, &self, entry);
                connection::run(socket, peer, vec![member], &self, &mut rich).await;
            })
    }

    /// Upgrades a user's request and serves a rich socket of many groups until one side ends it.
    pub fn serve_rich_groups(
        self,
        upgrade: WebSocketUpgrade,
        user: users::Model,
        session: ActiveSession,
        (seat, line): (SocketPermit, Option<Arc<SocketWriter>>),
    ) -> Response {
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        self.clone()
            .upgrade(upgrade, Some(seat), async move |socket, _alive| {
                let mut rich = RichProtocol::for_groups(&user, &self);
                let peer = self.new_socket_handle(
                    &Actor::from_user(&user),
                    SocketScope::ManyGroups,
                    session,
                    line,
                );
                connection::run(socket, peer, Vec::new(), &self, &mut rich).await;
            })
    }

    /// Upgrades a request for a rich socket and says why there is none: a browser cannot read the
    /// status of a refused handshake.
    pub fn reject_rich(self, upgrade: WebSocketUpgrade, reason: CloseReason) -> Response {
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        self.upgrade(upgrade, None, async move |socket, _alive| {
            connection::reject(socket, reason).await;
        })
    }

    /// Answers a member's request with the group's log from an event on, as a stream of Server-Sent
    /// Events, until one side ends it.
    pub fn serve_event_stream(
        &self,
        member: Member,
        session: ActiveSession,
        entry: ResumePoint,
        seat: SocketPermit,
    ) -> Response {
        connection::stream(self, member, session, entry, seat)
    }

    /// A socket, or a stream, that is opened by a session.
    fn new_socket_handle(
        &self,
        user: &Actor,
        scope: SocketScope,
        session: ActiveSession,
        line: Option<Arc<SocketWriter>>,
    ) -> Arc<SocketHandle> {
        let session = session.with_token_ttl(self.settings.tokens.socket_lifetime);
        SocketHandle::new(user.username.clone(), scope, session, line)
    }

    fn upgrade<F>(
        self,
        upgrade: WebSocketUpgrade,
        seat: Option<SocketPermit>,
        serve: impl FnOnce(Box<WebSocket>, SocketGuard) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let limit = self.settings.channels.frame_limit;
        let alive = SocketGuard {
            _permit: seat,
            _drain_token: self.tasks.token(),
        };
        transport::with_limits(upgrade, limit)
            .on_failed_upgrade(|error| tracing::debug!(%error, "an upgrade failed"))
            .on_upgrade(async move |socket| {
                // What is passed on by value takes its place in each future on the way.
                let socket = Box::new(socket);
                // In a task of its own: that of the upgrade is larger, and ends here.
                // Without the span of the request, which would cost an idle socket some 1 KiB: what is
                // logged of a socket says by itself whose it is.
                tokio::spawn(serve(socket, alive));
            })
    }

    /// Makes a change in a member's group and tells all its sockets. When this returns, it is
    /// committed, or refused.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub async fn execute(
        &self,
        group: Arc<str>,
        change: GroupCommand,
    ) -> Result<CommandOutcome, StoreError> {
        self.writer.execute(group, change).await
    }

    /// Returns the session of a token that opens a socket, if the session lives and its user is active. A
    /// session that was found in the last 30 s is not read from the database, unless a session of the user
    /// was ended or renewed since, on any node. While Redis is away the database is always read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_active_session(
        &self,
        claimed: &TokenClaims,
    ) -> Result<Option<(ActiveSession, users::Model)>, DbErr> {
        self.hub.find_active_session(claimed).await
    }

    /// A user as a member of the group of this name; `None` for a stranger, or where there is no such
    /// group.
    ///
    /// # Errors
    /// When the database fails, or does not answer in time.
    pub async fn find_member(
        &self,
        user: &users::Model,
        group: &str,
    ) -> Result<Option<Member>, DbErr> {
        Ok(self.hub.load_members(user.id, &[group]).await?.pop())
    }

    /// Ends the sockets of a user whose session has ended, on all nodes.
    pub fn recheck_sessions(&self, user: &users::Model) {
        self.hub.recheck_sessions(&user.username);
    }

    /// Notifies the sockets of a user that the user has become a member of a group, on all nodes. A membership
    /// that is not announced is found by each node within seconds.
    pub fn notify_joined(
        &self,
        user: &users::Model,
        group: &chat_groups::Model,
        membership: &memberships::Model,
    ) {
        let (user, group) = (&user.username, &group.name);
        self.hub.announce_member_added(user, group, membership.id);
    }

    /// Returns the present epoch: the life of the database in which numbers of events mean something.
    #[must_use]
    pub fn epoch(&self) -> String {
        self.hub.epoch().name.clone()
    }

    /// Takes one from what a user may send.
    ///
    /// # Errors
    /// [`RateLimited`] when there is nothing left to take.
    pub fn check_send_rate(&self, user_id: i64) -> Result<(), RateLimited> {
        self.send_limiter.check(RateKey::User(user_id))
    }

    /// Takes so many from the groups that a user may subscribe to.
    ///
    /// # Errors
    /// [`RateLimited`] when there are fewer left.
    pub fn check_subscribe_rate(&self, user_id: i64, groups: usize) -> Result<(), RateLimited> {
        let groups = u32::try_from(groups).ok().and_then(NonZeroU32::new);
        self.subscribe_limiter
            .check_n(RateKey::User(user_id), groups.unwrap_or(NonZeroU32::MIN))
    }

    /// Takes one from what a user may send, once there is one.
    pub async fn wait_for_send_rate(&self, user_id: i64) {
        self.send_limiter.acquire(RateKey::User(user_id)).await;
    }

    /// Tells every socket that the server restarts, spread over at most 25 s so that not all come
    /// back somewhere at once, and waits until they are gone. Sockets opened from now on are told at
    /// once.
    pub async fn drain(&self) {
        let count = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        let over = MAX_DRAIN_SPREAD
            .min(Duration::from_secs(1).mul_f64(f64::from(count) / DRAIN_SOCKETS_PER_SECOND));
        self.tasks.close();
        self.hub.disconnect_all(over).await;
        if timeout(DRAIN_CLOSE_TIMEOUT, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                sockets = self.tasks.len(),
                "some sockets did not close in time"
            );
        }
        self.hub.announce_leaving().await;
    }

    /// Waits until there is a way to the other nodes.
    ///
    /// # Errors
    /// [`BrokerUnavailable`] when there is none within `limit`, or none is configured.
    pub async fn wait_until_connected(&self, limit: Duration) -> Result<(), BrokerUnavailable> {
        self.hub.wait_connected(limit).await
    }

    /// What all nodes count together.
    #[must_use]
    pub fn counters(&self) -> RedisScripts {
        self.counters.clone()
    }

    /// Bytes that the event buffers of all groups take on this node.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.hub.buffered_bytes()
    }

    /// How many groups have listeners on this node.
    #[must_use]
    pub fn active_group_count(&self) -> usize {
        self.hub.active_groups()
    }

    /// The number of the last event that sockets of a group on this node were told, if there are any.
    #[must_use]
    pub fn last_delivered_seq(&self, group: &str) -> Option<i64> {
        self.hub.last_seq(group)
    }

    /// How many places in groups the sockets of this node have.
    #[must_use]
    pub fn subscriber_count(&self) -> usize {
        self.hub.subscriber_count()
    }
}

/// Returns a connected broker for a process that serves no sockets, for messages of the current epoch.
///
/// # Errors
/// [`BrokerUnavailable`] when no Redis is configured, Redis cannot be reached within 5 s, or the epoch cannot be
/// read.
pub async fn connect_broker(
    settings: &Settings,
    db: &DatabaseConnection,
) -> Result<Broker, BrokerUnavailable> {
    let (broker, _) = Broker::open(settings, &Supervisor::default());
    let epoch = epochs::Model::current(db)
        .await
        .map_err(|_| BrokerUnavailable)?;
    broker.set_epoch(&epoch.name);
    broker.wait_until_connected(REDIS_CONNECT_TIMEOUT).await?;
    Ok(broker)
}
