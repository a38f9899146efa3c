//! A rich socket: `chat.v1.json`, over one group or over many.

mod auth;
mod joined;
mod subs;
mod typing;

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use self::{joined::Joined, subs::not_here};
use super::{Heard, Mode};
use crate::{
    channels::{
        Channels, Member,
        hub::{Places, Scope},
        protocol::{
            CloseReason,
            event::Told,
            hello::{Hello, MANY_GROUPS, Person},
            request::{Ask, Request},
            rich::{Done, Fault, Frame},
        },
        writer::{Begun, NotStored},
    },
    limits::TooFast,
    models::{changes::What, events::Author, refusals::Refusal, sessions::Live, users},
    views::time,
};

/// With what a client comes to a group.
#[derive(Debug, Default)]
pub struct Entry {
    /// The last event that it has.
    pub after: Option<i64>,
    /// The life of the database in which that number means something.
    pub epoch: Option<String>,
}

pub(in crate::channels) struct Rich<'a> {
    channels: &'a Channels,
    author: Author,
    /// The name that others see.
    name: Box<str>,
    scope: Scope,
    /// The socket's only group, where it has one.
    home: Arc<str>,
    /// With what the client came to it, until it is greeted.
    entry: Option<Box<Entry>>,
    /// By the numbers of the places.
    joined: Vec<Option<Joined>>,
    /// Groups that the client wants no more, with the ids of the memberships.
    left: BTreeMap<Arc<str>, i64>,
    /// When there is something to do by the clock in one of the groups.
    due: Option<Instant>,
}

impl<'a> Rich<'a> {
    /// A socket of one group.
    pub fn of_group(member: &Member, channels: &'a Channels, entry: Entry) -> Self {
        let mut rich = Self::new(member.author.clone(), &member.name, channels);
        rich.scope = Scope::Group;
        rich.home = member.group.clone();
        rich.entry = Some(Box::new(entry));
        rich.joined = vec![Some(Joined::new(member.clone()))];
        rich
    }

    /// A socket of as many groups as it asks for.
    pub fn of_groups(user: &users::Model, channels: &'a Channels) -> Self {
        Self::new(Author::of(user), &user.name, channels)
    }

    fn new(author: Author, name: &str, channels: &'a Channels) -> Self {
        Self {
            channels,
            author,
            name: name.into(),
            scope: Scope::Groups,
            home: "".into(),
            entry: None,
            joined: Vec::new(),
            left: BTreeMap::new(),
            due: None,
        }
    }

    fn hello(&self, session: &Live) -> Utf8Bytes {
        let conn = Uuid::new_v4().simple().to_string();
        tracing::debug!(conn, user = self.author.id, group = %self.home, "a rich socket");
        let user = Person {
            id: self.author.id,
            username: &self.author.username,
            name: &self.name,
        };
        let epoch = self.channels.hub.epoch();
        let settings = &self.channels.settings.channels;
        let expires_in = session.expires_in();
        let groups = self.limit();
        Frame::Hello(Hello::new(
            &conn,
            &epoch.name,
            user,
            expires_in,
            groups,
            settings,
        ))
        .encode()
    }

    /// Groups that the socket may have.
    fn limit(&self) -> usize {
        match self.scope {
            Scope::Groups => MANY_GROUPS,
            Scope::Group | Scope::Log => 1,
        }
    }

    /// How many it may still take.
    fn free(&self) -> usize {
        self.limit()
            .saturating_sub(self.joined.iter().flatten().count())
    }

    fn number_of(&self, group: &str) -> Option<usize> {
        self.joined.iter().position(|joined| {
            joined
                .as_ref()
                .is_some_and(|joined| *joined.member.group == *group)
        })
    }

    fn joined_in(&mut self, group: &str) -> Option<&mut Joined> {
        let number = self.number_of(group)?;
        self.joined.get_mut(number)?.as_mut()
    }

    fn settle(&mut self, number: usize, joined: Joined) {
        if self.joined.len() <= number {
            self.joined.resize_with(number + 1, || None);
        }
        if let Some(place) = self.joined.get_mut(number) {
            *place = Some(joined);
        }
    }

    fn read(&mut self, group: &str, seq: i64, places: &mut Places) -> Option<Utf8Bytes> {
        let (channels, number) = (self.channels, self.number_of(group));
        let place = number.and_then(|number| places.get_mut(number));
        let (Some(joined), Some(place)) = (self.joined_in(group), place) else {
            return Some(not_here(None));
        };
        joined.read(seq, place.last(), channels);
        self.due = self.next_due();
        None
    }

    fn type_on(&mut self, group: &str, on: bool, places: &mut Places) -> Option<Utf8Bytes> {
        let channels = self.channels;
        let place = self
            .number_of(group)
            .and_then(|number| places.get_mut(number));
        let is_lost = place.is_none_or(|place| place.over().is_some());
        let Some(joined) = self.joined_in(group).filter(|_| !is_lost) else {
            return Some(not_here(None));
        };
        joined.type_on(on, channels);
        self.due = self.next_due();
        None
    }

    fn next_due(&self) -> Option<Instant> {
        self.joined.iter().flatten().filter_map(Joined::due).min()
    }

    /// Begins to make a change.
    async fn change(&mut self, id: i64, group: &str, cid: Option<String>, what: What) -> Reply {
        let channels = self.channels;
        let Some(joined) = self.joined_in(group) else {
            return Reply::Now(not_here(Some(id)));
        };
        let member = &joined.member;
        if let Err(wait) = channels.may_send(member.author.id) {
            return Reply::Now(Frame::Error(Fault::rate_limited(wait).to(Some(id))).encode());
        }
        let (group, change) = (member.group.clone(), member.change(cid.clone(), what));
        if let What::Send { .. } = change.what {
            joined.type_on(false, channels);
        }
        let begun = channels.writer.begin(group, change).await;
        Reply::Due { id, cid, begun }
    }

    /// Does what a frame asks for that is no change, and gives the replies.
    async fn do_at_once(
        &mut self,
        request: Request,
        places: &mut Places,
    ) -> Result<Vec<Utf8Bytes>, CloseReason> {
        let reply = match request {
            Request::Read { group, seq } => self.read(&group, seq, places),
            Request::Typing { group, on } => self.type_on(&group, on, places),
            Request::Faulty(fault) => Some(Frame::Error(fault).encode()),
            Request::Asked { id, ask } => Some(match ask {
                Ask::Change { group, cid, what } => {
                    self.change(id, &group, cid, what).await.frame().await
                }
                Ask::Sub { epoch, groups } => {
                    return Box::pin(self.sub(id, epoch, &groups, places)).await;
                }
                Ask::Unsub { groups } => match self.unsub(id, &groups, places) {
                    Ok(reply) => reply,
                    Err(fault) => Frame::Error(fault.to(Some(id))).encode(),
                },
                Ask::Auth { token } => Box::pin(self.auth(id, token.as_deref(), places)).await?,
            }),
        };
        Ok(reply.into_iter().collect())
    }
}

/// The reply to what asks for a change.
enum Reply {
    Now(Utf8Bytes),
    /// Once it is made.
    Due {
        id: i64,
        cid: Option<String>,
        begun: Result<Begun, NotStored>,
    },
}

impl Reply {
    async fn frame(self) -> Utf8Bytes {
        let (id, cid, begun) = match self {
            Self::Now(frame) => return frame,
            Self::Due { id, cid, begun } => (id, cid, begun),
        };
        let outcome = async { begun?.outcome().await };
        match outcome.await {
            Ok(Ok(stored)) => Frame::Ok(Done {
                id,
                seq: Some(stored.seq),
                at: Some(time(&stored.at)),
                cid: cid.as_deref(),
                dup: stored.dup,
                ..Done::default()
            })
            .encode(),
            Ok(Err(Refusal::TooOften(wait))) => {
                Frame::Error(Fault::rate_limited(TooFast(wait)).to(Some(id))).encode()
            }
            Ok(Err(refusal)) => {
                let message = refusal.to_string();
                let fault = Fault::new(refusal.code(), &message).to(Some(id));
                let field = refusal.field();
                Frame::Error(Fault { field, ..fault }).encode()
            }
            Err(_) => Frame::Error(Fault::unavailable().to(Some(id))).encode(),
        }
    }
}

/// Waits for the replies that are due.
async fn settle(due: &mut Vec<Reply>, heard: &mut Heard) {
    for reply in due.drain(..) {
        heard.replies.push(reply.frame().await);
    }
}

impl Drop for Rich<'_> {
    fn drop(&mut self) {
        for joined in self.joined.iter_mut().flatten() {
            joined.finish(self.channels);
        }
    }
}

impl Mode for Rich<'_> {
    const ENDS_FLOODS: bool = true;

    const FRAMES_AT_ONCE: usize = 64;

    fn greet(&mut self, places: &mut Places) -> Vec<Utf8Bytes> {
        let (channels, entry) = (self.channels, self.entry.take().unwrap_or_default());
        let mut frames = vec![self.hello(&places.session())];
        for (number, joined) in self.joined.iter_mut().enumerate() {
            if let (Some(joined), Some(place)) = (joined, places.get_mut(number)) {
                frames.extend(joined.subscribe(&entry, place, channels));
            }
        }
        frames
    }

    async fn hear(&mut self, texts: &[Utf8Bytes], places: &mut Places) -> Heard {
        let mut heard = Heard::default();
        let mut due = Vec::new();
        for text in texts {
            let request = match Request::parse(text) {
                Some(Request::Asked {
                    id,
                    ask: Ask::Change { group, cid, what },
                }) => {
                    due.push(self.change(id, &group, cid, what).await);
                    continue;
                }
                request => request,
            };
            // All else may depend on what was asked for before it.
            settle(&mut due, &mut heard).await;
            let done = match request {
                Some(request) => self.do_at_once(request, places).await,
                None => Err(CloseReason::NotJson),
            };
            match done {
                Ok(replies) => heard.replies.extend(replies),
                Err(reason) => {
                    heard.end = Some(reason);
                    return heard;
                }
            }
        }
        settle(&mut due, &mut heard).await;
        heard
    }

    async fn welcome(&mut self, groups: Vec<Arc<str>>, places: &mut Places) -> Vec<Utf8Bytes> {
        self.gain(groups, places).await
    }

    fn show(&mut self, _: usize, told: &Told) -> Option<Utf8Bytes> {
        Some(told.frame())
    }

    fn shown_to(&mut self, place: usize, seq: i64) -> Option<Utf8Bytes> {
        self.joined.get_mut(place)?.as_mut()?.shown_to(seq)
    }

    fn may_be_told_at_once(&self, place: usize) -> bool {
        let joined = self.joined.get(place).and_then(Option::as_ref);
        joined.is_some_and(Joined::is_live)
    }

    fn must_see(&self) -> bool {
        false
    }

    fn lose(
        &mut self,
        place: usize,
        reason: CloseReason,
    ) -> Result<Option<Utf8Bytes>, CloseReason> {
        self.lost(place, reason)
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn look_after(&mut self) {
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) {
            for joined in self.joined.iter_mut().flatten() {
                joined.look_after(now, self.channels);
            }
            self.due = self.next_due();
        }
    }

    fn goodbye(&self, reason: CloseReason) -> Option<Utf8Bytes> {
        Some(Frame::Bye(reason.into()).encode())
    }
}
