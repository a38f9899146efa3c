//! How a socket comes into a group, and out of it.

use std::{collections::hash_map::Entry, sync::Arc};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::Instant;

use super::{
    Hub, Subscription, healing::in_time, listener::Listener, peer::Peer, room::Room,
    together::Together,
};
use crate::{
    channels::{Member, protocol::CloseReason},
    models::{memberships, standings::Standing},
    supervisor::Supervisor,
};

/// Looks up members.
pub(super) fn members(
    db: &DatabaseConnection,
    supervisor: &Supervisor,
) -> Together<(i64, Arc<str>), Member> {
    Together::start(db, supervisor, "member loader", |db, asked| async move {
        let found = Standing::find_all(&db, asked).await?;
        let members = found.into_iter().map(Member::from);
        Ok(members
            .map(|member| ((member.author.id, member.group.clone()), member))
            .collect())
    })
}

/// Counts the members of groups.
pub(super) fn counts(
    db: &DatabaseConnection,
    supervisor: &Supervisor,
) -> Together<i64, (i64, i64)> {
    Together::start(db, supervisor, "count loader", |db, groups| async move {
        memberships::Model::count(&db, groups).await
    })
}

impl Hub {
    /// Joins a group. Waits for Redis and for other nodes until `patience` at most.
    ///
    /// Each event after [`Member::head`] arrives, whether it was stored here or elsewhere, before this or after.
    pub(super) async fn join(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        number: usize,
        member: &Member,
        patience: Instant,
    ) -> Subscription {
        let listener = Arc::new(Listener::new(peer.clone(), number, member.head));
        let room = self.enter(member, &listener);
        self.attended(&room, &listener);
        // From here on whoever gives up waiting leaves.
        let subscription = Subscription::new(self.clone(), room.clone(), listener.clone());
        room.subscribed.clone().wait(patience).await;
        if room.is_fresh() {
            // What was stored between the look at the head and the subscription.
            self.report_gap(&room);
            self.ask_who_is_here(&room);
        }
        self.catch_up(&room, member.head).await;
        if room.last() > member.head {
            // The event that ended the membership may have been told before this listener came.
            match self.look_up(member).await {
                Ok(Some(_)) => {}
                Ok(None) => listener.end(CloseReason::NotMember),
                Err(_) => listener.end(CloseReason::Overloaded),
            }
        }
        if peer.scope.hears_whispers() {
            self.count_members(&room).await;
            self.heard_who_is_here(&room, patience).await;
        }
        subscription
    }

    /// Counts the members of a group, once.
    async fn count_members(&self, room: &Room) {
        if room.is_counted() {
            return;
        }
        match self.counts.find(vec![room.id]).await {
            Ok(count) => {
                let (count, head) = count.first().copied().unwrap_or_default();
                room.count_members(count, head);
            }
            // It is taken for a small one until the next socket asks.
            Err(error) => tracing::warn!(%error, "the members of a group could not be counted"),
        }
    }

    /// Brings a room to where its log is known to be. What this node has not heard yet may have
    /// taken texts away that it still keeps.
    pub(super) async fn catch_up(&self, room: &Arc<Room>, head: i64) {
        if room.last() >= head {
            return;
        }
        let healing = async {
            // Of many that come at once, one reads.
            let _reading = room.reading.lock().await;
            if room.last() < head {
                self.heal(room).await?;
            }
            Ok(())
        };
        if let Err(error) = in_time(healing).await {
            tracing::warn!(%error, "the log could not be read; some messages are late");
        }
    }

    /// The member as the database has it now, if the membership has not ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look_up(&self, member: &Member) -> Result<Option<Member>, DbErr> {
        let groups: [&str; 1] = [&member.group];
        Ok(self.look_up_all(member.author.id, &groups).await?.pop())
    }

    /// A user as a member of those of these groups to which they belong, in this order.
    ///
    /// # Errors
    /// When the database fails, or does not answer in time.
    pub async fn look_up_all(&self, user_id: i64, groups: &[&str]) -> Result<Vec<Member>, DbErr> {
        let keys = groups.iter().map(|group| (user_id, (*group).into()));
        self.members.find(keys.collect()).await
    }

    fn enter(&self, member: &Member, listener: &Arc<Listener>) -> Arc<Room> {
        match self.rooms().entry(member.group.clone()) {
            Entry::Occupied(room) => {
                room.get().enter(listener.clone());
                room.get().clone()
            }
            Entry::Vacant(vacant) => {
                let subscribed = self.broker.subscribe(vacant.key());
                let (settings, buffers) = (self.settings.clone(), self.buffers.clone());
                let room = Room::new(member, subscribed, settings, buffers);
                room.enter(listener.clone());
                vacant.insert(Arc::new(room)).clone()
            }
        }
    }

    pub(super) fn leave(&self, room: &Arc<Room>, listener: &Arc<Listener>) {
        room.leave(listener);
        self.left(room, listener);
        self.close_if_empty(room);
    }

    /// Closes a room in which nobody is, nor is about to come back.
    pub(super) fn close_if_empty(&self, room: &Arc<Room>) {
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
