//! A rich socket: `chat.v1.json` over one group.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Mode, typing::Typing};
use crate::{
    channels::{
        Channels, Member,
        hub::{Subscription, in_time},
        protocol::{
            CloseReason,
            event::Told,
            request::{Ask, Place, Request},
            rich::{Done, Fault, Frame, Group, Hello, Mode as GroupMode, Person, ResetReason},
            whisper::Whisper,
        },
    },
    models::changes::What,
    tokens::{Refused, Session, TokenType},
    views::time,
};

/// With what a client comes.
#[derive(Debug, Default)]
pub struct Entry {
    /// The last event that it has.
    pub after: Option<i64>,
    /// The life of the database in which that number means something.
    pub epoch: Option<String>,
}

pub(in crate::channels) struct Rich<'a> {
    /// As it was last looked up.
    member: Member,
    channels: &'a Channels,
    session: Session,
    entry: Entry,
    /// The event up to which the peer is brought before it is live.
    sync_at: Option<i64>,
    typing: Typing,
}

impl<'a> Rich<'a> {
    pub fn new(member: &Member, channels: &'a Channels, session: Session, entry: Entry) -> Self {
        Self {
            member: member.clone(),
            channels,
            session,
            entry,
            sync_at: None,
            typing: Typing::default(),
        }
    }

    fn hello(&self) -> Utf8Bytes {
        let conn = Uuid::new_v4().simple().to_string();
        let author = &self.member.author;
        tracing::debug!(conn, user = author.id, group = %self.member.group, "a rich socket");
        let user = Person {
            id: author.id,
            username: &author.username,
            name: &self.member.name,
        };
        let epoch = self.channels.hub.epoch();
        let settings = &self.channels.settings.channels;
        let expires_in = self.session.expires_in();
        Frame::Hello(Hello::new(&conn, &epoch.name, user, expires_in, settings)).encode()
    }

    /// Brings the socket to where the client is, or says why it cannot be done.
    fn subscribe(&mut self, entry: &Entry, subscription: &mut Subscription) -> Vec<Utf8Bytes> {
        // The socket is attached already, so nothing that comes after this head can be missed.
        let head = subscription.last().max(self.member.head);
        let reset = entry.after.and_then(|after| self.reset(after, entry, head));
        let mode = match (reset, entry.after) {
            (Some(_), _) => GroupMode::Reset,
            (None, Some(_)) => GroupMode::Replay,
            (None, None) => GroupMode::Live,
        };
        let begin = entry.after.filter(|_| reset.is_none()).unwrap_or(head);
        subscription.go_to(begin);
        self.sync_at = Some(head);
        let group = &*self.member.group;
        let about = Frame::Group(Group {
            group,
            title: self.member.title.as_deref(),
            role: self.member.role.as_str(),
            head,
            floor: 0,
            read: self.member.read,
            unread: self.member.unread,
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

    fn reset(&self, after: i64, entry: &Entry, head: i64) -> Option<ResetReason> {
        let limit = i64::from(self.channels.settings.channels.replay_limit);
        if entry
            .epoch
            .as_ref()
            .is_some_and(|epoch| **epoch != self.channels.hub.epoch().name)
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

    /// In vain for one who is no member any more; nobody waits for it. What says nothing new costs
    /// the database nothing, however often it is said.
    async fn read(&mut self, seq: i64, last: i64) {
        let seq = seq.min(last);
        if seq <= self.member.read {
            return;
        }
        let change = self.member.change(None, What::Read { seq });
        let group = self.member.group.clone();
        match self.channels.writer.make(group, change).await {
            Ok(_) => self.member.read = seq,
            Err(error) => tracing::debug!(%error, "a reading"),
        }
    }

    fn type_on(&mut self, on: bool) {
        if self.typing.turn(on, Instant::now()) {
            let group = &*self.member.group;
            let whisper = Whisper::Typing {
                group: group.into(),
                user: self.member.author.username.as_ref().into(),
                on,
            };
            self.channels.hub.whisper(group, &whisper);
        }
    }

    async fn change(&mut self, id: i64, group: &str, cid: Option<String>, what: What) -> Utf8Bytes {
        if *group != *self.member.group {
            return not_here(Some(id));
        }
        if let Err(wait) = self.channels.may_send(self.member.author.id) {
            return Frame::Error(Fault::rate_limited(wait).to(Some(id))).encode();
        }
        if let What::Send { .. } = what {
            self.type_on(false);
        }
        let change = self.member.change(cid.clone(), what);
        let outcome = self
            .channels
            .writer
            .make(self.member.group.clone(), change)
            .await;
        match outcome {
            Ok(Ok(stored)) => Frame::Ok(Done {
                id,
                seq: Some(stored.seq),
                at: Some(time(&stored.at)),
                cid: cid.as_deref(),
                dup: stored.dup,
                auth_expires_in: None,
            })
            .encode(),
            Ok(Err(refusal)) => {
                let message = refusal.to_string();
                let fault = Fault::new(refusal.code(), &message).to(Some(id));
                let field = refusal.field();
                Frame::Error(Fault { field, ..fault }).encode()
            }
            Err(_) => Frame::Error(Fault::unavailable().to(Some(id))).encode(),
        }
    }

    async fn sub(
        &mut self,
        id: i64,
        epoch: Option<String>,
        places: &[Place],
        subscription: &mut Subscription,
    ) -> Result<Vec<Utf8Bytes>, CloseReason> {
        let [place] = places else {
            let fault = Fault::invalid("groups", "This socket is of one group.");
            return Ok(vec![Frame::Error(fault.to(Some(id))).encode()]);
        };
        if *place.group != *self.member.group {
            return Ok(vec![not_here(Some(id))]);
        }
        if let Err(wait) = self.channels.may_send(self.member.author.id) {
            return Ok(vec![
                Frame::Error(Fault::rate_limited(wait).to(Some(id))).encode(),
            ]);
        }
        // Since the socket was opened much may have changed.
        match in_time(self.channels.hub.look_up(&self.member)).await {
            Ok(Some(member)) => {
                subscription.catch_up(member.head).await;
                self.member = member;
            }
            Ok(None) => return Err(CloseReason::NotMember),
            Err(error) => {
                tracing::warn!(%error, "a member could not be looked up");
                return Ok(vec![
                    Frame::Error(Fault::unavailable().to(Some(id))).encode(),
                ]);
            }
        }
        let entry = Entry {
            after: place.after,
            epoch,
        };
        let mut frames = vec![
            Frame::Ok(Done {
                id,
                ..Done::default()
            })
            .encode(),
        ];
        frames.extend(self.subscribe(&entry, subscription));
        Ok(frames)
    }

    fn auth(&mut self, id: i64, token: Option<&str>) -> Utf8Bytes {
        if let Some(token) = token {
            let session = self.channels.tokens.session(TokenType::Access, token);
            match session {
                Ok(session) if session.user_id == self.session.user_id => {
                    // An older token takes nothing away.
                    self.session.ends_at = self.session.ends_at.max(session.ends_at);
                }
                Ok(_) => {
                    return unauthorized(id, "unauthorized", "This token is of somebody else.");
                }
                Err(Refused::Expired) => {
                    return unauthorized(id, "token_expired", "This token has expired.");
                }
                Err(Refused::Invalid) => {
                    return unauthorized(id, "unauthorized", "This is no access token.");
                }
            }
        }
        Frame::Ok(Done {
            id,
            auth_expires_in: Some(self.session.expires_in()),
            ..Done::default()
        })
        .encode()
    }
}

impl Drop for Rich<'_> {
    fn drop(&mut self) {
        self.type_on(false);
    }
}

impl Mode for Rich<'_> {
    const HEARS_WHISPERS: bool = true;

    fn greet(&mut self, subscription: &mut Subscription) -> Vec<Utf8Bytes> {
        let entry = std::mem::take(&mut self.entry);
        let mut frames = vec![self.hello()];
        frames.extend(self.subscribe(&entry, subscription));
        frames
    }

    async fn hear(
        &mut self,
        text: &str,
        subscription: &mut Subscription,
    ) -> Result<Vec<Utf8Bytes>, CloseReason> {
        Ok(match Request::parse(text).ok_or(CloseReason::NotJson)? {
            Request::Read { group, .. } | Request::Typing { group, .. }
                if *group != *self.member.group =>
            {
                vec![not_here(None)]
            }
            Request::Read { seq, .. } => {
                Box::pin(self.read(seq, subscription.last())).await;
                Vec::new()
            }
            Request::Typing { on, .. } => {
                self.type_on(on);
                Vec::new()
            }
            Request::Faulty(fault) => vec![Frame::Error(fault).encode()],
            Request::Asked { id, ask } => match ask {
                Ask::Change { group, cid, what } => {
                    vec![Box::pin(self.change(id, &group, cid, what)).await]
                }
                Ask::Sub { epoch, groups } => {
                    return Box::pin(self.sub(id, epoch, &groups, subscription)).await;
                }
                Ask::Auth { token } => vec![self.auth(id, token.as_deref())],
            },
        })
    }

    fn show(&mut self, told: &Told) -> Option<Utf8Bytes> {
        Some(told.frame())
    }

    fn shown_to(&mut self, seq: i64) -> Option<Utf8Bytes> {
        let head = self.sync_at.take_if(|head| *head <= seq)?;
        let group = &*self.member.group;
        // The peer may have been told more than there was when it came.
        let seq = seq.max(head);
        Some(Frame::Sync { group, seq }.encode())
    }

    fn due(&self) -> Option<Instant> {
        let left = u64::try_from(self.session.expires_in()).unwrap_or(0);
        let expires = Instant::now() + Duration::from_secs(left);
        let typing = self.typing.ends();
        Some(typing.map_or(expires, |ends| ends.min(expires)))
    }

    fn look_after(&mut self) -> Result<(), CloseReason> {
        if self
            .typing
            .ends()
            .is_some_and(|ends| ends <= Instant::now())
        {
            self.type_on(false);
        }
        if self.session.expires_in() == 0 {
            return Err(CloseReason::Unauthorized);
        }
        Ok(())
    }

    fn goodbye(&self, reason: CloseReason) -> Option<Utf8Bytes> {
        Some(Frame::Bye(reason.into()).encode())
    }
}

/// A group of strangers and one that does not exist answer alike.
fn not_here(id: Option<i64>) -> Utf8Bytes {
    let fault = Fault::new("not_member", "This socket is not subscribed to this group.");
    Frame::Error(fault.at("group").to(id)).encode()
}

fn unauthorized(id: i64, code: &'static str, message: &str) -> Utf8Bytes {
    Frame::Error(Fault::new(code, message).at("token").to(Some(id))).encode()
}
