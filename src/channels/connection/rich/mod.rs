//! A rich socket: `chat.v1.json`, over one group or over many.

mod auth;
mod group_state;
mod subscribe;
mod typing;

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use self::{group_state::GroupState, subscribe::not_subscribed};
use super::{FrameResults, SocketProtocol};
use crate::{
    channels::{
        Channels, Member,
        hub::{SocketScope, Subscriptions},
        protocol::{
            CloseReason,
            event::EncodedEvent,
            hello::{Hello, MAX_GROUPS_PER_SOCKET, UserInfo},
            request::{Action, Request},
            rich::{ErrorReply, Frame, OkReply},
        },
        writer::{PendingResult, StoreError},
    },
    models::{
        events::Actor, group_commands::CommandKind, rejections::Rejection, sessions::ActiveSession,
        users,
    },
    views::format_time,
};

/// With what a client comes to a group.
#[derive(Debug, Default)]
pub struct ResumePoint {
    /// The last event that it has.
    pub after: Option<i64>,
    /// The life of the database in which that number means something.
    pub epoch: Option<String>,
}

pub(in crate::channels) struct RichProtocol<'a> {
    channels: &'a Channels,
    actor: Actor,
    /// The name that others see.
    display_name: Box<str>,
    scope: SocketScope,
    /// The socket's only group, where it has one.
    single_group: Arc<str>,
    /// With what the client came to it, until it is greeted.
    resume_point: Option<Box<ResumePoint>>,
    /// By the numbers of the places.
    groups_by_slot: Vec<Option<GroupState>>,
    /// Groups that the client wants no more, with the ids of the memberships.
    unsubscribed: BTreeMap<Arc<str>, i64>,
    /// When there is something to do by the clock in one of the groups.
    next_timer: Option<Instant>,
}

impl<'a> RichProtocol<'a> {
    /// A socket of one group.
    pub fn for_group(member: &Member, channels: &'a Channels, entry: ResumePoint) -> Self {
        let mut rich = Self::new(member.actor.clone(), &member.display_name, channels);
        rich.scope = SocketScope::OneGroup;
        rich.single_group = member.group_name.clone();
        rich.resume_point = Some(Box::new(entry));
        rich.groups_by_slot = vec![Some(GroupState::new(member.clone()))];
        rich
    }

    /// A socket of as many groups as it asks for.
    pub fn for_groups(user: &users::Model, channels: &'a Channels) -> Self {
        Self::new(Actor::from_user(user), &user.name, channels)
    }

    fn new(actor: Actor, name: &str, channels: &'a Channels) -> Self {
        Self {
            channels,
            actor,
            display_name: name.into(),
            scope: SocketScope::ManyGroups,
            single_group: "".into(),
            resume_point: None,
            groups_by_slot: Vec::new(),
            unsubscribed: BTreeMap::new(),
            next_timer: None,
        }
    }

    fn hello_frame(&self, session: &ActiveSession) -> Utf8Bytes {
        let conn = Uuid::new_v4().simple().to_string();
        tracing::debug!(conn, user = self.actor.id, group = %self.single_group, "a rich socket");
        let user = UserInfo {
            id: self.actor.id,
            username: &self.actor.username,
            name: &self.display_name,
        };
        let epoch = self.channels.hub.epoch();
        let settings = &self.channels.settings.channels;
        let expires_in = session.expires_in();
        let groups = self.max_groups();
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
    fn max_groups(&self) -> usize {
        match self.scope {
            SocketScope::ManyGroups => MAX_GROUPS_PER_SOCKET,
            SocketScope::OneGroup | SocketScope::EventsOnly => 1,
        }
    }

    /// How many it may still take.
    fn remaining_slots(&self) -> usize {
        self.max_groups()
            .saturating_sub(self.groups_by_slot.iter().flatten().count())
    }

    fn slot_of(&self, group: &str) -> Option<usize> {
        self.groups_by_slot.iter().position(|joined| {
            joined
                .as_ref()
                .is_some_and(|joined| *joined.member.group_name == *group)
        })
    }

    fn group_state_mut(&mut self, group: &str) -> Option<&mut GroupState> {
        let number = self.slot_of(group)?;
        self.groups_by_slot.get_mut(number)?.as_mut()
    }

    fn set_group_state(&mut self, number: usize, joined: GroupState) {
        if self.groups_by_slot.len() <= number {
            self.groups_by_slot.resize_with(number + 1, || None);
        }
        if let Some(place) = self.groups_by_slot.get_mut(number) {
            *place = Some(joined);
        }
    }

    fn mark_read(
        &mut self,
        group: &str,
        seq: i64,
        places: &mut Subscriptions,
    ) -> Option<Utf8Bytes> {
        let (channels, number) = (self.channels, self.slot_of(group));
        let place = number.and_then(|number| places.get_mut(number));
        let (Some(joined), Some(place)) = (self.group_state_mut(group), place) else {
            return Some(not_subscribed(None));
        };
        joined.mark_read(seq, place.room_last_seq(), channels);
        self.next_timer = self.earliest_timer();
        None
    }

    fn set_typing(
        &mut self,
        group: &str,
        on: bool,
        places: &mut Subscriptions,
    ) -> Option<Utf8Bytes> {
        let channels = self.channels;
        let place = self
            .slot_of(group)
            .and_then(|number| places.get_mut(number));
        let is_lost = place.is_none_or(|place| place.close_reason().is_some());
        let Some(joined) = self.group_state_mut(group).filter(|_| !is_lost) else {
            return Some(not_subscribed(None));
        };
        joined.set_typing(on, channels);
        self.next_timer = self.earliest_timer();
        None
    }

    fn earliest_timer(&self) -> Option<Instant> {
        self.groups_by_slot
            .iter()
            .flatten()
            .filter_map(GroupState::next_timer)
            .min()
    }

    /// Begins to make a change.
    async fn submit_command(
        &mut self,
        id: i64,
        group: &str,
        cid: Option<String>,
        what: CommandKind,
    ) -> CommandReply {
        let channels = self.channels;
        let Some(joined) = self.group_state_mut(group) else {
            return CommandReply::Ready(not_subscribed(Some(id)));
        };
        let member = &joined.member;
        if let Err(wait) = channels.check_send_rate(member.actor.id) {
            return CommandReply::Ready(
                Frame::Error(ErrorReply::rate_limited(wait).with_id(Some(id))).encode(),
            );
        }
        let (group, change) = (member.group_name.clone(), member.command(cid.clone(), what));
        if let CommandKind::Send { .. } = change.kind {
            joined.set_typing(false, channels);
        }
        let begun = channels.writer.submit(group, change).await;
        CommandReply::Pending {
            id,
            cid,
            pending_result: begun,
        }
    }

    /// Does what a frame asks for that is no change, and gives the replies.
    async fn handle_request(
        &mut self,
        request: Request,
        places: &mut Subscriptions,
    ) -> Result<Vec<Utf8Bytes>, CloseReason> {
        let reply = match request {
            Request::Read { group, seq } => self.mark_read(&group, seq, places),
            Request::Typing { group, on } => self.set_typing(&group, on, places),
            Request::Invalid(fault) => Some(Frame::Error(fault).encode()),
            Request::Action { id, ask } => Some(match ask {
                Action::Command {
                    group,
                    cid,
                    kind: what,
                } => {
                    self.submit_command(id, &group, cid, what)
                        .await
                        .into_frame()
                        .await
                }
                Action::Subscribe { epoch, groups } => {
                    return Box::pin(self.handle_sub(id, epoch, &groups, places)).await;
                }
                Action::Unsubscribe { groups } => match self.handle_unsub(id, &groups, places) {
                    Ok(reply) => reply,
                    Err(fault) => Frame::Error(fault.with_id(Some(id))).encode(),
                },
                Action::Authenticate { token } => {
                    Box::pin(self.handle_auth(id, token.as_deref(), places)).await?
                }
            }),
        };
        Ok(reply.into_iter().collect())
    }
}

/// The reply to what asks for a change.
enum CommandReply {
    Ready(Utf8Bytes),
    /// Once it is made.
    Pending {
        id: i64,
        cid: Option<String>,
        pending_result: Result<PendingResult, StoreError>,
    },
}

impl CommandReply {
    async fn into_frame(self) -> Utf8Bytes {
        let (id, cid, begun) = match self {
            Self::Ready(frame) => return frame,
            Self::Pending {
                id,
                cid,
                pending_result: begun,
            } => (id, cid, begun),
        };
        let outcome = async { begun?.outcome().await };
        match outcome.await {
            Ok(Ok(stored)) => Frame::Ok(OkReply {
                id,
                seq: Some(stored.seq),
                at: Some(format_time(&stored.at)),
                cid: cid.as_deref(),
                dup: stored.dup,
                ..OkReply::default()
            })
            .encode(),
            Ok(Err(Rejection::RateLimited(limited))) => {
                Frame::Error(ErrorReply::rate_limited(limited).with_id(Some(id))).encode()
            }
            Ok(Err(refusal)) => {
                let message = refusal.to_string();
                let fault = ErrorReply::new(refusal.code(), &message).with_id(Some(id));
                let field = refusal.field();
                Frame::Error(ErrorReply { field, ..fault }).encode()
            }
            Err(_) => Frame::Error(ErrorReply::unavailable().with_id(Some(id))).encode(),
        }
    }
}

/// Waits for the replies that are due.
async fn collect_replies(due: &mut Vec<CommandReply>, heard: &mut FrameResults) {
    for reply in due.drain(..) {
        heard.replies.push(reply.into_frame().await);
    }
}

impl Drop for RichProtocol<'_> {
    fn drop(&mut self) {
        for joined in self.groups_by_slot.iter_mut().flatten() {
            joined.finish(self.channels);
        }
    }
}

impl SocketProtocol for RichProtocol<'_> {
    const CLOSES_ON_FLOOD: bool = true;

    const MAX_FRAMES_PER_BATCH: usize = 64;

    fn on_open(&mut self, places: &mut Subscriptions) -> Vec<Utf8Bytes> {
        let (channels, entry) = (self.channels, self.resume_point.take().unwrap_or_default());
        let mut frames = vec![self.hello_frame(&places.session())];
        for (number, joined) in self.groups_by_slot.iter_mut().enumerate() {
            if let (Some(joined), Some(place)) = (joined, places.get_mut(number)) {
                frames.extend(joined.subscribe(&entry, place, channels));
            }
        }
        frames
    }

    async fn on_frames(&mut self, texts: &[Utf8Bytes], places: &mut Subscriptions) -> FrameResults {
        let mut heard = FrameResults::default();
        let mut due = Vec::new();
        for text in texts {
            let request = match Request::parse(text) {
                Some(Request::Action {
                    id,
                    ask:
                        Action::Command {
                            group,
                            cid,
                            kind: what,
                        },
                }) => {
                    due.push(self.submit_command(id, &group, cid, what).await);
                    continue;
                }
                request => request,
            };
            // All else may depend on what was asked for before it.
            collect_replies(&mut due, &mut heard).await;
            let done = match request {
                Some(request) => self.handle_request(request, places).await,
                None => Err(CloseReason::InvalidJson),
            };
            match done {
                Ok(replies) => heard.replies.extend(replies),
                Err(reason) => {
                    heard.close_reason = Some(reason);
                    return heard;
                }
            }
        }
        collect_replies(&mut due, &mut heard).await;
        heard
    }

    async fn on_groups_joined(
        &mut self,
        groups: Vec<Arc<str>>,
        places: &mut Subscriptions,
    ) -> Vec<Utf8Bytes> {
        self.subscribe_joined_groups(groups, places).await
    }

    fn event_frame(&mut self, _: usize, told: &EncodedEvent) -> Option<Utf8Bytes> {
        Some(told.frame())
    }

    fn on_delivered(&mut self, place: usize, seq: i64) -> Option<Utf8Bytes> {
        self.groups_by_slot
            .get_mut(place)?
            .as_mut()?
            .on_delivered(seq)
    }

    fn can_write_direct(&self, place: usize) -> bool {
        let joined = self.groups_by_slot.get(place).and_then(Option::as_ref);
        joined.is_some_and(GroupState::is_live)
    }

    fn needs_filtering(&self) -> bool {
        false
    }

    fn on_subscription_lost(
        &mut self,
        place: usize,
        reason: CloseReason,
    ) -> Result<Option<Utf8Bytes>, CloseReason> {
        self.drop_lost_group(place, reason)
    }

    fn next_timer(&self) -> Option<Instant> {
        self.next_timer
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        if self.next_timer.is_some_and(|due| due <= now) {
            for joined in self.groups_by_slot.iter_mut().flatten() {
                joined.on_timer(now, self.channels);
            }
            self.next_timer = self.earliest_timer();
        }
    }

    fn bye_frame(&self, reason: CloseReason) -> Option<Utf8Bytes> {
        Some(Frame::Bye(reason.into()).encode())
    }
}
