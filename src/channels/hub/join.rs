//! How a socket comes into a group, and out of it.

use std::{collections::hash_map::Entry, sync::Arc};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::Instant;

use super::{
    Hub, Subscription, batch_loader::BatchLoader, gap_repair::with_db_timeout, room::Room,
    socket_handle::SocketHandle, subscriber::Subscriber,
};
use crate::{
    channels::{Member, protocol::CloseReason},
    models::{membership_snapshots::MembershipSnapshot, memberships},
    supervisor::Supervisor,
};

/// Looks up members.
pub(super) fn member_loader(
    db: &DatabaseConnection,
    supervisor: &Supervisor,
) -> BatchLoader<(i64, Arc<str>), Member> {
    BatchLoader::start(db, supervisor, "member loader", |db, asked| async move {
        let found = MembershipSnapshot::find_all(&db, asked).await?;
        let members = found.into_iter().map(Member::from);
        Ok(members
            .map(|member| ((member.actor.id, member.group_name.clone()), member))
            .collect())
    })
}

/// Counts the members of groups.
pub(super) fn member_count_loader(
    db: &DatabaseConnection,
    supervisor: &Supervisor,
) -> BatchLoader<i64, (i64, i64)> {
    BatchLoader::start(db, supervisor, "count loader", |db, groups| async move {
        memberships::Model::count_members(&db, groups).await
    })
}

impl Hub {
    /// Joins a group. Waits for Redis and for other nodes until `patience` at most.
    ///
    /// Each event after [`Member::head`] arrives, whether it was stored here or elsewhere, before this or after.
    pub(super) async fn join(
        self: &Arc<Self>,
        peer: &Arc<SocketHandle>,
        number: usize,
        member: &Member,
        patience: Instant,
    ) -> Subscription {
        let listener = Arc::new(Subscriber::new(peer.clone(), number, member.head));
        let room = self.enter_room(member, &listener);
        self.on_socket_joined(&room, &listener);
        // From here on whoever gives up waiting leaves.
        let subscription = Subscription::new(self.clone(), room.clone(), listener.clone());
        room.topic_ready.clone().wait(patience).await;
        if room.mark_presence_queried() {
            // What was stored between the look at the head and the subscription.
            self.report_gap(&room);
            self.start_presence_query(&room);
        }
        self.catch_up(&room, member.head).await;
        if room.last_seq() > member.head {
            // The event that ended the membership may have been told before this listener came.
            match self.load_member(member).await {
                Ok(Some(_)) => {}
                Ok(None) => listener.close(CloseReason::NotMember),
                Err(_) => listener.close(CloseReason::Overloaded),
            }
        }
        if peer.scope.receives_ephemerals() {
            self.load_member_count(&room).await;
            self.wait_for_presence(&room, patience).await;
        }
        subscription
    }

    /// Counts the members of a group, once.
    async fn load_member_count(&self, room: &Room) {
        if room.is_member_count_known() {
            return;
        }
        match self.member_count_loader.load(vec![room.id]).await {
            Ok(count) => {
                let (count, head) = count.first().copied().unwrap_or_default();
                room.set_member_count(count, head);
            }
            // It is taken for a small one until the next socket asks.
            Err(error) => tracing::warn!(%error, "the members of a group could not be counted"),
        }
    }

    /// Brings a room to where its log is known to be. What this node has not heard yet may have
    /// taken texts away that it still keeps.
    pub(super) async fn catch_up(&self, room: &Arc<Room>, head: i64) {
        if room.last_seq() >= head {
            return;
        }
        let healing = async {
            // Of many that come at once, one reads.
            let _reading = room.log_read_lock.lock().await;
            if room.last_seq() < head {
                self.repair_gap(room).await?;
            }
            Ok(())
        };
        if let Err(error) = with_db_timeout(healing).await {
            tracing::warn!(%error, "the log could not be read; some messages are late");
        }
    }

    /// The member as the database has it now, if the membership has not ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load_member(&self, member: &Member) -> Result<Option<Member>, DbErr> {
        let groups: [&str; 1] = [&member.group_name];
        Ok(self.load_members(member.actor.id, &groups).await?.pop())
    }

    /// A user as a member of those of these groups to which they belong, in this order.
    ///
    /// # Errors
    /// When the database fails, or does not answer in time.
    pub async fn load_members(&self, user_id: i64, groups: &[&str]) -> Result<Vec<Member>, DbErr> {
        let keys = groups.iter().map(|group| (user_id, (*group).into()));
        self.member_loader.load(keys.collect()).await
    }

    fn enter_room(&self, member: &Member, listener: &Arc<Subscriber>) -> Arc<Room> {
        match self.rooms().entry(member.group_name.clone()) {
            Entry::Occupied(room) => {
                room.get().add_subscriber(listener.clone());
                room.get().clone()
            }
            Entry::Vacant(vacant) => {
                let subscribed = self.broker.subscribe(vacant.key());
                let (settings, buffers) = (self.settings.clone(), self.buffer_memory.clone());
                let room = Room::new(member, subscribed, settings, buffers);
                room.add_subscriber(listener.clone());
                vacant.insert(Arc::new(room)).clone()
            }
        }
    }

    pub(super) fn leave_room(&self, room: &Arc<Room>, listener: &Arc<Subscriber>) {
        room.remove_subscriber(listener);
        self.on_socket_left(room, listener);
        self.close_room_if_empty(room);
    }

    /// Closes a room in which nobody is, nor is about to come back.
    pub(super) fn close_room_if_empty(&self, room: &Arc<Room>) {
        // First without the lock that all groups share: most rooms are not.
        if !room.is_empty() {
            return;
        }
        let mut rooms = self.rooms();
        // In another life of the database there may be another room of this name.
        let is_current = rooms
            .get(&room.name)
            .is_some_and(|there| Arc::ptr_eq(there, room));
        if is_current && room.is_empty() {
            rooms.remove(&room.name);
            self.broker.unsubscribe(&room.name);
        }
    }
}
