//! The reactions of the actors of a batch: the stored ones, and the changes by the batch.

use std::collections::{HashMap, HashSet};

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult, sea_query::OnConflict};

use super::{CommandKind, GroupCommand};
use crate::models::{
    bulk_query::{
        InputColumn::{Int, Text},
        bulk_execute, bulk_select,
    },
    reactions::{ActiveModel, Column, Emoji, Entity, MAX_EMOJIS_PER_USER},
    rejections::Rejection,
};

/// A group, a message in it and a user.
type MessageUserKey = (i64, i64, i64);

/// A reaction to add or to remove.
pub struct RequestedReaction {
    key: MessageUserKey,
    emoji: Emoji,
    on: bool,
}

/// The reactions of the actors of a batch to the messages of its commands.
#[derive(Default)]
pub struct ReactionState {
    /// The emojis of a user on a message, after the commands so far.
    current: HashMap<MessageUserKey, HashSet<String>>,
    /// The changes of the batch: the seq of the event that added the reaction last, or `None` for a removed one.
    changes: HashMap<(MessageUserKey, Emoji), Option<i64>>,
}

#[derive(FromQueryResult)]
struct ReactionRow {
    group_id: i64,
    seq: i64,
    user_id: i64,
    emoji: String,
}

impl RequestedReaction {
    /// Returns the reaction of a command; `None` for other commands, and for a command without an actor.
    pub fn from_command(command: &GroupCommand) -> Option<Self> {
        let CommandKind::React { seq, emoji, on } = command.kind else {
            return None;
        };
        Some(Self {
            key: (command.group_id, seq, command.actor.as_ref()?.id),
            emoji,
            on,
        })
    }
}

impl ReactionState {
    /// Loads the reactions that these commands may change.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        transaction: &DatabaseTransaction,
        commands: &[&GroupCommand],
    ) -> Result<Self, DbErr> {
        let keys: HashSet<_> = commands
            .iter()
            .filter_map(|command| Some(RequestedReaction::from_command(command)?.key))
            .collect();
        let rows = bulk_select::<ReactionRow>(
            transaction,
            &[Int("group_id"), Int("seq"), Int("user_id")],
            keys,
            "SELECT reactions.group_id, reactions.seq, reactions.user_id, emoji \
             FROM input JOIN reactions ON reactions.group_id = input.group_id \
             AND reactions.seq = input.seq AND reactions.user_id = input.user_id",
        );
        let mut state = Self::default();
        for row in rows.await? {
            let key = (row.group_id, row.seq, row.user_id);
            state.current.entry(key).or_default().insert(row.emoji);
        }
        Ok(state)
    }

    /// Returns whether the reaction would change nothing.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] when the user has reached the limit of emojis on the message.
    pub fn is_already_applied(&self, reaction: &RequestedReaction) -> Result<bool, Rejection> {
        const TOO_MANY: &str = "You may react to a message with at most 20 different emojis.";
        const _: () = assert!(MAX_EMOJIS_PER_USER == 20, "as the text says");
        let now = self.current.get(&reaction.key);
        let is_there = now.is_some_and(|now| now.contains(reaction.emoji.as_str()));
        if reaction.on && !is_there && now.is_some_and(|now| now.len() >= MAX_EMOJIS_PER_USER) {
            return Err(Rejection::LimitExceeded(TOO_MANY));
        }
        Ok(is_there == reaction.on)
    }

    /// Applies the reaction, which the event with this seq has stored.
    pub fn apply(&mut self, reaction: &RequestedReaction, seq: i64) {
        let now = self.current.entry(reaction.key).or_default();
        if reaction.on {
            now.insert(reaction.emoji.as_str().to_owned());
        } else {
            now.remove(reaction.emoji.as_str());
        }
        let added = reaction.on.then_some(seq);
        self.changes.insert((reaction.key, reaction.emoji), added);
    }

    /// Writes the changes of the batch.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let (added, removed): (Vec<_>, Vec<_>) = self
            .changes
            .into_iter()
            .partition(|(_, added)| added.is_some());
        let removed = removed.into_iter();
        bulk_execute(
            transaction,
            &[Int("group_id"), Int("seq"), Int("user_id"), Text("emoji")],
            removed.map(|(((group, seq, user), emoji), _)| (group, seq, user, emoji.as_str())),
            "DELETE FROM reactions WHERE (group_id, seq, user_id, emoji) IN \
             (SELECT group_id, seq, user_id, emoji FROM input)",
        )
        .await?;
        let rows = added.into_iter().filter_map(|((key, emoji), added)| {
            let (group_id, seq, user_id) = key;
            Some(ActiveModel {
                group_id: Set(group_id),
                seq: Set(seq),
                user_id: Set(user_id),
                emoji: Set(emoji.as_str().to_owned()),
                added: Set(added?),
            })
        });
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        // A reaction that the batch removed and added again still has its row.
        let key = [Column::GroupId, Column::Seq, Column::UserId, Column::Emoji];
        Entity::insert_many(rows)
            .on_conflict(
                OnConflict::columns(key)
                    .update_column(Column::Added)
                    .to_owned(),
            )
            .exec_without_returning(transaction)
            .await?;
        Ok(())
    }
}
