//! One group of a rich socket: how far its peer is in it, and what it does there.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::time::{Instant, sleep};

use super::{ResumePoint, typing::TypingState};
use crate::{
    channels::{
        Channels, Member,
        hub::{OnlineUsers, Subscription},
        protocol::{
            ephemeral::EphemeralEvent,
            rich::{Frame, GroupFrame, ReplayMode, ResetReason},
        },
    },
    models::{group_commands::CommandKind, rejections::CommandError},
};

/// How often it is stored how far one peer has read in one group: who scrolls says it all the time.
const STORE_READ_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is tried.
const STORE_READ_ATTEMPTS: usize = 5;

pub(super) struct GroupState {
    /// As it was last looked up.
    pub member: Member,
    /// The event up to which the peer is brought before it is live.
    sync_at: Option<i64>,
    typing: TypingState,
    /// How far the peer says that it has read.
    read_seq: i64,
    /// When that may be stored again.
    next_store_at: Option<Instant>,
}

impl GroupState {
    pub fn new(member: Member) -> Self {
        Self {
            member,
            sync_at: None,
            typing: TypingState::default(),
            read_seq: 0,
            next_store_at: None,
        }
    }

    /// Brings the socket to where the client is, or says why it cannot be done.
    pub fn subscribe(
        &mut self,
        entry: &ResumePoint,
        place: &mut Subscription,
        channels: &Channels,
    ) -> Vec<Utf8Bytes> {
        // The socket is attached already, so nothing that comes after this head can be missed; what
        // came since the member was looked up is counted with it.
        let (head, read, unread) = place.read_state(&self.member);
        let reset = entry
            .after
            .and_then(|after| reset_reason(after, entry, head, channels));
        let mode = match (reset, entry.after) {
            (Some(_), _) => ReplayMode::Reset,
            (None, Some(_)) => ReplayMode::Replay,
            (None, None) => ReplayMode::Live,
        };
        place.seek(entry.after.filter(|_| reset.is_none()).unwrap_or(head));
        self.sync_at = Some(head);
        let group = &*self.member.group_name;
        let attendance = place.online_users();
        let (online, online_count) = match &attendance {
            OnlineUsers::Names(names) => (Some(&**names), None),
            OnlineUsers::Count(count) => (None, Some(*count)),
        };
        let about = Frame::Group(GroupFrame {
            group,
            title: self.member.title.as_deref(),
            role: self.member.role.as_str(),
            head,
            floor: 0,
            read,
            unread,
            online,
            online_count,
            mode,
        });
        let reset = reset.map(|reason| Frame::Reset {
            group,
            reason,
            head,
        });
        std::iter::once(about)
            .chain(reset)
            .map(|frame| frame.encode())
            .collect()
    }

    /// What the peer is shown once it was told all up to and with an event.
    pub fn on_delivered(&mut self, seq: i64) -> Option<Utf8Bytes> {
        let head = self.sync_at.take_if(|head| *head <= seq)?;
        let group = &*self.member.group_name;
        // The peer may have been told more than there was when it came.
        let seq = seq.max(head);
        Some(Frame::Sync { group, seq }.encode())
    }

    /// Whether the peer was brought to where it is told what happens now.
    pub fn is_live(&self) -> bool {
        self.sync_at.is_none()
    }

    /// Notes that the peer has read up to an event of those up to `last`, and stores it if it is
    /// time.
    pub fn mark_read(&mut self, seq: i64, last: i64, channels: &Channels) {
        self.read_seq = self.read_seq.max(seq.min(last));
        if self.next_store_at.is_none_or(|at| at <= Instant::now()) {
            self.store_read(channels);
        }
    }

    /// Stores how far the peer has read; what says nothing new costs nothing. Nobody waits for it,
    /// and it is in vain for one who is no member any more.
    pub fn store_read(&mut self, channels: &Channels) {
        let seq = self.read_seq;
        if seq <= self.member.read_seq {
            return;
        }
        self.member.read_seq = seq;
        self.next_store_at = Some(Instant::now() + STORE_READ_INTERVAL);
        let change = self.member.command(None, CommandKind::Read { seq });
        let (group, writer) = (self.member.group_name.clone(), channels.writer.clone());
        channels.tasks.spawn(async move {
            for _ in 0..STORE_READ_ATTEMPTS {
                match writer.execute(group.clone(), change.clone()).await {
                    Ok(_) | Err(CommandError::Rejected(_)) => return,
                    Err(_) => {}
                }
                sleep(STORE_READ_INTERVAL).await;
            }
            tracing::warn!(%group, seq, "it could not be stored how far somebody has read");
        });
    }

    /// Does what is due by the clock.
    pub fn on_timer(&mut self, now: Instant, channels: &Channels) {
        if self.typing.expires_at().is_some_and(|ends| ends <= now) {
            self.set_typing(false, channels);
        }
        if self.next_store_at.is_some_and(|at| at <= now) {
            self.store_read(channels);
        }
    }

    /// When there is something to do by the clock.
    pub fn next_timer(&self) -> Option<Instant> {
        let typing = self.typing.expires_at();
        let reading = self
            .next_store_at
            .filter(|_| self.read_seq > self.member.read_seq);
        typing.into_iter().chain(reading).min()
    }

    /// Ends what the peer has begun here.
    pub fn finish(&mut self, channels: &Channels) {
        self.set_typing(false, channels);
        self.store_read(channels);
    }

    pub fn set_typing(&mut self, on: bool, channels: &Channels) {
        if self.typing.update(on, Instant::now()) {
            let group = &*self.member.group_name;
            let whisper = EphemeralEvent::Typing {
                group: group.into(),
                user: self.member.actor.username.as_ref().into(),
                on,
            };
            channels.hub.send_ephemeral(group, &whisper);
        }
    }
}

fn reset_reason(
    after: i64,
    entry: &ResumePoint,
    head: i64,
    channels: &Channels,
) -> Option<ResetReason> {
    let limit = i64::from(channels.settings.channels.replay_limit);
    if entry
        .epoch
        .as_ref()
        .is_some_and(|epoch| **epoch != channels.hub.epoch().name)
    {
        Some(ResetReason::Epoch)
    } else if after > head {
        Some(ResetReason::Ahead)
    } else if head - after > limit {
        Some(ResetReason::TooFar)
    } else {
        None
    }
}
