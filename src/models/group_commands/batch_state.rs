//! What is stored that decides about changes, looked at while their groups are locked.

use std::collections::{HashMap, HashSet};

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult};
use serde::Deserialize;
use serde_json::Value;

use super::{
    AppliedCommand, CommandKind, CommandOutcome, DuplicateCheck, GroupCommand, ToggleLimiter,
    reaction_state::{ReactionState, RequestedReaction},
    toggle_limiter,
};
use crate::limits::RateLimited;
use crate::models::{
    bulk_query::{
        InputColumn::{Int, Text},
        bulk_select, bulk_select_many,
    },
    events::{Event, NewEvent, is_redacted, kind},
    log::LockedLogs,
    memberships::Role,
    rejections::Rejection,
};

/// All of it, for one batch.
pub struct BatchState {
    /// By group and user.
    members: HashMap<(i64, i64), MembershipRow>,
    /// By group and number: how many messages there were with an event.
    message_counts: HashMap<(i64, i64), i64>,
    /// By group, author and `cid`.
    previous_events: HashMap<(i64, i64, String), PreviousEvent>,
    /// By group and number.
    target_messages: HashMap<(i64, i64), TargetMessage>,
    /// The texts of the messages that are to be edited, by group and number.
    message_texts: HashMap<(i64, i64), String>,
    /// The number of changes of each reaction in this batch.
    pending_toggles: HashMap<toggle_limiter::ReactionKey, u32>,
    reactions: ReactionState,
}

/// A message that is to be edited: its event, and the last edit, which older versions kept apart.
#[derive(FromQueryResult)]
struct MessageTextRow {
    group_id: i64,
    seq: i64,
    data: String,
    edited: Option<String>,
}

#[derive(FromQueryResult, Deserialize)]
struct MembershipRow {
    group_id: i64,
    user_id: i64,
    role: String,
    read: i64,
}

#[derive(FromQueryResult)]
struct CountRow {
    group_id: i64,
    seq: i64,
    messages: i64,
}

/// An event that was stored under a `cid`.
#[derive(FromQueryResult)]
struct PreviousEvent {
    group_id: i64,
    user_id: i64,
    cid: String,
    seq: i64,
    kind: String,
    data: String,
    created_at: DateTimeWithTimeZone,
}

/// A message that a change is about.
#[derive(FromQueryResult)]
struct TargetMessage {
    group_id: i64,
    seq: i64,
    user_id: Option<i64>,
    /// The kind of the last event that changed it.
    revision: Option<String>,
}

impl BatchState {
    pub async fn load(
        transaction: &DatabaseTransaction,
        changes: &[&GroupCommand],
        retries: DuplicateCheck,
    ) -> Result<Self, DbErr> {
        let authors: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some((change.group_id, change.actor.as_ref()?.id)))
            .collect();
        let members = bulk_select_many::<MembershipRow>(
            transaction,
            &[Int("group_id"), Int("user_id")],
            authors,
            "SELECT memberships.group_id, memberships.user_id, role, read FROM input \
             JOIN memberships ON memberships.group_id = input.group_id \
             AND memberships.user_id = input.user_id",
        );
        let members = members.await?;
        let cids: HashSet<_> = match retries {
            DuplicateCheck::Upfront => changes
                .iter()
                .filter_map(|change| change.cid_key())
                .collect(),
            DuplicateCheck::OnConflict => HashSet::new(),
        };
        let answered = bulk_select::<PreviousEvent>(
            transaction,
            &[Int("group_id"), Int("user_id"), Text("cid")],
            cids,
            "SELECT events.group_id, events.user_id, events.cid, seq, kind, data, created_at \
             FROM input JOIN events ON events.group_id = input.group_id \
             AND events.user_id = input.user_id AND events.cid = input.cid",
        );
        let answered = answered.await?;
        let mentioned: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some((change.group_id, change.kind.required_message()?)))
            .collect();
        let messages = bulk_select::<TargetMessage>(
            transaction,
            &[Int("group_id"), Int("seq")],
            mentioned,
            "SELECT message.group_id, message.seq, message.user_id, revision.kind AS revision \
             FROM input JOIN events message ON message.group_id = input.group_id \
             AND message.seq = input.seq AND message.kind = 'message.created' \
             LEFT JOIN events revision ON revision.group_id = message.group_id \
             AND revision.seq = message.revised",
        );
        let messages = messages.await?;
        let read: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some((change.group_id, change.kind.read_seq()?)))
            .collect();
        let counts = bulk_select::<CountRow>(
            transaction,
            &[Int("group_id"), Int("seq")],
            read,
            "SELECT events.group_id, events.seq, messages FROM input \
             JOIN events ON events.group_id = input.group_id AND events.seq = input.seq",
        );
        let counts = counts.await?;
        let edited: HashSet<_> = changes
            .iter()
            .filter_map(|change| match change.kind {
                CommandKind::Edit { seq, .. } => Some((change.group_id, seq)),
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
                    let data = row.edited.as_deref().unwrap_or(&row.data);
                    let data: Value = serde_json::from_str(data).ok()?;
                    let text = data.get("text")?.as_str()?.to_owned();
                    Some(((row.group_id, row.seq), text))
                })
                .collect(),
            reactions: ReactionState::load(transaction, changes).await?,
            members: members
                .into_iter()
                .map(|row| ((row.group_id, row.user_id), row))
                .collect(),
            message_counts: counts
                .into_iter()
                .map(|row| ((row.group_id, row.seq), row.messages))
                .collect(),
            previous_events: answered
                .into_iter()
                .map(|row| ((row.group_id, row.user_id, row.cid.clone()), row))
                .collect(),
            target_messages: messages
                .into_iter()
                .map(|row| ((row.group_id, row.seq), row))
                .collect(),
        })
    }

    /// Makes a change, or refuses it.
    pub fn apply_command(
        &mut self,
        change: &GroupCommand,
        logs: &mut LockedLogs,
        toggles: &ToggleLimiter,
    ) -> CommandOutcome {
        if logs.head(change.group_id).is_none() {
            // Deleted since the author was looked up as a member.
            return Err(Rejection::GroupDeleted);
        }
        if let Some(seq) = change.kind.read_seq() {
            return self.apply_read(change, seq, logs);
        }
        let role = match &change.actor {
            None => Role::Owner,
            Some(author) => {
                let member = self.members.get(&(change.group_id, author.id));
                Role::parse(&member.ok_or(Rejection::NotMember)?.role)
            }
        };
        if let Some(key) = change.cid_key()
            && let Some(first) = self.previous_events.get(&key)
        {
            return first.answer_retry(&change.kind);
        }
        self.authorize(change, role)?;
        let reaction = RequestedReaction::from_command(change);
        let is_so = match &reaction {
            Some(reaction) => self.reactions.is_already_applied(reaction)?,
            None => self.is_unchanged_text(change),
        };
        if is_so {
            let (seq, at) = logs.head(change.group_id).ok_or(Rejection::NotFound)?;
            return Ok(AppliedCommand {
                seq,
                at,
                dup: true,
                event: None,
            });
        }
        if let Some(key) = ToggleLimiter::reaction_key(change) {
            let pending = self.pending_toggles.entry(key).or_default();
            if let Some(retry_after) = toggles.retry_after(&key, *pending) {
                return Err(Rejection::RateLimited(RateLimited { retry_after }));
            }
            *pending += 1;
        }
        let event = self.append_event(change, logs).ok_or(Rejection::NotFound)?;
        if let Some(reaction) = &reaction {
            self.reactions.apply(reaction, event.seq);
        }
        Ok(AppliedCommand {
            seq: event.seq,
            at: event.at,
            dup: false,
            event: Some(event),
        })
    }

    /// Gives a change its event. What comes later in the same transaction finds it done.
    fn append_event(&mut self, change: &GroupCommand, logs: &mut LockedLogs) -> Option<Event> {
        let key = change.cid_key();
        let target = change.kind.target_seq();
        let data = change.kind.event_data().to_string();
        let event = logs.append(NewEvent {
            group_id: change.group_id,
            kind: change.kind.event_kind(),
            actor: change.actor.clone(),
            cid: change.cid.clone(),
            target,
            data: data.clone(),
        })?;
        if let Some(target) = target
            && let Some(message) = self.target_messages.get_mut(&(change.group_id, target))
        {
            message.revision = Some(event.kind.to_string());
        }
        if let CommandKind::Edit { seq, text } = &change.kind {
            self.message_texts
                .insert((change.group_id, *seq), text.clone());
        }
        // A reading of the same batch may go up to here.
        if let Some(messages) = logs.message_count(change.group_id) {
            self.message_counts
                .insert((change.group_id, event.seq), messages);
        }
        if let Some(key) = key {
            let answered = PreviousEvent {
                group_id: key.0,
                user_id: key.1,
                cid: key.2.clone(),
                seq: event.seq,
                kind: event.kind.to_string(),
                data,
                created_at: event.at,
            };
            self.previous_events.insert(key, answered);
        }
        Some(event)
    }

    /// Writes down what is no part of the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write_reactions(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        self.reactions.write(transaction).await
    }

    /// Returns whether an edit would change nothing: the message has this text already.
    fn is_unchanged_text(&self, change: &GroupCommand) -> bool {
        let CommandKind::Edit { seq, text } = &change.kind else {
            return false;
        };
        self.message_texts.get(&(change.group_id, *seq)) == Some(text)
    }

    /// Moves what a member has read on, never back, and never beyond what there is.
    fn apply_read(
        &mut self,
        change: &GroupCommand,
        seq: i64,
        logs: &mut LockedLogs,
    ) -> CommandOutcome {
        let author = change.actor.as_ref().ok_or(Rejection::NotMember)?;
        let member = self.members.get_mut(&(change.group_id, author.id));
        let member = member.ok_or(Rejection::NotMember)?;
        let count = self.message_counts.get(&(change.group_id, seq)).copied();
        let (seq, at) = logs
            .mark_read(change.group_id, author.id, seq, count)
            .ok_or(Rejection::NotFound)?;
        let dup = seq <= member.read;
        member.read = member.read.max(seq);
        Ok(AppliedCommand {
            seq: member.read,
            at,
            dup,
            event: None,
        })
    }

    /// Whether the author may do this, and to what it is done is still there.
    fn authorize(&self, change: &GroupCommand, role: Role) -> Result<(), Rejection> {
        let Some(mentioned) = change.kind.required_message() else {
            return Ok(());
        };
        let message = self.target_messages.get(&(change.group_id, mentioned));
        let is_own = |message: &TargetMessage| {
            change
                .actor
                .as_ref()
                .is_none_or(|author| message.user_id == Some(author.id))
        };
        match (&change.kind, message) {
            (CommandKind::Send { .. } | CommandKind::Read { .. }, Some(_)) => Ok(()),
            (CommandKind::Send { .. }, None) => {
                Err(Rejection::MessageNotFound { field: "reply_to" })
            }
            (_, None) => Err(Rejection::NotFound),
            // The operator is nobody who could be counted.
            (CommandKind::React { .. }, _) if change.actor.is_none() => Err(Rejection::Forbidden),
            (CommandKind::Edit { .. }, Some(message)) if !is_own(message) => {
                Err(Rejection::Forbidden)
            }
            (CommandKind::Delete { .. }, Some(message))
                if !is_own(message) && role < Role::Admin =>
            {
                Err(Rejection::Forbidden)
            }
            (_, Some(message)) if message.revision.as_deref() == Some(kind::MESSAGE_DELETED) => {
                Err(Rejection::MessageDeleted)
            }
            // Each by name: who may do something new is asked by the compiler.
            (
                CommandKind::Edit { .. } | CommandKind::Delete { .. } | CommandKind::React { .. },
                Some(_),
            ) => Ok(()),
        }
    }
}

impl PreviousEvent {
    /// The first answer, to whoever asks the same again.
    fn answer_retry(&self, what: &CommandKind) -> CommandOutcome {
        let first: Value = serde_json::from_str(&self.data).unwrap_or_default();
        // A text that was edited or deleted since cannot be compared.
        if self.kind != what.event_kind() || !(is_redacted(&first) || first == what.event_data()) {
            return Err(Rejection::CidReused);
        }
        Ok(AppliedCommand {
            seq: self.seq,
            at: self.created_at,
            dup: true,
            event: None,
        })
    }
}
