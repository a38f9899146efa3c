//! The rich protocol of a socket, `chat.v1.json`: over one group, or over many.

mod auth;
mod group_state;
mod subscribe;
mod typing;

use std::{collections::BTreeMap, slice, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use self::{
    group_state::GroupState,
    subscribe::{not_subscribed, resume},
};
use super::{FrameResults, SocketProtocol};
use crate::{
    channels::{
        Channels, Member,
        delivery::{SocketScope, Subscription, Subscriptions},
        protocol::{
            CloseReason,
            event::EncodedEvent,
            hello::{Hello, MAX_GROUPS_PER_SOCKET, UserInfo},
            request::{Action, Request},
            rich::{ErrorReply, Frame, OkReply},
        },
        writer::PendingResult,
    },
    limits::RateLimited,
    models::{
        events::Actor,
        group_commands::CommandKind,
        rejections::{CommandError, Rejection},
        sessions::ActiveSession,
        users,
    },
    views::format_time,
};

/// The position at which a client resumes a group.
#[derive(Debug, Default)]
pub struct ResumePoint {
    /// The seq of the last event that the client has.
    pub after: Option<i64>,
    /// The epoch in which the client received it.
    pub epoch: Option<String>,
}

/// The subscriptions of a rich socket.
type RichSubscriptions<'a> = Subscriptions<GroupState<'a>>;

/// The protocol of a rich socket.
pub(in crate::channels) struct RichProtocol<'a> {
    channels: &'a Channels,
    actor: Actor,
    display_name: Box<str>,
    scope: SocketScope,
    /// The only group of a socket of one group.
    single_group: Arc<str>,
    /// The member and the resume point of a socket of one group, until it opens.
    initial: Option<Box<(Member, ResumePoint)>>,
    /// Groups that the client has unsubscribed from, with the ids of the memberships.
    unsubscribed: BTreeMap<Arc<str>, i64>,
    /// The time at which something is due in one of the groups.
    next_timer: Option<Instant>,
}

impl<'a> RichProtocol<'a> {
    /// The protocol of a socket of one group. The parameters are boxed, because only the opening socket needs them.
    pub fn for_group(initial: Box<(Member, ResumePoint)>, channels: &'a Channels) -> Self {
        let member = &initial.0;
        let mut rich = Self::new(member.actor.clone(), &member.display_name, channels);
        rich.scope = SocketScope::OneGroup;
        rich.single_group = member.group_name.clone();
        rich.initial = Some(initial);
        rich
    }

    /// The protocol of a socket of as many groups as the client requests.
    pub fn for_groups(user: &users::Model, channels: &'a Channels) -> Self {
        Self::new(Actor::from_user(user), &user.name, channels)
    }

    fn new(actor: Actor, display_name: &str, channels: &'a Channels) -> Self {
        Self {
            channels,
            actor,
            display_name: display_name.into(),
            scope: SocketScope::ManyGroups,
            single_group: "".into(),
            initial: None,
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

    /// The number of groups that the socket may be subscribed to.
    fn max_groups(&self) -> usize {
        match self.scope {
            SocketScope::ManyGroups => MAX_GROUPS_PER_SOCKET,
            SocketScope::OneGroup | SocketScope::EventsOnly => 1,
        }
    }

    /// The number of groups that the socket may still subscribe to.
    fn remaining_slots(&self, subscriptions: &RichSubscriptions<'a>) -> usize {
        self.max_groups().saturating_sub(subscriptions.len())
    }

    fn mark_read(
        &mut self,
        group: &str,
        seq: i64,
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> Option<Utf8Bytes> {
        let Some(subscription) = subscriptions.of_group_mut(group) else {
            return Some(not_subscribed(None));
        };
        let room_last_seq = subscription.room_last_seq();
        subscription.state.mark_read(seq, room_last_seq);
        self.next_timer = earliest_timer(subscriptions);
        None
    }

    fn set_typing(
        &mut self,
        group: &str,
        on: bool,
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> Option<Utf8Bytes> {
        let subscription = subscriptions.of_group_mut(group);
        let Some(subscription) = subscription.filter(|it| it.close_reason().is_none()) else {
            return Some(not_subscribed(None));
        };
        subscription.state.set_typing(on);
        self.next_timer = earliest_timer(subscriptions);
        None
    }

    /// Gives a command to the writer.
    async fn submit_command(
        &self,
        id: i64,
        group: &str,
        cid: Option<String>,
        kind: CommandKind,
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> CommandReply {
        let Some(subscription) = subscriptions.of_group_mut(group) else {
            return CommandReply::Ready(not_subscribed(Some(id)));
        };
        let state = &mut subscription.state;
        if let Err(rate_limited) = self.channels.check_send_rate(state.member.actor.id) {
            let error = ErrorReply::rate_limited(rate_limited).with_id(Some(id));
            return CommandReply::Ready(Frame::Error(error).encode());
        }
        if let CommandKind::Send { .. } = kind {
            state.set_typing(false);
        }
        let member = &state.member;
        let (group, command) = (member.group_name.clone(), member.command(cid.clone(), kind));
        let pending_result = self.channels.writer.submit(group, command, None).await;
        CommandReply::Pending {
            id,
            cid,
            pending_result,
        }
    }

    /// Handles a request, and returns the replies.
    ///
    /// # Errors
    /// The reason to close the socket.
    async fn handle_request(
        &mut self,
        request: Request,
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> Result<Vec<Utf8Bytes>, CloseReason> {
        let reply = match request {
            Request::Read { group, seq } => self.mark_read(&group, seq, subscriptions),
            Request::Typing { group, on } => self.set_typing(&group, on, subscriptions),
            Request::Invalid(error) => Some(Frame::Error(error).encode()),
            Request::Action { id, ask } => Some(match ask {
                Action::Command { group, cid, kind } => {
                    self.submit_command(id, &group, cid, kind, subscriptions)
                        .await
                        .into_frame()
                        .await
                }
                Action::Subscribe { epoch, groups } => {
                    return Box::pin(self.handle_sub(id, epoch, &groups, subscriptions)).await;
                }
                Action::Unsubscribe { groups } => {
                    match self.handle_unsub(id, &groups, subscriptions) {
                        Ok(reply) => reply,
                        Err(error) => Frame::Error(error.with_id(Some(id))).encode(),
                    }
                }
                Action::Authenticate { token } => {
                    Box::pin(self.handle_auth(id, token.as_deref(), subscriptions)).await?
                }
            }),
        };
        Ok(reply.into_iter().collect())
    }
}

fn earliest_timer(subscriptions: &mut RichSubscriptions<'_>) -> Option<Instant> {
    let subscriptions = subscriptions.iter_mut();
    subscriptions
        .filter_map(|subscription| subscription.state.next_timer())
        .min()
}

/// The reply to a command.
enum CommandReply {
    Ready(Utf8Bytes),
    /// The command is with the writer.
    Pending {
        id: i64,
        cid: Option<String>,
        pending_result: Result<PendingResult, CommandError>,
    },
}

impl CommandReply {
    /// Waits for the outcome, and returns the reply.
    async fn into_frame(self) -> Utf8Bytes {
        let (id, cid, pending_result) = match self {
            Self::Ready(frame) => return frame,
            Self::Pending {
                id,
                cid,
                pending_result,
            } => (id, cid, pending_result),
        };
        let outcome = async { pending_result?.outcome().await };
        match outcome.await {
            Ok(stored) => Frame::Ok(OkReply {
                id,
                seq: Some(stored.seq),
                at: Some(format_time(&stored.at)),
                cid: cid.as_deref(),
                dup: stored.dup,
                ..OkReply::default()
            })
            .encode(),
            Err(CommandError::Rejected(Rejection::RateLimited(wait))) => {
                Frame::Error(ErrorReply::rate_limited(RateLimited(wait)).with_id(Some(id))).encode()
            }
            Err(CommandError::Rejected(rejection)) => {
                let message = rejection.to_string();
                let error = ErrorReply::new(rejection.code(), &message).with_id(Some(id));
                let field = rejection.field();
                Frame::Error(ErrorReply { field, ..error }).encode()
            }
            Err(_) => Frame::Error(ErrorReply::unavailable().with_id(Some(id))).encode(),
        }
    }
}

/// Waits for the replies to the submitted commands.
async fn collect_replies(pending: &mut Vec<CommandReply>, results: &mut FrameResults) {
    for reply in pending.drain(..) {
        results.replies.push(reply.into_frame().await);
    }
}

impl<'a> SocketProtocol for RichProtocol<'a> {
    type GroupState = GroupState<'a>;

    const CLOSES_ON_FLOOD: bool = true;

    const MAX_FRAMES_PER_BATCH: usize = 64;

    async fn on_open(&mut self, subscriptions: &mut RichSubscriptions<'a>) -> Vec<Utf8Bytes> {
        let channels = self.channels;
        let initial = self.initial.take();
        if let Some(initial) = &initial {
            let members = slice::from_ref(&initial.0);
            subscriptions
                .join(members, |member| GroupState::new(member.clone(), channels))
                .await;
        }
        let mut frames = vec![self.hello_frame(&subscriptions.session())];
        if let Some(initial) = initial {
            for subscription in subscriptions.iter_mut() {
                frames.extend(resume(subscription, &initial.1, channels));
            }
        }
        frames
    }

    async fn on_frames(
        &mut self,
        texts: &[Utf8Bytes],
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> FrameResults {
        let mut results = FrameResults::default();
        let mut pending = Vec::new();
        for text in texts {
            let request = match Request::parse(text) {
                Some(Request::Action {
                    id,
                    ask: Action::Command { group, cid, kind },
                }) => {
                    let reply = self.submit_command(id, &group, cid, kind, subscriptions);
                    pending.push(reply.await);
                    continue;
                }
                request => request,
            };
            // Every other request may depend on the commands before it.
            collect_replies(&mut pending, &mut results).await;
            let handled = match request {
                Some(request) => self.handle_request(request, subscriptions).await,
                None => Err(CloseReason::InvalidJson),
            };
            match handled {
                Ok(replies) => results.replies.extend(replies),
                Err(reason) => {
                    results.close_reason = Some(reason);
                    return results;
                }
            }
        }
        collect_replies(&mut pending, &mut results).await;
        results
    }

    fn encode(
        &mut self,
        subscription: &mut Subscription<GroupState<'a>>,
        events: &[Arc<EncodedEvent>],
        frames: &mut Vec<Utf8Bytes>,
    ) {
        frames.extend(events.iter().map(|event| event.frame()));
        if let Some(seq) = subscription.take_sync() {
            let group = subscription.group();
            frames.push(Frame::Sync { group, seq }.encode());
        }
    }

    fn close_frame(&self, reason: CloseReason) -> Option<Utf8Bytes> {
        Some(Frame::Bye(reason.into()).encode())
    }

    fn on_timer(&mut self, subscriptions: &mut RichSubscriptions<'a>) -> Option<Instant> {
        if let Some(due) = self.next_timer
            && let now = Instant::now()
            && due <= now
        {
            for subscription in subscriptions.iter_mut() {
                subscription.state.on_timer(now);
            }
            self.next_timer = earliest_timer(subscriptions);
        }
        self.next_timer
    }

    async fn on_groups_joined(
        &mut self,
        groups: Vec<Arc<str>>,
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> Vec<Utf8Bytes> {
        self.subscribe_joined_groups(groups, subscriptions).await
    }

    fn on_subscription_lost(
        &mut self,
        subscription: Subscription<GroupState<'a>>,
        reason: CloseReason,
    ) -> Option<Utf8Bytes> {
        let error = ErrorReply::subscription_lost(subscription.group(), reason);
        Some(Frame::Error(error).encode())
    }
}
