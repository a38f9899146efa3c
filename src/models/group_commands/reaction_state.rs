//! What the authors of a batch have reacted with, as it is stored and as the batch leaves it.

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

/// A reaction that is asked for, or to be taken back.
pub struct RequestedReaction {
    key: MessageUserKey,
    emoji: Emoji,
    on: bool,
}

#[derive(Default)]
pub struct ReactionState {
    /// What is there.
    current: HashMap<MessageUserKey, HashSet<String>>,
    /// What the batch changes: the event that added it last, or `None` where it is taken back.
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
    /// `None` for another change, and for one of nobody.
    pub fn from_command(change: &GroupCommand) -> Option<Self> {
        let CommandKind::React { seq, emoji, on } = change.kind else {
            return None;
        };
        Some(Self {
            key: (change.group_id, seq, change.actor.as_ref()?.id),
            emoji,
            on,
        })
    }
}

impl ReactionState {
    pub async fn load(
        transaction: &DatabaseTransaction,
        changes: &[&GroupCommand],
    ) -> Result<Self, DbErr> {
        let places: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some(RequestedReaction::from_command(change)?.key))
            .collect();
        let rows = bulk_select::<ReactionRow>(
            transaction,
            &[Int("group_id"), Int("seq"), Int("user_id")],
            places,
            "SELECT reactions.group_id, reactions.seq, reactions.user_id, emoji \
             FROM input JOIN reactions ON reactions.group_id = input.group_id \
             AND reactions.seq = input.seq AND reactions.user_id = input.user_id",
        );
        let mut reacted = Self::default();
        for row in rows.await? {
            let place = (row.group_id, row.seq, row.user_id);
            reacted.current.entry(place).or_default().insert(row.emoji);
        }
        Ok(reacted)
    }

    /// Whether it is as it is asked for already.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] where it would be one too many.
    pub fn is_already_applied(&self, asked: &RequestedReaction) -> Result<bool, Rejection> {
        const TOO_MANY: &str = "You may react to a message by 20 different emojis.";
        const _: () = assert!(MAX_EMOJIS_PER_USER == 20, "as the text says");
        let now = self.current.get(&asked.key);
        let is_there = now.is_some_and(|now| now.contains(asked.emoji.as_str()));
        if asked.on && !is_there && now.is_some_and(|now| now.len() >= MAX_EMOJIS_PER_USER) {
            return Err(Rejection::LimitExceeded(TOO_MANY));
        }
        Ok(is_there == asked.on)
    }

    /// Notes that an event has made it so.
    pub fn apply(&mut self, asked: &RequestedReaction, event: i64) {
        let now = self.current.entry(asked.key).or_default();
        if asked.on {
            now.insert(asked.emoji.as_str().to_owned());
        } else {
            now.remove(asked.emoji.as_str());
        }
        let added = asked.on.then_some(event);
        self.changes.insert((asked.key, asked.emoji), added);
    }

    /// Writes down what the batch changed.
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
        let rows = added.into_iter().filter_map(|((place, emoji), added)| {
            let (group_id, seq, user_id) = place;
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
        // What the batch has taken back and added again is there all along.
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
