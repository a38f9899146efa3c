//! The groups of a rich socket: `sub` and `unsub` requests, new memberships, and lost subscriptions.

use std::{collections::HashSet, sync::Arc};

use axum::extract::ws::Utf8Bytes;

use super::{
    super::{READ_RETRY_DELAY, ResumePoint, resume::record_resume},
    RichProtocol, RichSubscriptions,
    group_state::GroupState,
};
use crate::{
    channels::{
        Channels, Member,
        delivery::{SocketScope, Subscription},
        presence::OnlineUsers,
        protocol::{
            CloseReason,
            request::{GroupName, GroupPosition},
            rich::{ErrorReply, FailedGroup, Frame, GroupFrame, OkReply, ReplayMode},
        },
    },
    limits::{AdmissionKind, RateKey},
};

impl<'a> RichProtocol<'a> {
    /// Subscribes to groups, or resumes them at another position.
    ///
    /// # Errors
    /// The reason to close the socket: its only group is lost.
    pub(super) async fn handle_sub(
        &mut self,
        id: i64,
        epoch: Option<String>,
        positions: &[GroupPosition],
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> Result<Vec<Utf8Bytes>, CloseReason> {
        if let Err(error) = self.check_sub(positions, subscriptions) {
            return Ok(vec![Frame::Error(error.with_id(Some(id))).encode()]);
        }
        let admission = self.channels.admission();
        let client = RateKey::User(self.actor.id);
        let _start = match admission.admit(AdmissionKind::Subscription, client).await {
            Ok(start) => start,
            Err(overloaded) => {
                let error = ErrorReply::overloaded(overloaded).with_id(Some(id));
                return Ok(vec![Frame::Error(error).encode()]);
            }
        };
        let names: Vec<&str> = positions.iter().map(|position| &*position.group).collect();
        // The memberships may have changed since the socket was opened.
        let found = self.channels.hub.members.load(self.actor.id, &names);
        let members = match found.await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, user = self.actor.id, "the memberships of a sub request could not be read");
                let error = ErrorReply::unavailable().with_id(Some(id));
                return Ok(vec![Frame::Error(error).encode()]);
            }
        };
        if members.is_empty() && self.scope == SocketScope::OneGroup {
            return Err(CloseReason::NotMember);
        }
        let is_member = |name: &&&str| members.iter().any(|member| *member.group_name == ***name);
        let failed: Vec<_> = names.iter().filter(|name| !is_member(name)).collect();
        for name in &failed {
            subscriptions.take_group(name);
        }
        if members.is_empty() {
            let error = ErrorReply::new("not_member", "You are a member of none of these groups.");
            return Ok(vec![
                Frame::Error(error.with_field("groups").with_id(Some(id))).encode(),
            ]);
        }
        let failed = failed.iter().map(|name| FailedGroup::not_member(name));
        let mut frames = vec![
            Frame::Ok(OkReply {
                id,
                refused: failed.collect(),
                ..OkReply::default()
            })
            .encode(),
        ];
        let (subscribed, new) = members
            .into_iter()
            .partition::<Vec<_>, _>(|member| is_subscribed(member, subscriptions));
        for member in &new {
            // A subscription by an earlier membership.
            subscriptions.take_group(&member.group_name);
        }
        for member in subscribed {
            if let Some(subscription) = subscriptions.of_group_mut(&member.group_name) {
                subscription.catch_up(member.head).await;
                subscription.state.member = member;
            }
        }
        self.add_groups(&new, subscriptions).await;
        for position in positions {
            let resume_point = ResumePoint {
                after: position.after.map(|after| after.0),
                epoch: epoch.clone(),
            };
            // Groups that have failed have no subscription.
            if let Some(subscription) = subscriptions.of_group_mut(&position.group) {
                frames.extend(resume(subscription, &resume_point, self.channels));
            }
        }
        Ok(frames)
    }

    /// Unsubscribes from groups, and returns the reply.
    pub(super) fn handle_unsub(
        &mut self,
        id: i64,
        groups: &[GroupName],
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> Result<Utf8Bytes, ErrorReply<'static>> {
        self.check_group_request(groups.len())?;
        for group in groups {
            if let Some(subscription) = subscriptions.take_group(group) {
                let member = &subscription.state.member;
                self.unsubscribed
                    .insert(member.group_name.clone(), member.membership_id);
            }
        }
        Ok(Frame::Ok(OkReply {
            id,
            ..OkReply::default()
        })
        .encode())
    }

    /// Subscribes to groups that the user has become a member of, and returns their frames.
    pub(super) async fn subscribe_joined_groups(
        &mut self,
        groups: Vec<Arc<str>>,
        subscriptions: &mut RichSubscriptions<'a>,
    ) -> Vec<Utf8Bytes> {
        let names: HashSet<&str> = groups.iter().map(|group| &**group).collect();
        let names: Vec<_> = names.into_iter().collect();
        let found = self.channels.hub.members.load(self.actor.id, &names);
        let members = match found.await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, user = self.actor.id, "a new membership could not be read; trying again");
                subscriptions.retry_new_groups(READ_RETRY_DELAY, groups);
                return Vec::new();
            }
        };
        let is_wanted = |member: &Member| {
            self.unsubscribed.get(&member.group_name) != Some(&member.membership_id)
        };
        let mut members: Vec<_> = members.into_iter().filter(is_wanted).collect();
        members.retain(|member| !is_subscribed(member, subscriptions));
        // Groups that are subscribed by an earlier membership come first, because they need no further slot.
        members.sort_by_key(|member| !subscriptions.contains(&member.group_name));
        for member in &members {
            subscriptions.take_group(&member.group_name);
        }
        members.truncate(self.remaining_slots(subscriptions));
        self.add_groups(&members, subscriptions).await;
        let mut frames = Vec::new();
        for member in &members {
            // The socket starts at the event by which the user became a member, or at a later read position.
            let resume_point = ResumePoint {
                after: Some((member.read_seq - 1).max(0)),
                epoch: None,
            };
            if let Some(subscription) = subscriptions.of_group_mut(&member.group_name) {
                frames.extend(resume(subscription, &resume_point, self.channels));
            }
        }
        frames
    }

    /// Checks a request about this many groups against the limits.
    fn check_group_request(&self, groups: usize) -> Result<(), ErrorReply<'static>> {
        if groups > self.max_groups() {
            return Err(too_many_groups());
        }
        self.channels
            .check_send_rate(self.actor.id)
            .map_err(ErrorReply::rate_limited)
    }

    fn check_sub(
        &self,
        positions: &[GroupPosition],
        subscriptions: &RichSubscriptions<'a>,
    ) -> Result<(), ErrorReply<'static>> {
        if positions.is_empty() {
            return Err(ErrorReply::invalid(
                "groups",
                "This must have at least one group.",
            ));
        }
        let names: HashSet<_> = positions.iter().map(|position| &position.group).collect();
        if names.len() < positions.len() {
            return Err(ErrorReply::invalid(
                "groups",
                "This must name each group once.",
            ));
        }
        if self.scope == SocketScope::OneGroup
            && positions
                .iter()
                .any(|position| *position.group != *self.single_group)
        {
            return Err(ErrorReply::new(
                "not_member",
                "This socket serves one group; connect to `/ws/` for several groups.",
            )
            .with_field("groups"));
        }
        let new = positions
            .iter()
            .filter(|position| !subscriptions.contains(&position.group));
        if new.count() > self.remaining_slots(subscriptions) {
            return Err(too_many_groups());
        }
        self.check_group_request(positions.len())?;
        // A request for many groups costs the database as much as many requests for one group.
        self.channels
            .check_subscribe_rate(self.actor.id, positions.len())
            .map_err(ErrorReply::rate_limited)
    }

    async fn add_groups(&mut self, members: &[Member], subscriptions: &mut RichSubscriptions<'a>) {
        let channels = self.channels;
        subscriptions
            .join(members, |member| GroupState::new(member.clone(), channels))
            .await;
        for member in members {
            self.unsubscribed.remove(&member.group_name);
        }
    }
}

/// Returns `true` if the socket is subscribed by this membership, and the subscription is not lost.
fn is_subscribed(member: &Member, subscriptions: &mut RichSubscriptions<'_>) -> bool {
    subscriptions
        .of_group_mut(&member.group_name)
        .is_some_and(|subscription| {
            subscription.state.member.membership_id == member.membership_id
                && subscription.close_reason().is_none()
        })
}

/// Moves a subscription to the client's position, and returns its first frames. A position that cannot be replayed
/// is reset to the head.
pub(super) fn resume(
    subscription: &mut Subscription<GroupState<'_>>,
    resume_point: &ResumePoint,
    channels: &Channels,
) -> Vec<Utf8Bytes> {
    // The socket is subscribed already, so it receives every event after this head. The unread count includes the
    // events since the member was read.
    let (head, read, unread) = subscription.read_state(&subscription.state.member);
    let (epoch, limit) = (
        channels.hub.epoch.current(),
        channels.settings.channels.replay_limit,
    );
    let reset = resume_point
        .after
        .and_then(|after| resume_point.reset_reason(after, head, &epoch.name, limit.into()));
    let mode = match (reset, resume_point.after) {
        (Some(_), _) => ReplayMode::Reset,
        (None, Some(_)) => ReplayMode::Replay,
        (None, None) => ReplayMode::Live,
    };
    record_resume("rich", reset, resume_point.after.is_some());
    let after = resume_point.after.filter(|_| reset.is_none());
    subscription.resume(after.unwrap_or(head), head);
    let online_users = subscription.online_users();
    let (online, online_count) = match &online_users {
        OnlineUsers::Names(names) => (Some(&**names), None),
        OnlineUsers::Count(count) => (None, Some(*count)),
    };
    let member = &subscription.state.member;
    let group = &*member.group_name;
    let group_frame = Frame::Group(GroupFrame {
        group,
        title: member.title.as_deref(),
        role: member.role.as_str(),
        head,
        floor: 0,
        read,
        unread,
        online,
        online_count,
        mode,
    });
    let reset_frame = reset.map(|reason| Frame::Reset {
        group,
        reason,
        head,
    });
    std::iter::once(group_frame)
        .chain(reset_frame)
        .map(|frame| frame.encode())
        .collect()
}

fn too_many_groups() -> ErrorReply<'static> {
    ErrorReply::new(
        "limit_exceeded",
        "A socket can have at most `limits.groups` groups.",
    )
    .with_field("groups")
}

/// The reply to a request about a group without a subscription. A group of others and a missing group get the same
/// reply.
pub(super) fn not_subscribed(id: Option<i64>) -> Utf8Bytes {
    let error = ErrorReply::new("not_member", "This socket is not subscribed to this group.");
    Frame::Error(error.with_field("group").with_id(id)).encode()
}
