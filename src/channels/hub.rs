//! The hub: the parts of a node that serve its sockets, and the tasks that keep them up to date.
//!
//! The hub only composes the parts. The writer and the connections call the parts by it.

use std::{sync::Arc, time::Duration};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    select,
    sync::{Notify, futures::Notified},
    time::{MissedTickBehavior, interval},
};

use super::{
    broker::{Broker, Inbox, next_reconnect},
    canary::CanaryWatch,
    delivery::{ConnectedSockets, Delivery, GapRepair, LogReader, Rooms},
    epoch::EpochWatch,
    log_watch::LogWatch,
    member_loader::MemberLoader,
    membership_notifier::MembershipNotifier,
    presence::PresenceSync,
    protocol::{
        ephemeral::EncodedEphemeral,
        event::EncodedEvent,
        node_message::{CLUSTER_TOPIC, NodeMessage},
    },
    session_monitor::SessionMonitor,
};
use crate::{
    database::checkpoint::WriterLock,
    limits::LogThrottle,
    models::{epochs, log::AcknowledgedHeads},
    settings::Settings,
    supervisor::Supervisor,
};

/// The interval at which the sweep checks whether it is due. While Redis is unreachable, it is due each time.
const SWEEP_TICK: Duration = Duration::from_millis(500);

/// The parts of a node that serve its sockets.
pub(super) struct Hub {
    /// The pool of connections that read.
    pub db: DatabaseConnection,
    pub broker: Arc<Broker>,
    pub connected: Arc<ConnectedSockets>,
    pub delivery: Arc<Delivery>,
    pub gap_repair: Arc<GapRepair>,
    pub log_reader: LogReader,
    pub log_watch: Arc<LogWatch>,
    pub canary: Arc<CanaryWatch>,
    pub epoch: Arc<EpochWatch>,
    pub presence: Arc<PresenceSync>,
    pub sessions: Arc<SessionMonitor>,
    pub members: MemberLoader,
    pub memberships: Arc<MembershipNotifier>,
    /// The lock of the writer, which keeps deleted texts out of SQLite's write-ahead log.
    pub writer_lock: WriterLock,
    /// Notified when a group was deleted whose events must be purged.
    purge_requested: Notify,
}

impl Hub {
    /// Makes the parts and starts their tasks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(
        broker: Broker,
        inbox: Inbox,
        db: DatabaseConnection,
        settings: Arc<Settings>,
        supervisor: &Supervisor,
    ) -> Result<Arc<Self>, DbErr> {
        let epoch = epochs::Model::current(&db).await?;
        broker.set_epoch(&epoch.name);
        broker.subscribe(CLUSTER_TOPIC);
        let broker = Arc::new(broker);
        let connected = Arc::new(ConnectedSockets::default());
        let memberships =
            MembershipNotifier::load(db.clone(), broker.clone(), connected.clone()).await?;
        let memberships = Arc::new(memberships);
        let rooms = Arc::new(Rooms::new(broker.clone(), settings.clone()));
        let acknowledged_heads = Arc::new(AcknowledgedHeads::default());
        let epoch = Arc::new(EpochWatch::new(
            epoch,
            db.clone(),
            broker.clone(),
            rooms.clone(),
            connected.clone(),
            memberships.clone(),
            acknowledged_heads.clone(),
        ));
        let log_watch = Arc::new(LogWatch::new(
            db.clone(),
            rooms.clone(),
            epoch.clone(),
            acknowledged_heads,
            supervisor.health().clone(),
        ));
        let (presence, presence_queries) =
            PresenceSync::new(rooms.clone(), broker.clone(), &settings);
        let presence = Arc::new(presence);
        let (delivery, gap_reports) =
            Delivery::new(rooms.clone(), broker.clone(), presence.clone());
        let delivery = Arc::new(delivery);
        let canary = CanaryWatch::new(broker.clone(), presence.node_id(), &settings);
        let gap_repair = GapRepair::new(delivery.clone(), db.clone(), log_watch.clone());
        let hub = Arc::new(Self {
            gap_repair: Arc::new(gap_repair),
            log_reader: LogReader::new(db.clone()),
            sessions: SessionMonitor::start(&db, broker.clone(), connected.clone(), supervisor),
            members: MemberLoader::start(&db, supervisor),
            writer_lock: WriterLock::default(),
            purge_requested: Notify::new(),
            db,
            broker,
            connected,
            delivery,
            log_watch,
            canary: Arc::new(canary),
            epoch,
            presence,
            memberships,
        });
        supervisor.spawn("inbox", hub.clone().run_inbox(inbox));
        supervisor.spawn("gap repair", hub.gap_repair.clone().run(gap_reports));
        let sweep_every = Duration::from_secs(settings.channels.sweep_every.into());
        supervisor.spawn("sweep", hub.clone().run_sweep(sweep_every));
        supervisor.spawn("presence", hub.presence.clone().run(presence_queries));
        supervisor.spawn("typing expiry", hub.delivery.clone().run_typing_expiry());
        supervisor.spawn("buffer eviction", rooms.run_buffer_eviction());
        Ok(hub)
    }

    /// Requests a purge of the events of deleted groups.
    pub fn request_purge(&self) {
        self.purge_requested.notify_one();
    }

    /// Waits until a purge is requested.
    pub fn purge_requested(&self) -> Notified<'_> {
        self.purge_requested.notified()
    }

    /// Gives each message of another node to the part that handles it.
    async fn run_inbox(self: Arc<Self>, mut inbox: Inbox) {
        let unknown_message_log = LogThrottle::new();
        while let Some((topic, payload)) = inbox.recv().await {
            if let Some(events) = EncodedEvent::decode_batch(&payload) {
                self.delivery.receive_events(&topic, events);
            } else if let Some(event) = EncodedEphemeral::decode(payload.clone()) {
                self.delivery.receive_ephemeral(&topic, event);
            } else if payload.is_empty() {
                self.on_message_lost(&topic);
            } else if let Some(message) = NodeMessage::decode(&payload) {
                self.on_node_message(&topic, &message);
            } else if let Some(suppressed) = unknown_message_log.allow() {
                // A node with a newer version may have sent it.
                tracing::warn!(topic, suppressed, "node message of an unknown kind");
            }
        }
    }

    /// Handles that messages of a topic may be lost.
    fn on_message_lost(&self, topic: &str) {
        if topic == CLUSTER_TOPIC {
            self.sessions.recheck_all();
        } else {
            self.delivery.compare_with_log(topic);
        }
    }

    fn on_node_message(&self, topic: &str, message: &NodeMessage<'_>) {
        match message {
            NodeMessage::GroupDeleted => self.on_message_lost(topic),
            NodeMessage::MemberAdded {
                user,
                group,
                membership_id,
            } => self.memberships.notify(user, group, *membership_id),
            NodeMessage::SessionsChanged { user } => self.sessions.recheck(user),
            NodeMessage::Canary {
                node,
                name,
                sent_at,
            } => self.canary.on_message(topic, node, name, *sent_at),
            NodeMessage::NodeLeaving { node, .. } => {
                self.canary.on_node_left(node);
                self.presence.on_message(topic, message);
            }
            _ => self.presence.on_message(topic, message),
        }
    }

    /// Compares everything with the database: at regular times, whenever Redis is back, and as long as Redis is
    /// unreachable or writes are stopped.
    async fn run_sweep(self: Arc<Self>, every: Duration) {
        let mut until_next = Duration::ZERO;
        let mut tick = interval(SWEEP_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reconnects = self.broker.reconnects();
        loop {
            // While Redis is unreachable, the log is the only way from node to node. When Redis is back, messages of
            // the meantime are lost. Writes resume as soon as the log is complete or another epoch has begun.
            let is_due = select! {
                _ = tick.tick() => {
                    until_next.is_zero()
                        || self.broker.is_disconnected()
                        || self.log_watch.is_behind()
                }
                () = next_reconnect(&mut reconnects) => true,
            };
            if is_due {
                until_next = every;
                self.sweep().await;
            }
            until_next = until_next.saturating_sub(SWEEP_TICK);
        }
    }

    async fn sweep(&self) {
        // The next sweep repeats a step that fails.
        if let Err(error) = self.epoch.check().await {
            tracing::warn!(%error, "the epoch could not be checked; the next sweep tries again");
        }
        if let Err(error) = self.memberships.notify_missed().await {
            tracing::warn!(%error, "the new memberships could not be read; the next sweep tries again");
        }
        self.gap_repair.repair_all().await;
        self.log_watch.resume_writes_if_complete().await;
    }
}
