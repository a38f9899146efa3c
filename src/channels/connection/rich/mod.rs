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
use super::{FrameResults, ResumePoint, SocketProtocol};
use crate::{
    channels::{
        Channels, Member,
        delivery::{SocketScope, Subscription, Subscriptions},
        protocol::{
            CloseReason,
            event::EncodedEvent,
            hello::{Hello, MAX_GROUPS_PER_SOCKET, UserInfo},
            request::Request,
            rich::{ErrorReply, Frame, OkReply},
        },
        writer::PendingResult,
    },
    metrics::Transport,
    models::{
        events::Actor,
        group_commands::CommandKind,
        rejections::{CommandError, Rejection},
        sessions::ActiveSession,
        users,
    },
    views::format_time,
};

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
    /// The time of the next work in one of the groups.
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
        tracing::debug!(conn, user = self.actor.id, group = %self.single_group, "rich socket opened");
        let user = UserInfo {
            id: self.actor.id,
            username: &self.actor.username,
            name: &self.display_name,
        };
        let epoch = self.channels.hub.epoch.current();
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
    ) -> Reply {
        let Some(subscription) = subscriptions.of_group_mut(group) else {
            return Reply::Ready(not_subscribed(Some(id)));
        };
        let state = &mut subscription.state;
        if let Err(rate_limited) = self.channels.check_send_rate(state.member.actor.id) {
            let error = ErrorReply::rate_limited(rate_limited).with_id(Some(id));
            return Reply::Ready(Frame::Error(error).encode());
        }
        if let CommandKind::Send { .. } = kind {
            state.set_typing(false);
        }
        let member = &state.member;
        let (group, command) = (member.group_name.clone(), member.command(cid.clone(), kind));
        let pending_result = self.channels.writer.submit(group, command, None).await;
        Reply::Pending {
            id,
            cid,
            pending_result,
        }
    }

    /// Performs a request, and adds its replies to `replies`. The reply to a command is pending until the
    /// command is stored.
    ///
    /// # Errors
    /// The reason why the socket must be closed.
    async fn handle_request(
        &mut self,
        request: Request,
        subscriptions: &mut RichSubscriptions<'a>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), CloseReason> {
        let (id, group, cid, kind) = match request {
            Request::Send(send) => {
                let kind = CommandKind::Send {
                    text: send.text.0,
                    reply_to: send.reply_to.map(|seq| seq.0),
                };
                (send.id.0, send.group, send.cid, kind)
            }
            Request::Edit(edit) => {
                let kind = CommandKind::Edit {
                    seq: edit.seq.0,
                    text: edit.text.0,
                };
                (edit.id.0, edit.group, edit.cid, kind)
            }
            Request::Delete(delete) => {
                let kind = CommandKind::Delete { seq: delete.seq.0 };
                (delete.id.0, delete.group, delete.cid, kind)
            }
            Request::React(react) => {
                let kind = CommandKind::React {
                    seq: react.seq.0,
                    emoji: react.emoji,
                    on: react.on,
                };
                (react.id.0, react.group, react.cid, kind)
            }
            Request::Read(read) => {
                let error = self.mark_read(&read.group, read.seq.0, subscriptions);
                replies.extend(error.map(Reply::Ready));
                return Ok(());
            }
            Request::Typing(typing) => {
                let error = self.set_typing(&typing.group, typing.on, subscriptions);
                replies.extend(error.map(Reply::Ready));
                return Ok(());
            }
            Request::Sub(sub) => {
                let frames = self.handle_sub(sub.id.0, sub.epoch, &sub.groups, subscriptions);
                let frames = Box::pin(frames).await?;
                replies.extend(frames.into_iter().map(Reply::Ready));
                return Ok(());
            }
            Request::Unsub(unsub) => {
                let id = unsub.id.0;
                let reply = self.handle_unsub(id, &unsub.groups, subscriptions);
                let reply = reply.unwrap_or_else(|error| error_frame(error.with_id(Some(id))));
                replies.push(Reply::Ready(reply));
                return Ok(());
            }
            Request::Auth(auth) => {
                let reply = self.handle_auth(auth.id.0, auth.token.as_deref(), subscriptions);
                replies.push(Reply::Ready(Box::pin(reply).await?));
                return Ok(());
            }
        };
        let cid = cid.map(|cid| cid.0);
        let reply = self.submit_command(id, &group, cid, kind, subscriptions);
        replies.push(reply.await);
        Ok(())
    }
}

fn earliest_timer(subscriptions: &mut RichSubscriptions<'_>) -> Option<Instant> {
    let subscriptions = subscriptions.iter_mut();
    subscriptions
        .filter_map(|subscription| subscription.state.next_timer())
        .min()
}

fn error_frame(error: ErrorReply<'_>) -> Utf8Bytes {
    Frame::Error(error).encode()
}

/// The reply to a request.
enum Reply {
    Ready(Utf8Bytes),
    /// The reply to a command that is not stored yet.
    Pending {
        id: i64,
        cid: Option<String>,
        pending_result: Result<PendingResult, CommandError>,
    },
}

impl Reply {
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
            Err(CommandError::Rejected(Rejection::RateLimited(limited))) => {
                Frame::Error(ErrorReply::rate_limited(limited).with_id(Some(id))).encode()
            }
            Err(CommandError::Rejected(rejection)) => {
                let message = rejection.to_string();
                let error = ErrorReply::new(rejection.code(), message).with_id(Some(id));
                let field = rejection.field();
                Frame::Error(ErrorReply { field, ..error }).encode()
            }
            Err(_) => Frame::Error(ErrorReply::unavailable().with_id(Some(id))).encode(),
        }
    }
}

/// Waits for the replies to the submitted commands.
async fn collect_replies(pending: &mut Vec<Reply>, results: &mut FrameResults) {
    for reply in pending.drain(..) {
        results.command_replies += u32::from(matches!(reply, Reply::Pending { .. }));
        results.replies.push(reply.into_frame().await);
    }
}

impl<'a> SocketProtocol for RichProtocol<'a> {
    type GroupState = GroupState<'a>;

    const TRANSPORT: Transport = Transport::Rich;

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
            let request = Request::parse(text);
            let is_command = matches!(&request, Some(Ok(request)) if request.is_command());
            if !is_command {
                // A request that is not a command may depend on the commands before it.
                collect_replies(&mut pending, &mut results).await;
            }
            let handled = match request {
                Some(Ok(request)) => {
                    self.handle_request(request, subscriptions, &mut pending)
                        .await
                }
                Some(Err(error)) => {
                    pending.push(Reply::Ready(error_frame(error)));
                    Ok(())
                }
                None => Err(CloseReason::InvalidJson),
            };
            if let Err(reason) = handled {
                results.close_reason = Some(reason);
                return results;
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

    fn last_frame(&self, reason: CloseReason) -> Option<Utf8Bytes> {
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
