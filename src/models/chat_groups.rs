//! Chat groups. What a user asks for is reached through the membership, see
//! [`Model::find_for_member`].

use std::collections::{BTreeMap, HashMap};

use chrono::Utc;
use loco_rs::prelude::*;
use rand::random;
use sea_orm::{DatabaseTransaction, DbBackend, SqlErr, Statement};

pub use super::_entities::chat_groups::{ActiveModel, Column, Entity, Model};
use super::{
    events::{self, NewEvent},
    memberships::{self, Role},
    users,
};

/// With 2³² names a collision is rare; this many in a row mean that something else is wrong.
const NAME_ATTEMPTS: usize = 8;

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Starts a group with a name of its own; whoever starts it is its owner.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
    ) -> Result<Self, DbErr> {
        Self::start_named(db, owner, title, random_name).await
    }

    /// [`Model::start`] with a given source of names.
    ///
    /// # Errors
    /// When the database fails, or the source gives taken names only.
    pub async fn start_named(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        mut next_name: impl FnMut() -> String,
    ) -> Result<Self, DbErr> {
        let mut attempt = 1;
        loop {
            match Self::insert_with_owner(db, owner, title.clone(), next_name()).await {
                Err(error) if attempt < NAME_ATTEMPTS && is_taken(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    /// # Errors
    /// When the database fails.
    pub async fn find_by_name(db: &DatabaseConnection, name: &str) -> Result<Option<Self>, DbErr> {
        if !is_name(name) {
            return Ok(None);
        }
        Entity::find().filter(Column::Name.eq(name)).one(db).await
    }

    /// The group of this name with the user's membership, if there is one. A group that does not
    /// exist and one of strangers look the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_for_member(
        db: &DatabaseConnection,
        name: &str,
        user: &users::Model,
    ) -> Result<Option<(Self, memberships::Model)>, DbErr> {
        if !is_name(name) {
            return Ok(None);
        }
        let found = Entity::find()
            .filter(Column::Name.eq(name))
            .find_also_related(memberships::Entity)
            .filter(memberships::Column::UserId.eq(user.id))
            .one(db)
            .await?;
        Ok(found.and_then(|(group, membership)| Some((group, membership?))))
    }

    /// How far the logs of these groups have gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn heads(db: &DatabaseConnection, ids: Vec<i64>) -> Result<HashMap<i64, i64>, DbErr> {
        let heads: Vec<(i64, i64)> = Entity::find()
            .select_only()
            .columns([Column::Id, Column::Head])
            .filter(Column::Id.is_in(ids))
            .into_tuple()
            .all(db)
            .await?;
        Ok(heads.into_iter().collect())
    }

    /// Appends events to the logs of their groups, all in one transaction, and gives each its `seq`:
    /// the next of its group, gapless from 1, in the order in which they stand here. `None` where
    /// the group does not exist.
    ///
    /// Taking the numbers holds the groups' rows until the commit, so commit order is `seq` order.
    ///
    /// # Errors
    /// When the database fails. Then nothing was stored, unless it broke off while it committed.
    pub async fn append(
        db: &DatabaseConnection,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Option<i64>>, DbErr> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut counts = BTreeMap::new();
        for event in &events {
            *counts.entry(event.group_id).or_insert(0) += 1;
        }
        let transaction = db.begin().await?;
        let mut last = take_numbers(&transaction, &counts).await?;
        // The head is that of the last event; the first comes as many before it as there are.
        for (group_id, head) in &mut last {
            *head -= counts.get(group_id).copied().unwrap_or(0);
        }
        let now = Utc::now().into();
        let mut seqs = Vec::with_capacity(events.len());
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let seq = last.get_mut(&event.group_id).map(|last| {
                *last += 1;
                *last
            });
            rows.extend(seq.map(|seq| event.at(seq, now)));
            seqs.push(seq);
        }
        if !rows.is_empty() {
            events::Entity::insert_many(rows)
                .exec_without_returning(&transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(seqs)
    }

    async fn insert_with_owner(
        db: &DatabaseConnection,
        owner: &users::Model,
        title: Option<String>,
        name: String,
    ) -> Result<Self, DbErr> {
        let transaction = db.begin().await?;
        let group = ActiveModel {
            name: Set(name),
            title: Set(title),
            ..Default::default()
        }
        .insert(&transaction)
        .await?;
        memberships::Model::create(&transaction, group.id, owner.id, Role::Owner).await?;
        transaction.commit().await?;
        Ok(group)
    }
}

/// Moves each group's head on by its count, and gives the new heads. One statement does it for all
/// groups.
async fn take_numbers(
    transaction: &DatabaseTransaction,
    counts: &BTreeMap<i64, i64>,
) -> Result<HashMap<i64, i64>, DbErr> {
    let backend = transaction.get_database_backend();
    // Numbers of our own and nothing else, so they need no parameters.
    let list = |pairs: &mut dyn Iterator<Item = String>| pairs.collect::<Vec<_>>().join(",");
    if backend == DbBackend::Postgres && counts.len() > 1 {
        // The statement below locks rows in any order; two nodes would wait for each other.
        let ids = list(&mut counts.keys().map(ToString::to_string));
        let lock = format!("SELECT id FROM chat_groups WHERE id IN ({ids}) ORDER BY id FOR UPDATE");
        transaction
            .execute_raw(Statement::from_string(backend, lock))
            .await?;
    }
    let values = list(&mut counts.iter().map(|(id, count)| format!("({id},{count})")));
    let take = format!(
        "WITH taken(id, n) AS (VALUES {values}) \
         UPDATE chat_groups SET head = head + taken.n FROM taken WHERE chat_groups.id = taken.id \
         RETURNING chat_groups.id AS id, chat_groups.head AS head"
    );
    let rows = transaction
        .query_all_raw(Statement::from_string(backend, take))
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "head")?)))
        .collect()
}

fn random_name() -> String {
    format!("chat_{:08x}", random::<u32>())
}

/// Whether this is the form of a group's name: `chat_` and 8 lower-case hex digits.
fn is_name(text: &str) -> bool {
    text.strip_prefix("chat_").is_some_and(|digits| {
        digits.len() == 8
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_taken(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
