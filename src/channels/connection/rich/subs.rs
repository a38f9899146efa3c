//! Which groups a rich socket is told of: what it asks for, what it gains, and what it loses.

use std::{collections::HashSet, sync::Arc};

use axum::extract::ws::Utf8Bytes;

use super::{super::READ_AGAIN_AFTER, Entry, Rich, joined::Joined};
use crate::channels::{
    Member,
    hub::{Places, Scope},
    protocol::{
        CloseReason,
        request::Place,
        rich::{Done, Fault, Frame, Refused},
    },
};

impl Rich<'_> {
    /// Begins to tell of groups, or begins anew.
    ///
    /// # Errors
    /// Where the socket's only group is lost.
    pub(super) async fn sub(
        &mut self,
        id: i64,
        epoch: Option<String>,
        asked: &[Place],
        places: &mut Places,
    ) -> Result<Vec<Utf8Bytes>, CloseReason> {
        if let Err(fault) = self.check(asked) {
            return Ok(vec![Frame::Error(fault.to(Some(id))).encode()]);
        }
        let names: Vec<&str> = asked.iter().map(|place| &*place.group).collect();
        // Since the socket was opened much may have changed.
        let found = self.channels.hub.look_up_all(self.author.id, &names);
        let members = match found.await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, user = self.author.id, "a member could not be looked up");
                let fault = Fault::unavailable().to(Some(id));
                return Ok(vec![Frame::Error(fault).encode()]);
            }
        };
        if members.is_empty() && self.scope == Scope::Group {
            return Err(CloseReason::NotMember);
        }
        let is_member = |name: &&&str| members.iter().any(|member| *member.group == ***name);
        let refused: Vec<_> = names.iter().filter(|name| !is_member(name)).collect();
        for name in &refused {
            self.leave(name, places);
        }
        if members.is_empty() {
            let fault = Fault::new("not_member", "You are a member of none of these groups.");
            return Ok(vec![Frame::Error(fault.at("groups").to(Some(id))).encode()]);
        }
        let refused = refused.iter().map(|name| Refused::not_member(name));
        let mut frames = vec![
            Frame::Ok(Done {
                id,
                refused: refused.collect(),
                ..Done::default()
            })
            .encode(),
        ];
        let (here, new) = members
            .into_iter()
            .partition::<Vec<_>, _>(|member| self.holds(member, places));
        for member in &new {
            self.leave(&member.group, places);
        }
        for member in here {
            self.renew(member, places).await;
        }
        self.join(new, places).await;
        for place in asked {
            let entry = Entry {
                after: place.after,
                epoch: epoch.clone(),
            };
            frames.extend(self.begin(&place.group, &entry, places));
        }
        Ok(frames)
    }

    /// Tells of groups no more.
    pub(super) fn unsub(
        &mut self,
        id: i64,
        groups: &[String],
        places: &mut Places,
    ) -> Result<Utf8Bytes, Fault<'static>> {
        self.permit(groups.len())?;
        for group in groups {
            if let Some(joined) = self.leave(group, places) {
                let member = joined.member;
                self.left.insert(member.group, member.membership_id);
            }
        }
        Ok(Frame::Ok(Done {
            id,
            ..Done::default()
        })
        .encode())
    }

    /// Begins to tell of groups that the user has become a member of.
    pub(super) async fn gain(
        &mut self,
        groups: Vec<Arc<str>>,
        places: &mut Places,
    ) -> Vec<Utf8Bytes> {
        let names: HashSet<&str> = groups.iter().map(|group| &**group).collect();
        let names: Vec<_> = names.into_iter().collect();
        let found = self.channels.hub.look_up_all(self.author.id, &names);
        let members = match found.await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, user = self.author.id, "a new membership could not be looked up; trying again");
                places.welcome_after(READ_AGAIN_AFTER, groups);
                return Vec::new();
            }
        };
        let is_wanted =
            |member: &Member| self.left.get(&member.group) != Some(&member.membership_id);
        let mut members: Vec<_> = members.into_iter().filter(is_wanted).collect();
        members.retain(|member| !self.holds(member, places));
        // Those that take no place more come first.
        members.sort_by_key(|member| self.number_of(&member.group).is_none());
        for member in &members {
            self.leave(&member.group, places);
        }
        members.truncate(self.free());
        // From how they came in; or, where they have read more of it, from there.
        let places_in: Vec<_> = members
            .iter()
            .map(|member| (member.group.clone(), (member.read - 1).max(0)))
            .collect();
        self.join(members, places).await;
        let mut frames = Vec::new();
        for (group, after) in places_in {
            let entry = Entry {
                after: Some(after),
                epoch: None,
            };
            frames.extend(self.begin(&group, &entry, places));
        }
        frames
    }

    /// Forgets a place that was lost.
    ///
    /// # Errors
    /// With the reason, where the socket has no others.
    pub(super) fn lost(
        &mut self,
        number: usize,
        reason: CloseReason,
    ) -> Result<Option<Utf8Bytes>, CloseReason> {
        if self.scope == Scope::Group {
            return Err(reason);
        }
        let joined = self.joined.get_mut(number).and_then(Option::take);
        Ok(joined.map(|mut joined| {
            joined.finish(self.channels);
            Frame::Error(Fault::lost(&joined.member.group, reason)).encode()
        }))
    }

    /// Takes a request about so many groups for one of those that the user may make.
    fn permit(&self, groups: usize) -> Result<(), Fault<'static>> {
        if groups > self.limit() {
            return Err(too_many());
        }
        self.channels
            .may_send(self.author.id)
            .map_err(Fault::rate_limited)
    }

    fn check(&self, asked: &[Place]) -> Result<(), Fault<'static>> {
        if asked.is_empty() {
            return Err(Fault::invalid("groups", "At least one."));
        }
        let names: HashSet<_> = asked.iter().map(|place| &place.group).collect();
        if names.len() < asked.len() {
            return Err(Fault::invalid("groups", "Each group once."));
        }
        if self.scope == Scope::Group && asked.iter().any(|place| *place.group != *self.home) {
            return Err(Fault::new(
                "not_member",
                "This socket is of one group; `/ws/` takes more.",
            )
            .at("groups"));
        }
        let new = asked
            .iter()
            .filter(|place| self.number_of(&place.group).is_none());
        if new.count() > self.free() {
            return Err(too_many());
        }
        self.permit(asked.len())?;
        // One request of many groups costs the database as much as many of one.
        self.channels
            .may_subscribe(self.author.id, asked.len())
            .map_err(Fault::rate_limited)
    }

    /// Whether the socket has a place by this very membership, which it has not lost.
    fn holds(&self, member: &Member, places: &mut Places) -> bool {
        let Some(number) = self.number_of(&member.group) else {
            return false;
        };
        let joined = self.joined.get(number).and_then(Option::as_ref);
        let is_same =
            joined.is_some_and(|joined| joined.member.membership_id == member.membership_id);
        is_same
            && places
                .get_mut(number)
                .is_some_and(|place| place.over().is_none())
    }

    async fn renew(&mut self, member: Member, places: &mut Places) {
        let Some(number) = self.number_of(&member.group) else {
            return;
        };
        if let Some(place) = places.get_mut(number) {
            place.catch_up(member.head).await;
        }
        if let Some(joined) = self.joined.get_mut(number).and_then(Option::as_mut) {
            joined.member = member;
        }
    }

    async fn join(&mut self, members: Vec<Member>, places: &mut Places) {
        let numbers = places.join(&members).await;
        for (member, number) in members.into_iter().zip(numbers) {
            self.left.remove(&member.group);
            self.settle(number, Joined::new(member));
        }
    }

    fn begin(&mut self, group: &str, entry: &Entry, places: &mut Places) -> Vec<Utf8Bytes> {
        let channels = self.channels;
        let number = self.number_of(group);
        let place = number.and_then(|number| places.get_mut(number));
        match (self.joined_in(group), place) {
            (Some(joined), Some(place)) => joined.subscribe(entry, place, channels),
            // Not one of those that were asked for, or not any more.
            _ => Vec::new(),
        }
    }

    fn leave(&mut self, group: &str, places: &mut Places) -> Option<Joined> {
        let number = self.number_of(group)?;
        places.leave(number);
        let mut joined = self.joined.get_mut(number)?.take()?;
        joined.finish(self.channels);
        Some(joined)
    }
}

fn too_many() -> Fault<'static> {
    Fault::new("limit_exceeded", "More groups than `limits.groups`.").at("groups")
}

/// A group of strangers and one that does not exist answer alike.
pub(super) fn not_here(id: Option<i64>) -> Utf8Bytes {
    let fault = Fault::new("not_member", "This socket is not subscribed to this group.");
    Frame::Error(fault.at("group").to(id)).encode()
}
