//! The real-time part: the path of a message from one socket to all other sockets of its group.
//!
//! 1. `controllers::socket` upgrades a request of a member to a socket, and gives it to [`Channels::serve_base`]
//!    (the base contract) or [`Channels::serve_rich_group`].
//! 2. One task serves the socket ([`connection`]). It subscribes the socket to the group ([`delivery`]). The first
//!    subscriber of a group on this node subscribes the node to the group's topic at the [`broker`].
//! 3. The socket's task reads a frame by [`protocol`], and gives a command to the [`writer`]. The writer applies all
//!    commands that wait in one transaction. The REST API gives its commands by [`Channels::execute`].
//!    [`effects`] has all that follows a commit.
//! 4. After the commit, the event is encoded once. The broker carries it to the other nodes, the group's room puts
//!    it into its event buffer and notifies the subscribers, and the sender gets its reply.
//! 5. Each event has a `seq`. When a node misses an event, because Redis was unreachable or a node died between the
//!    commit and the broadcast, the gap repair reads it from the log. Sockets receive each event once, in order.
//! 6. Each subscription has its own position in the group's log. The socket's task writes the next events: from the
//!    buffer, or from the log where the socket is further behind. The room itself writes to a socket that has
//!    received all events ([`mod@socket_writer`]).
//! 7. Ephemeral events bypass the log: typing, read positions, and [`presence`].
//! 8. When the last subscriber leaves, the node unsubscribes from the topic, unless the user reconnects in time.
//!
//! The [`hub`] composes these parts. Apart from the path of a message, the [`session_monitor`] closes sockets whose
//! sessions have ended, the [`epoch`] watch closes all sockets when a backup was restored, and the [`log_watch`] stops
//! writes when the database has lost events.

mod batch_loader;
pub mod broker;
mod canary;
mod connection;
pub mod delivery;
mod effects;
mod epoch;
mod gauges;
mod health_checks;
mod heartbeat;
mod hub;
mod log_watch;
mod member;
mod member_loader;
mod membership_notifier;
pub mod presence;
pub mod protocol;
mod session_monitor;
mod socket_record;
pub(crate) mod socket_writer;
mod test_support;
mod text_frame;
pub mod transport;
mod writer;

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

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
    connection::{BaseProtocol, RichProtocol},
    delivery::{SocketHandle, SocketScope},
    health_checks::ReadinessCache,
    hub::Hub,
    protocol::rich::{Bye, SUBPROTOCOL},
    socket_record::{SocketMode, SocketRecord},
    socket_writer::SocketWriter,
    writer::Writer,
};
pub use self::{
    canary::CanaryReport, connection::ResumePoint, health_checks::HealthReport, member::Member,
    test_support::ChannelCounts,
};
use crate::{
    database::{self, checkpoint::Checkpointer},
    limits::{
        AdmissionControl, RateKey, RateLimited, RateLimiter, SocketLimiter, SocketPermit,
        StartPermit, TooManySockets, admission::run_load_monitor,
    },
    metrics::{METRICS, Transport},
    models::{
        chat_groups, epochs,
        events::Actor,
        group_commands::{AppliedCommand, GroupCommand},
        memberships,
        rejections::CommandError,
        sessions::{ActiveSession, TokenClaims},
        users,
    },
    settings::Settings,
    supervisor::Supervisor,
    tokens::Tokens,
};

/// The time for which the start and [`connect_broker`] try to reach Redis.
const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time over which the sends and subscriptions of a user are counted.
const RATE_LIMIT_WINDOW: Duration = Duration::from_secs(10);

/// The longest time over which a drain closes the sockets, and the sockets that it closes in a second if there are
/// few.
const MAX_DRAIN_SPREAD: Duration = Duration::from_secs(25);
const DRAIN_SOCKETS_PER_SECOND: f64 = 400.0;

/// The time that the last sockets of a drain have to close.
const DRAIN_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Held until a socket has ended: it releases the permit, and a drain waits for it.
struct SocketGuard {
    _permit: Option<SocketPermit>,
    _drain_token: TaskTrackerToken,
}

/// The right to open a socket or an event stream, and its connection.
pub struct SocketAdmission {
    /// Counts the socket until it has ended.
    pub permit: SocketPermit,
    /// Counts the socket among those that start, until it has joined its groups.
    pub start: StartPermit,
    /// The writer of the connection. `None` where only the socket's task can write.
    pub writer: Option<Arc<SocketWriter>>,
    /// The address of the client.
    pub client: IpAddr,
}

/// The real-time part of one process, as controllers call it. Clones share it.
#[derive(Clone)]
pub struct Channels {
    hub: Arc<Hub>,
    writer: Writer,
    /// The pool of the writer's connection, for metrics.
    writer_db: DatabaseConnection,
    settings: Arc<Settings>,
    tokens: Arc<Tokens>,
    send_limiter: RateLimiter,
    subscribe_limiter: RateLimiter,
    socket_limiter: SocketLimiter,
    admission: AdmissionControl,
    counters: RedisScripts,
    tasks: TaskTracker,
    supervisor: Supervisor,
    readiness: Arc<ReadinessCache>,
}

impl Channels {
    /// Connects the broker and starts the tasks, which the supervisor watches.
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
        let hub = Hub::start(broker, inbox, db.clone(), settings.clone(), &supervisor).await?;
        let writer_lock = hub.writer_lock.clone();
        if let Some(checkpointer) = Checkpointer::new(&db, writer_lock.clone()).await? {
            let health = supervisor.health().clone();
            let run = checkpointer.run(move |is_replaced| health.set_file_replaced(is_replaced));
            supervisor.spawn("checkpointer", run);
        }
        supervisor.spawn("clock check", database::clock::run_check(db.clone()));
        let run_on_start = settings.database.as_ref();
        let run_on_start = run_on_start.and_then(|database| database.run_on_start.as_deref());
        let writing = database::open_writer_pool(&db, run_on_start);
        let writer = Writer::start(writing.clone(), hub.clone(), writer_lock, &supervisor);
        let canary = health_checks::run_canary(hub.canary.clone(), writer.clone());
        supervisor.spawn("canary", canary);
        let admission = AdmissionControl::new(
            settings.limits.starts_at_once,
            Duration::from_secs(settings.limits.start_wait.into()),
        );
        let monitor = run_load_monitor(admission.clone(), db);
        supervisor.spawn("load monitor", monitor);
        Ok(Self {
            admission,
            writer,
            writer_db: writing,
            hub,
            supervisor,
            readiness: Arc::default(),
            tokens: Arc::new(Tokens::new(&settings.tokens)),
            send_limiter: RateLimiter::new(
                "sends",
                settings.channels.sends_per_10s,
                RATE_LIMIT_WINDOW,
            ),
            subscribe_limiter: RateLimiter::new(
                "subscriptions",
                settings.limits.subs_per_10s,
                RATE_LIMIT_WINDOW,
            ),
            socket_limiter: SocketLimiter::new(
                settings.limits.sockets_per_user,
                settings.limits.sockets_per_network,
            ),
            counters,
            settings,
            tasks: TaskTracker::new(),
        })
    }

    /// Waits some seconds for Redis, if Redis is configured, so that the node starts without restrictions.
    ///
    /// A node without Redis serves too, so an unreachable Redis does not stop the start.
    pub async fn wait_for_broker(&self) {
        let broker = &self.hub.broker;
        if self.settings.channels.redis_url.is_some()
            && broker
                .wait_until_connected(REDIS_CONNECT_TIMEOUT)
                .await
                .is_err()
        {
            tracing::warn!("starting without Redis: messages of other nodes arrive late");
        }
    }

    /// The admission control of sockets, streams and subscriptions.
    #[must_use]
    pub const fn admission(&self) -> &AdmissionControl {
        &self.admission
    }

    /// Acquires a permit for a socket or stream of a user in a network.
    ///
    /// # Errors
    /// [`TooManySockets`] when the user or the network has as many as it may have.
    pub fn acquire_socket_permit(
        &self,
        user_id: i64,
        network: IpNet,
    ) -> Result<SocketPermit, TooManySockets> {
        self.socket_limiter.try_acquire(user_id, network)
    }

    /// Upgrades a member's request, and serves a base socket until one side closes it.
    pub fn serve_base(
        self,
        upgrade: WebSocketUpgrade,
        member: Member,
        session: ActiveSession,
        admission: SocketAdmission,
    ) -> Response {
        let (mode, group) = (SocketMode::Base, Some(member.group_name.clone()));
        let (permit, start, handle) =
            self.open_handle(mode, &member.actor, group, session, admission);
        self.clone()
            .upgrade(upgrade, Some(permit), async move |socket, _guard| {
                let mut protocol = BaseProtocol::new(&member, &self);
                connection::run(socket, handle, start, &self, &mut protocol).await;
            })
    }

    /// Upgrades a member's request, and serves a rich socket of this group until one side closes it.
    pub fn serve_rich_group(
        self,
        upgrade: WebSocketUpgrade,
        member: Member,
        session: ActiveSession,
        resume_point: ResumePoint,
        admission: SocketAdmission,
    ) -> Response {
        let (mode, group) = (SocketMode::RichGroup, Some(member.group_name.clone()));
        let (permit, start, handle) =
            self.open_handle(mode, &member.actor, group, session, admission);
        // Boxed, because the socket's task needs it only at its start.
        let initial = Box::new((member, resume_point));
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        self.clone()
            .upgrade(upgrade, Some(permit), async move |socket, _guard| {
                let mut protocol = RichProtocol::for_group(initial, &self);
                connection::run(socket, handle, start, &self, &mut protocol).await;
            })
    }

    /// Upgrades a user's request, and serves a rich socket of many groups until one side closes it.
    pub fn serve_rich_groups(
        self,
        upgrade: WebSocketUpgrade,
        user: users::Model,
        session: ActiveSession,
        admission: SocketAdmission,
    ) -> Response {
        let (mode, actor) = (SocketMode::RichGroups, Actor::from_user(&user));
        let (permit, start, handle) = self.open_handle(mode, &actor, None, session, admission);
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        self.clone()
            .upgrade(upgrade, Some(permit), async move |socket, _guard| {
                let mut protocol = RichProtocol::for_groups(&user, &self);
                connection::run(socket, handle, start, &self, &mut protocol).await;
            })
    }

    /// Upgrades a request for a rich socket only to send the frame `bye`, and to close the socket: a browser cannot read
    /// the status of a rejected handshake.
    pub fn reject_rich(self, upgrade: WebSocketUpgrade, bye: Bye) -> Response {
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        self.upgrade(upgrade, None, async move |socket, _guard| {
            connection::reject(socket, bye).await;
        })
    }

    /// Answers a member's request with the group's log after an event, as a stream of Server-Sent Events, until one
    /// side closes it.
    pub fn serve_event_stream(
        &self,
        member: Member,
        session: ActiveSession,
        resume_point: ResumePoint,
        admission: SocketAdmission,
    ) -> Response {
        connection::serve_event_stream(self, member, session, resume_point, admission)
    }

    /// Returns the two permits and the handle of a socket or stream that a session authenticates. `group` is `None` for a
    /// socket of many groups.
    fn open_handle(
        &self,
        mode: SocketMode,
        user: &Actor,
        group: Option<Arc<str>>,
        session: ActiveSession,
        admission: SocketAdmission,
    ) -> (SocketPermit, StartPermit, Arc<SocketHandle>) {
        let SocketAdmission {
            permit,
            start,
            writer,
            client,
        } = admission;
        let scope = match mode {
            SocketMode::Base | SocketMode::Stream => SocketScope::EventsOnly,
            SocketMode::RichGroup => SocketScope::OneGroup,
            SocketMode::RichGroups => SocketScope::ManyGroups,
        };
        let session = session.with_token_ttl(self.settings.tokens.socket_lifetime);
        let record = SocketRecord::new(mode, user.id, group, client);
        let username = user.username.clone();
        let handle = SocketHandle::new(username, scope, session, writer, record);
        (permit, start, handle)
    }

    fn upgrade<F>(
        self,
        upgrade: WebSocketUpgrade,
        permit: Option<SocketPermit>,
        serve: impl FnOnce(Box<WebSocket>, SocketGuard) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let limit = self.settings.channels.frame_limit;
        let guard = SocketGuard {
            _permit: permit,
            _drain_token: self.tasks.token(),
        };
        transport::with_limits(upgrade, limit)
            .on_failed_upgrade(|error| tracing::debug!(%error, "upgrade failed"))
            .on_upgrade(async move |socket| {
                // Boxed, because each future that owns a value by itself has the size of the value.
                let socket = Box::new(socket);
                // A task of its own, because the task of the upgrade is larger. The guard has a token of the task
                // tracker, so a drain waits for this task. The task has no tracing span of the request, which would
                // cost an idle socket some 1 KiB: each log line about a socket names the user.
                tokio::spawn(serve(socket, guard));
            })
    }

    /// Executes a command in the group with this name, and broadcasts its effects on all nodes. When this returns,
    /// the command is committed or rejected.
    ///
    /// A queued command is completed even if the request is cancelled: a kicked member must not stay because an admin
    /// has closed the page. A drain waits for the command.
    ///
    /// # Errors
    /// [`CommandError`] when the command is rejected, and when the database fails.
    pub async fn execute(
        &self,
        group: &str,
        command: GroupCommand,
    ) -> Result<AppliedCommand, CommandError> {
        let started_at = Instant::now();
        let token = Some(self.tasks.token());
        let pending = self.writer.submit(group.into(), command, token).await?;
        let outcome = pending.outcome().await;
        let histogram = METRICS.ack_seconds.of(Transport::Http);
        histogram.observe(started_at.elapsed());
        outcome
    }

    /// Returns the session of a token that opens a socket, if the session and its user are active.
    ///
    /// A session that was read in the last 30 s is not read again, unless a node has announced a change of the user's
    /// sessions since. While Redis is unreachable, the database is always read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_active_session(
        &self,
        claims: &TokenClaims,
    ) -> Result<Option<(ActiveSession, users::Model)>, DbErr> {
        self.hub.sessions.find_active(claims).await
    }

    /// Returns a user as a member of the group with this name. `None` for a user who is not a member, and for a group
    /// that does not exist.
    ///
    /// # Errors
    /// When the database fails, or does not answer in time.
    pub async fn find_member(
        &self,
        user: &users::Model,
        group: &str,
    ) -> Result<Option<Member>, DbErr> {
        Ok(self.hub.members.load(user.id, &[group]).await?.pop())
    }

    /// Ends sessions of a user, and with the sessions their sockets, on all nodes.
    ///
    /// The future is completed even if the request is cancelled. A drain waits for it.
    ///
    /// # Errors
    /// [`CommandError::Aborted`] when the server stops before the future ends.
    pub async fn run_and_recheck_sessions<T: Send + 'static>(
        &self,
        user: &users::Model,
        ending: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, CommandError> {
        let (hub, user) = (self.hub.clone(), user.username.clone());
        let ended = self.tasks.spawn(async move {
            let result = ending.await;
            // Also after an error, because the sessions may have ended despite the error.
            hub.sessions.recheck_everywhere(&user);
            result
        });
        ended.await.map_err(|_| CommandError::Aborted)
    }

    /// Closes the sockets of a user whose sessions have ended, on all nodes.
    pub fn recheck_sessions(&self, user: &users::Model) {
        self.hub.sessions.recheck_everywhere(&user.username);
    }

    /// Notifies the sockets of a user, on all nodes, that the user has become a member of a group. Without this call,
    /// each node finds the membership within seconds.
    pub fn notify_joined(
        &self,
        user: &users::Model,
        group: &chat_groups::Model,
        membership: &memberships::Model,
    ) {
        let (user, group) = (&user.username, &group.name);
        self.hub.memberships.announce(user, group, membership.id);
    }

    /// The current epoch: the lifetime of the database in which the numbers of events are valid.
    #[must_use]
    pub fn epoch(&self) -> String {
        self.hub.epoch.current().name.clone()
    }

    /// Counts one command of a user against the rate limit of sends.
    ///
    /// # Errors
    /// [`RateLimited`] when the user has reached the limit.
    pub fn check_send_rate(&self, user_id: i64) -> Result<(), RateLimited> {
        self.send_limiter.check(RateKey::User(user_id))
    }

    /// Counts this many groups against the user's rate limit of subscriptions.
    ///
    /// # Errors
    /// [`RateLimited`] when the groups would exceed the limit.
    pub fn check_subscribe_rate(&self, user_id: i64, groups: usize) -> Result<(), RateLimited> {
        let groups = u32::try_from(groups).ok().and_then(NonZeroU32::new);
        self.subscribe_limiter
            .check_n(RateKey::User(user_id), groups.unwrap_or(NonZeroU32::MIN))
    }

    /// Counts one command of a user against the rate limit of sends, and waits until the limit admits it.
    pub async fn wait_for_send_rate(&self, user_id: i64) {
        self.send_limiter.acquire(RateKey::User(user_id)).await;
    }

    /// Closes all sockets for a restart of the server, and waits until they are closed. The closes are spread over
    /// at most 25 s, so that not all clients reconnect at once. A socket that opens from now on is closed at once.
    pub async fn drain(&self) {
        let count = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        let over = MAX_DRAIN_SPREAD
            .min(Duration::from_secs(1).mul_f64(f64::from(count) / DRAIN_SOCKETS_PER_SECOND));
        self.tasks.close();
        self.hub.connected.drain(over).await;
        if timeout(DRAIN_CLOSE_TIMEOUT, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                sockets = self.tasks.len(),
                "some sockets did not close in time"
            );
        }
        self.hub.presence.announce_leaving().await;
    }

    /// Waits until this node is connected to the other nodes.
    ///
    /// # Errors
    /// [`BrokerUnavailable`] when it is not connected within `limit`, and when Redis is not configured.
    pub async fn wait_until_connected(&self, limit: Duration) -> Result<(), BrokerUnavailable> {
        self.hub.broker.wait_until_connected(limit).await
    }

    /// The scripts that count for all nodes together.
    #[must_use]
    pub fn counters(&self) -> RedisScripts {
        self.counters.clone()
    }

    /// Notes that texts were deleted outside the writer, so that they do not stay in SQLite's write-ahead log.
    pub fn mark_texts_deleted(&self) {
        self.hub.writer_lock.mark_deleted();
    }

    /// Waits until a group was deleted whose events must be purged.
    pub async fn purge_requested(&self) {
        self.hub.purge_requested().await;
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
