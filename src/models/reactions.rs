//! How members reacted to messages: emojis, each of them once from one user to one message.

use loco_rs::prelude::*;
use sea_orm::DbBackend;
use unicode_segmentation::UnicodeSegmentation;

pub use super::_entities::reactions::{ActiveModel, Column, Entity, Model};

/// Different emojis of one user to one message.
pub const MAX_EMOJIS_PER_USER: usize = 20;

/// Rows that are deleted at once, of a group that is closed.
const PURGE_REACTION_BATCH: u64 = 1000;

/// Asks for the emoji presentation of the character before it. Clients write it or leave it out as
/// they like (UTS #51, section 2.2 and ED-9a).
const EMOJI_VARIATION_SELECTOR: char = '\u{fe0f}';

/// One emoji, in its one form.
///
/// What counts is Unicode's own list, "recommended for general interchange" (UTS #51, ED-27), as
/// the crate `emojis` has it: what keyboards offer, with families, flags, keycaps, skin tones and
/// tags. The form is the fully qualified one of that list (ED-18), so "❤" is kept as "❤️".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Emoji(&'static str);

impl Emoji {
    /// What is wrong about anything else, for a person.
    pub const INVALID_EMOJI_TEXT: &str = "This must be exactly one emoji.";

    /// `None` for what is not exactly one emoji.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.graphemes(true).nth(1).is_some() {
            return None;
        }
        // The list knows each emoji without any of these, and in its own form.
        let bare = text.replace(EMOJI_VARIATION_SELECTOR, "");
        emojis::get(&bare).map(|emoji| Self(emoji.as_str()))
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// How often a message was reacted to by an emoji.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionSummary {
    pub emoji: String,
    pub count: i64,
    /// `true` when the viewer has reacted with this emoji.
    pub mine: bool,
    /// The usernames of those who reacted first, [`MAX_NAMED_USERS`] at most.
    pub by: Vec<String>,
}

/// An emoji in the text of [`Reaction::sql_column`]: how many reacted by it, how many of them are the viewer, the
/// event that added it first, and the first users, each with the event of the reaction.
type EmojiRow = (String, i64, i64, i64, Vec<(i64, Option<String>)>);

/// Users that a reaction names at most.
pub const MAX_NAMED_USERS: usize = 10;

impl ActiveModelBehavior for ActiveModel {}

impl ReactionSummary {
    /// A column of a query about `events message`: how each was reacted to, as a text for
    /// [`Reaction::parse_column`]. `viewer` is who looks, as it is said in the query.
    pub fn sql_column(backend: DbBackend, viewer: &str) -> String {
        let (rows, row, by) = match backend {
            // A subquery of SQLite hands on JSON as a text.
            DbBackend::Sqlite => ("json_group_array", "json_array", "json(by)"),
            _ => ("json_agg", "json_build_array", "by"),
        };
        format!(
            "(SELECT CAST({rows}({row}(emoji, count, own, first, {by})) AS TEXT) FROM \
             (SELECT emoji, COUNT(*) AS count, COUNT(CASE WHEN user_id = {viewer} THEN 1 END) AS own, \
             MIN(added) AS first, \
             {rows}({row}(added, username)) FILTER (WHERE place <= {MAX_NAMED_USERS}) AS by FROM \
             (SELECT emoji, user_id, added, \
             ROW_NUMBER() OVER (PARTITION BY emoji ORDER BY added) AS place FROM reactions \
             WHERE reactions.group_id = message.group_id AND reactions.seq = message.seq) AS placed \
             LEFT JOIN users ON users.id = placed.user_id AND place <= {MAX_NAMED_USERS} \
             GROUP BY emoji) AS by_emoji)"
        )
    }

    /// What such a column says: the emoji that came first is the first.
    pub fn parse_column(text: Option<&str>) -> Vec<Self> {
        // What our own hand has written; there is none where there was no reaction.
        let rows = text.and_then(|text| serde_json::from_str(text).ok());
        let mut rows: Vec<EmojiRow> = rows.unwrap_or_default();
        rows.sort_unstable_by_key(|(_, _, _, first, _)| *first);
        rows.into_iter()
            .map(|(emoji, count, own, _, mut by)| {
                by.sort_unstable_by_key(|(added, _)| *added);
                Self {
                    emoji,
                    count,
                    mine: own > 0,
                    by: by.into_iter().filter_map(|(_, name)| name).collect(),
                }
            })
            .collect()
    }
}

impl Model {
    /// Deletes all reactions in a group that is closed, bit by bit, so that nobody waits for it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge_group(db: &DatabaseConnection, group_id: i64) -> Result<(), DbErr> {
        loop {
            let last: Option<i64> = Entity::find()
                .select_only()
                .column(Column::Seq)
                .filter(Column::GroupId.eq(group_id))
                .order_by_asc(Column::Seq)
                .offset(PURGE_REACTION_BATCH)
                .limit(1)
                .into_tuple()
                .one(db)
                .await?;
            // Less than that goes with the group.
            let Some(last) = last else { return Ok(()) };
            Entity::delete_many()
                .filter(Column::GroupId.eq(group_id))
                .filter(Column::Seq.lte(last))
                .exec(db)
                .await?;
        }
    }
}
