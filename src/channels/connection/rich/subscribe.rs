//! Which groups a rich socket is told of: what it asks for, what it gains, and what it loses.

use std::{collections::HashSet, sync::Arc};

use axum::extract::ws::Utf8Bytes;

use super::{super::LOG_READ_RETRY_DELAY, ResumePoint, RichProtocol, group_state::GroupState};
use crate::channels::{
    Member,
    hub::{SocketScope, Subscriptions},
    protocol::{
        CloseReason,
        request::{GroupName, GroupPosition},
        rich::{ErrorReply, FailedGroup, Frame, OkReply},
    },
};

impl RichProtocol<'_> {
    /// Begins to tell of groups, or begins anew.
    ///
    /// # Errors
    /// Where the socket's only group is lost.
    pub(super) async fn handle_sub(
        &mut self,
        id: i64,
        epoch: Option<String>,
        asked: &[GroupPosition],
        places: &mut Subscriptions,
    ) -> Result<Vec<Utf8Bytes>, CloseReason> {
        if let Err(fault) = self.check_sub(asked) {
            return Ok(vec![Frame::Error(fault.with_id(Some(id))).encode()]);
        }
        let names: Vec<&str> = asked.iter().map(|place| &*place.group).collect();
        // Since the socket was opened much may have changed.
        let found = self.channels.hub.load_members(self.actor.id, &names);
        let members = match found.await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, user = self.actor.id, "a member could not be looked up");
                let fault = ErrorReply::unavailable().with_id(Some(id));
                return Ok(vec![Frame::Error(fault).encode()]);
            }
        };
        if members.is_empty() && self.scope == SocketScope::OneGroup {
            return Err(CloseReason::NotMember);
        }
        let is_member = |name: &&&str| members.iter().any(|member| *member.group_name == ***name);
        let refused: Vec<_> = names.iter().filter(|name| !is_member(name)).collect();
        for name in &refused {
            self.remove_group(name, places);
        }
        if members.is_empty() {
            let fault = ErrorReply::new("not_member", "You are a member of none of these groups.");
            return Ok(vec![
                Frame::Error(fault.with_field("groups").with_id(Some(id))).encode(),
            ]);
        }
        let refused = refused.iter().map(|name| FailedGroup::not_member(name));
        let mut frames = vec![
            Frame::Ok(OkReply {
                id,
                refused: refused.collect(),
                ..OkReply::default()
            })
            .encode(),
        ];
        let (here, new) = members
            .into_iter()
            .partition::<Vec<_>, _>(|member| self.is_subscribed(member, places));
        for member in &new {
            self.remove_group(&member.group_name, places);
        }
        for member in here {
            self.refresh_member(member, places).await;
        }
        self.add_groups(new, places).await;
        for place in asked {
            let entry = ResumePoint {
                after: place.after.map(|after| after.0),
                epoch: epoch.clone(),
            };
            frames.extend(self.resume_group(&place.group, &entry, places));
        }
        Ok(frames)
    }

    /// Tells of groups no more.
    pub(super) fn handle_unsub(
        &mut self,
        id: i64,
        groups: &[GroupName],
        places: &mut Subscriptions,
    ) -> Result<Utf8Bytes, ErrorReply<'static>> {
        self.check_group_request(groups.len())?;
        for group in groups {
            if let Some(joined) = self.remove_group(group, places) {
                let member = joined.member;
                self.unsubscribed
                    .insert(member.group_name, member.membership_id);
            }
        }
        Ok(Frame::Ok(OkReply {
            id,
            ..OkReply::default()
        })
        .encode())
    }

    /// Begins to tell of groups that the user has become a member of.
    pub(super) async fn subscribe_joined_groups(
        &mut self,
        groups: Vec<Arc<str>>,
        places: &mut Subscriptions,
    ) -> Vec<Utf8Bytes> {
        let names: HashSet<&str> = groups.iter().map(|group| &**group).collect();
        let names: Vec<_> = names.into_iter().collect();
        let found = self.channels.hub.load_members(self.actor.id, &names);
        let members = match found.await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, user = self.actor.id, "a new membership could not be looked up; trying again");
                places.retry_new_groups(LOG_READ_RETRY_DELAY, groups);
                return Vec::new();
            }
        };
        let is_wanted = |member: &Member| {
            self.unsubscribed.get(&member.group_name) != Some(&member.membership_id)
        };
        let mut members: Vec<_> = members.into_iter().filter(is_wanted).collect();
        members.retain(|member| !self.is_subscribed(member, places));
        // Those that take no place more come first.
        members.sort_by_key(|member| self.slot_of(&member.group_name).is_none());
        for member in &members {
            self.remove_group(&member.group_name, places);
        }
        members.truncate(self.remaining_slots());
        // From how they came in; or, where they have read more of it, from there.
        let places_in: Vec<_> = members
            .iter()
            .map(|member| (member.group_name.clone(), (member.read_seq - 1).max(0)))
            .collect();
        self.add_groups(members, places).await;
        let mut frames = Vec::new();
        for (group, after) in places_in {
            let entry = ResumePoint {
                after: Some(after),
                epoch: None,
            };
            frames.extend(self.resume_group(&group, &entry, places));
        }
        frames
    }

    /// Forgets a place that was lost.
    ///
    /// # Errors
    /// With the reason, where the socket has no others.
    pub(super) fn drop_lost_group(
        &mut self,
        number: usize,
        reason: CloseReason,
    ) -> Result<Option<Utf8Bytes>, CloseReason> {
        if self.scope == SocketScope::OneGroup {
            return Err(reason);
        }
        let joined = self.groups_by_slot.get_mut(number).and_then(Option::take);
        Ok(joined.map(|mut joined| {
            joined.finish(self.channels);
            Frame::Error(ErrorReply::subscription_lost(
                &joined.member.group_name,
                reason,
            ))
            .encode()
        }))
    }

    /// Takes a request about so many groups for one of those that the user may make.
    fn check_group_request(&self, groups: usize) -> Result<(), ErrorReply<'static>> {
        if groups > self.max_groups() {
            return Err(too_many_groups());
        }
        self.channels
            .check_send_rate(self.actor.id)
            .map_err(ErrorReply::rate_limited)
    }

    fn check_sub(&self, asked: &[GroupPosition]) -> Result<(), ErrorReply<'static>> {
        if asked.is_empty() {
            return Err(ErrorReply::invalid("groups", "At least one."));
        }
        let names: HashSet<_> = asked.iter().map(|place| &place.group).collect();
        if names.len() < asked.len() {
            return Err(ErrorReply::invalid("groups", "Each group once."));
        }
        if self.scope == SocketScope::OneGroup
            && asked.iter().any(|place| *place.group != *self.single_group)
        {
            return Err(ErrorReply::new(
                "not_member",
                "This socket is of one group; `/ws/` takes more.",
            )
            .with_field("groups"));
        }
        let new = asked
            .iter()
            .filter(|place| self.slot_of(&place.group).is_none());
        if new.count() > self.remaining_slots() {
            return Err(too_many_groups());
        }
        self.check_group_request(asked.len())?;
        // One request of many groups costs the database as much as many of one.
        self.channels
            .check_subscribe_rate(self.actor.id, asked.len())
            .map_err(ErrorReply::rate_limited)
    }

    /// Whether the socket has a place by this very membership, which it has not lost.
    fn is_subscribed(&self, member: &Member, places: &mut Subscriptions) -> bool {
        let Some(number) = self.slot_of(&member.group_name) else {
            return false;
        };
        let joined = self.groups_by_slot.get(number).and_then(Option::as_ref);
        let is_same =
            joined.is_some_and(|joined| joined.member.membership_id == member.membership_id);
        is_same
            && places
                .get_mut(number)
                .is_some_and(|place| place.close_reason().is_none())
    }

    async fn refresh_member(&mut self, member: Member, places: &mut Subscriptions) {
        let Some(number) = self.slot_of(&member.group_name) else {
            return;
        };
        if let Some(place) = places.get_mut(number) {
            place.catch_up(member.head).await;
        }
        if let Some(joined) = self.groups_by_slot.get_mut(number).and_then(Option::as_mut) {
            joined.member = member;
        }
    }

    async fn add_groups(&mut self, members: Vec<Member>, places: &mut Subscriptions) {
        let numbers = places.join(&members).await;
        for (member, number) in members.into_iter().zip(numbers) {
            self.unsubscribed.remove(&member.group_name);
            self.set_group_state(number, GroupState::new(member));
        }
    }

    fn resume_group(
        &mut self,
        group: &str,
        entry: &ResumePoint,
        places: &mut Subscriptions,
    ) -> Vec<Utf8Bytes> {
        let channels = self.channels;
        let number = self.slot_of(group);
        let place = number.and_then(|number| places.get_mut(number));
        match (self.group_state_mut(group), place) {
            (Some(joined), Some(place)) => joined.subscribe(entry, place, channels),
            // Not one of those that were asked for, or not any more.
            _ => Vec::new(),
        }
    }

    fn remove_group(&mut self, group: &str, places: &mut Subscriptions) -> Option<GroupState> {
        let number = self.slot_of(group)?;
        places.leave(number);
        let mut joined = self.groups_by_slot.get_mut(number)?.take()?;
        joined.finish(self.channels);
        Some(joined)
    }
}

fn too_many_groups() -> ErrorReply<'static> {
    ErrorReply::new("limit_exceeded", "More groups than `limits.groups`.").with_field("groups")
}

/// A group of strangers and one that does not exist answer alike.
pub(super) fn not_subscribed(id: Option<i64>) -> Utf8Bytes {
    let fault = ErrorReply::new("not_member", "This socket is not subscribed to this group.");
    Frame::Error(fault.with_field("group").with_id(id)).encode()
}
