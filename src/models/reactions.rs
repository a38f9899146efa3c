//! Reactions of members to messages. A user can use each emoji once per message.

use loco_rs::prelude::*;
use sea_orm::DbBackend;
use unicode_segmentation::UnicodeSegmentation;

pub use super::_entities::reactions::{ActiveModel, Column, Entity, Model};

/// The largest number of different emojis from one user on one message.
pub const MAX_EMOJIS_PER_USER: usize = 20;

/// The number of rows that one statement deletes, of a deleted group.
const PURGE_REACTION_BATCH: u64 = 1000;

/// The selector that requests the emoji presentation of the character before it.
///
/// Clients may write or omit it (UTS #51, section 2.2 and ED-9a).
const EMOJI_VARIATION_SELECTOR: char = '\u{fe0f}';

/// One emoji in its canonical form.
///
/// The valid emojis are Unicode's list "recommended for general interchange" (UTS #51, ED-27), from the crate
/// `emojis`. Keyboards offer this list: families, flags, keycaps, skin tones and tags included. The canonical form
/// is the fully qualified one (ED-18), so "❤" is stored as "❤️".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Emoji(&'static str);

impl Emoji {
    /// The error text for a text that is not exactly one emoji.
    pub const INVALID_EMOJI_TEXT: &str = "This must be exactly one emoji.";

    /// Parses a text; `None` unless it is exactly one emoji.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.graphemes(true).nth(1).is_some() {
            return None;
        }
        // The list finds each emoji without variation selectors, and returns its canonical form.
        let bare = text.replace(EMOJI_VARIATION_SELECTOR, "");
        emojis::get(&bare).map(|emoji| Self(emoji.as_str()))
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The reactions to a message with one emoji.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionSummary {
    pub emoji: String,
    pub count: i64,
    /// `true` when the viewer has reacted with this emoji.
    pub mine: bool,
    /// The usernames of the first users with this reaction, at most [`MAX_NAMED_USERS`].
    pub by: Vec<String>,
}

/// One emoji in the text of [`ReactionSummary::sql_column`].
///
/// The fields are: the emoji, the number of users, how many of them are the viewer, the seq of the first reaction,
/// and the first users, each with the seq of the reaction.
type EmojiRow = (String, i64, i64, i64, Vec<(i64, Option<String>)>);

/// The largest number of users that a reaction names.
pub const MAX_NAMED_USERS: usize = 10;

impl ActiveModelBehavior for ActiveModel {}

impl ReactionSummary {
    /// Returns a column for a query of `events message`: the reactions as text for [`ReactionSummary::parse_column`].
    ///
    /// `viewer` is the SQL expression of the viewing user's id.
    pub fn sql_column(backend: DbBackend, viewer: &str) -> String {
        let (rows, row, by) = match backend {
            // A subquery of SQLite returns JSON as text.
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

    /// Parses the text of such a column. The emojis are in the order of their first use.
    pub fn parse_column(text: Option<&str>) -> Vec<Self> {
        // This program wrote the text. There is no text without a reaction.
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
    /// Deletes the reactions in a deleted group, in small batches, so that other writers do not wait long.
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
            // The last rows are deleted together with the group.
            let Some(last) = last else { return Ok(()) };
            Entity::delete_many()
                .filter(Column::GroupId.eq(group_id))
                .filter(Column::Seq.lte(last))
                .exec(db)
                .await?;
        }
    }
}
