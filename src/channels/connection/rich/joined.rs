//! One group of a rich socket: how far its peer is in it, and what it does there.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::time::{Instant, sleep};

use super::{Entry, typing::Typing};
use crate::{
    channels::{
        Channels, Member,
        hub::{Attendance, Subscription},
        protocol::{
            rich::{Frame, Group, Mode, ResetReason},
            whisper::Whisper,
        },
    },
    models::changes::What,
};

/// How often it is stored how far one peer has read in one group: who scrolls says it all the time.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How often it is tried.
const READ_TRIES: usize = 5;

pub(super) struct Joined {
    /// As it was last looked up.
    pub member: Member,
    /// The event up to which the peer is brought before it is live.
    sync_at: Option<i64>,
    typing: Typing,
    /// How far the peer says that it has read.
    read: i64,
    /// When that may be stored again.
    read_again: Option<Instant>,
}

impl Joined {
    pub fn new(member: Member) -> Self {
        Self {
            member,
            sync_at: None,
            typing: Typing::default(),
            read: 0,
            read_again: None,
        }
    }

    /// Brings the socket to where the client is, or says why it cannot be done.
    pub fn subscribe(
        &mut self,
        entry: &Entry,
        place: &mut Subscription,
        channels: &Channels,
    ) -> Vec<Utf8Bytes> {
        // The socket is attached already, so nothing that comes after this head can be missed; what
        // came since the member was looked up is counted with it.
        let (head, read, unread) = place.standing(&self.member);
        let reset = entry
            .after
            .and_then(|after| reset(after, entry, head, channels));
        let mode = match (reset, entry.after) {
            (Some(_), _) => Mode::Reset,
            (None, Some(_)) => Mode::Replay,
            (None, None) => Mode::Live,
        };
        place.go_to(entry.after.filter(|_| reset.is_none()).unwrap_or(head));
        self.sync_at = Some(head);
        let group = &*self.member.group;
        let attendance = place.attendance();
        let (online, online_count) = match &attendance {
            Attendance::Names(names) => (Some(&**names), None),
            Attendance::Count(count) => (None, Some(*count)),
        };
        let about = Frame::Group(Group {
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
    pub fn shown_to(&mut self, seq: i64) -> Option<Utf8Bytes> {
        let head = self.sync_at.take_if(|head| *head <= seq)?;
        let group = &*self.member.group;
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
    pub fn read(&mut self, seq: i64, last: i64, channels: &Channels) {
        self.read = self.read.max(seq.min(last));
        if self.read_again.is_none_or(|at| at <= Instant::now()) {
            self.store_read(channels);
        }
    }

    /// Stores how far the peer has read; what says nothing new costs nothing. Nobody waits for it,
    /// and it is in vain for one who is no member any more.
    pub fn store_read(&mut self, channels: &Channels) {
        let seq = self.read;
        if seq <= self.member.read {
            return;
        }
        self.member.read = seq;
        self.read_again = Some(Instant::now() + READ_EVERY);
        let change = self.member.change(None, What::Read { seq });
        let (group, writer) = (self.member.group.clone(), channels.writer.clone());
        channels.sockets.spawn(async move {
            for _ in 0..READ_TRIES {
                if writer.make(group.clone(), change.clone()).await.is_ok() {
                    return;
                }
                sleep(READ_EVERY).await;
            }
            tracing::warn!(%group, seq, "it could not be stored how far somebody has read");
        });
    }

    /// Does what is due by the clock.
    pub fn look_after(&mut self, now: Instant, channels: &Channels) {
        if self.typing.ends().is_some_and(|ends| ends <= now) {
            self.type_on(false, channels);
        }
        if self.read_again.is_some_and(|at| at <= now) {
            self.store_read(channels);
        }
    }

    /// When there is something to do by the clock.
    pub fn due(&self) -> Option<Instant> {
        let typing = self.typing.ends();
        let reading = self.read_again.filter(|_| self.read > self.member.read);
        typing.into_iter().chain(reading).min()
    }

    /// Ends what the peer has begun here.
    pub fn finish(&mut self, channels: &Channels) {
        self.type_on(false, channels);
        self.store_read(channels);
    }

    pub fn type_on(&mut self, on: bool, channels: &Channels) {
        if self.typing.turn(on, Instant::now()) {
            let group = &*self.member.group;
            let whisper = Whisper::Typing {
                group: group.into(),
                user: self.member.author.username.as_ref().into(),
                on,
            };
            channels.hub.whisper(group, &whisper);
        }
    }
}

fn reset(after: i64, entry: &Entry, head: i64, channels: &Channels) -> Option<ResetReason> {
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
