//! The state of a rich socket in one of its groups: the member, typing, and the read position.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::typing::TypingState;
use crate::{
    channels::{Channels, Member, protocol::ephemeral::EphemeralEvent},
    models::{group_commands::CommandKind, rejections::CommandError},
};

/// The shortest time between two writes of the read position of one socket in one group. A client that scrolls sends
/// its position all the time.
const STORE_READ_INTERVAL: Duration = Duration::from_secs(1);

/// The number of attempts to store a read position.
const STORE_READ_ATTEMPTS: usize = 5;

/// The state of a rich socket in one group. Dropping it ends the typing and stores the read position.
pub(in crate::channels) struct GroupState<'a> {
    channels: &'a Channels,
    /// The member as it was last read.
    pub member: Member,
    typing: TypingState,
    /// The read position that the client has sent.
    read_seq: i64,
    /// The earliest time to store it.
    next_store_at: Option<Instant>,
}

impl<'a> GroupState<'a> {
    /// The state of a member who has just subscribed.
    pub fn new(member: Member, channels: &'a Channels) -> Self {
        Self {
            channels,
            member,
            typing: TypingState::default(),
            read_seq: 0,
            next_store_at: None,
        }
    }

    /// Notes the client's read position, up to the room's last event, and stores it if it is time.
    pub fn mark_read(&mut self, seq: i64, room_last_seq: i64) {
        self.read_seq = self.read_seq.max(seq.min(room_last_seq));
        if self.next_store_at.is_none_or(|at| at <= Instant::now()) {
            self.store_read();
        }
    }

    /// Stores the read position, if it has advanced. The client does not wait for it, and the command is rejected if
    /// the user is no longer a member.
    fn store_read(&mut self) {
        let seq = self.read_seq;
        if seq <= self.member.read_seq {
            return;
        }
        self.member.read_seq = seq;
        self.next_store_at = Some(Instant::now() + STORE_READ_INTERVAL);
        let command = self.member.command(None, CommandKind::Read { seq });
        let group = self.member.group_name.clone();
        let writer = self.channels.writer.clone();
        self.channels.tasks.spawn(async move {
            for _ in 0..STORE_READ_ATTEMPTS {
                match writer.execute(group.clone(), command.clone()).await {
                    Ok(_) | Err(CommandError::Rejected(_)) => return,
                    Err(_) => {}
                }
                sleep(STORE_READ_INTERVAL).await;
            }
            tracing::warn!(%group, seq, "a read position could not be stored");
        });
    }

    /// Runs the work whose time has come.
    pub fn on_timer(&mut self, now: Instant) {
        if self.typing.expires_at().is_some_and(|end| end <= now) {
            self.set_typing(false);
        }
        if self.next_store_at.is_some_and(|at| at <= now) {
            self.store_read();
        }
    }

    /// The time of the next work.
    pub fn next_timer(&self) -> Option<Instant> {
        let typing = self.typing.expires_at();
        let reading = self
            .next_store_at
            .filter(|_| self.read_seq > self.member.read_seq);
        typing.into_iter().chain(reading).min()
    }

    /// Starts or stops the typing, and broadcasts the change.
    pub fn set_typing(&mut self, on: bool) {
        if self.typing.update(on, Instant::now()) {
            let group = &*self.member.group_name;
            let event = EphemeralEvent::Typing {
                group: group.into(),
                user: self.member.actor.username.as_ref().into(),
                on,
            };
            self.channels.hub.delivery.send_ephemeral(group, &event);
        }
    }
}

impl Drop for GroupState<'_> {
    fn drop(&mut self) {
        self.set_typing(false);
        self.store_read();
    }
}
