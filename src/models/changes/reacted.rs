//! What the authors of a batch have reacted with, as it is stored and as the batch leaves it.

use std::collections::{HashMap, HashSet};

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult, sea_query::OnConflict};

use super::{Change, What};
use crate::models::{
    asked::{execute, rows_of},
    reactions::{ActiveModel, Column, Emoji, Entity, LIMIT},
    refusals::Refusal,
};

/// A group, a message in it and a user.
type Place = (i64, i64, i64);

/// A reaction that is asked for, or to be taken back.
pub struct Asked {
    place: Place,
    emoji: Emoji,
    on: bool,
}

#[derive(Default)]
pub struct Reacted {
    /// What is there.
    now: HashMap<Place, HashSet<String>>,
    /// What the batch changes: the event that added it last, or `None` where it is taken back.
    changed: HashMap<(Place, Emoji), Option<i64>>,
}

#[derive(FromQueryResult)]
struct Row {
    group_id: i64,
    seq: i64,
    user_id: i64,
    emoji: String,
}

impl Asked {
    /// `None` for another change, and for one of nobody.
    pub fn by(change: &Change) -> Option<Self> {
        let What::React { seq, emoji, on } = change.what else {
            return None;
        };
        Some(Self {
            place: (change.group_id, seq, change.author.as_ref()?.id),
            emoji,
            on,
        })
    }
}

impl Reacted {
    pub async fn look_up(
        transaction: &DatabaseTransaction,
        changes: &[&Change],
    ) -> Result<Self, DbErr> {
        let places: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some(Asked::by(change)?.place))
            .collect();
        let rows = rows_of::<Row, 3>(
            transaction,
            "group_id, seq, user_id",
            places
                .into_iter()
                .map(|(group, seq, user)| [group.into(), seq.into(), user.into()]),
            "SELECT reactions.group_id, reactions.seq, reactions.user_id, emoji \
             FROM asked JOIN reactions ON reactions.group_id = asked.group_id \
             AND reactions.seq = asked.seq AND reactions.user_id = asked.user_id",
        );
        let mut reacted = Self::default();
        for row in rows.await? {
            let place = (row.group_id, row.seq, row.user_id);
            reacted.now.entry(place).or_default().insert(row.emoji);
        }
        Ok(reacted)
    }

    /// Whether it is as it is asked for already.
    ///
    /// # Errors
    /// [`Refusal::LimitExceeded`] where it would be one too many.
    pub fn is_so(&self, asked: &Asked) -> Result<bool, Refusal> {
        const TOO_MANY: &str = "You may react to a message by 20 different emojis.";
        const _: () = assert!(LIMIT == 20, "as the text says");
        let now = self.now.get(&asked.place);
        let is_there = now.is_some_and(|now| now.contains(asked.emoji.as_str()));
        if asked.on && !is_there && now.is_some_and(|now| now.len() >= LIMIT) {
            return Err(Refusal::LimitExceeded(TOO_MANY));
        }
        Ok(is_there == asked.on)
    }

    /// Notes that an event has made it so.
    pub fn set(&mut self, asked: &Asked, event: i64) {
        let now = self.now.entry(asked.place).or_default();
        if asked.on {
            now.insert(asked.emoji.as_str().to_owned());
        } else {
            now.remove(asked.emoji.as_str());
        }
        let added = asked.on.then_some(event);
        self.changed.insert((asked.place, asked.emoji), added);
    }

    /// Writes down what the batch changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let (added, removed): (Vec<_>, Vec<_>) = self
            .changed
            .into_iter()
            .partition(|(_, added)| added.is_some());
        execute::<4>(
            transaction,
            "group_id, seq, user_id, emoji",
            removed.into_iter().map(|(((group, seq, user), emoji), _)| {
                [group.into(), seq.into(), user.into(), emoji.as_str().into()]
            }),
            "DELETE FROM reactions WHERE (group_id, seq, user_id, emoji) IN \
             (SELECT group_id, seq, user_id, emoji FROM asked)",
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
