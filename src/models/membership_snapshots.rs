//! Membership snapshots: the facts that a socket needs about its user and a group, loaded for many at once.

use std::{collections::HashSet, sync::Arc};

use loco_rs::prelude::*;
use sea_orm::FromQueryResult;
use serde::Deserialize;

use super::{
    bulk_query::{
        InputColumn::{Int, Text},
        bulk_select_many,
    },
    chat_groups::is_group_name,
    member_groups::DELETED_UNREAD_SQL,
};

/// A member of a group, with the counters of the group's log at that moment.
#[derive(Debug, Clone, FromQueryResult, Deserialize)]
pub struct MembershipSnapshot {
    pub user_id: i64,
    pub username: String,
    /// The name that other members see.
    pub display_name: String,
    pub group_id: i64,
    pub group_name: String,
    pub title: Option<String>,
    pub membership_id: i64,
    pub role: String,
    pub head: i64,
    pub messages: i64,
    pub read: i64,
    pub read_messages: i64,
    /// The number of deleted messages among those that the member has not read.
    pub deleted_unread: i64,
}

impl MembershipSnapshot {
    /// Returns a snapshot for each of these pairs of a user's id and a group's name that is a membership.
    ///
    /// Inactive users have no snapshot.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_all(
        db: &DatabaseConnection,
        pairs: HashSet<(i64, Arc<str>)>,
    ) -> Result<Vec<Self>, DbErr> {
        let pairs = pairs.iter().filter(|(_, group)| is_group_name(group));
        bulk_select_many(
            db,
            &[Int("user_id"), Text("group_name")],
            pairs.map(|(user, group)| (*user, &**group)),
            &format!(
                "SELECT users.id AS user_id, username, users.name AS display_name, \
             chat_groups.id AS group_id, chat_groups.name AS group_name, title, \
             memberships.id AS membership_id, role, head, messages, read, read_messages, \
             {DELETED_UNREAD_SQL} AS deleted_unread FROM input \
             JOIN chat_groups ON chat_groups.name = input.group_name \
             JOIN memberships ON memberships.group_id = chat_groups.id \
             AND memberships.user_id = input.user_id \
             JOIN users ON users.id = input.user_id WHERE is_active"
            ),
        )
        .await
    }
}
