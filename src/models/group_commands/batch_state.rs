//! The stored state by which the commands of a batch are decided, loaded while the groups are locked.

use std::collections::{HashMap, HashSet};

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult};
use serde::Deserialize;

use super::{
    CommandKind, DuplicateCheck, GroupCommand, reaction_state::ReactionState, toggle_limiter,
};
use crate::models::{
    bulk_query::{
        InputColumn::{Int, Text},
        bulk_select, bulk_select_many,
    },
    event_data::{EventBody, MessageCreated, MessageEdited},
    events::Event,
    log::LockedLogs,
    memberships::{self, Role},
};

/// The state of one batch. Each applied command changes the state, so that the next command sees it.
pub(super) struct BatchState {
    /// The memberships of the actors, by group and user.
    pub members: HashMap<(i64, i64), MembershipRow>,
    /// The number of messages up to an event, by group and seq.
    pub message_counts: HashMap<(i64, i64), i64>,
    /// The events that were stored under a `cid`, by group, actor and `cid`.
    pub previous_events: HashMap<(i64, i64, String), PreviousEvent>,
    /// The messages that commands require, by group and seq.
    pub target_messages: HashMap<(i64, i64), TargetMessage>,
    /// The current texts of the messages that edits name, by group and seq.
    pub message_texts: HashMap<(i64, i64), String>,
    /// The number of changes of each reaction in this batch.
    pub pending_toggles: HashMap<toggle_limiter::ReactionKey, u32>,
    pub reactions: ReactionState,
}

/// A message that an edit names: its data, and the last edit, which older versions stored apart.
#[derive(FromQueryResult)]
struct MessageTextRow {
    group_id: i64,
    seq: i64,
    data: String,
    edited: Option<String>,
}

/// The membership of an actor.
#[derive(FromQueryResult, Deserialize)]
pub(super) struct MembershipRow {
    group_id: i64,
    user_id: i64,
    pub role: String,
    /// The seq of the last event that the member has read.
    pub read: i64,
}

/// The number of messages of a group up to an event.
#[derive(FromQueryResult)]
struct CountRow {
    group_id: i64,
    seq: i64,
    messages: i64,
}

/// The row of an event that was stored under a `cid`.
#[derive(FromQueryResult)]
struct PreviousEventRow {
    group_id: i64,
    user_id: i64,
    cid: String,
    seq: i64,
    kind: String,
    data: String,
    created_at: DateTimeWithTimeZone,
}

/// An event that was stored under a `cid`.
pub(super) struct PreviousEvent {
    pub seq: i64,
    pub at: DateTimeWithTimeZone,
    pub body: EventBody,
}

/// A message that a command requires.
#[derive(FromQueryResult)]
pub(super) struct TargetMessage {
    group_id: i64,
    seq: i64,
    /// The author. `None`: an operator.
    pub user_id: Option<i64>,
    /// The kind of the last event that changed the message.
    pub revision: Option<String>,
}

impl BatchState {
    /// Loads the state for these commands, with one statement for each kind of state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        transaction: &DatabaseTransaction,
        commands: &[&GroupCommand],
        duplicate_check: DuplicateCheck,
    ) -> Result<Self, DbErr> {
        let actors: HashSet<_> = commands
            .iter()
            .filter_map(|command| Some((command.group_id, command.actor.as_ref()?.id)))
            .collect();
        let members = bulk_select_many::<MembershipRow>(
            transaction,
            &[Int("group_id"), Int("user_id")],
            actors,
            "SELECT memberships.group_id, memberships.user_id, role, read FROM input \
             JOIN memberships ON memberships.group_id = input.group_id \
             AND memberships.user_id = input.user_id",
        );
        let members = members.await?;
        let cids: HashSet<_> = match duplicate_check {
            DuplicateCheck::Upfront => commands
                .iter()
                .filter_map(|command| command.cid_key())
                .collect(),
            DuplicateCheck::OnConflict => HashSet::new(),
        };
        let previous = bulk_select::<PreviousEventRow>(
            transaction,
            &[Int("group_id"), Int("user_id"), Text("cid")],
            cids,
            "SELECT events.group_id, events.user_id, events.cid, seq, kind, data, created_at \
             FROM input JOIN events ON events.group_id = input.group_id \
             AND events.user_id = input.user_id AND events.cid = input.cid",
        );
        let previous = previous.await?;
        let required: HashSet<_> = commands
            .iter()
            .filter_map(|command| Some((command.group_id, command.kind.required_message()?)))
            .collect();
        let messages = bulk_select::<TargetMessage>(
            transaction,
            &[Int("group_id"), Int("seq")],
            required,
            "SELECT message.group_id, message.seq, message.user_id, revision.kind AS revision \
             FROM input JOIN events message ON message.group_id = input.group_id \
             AND message.seq = input.seq AND message.kind = 'message.created' \
             LEFT JOIN events revision ON revision.group_id = message.group_id \
             AND revision.seq = message.revised",
        );
        let messages = messages.await?;
        let read: HashSet<_> = commands
            .iter()
            .filter_map(|command| Some((command.group_id, command.kind.read_seq()?)))
            .collect();
        let counts = bulk_select::<CountRow>(
            transaction,
            &[Int("group_id"), Int("seq")],
            read,
            "SELECT events.group_id, events.seq, messages FROM input \
             JOIN events ON events.group_id = input.group_id AND events.seq = input.seq",
        );
        let counts = counts.await?;
        let edited: HashSet<_> = commands
            .iter()
            .filter_map(|command| match command.kind {
                CommandKind::Edit { seq, .. } => Some((command.group_id, seq)),
                _ => None,
            })
            .collect();
        let texts = bulk_select::<MessageTextRow>(
            transaction,
            &[Int("group_id"), Int("seq")],
            edited,
            "SELECT message.group_id, message.seq, message.data, revision.data AS edited \
             FROM input JOIN events message ON message.group_id = input.group_id \
             AND message.seq = input.seq AND message.kind = 'message.created' \
             LEFT JOIN events revision ON revision.group_id = message.group_id \
             AND revision.seq = message.revised AND revision.kind = 'message.edited'",
        );
        let texts = texts.await?;
        Ok(Self {
            pending_toggles: HashMap::new(),
            message_texts: texts
                .into_iter()
                .filter_map(|row| {
                    let text = match row.edited {
                        Some(edit) => serde_json::from_str::<MessageEdited>(&edit).ok()?.text,
                        None => serde_json::from_str::<MessageCreated>(&row.data).ok()?.text,
                    };
                    Some(((row.group_id, row.seq), text?))
                })
                .collect(),
            reactions: ReactionState::load(transaction, commands).await?,
            members: members
                .into_iter()
                .map(|row| ((row.group_id, row.user_id), row))
                .collect(),
            message_counts: counts
                .into_iter()
                .map(|row| ((row.group_id, row.seq), row.messages))
                .collect(),
            previous_events: previous
                .into_iter()
                .map(|row| {
                    let event = PreviousEvent {
                        seq: row.seq,
                        at: row.created_at,
                        body: EventBody::from_log(row.kind, row.data),
                    };
                    ((row.group_id, row.user_id, row.cid), event)
                })
                .collect(),
            target_messages: messages
                .into_iter()
                .map(|row| ((row.group_id, row.seq), row))
                .collect(),
        })
    }

    /// Returns the role of the actor in the group. `None` for a user who is not a member, and for an operator.
    pub fn role_of(&self, command: &GroupCommand) -> Option<Role> {
        let actor = command.actor.as_ref()?;
        let member = self.members.get(&(command.group_id, actor.id))?;
        Some(Role::parse(&member.role))
    }

    /// Notes a new event, because a later command of the batch may have the same `cid`, or mark the event as read.
    pub fn note_event(&mut self, command: &GroupCommand, event: &Event, logs: &LockedLogs) {
        let group_id = command.group_id;
        if let Some(messages) = logs.message_count(group_id) {
            self.message_counts.insert((group_id, event.seq), messages);
        }
        if event.cid.is_some()
            && let Some(key) = command.cid_key()
        {
            let previous = PreviousEvent {
                seq: event.seq,
                at: event.at,
                body: event.body.clone(),
            };
            self.previous_events.insert(key, previous);
        }
    }

    /// Notes a new membership.
    pub fn add_member(&mut self, membership: &memberships::Model) {
        let row = MembershipRow {
            group_id: membership.group_id,
            user_id: membership.user_id,
            role: membership.role.clone(),
            read: membership.read,
        };
        self.members.insert((row.group_id, row.user_id), row);
    }

    /// Returns whether an edit would change nothing, because the message has this text already.
    pub fn has_text_already(&self, command: &GroupCommand) -> bool {
        let CommandKind::Edit { seq, text } = &command.kind else {
            return false;
        };
        self.message_texts.get(&(command.group_id, *seq)) == Some(text)
    }

    /// Writes the changed reactions, which are not part of the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write_reactions(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        self.reactions.write(transaction).await
    }
}
