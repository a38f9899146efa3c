//! Polls. A poll has a question and choices. Each member of the group has one vote until the poll is closed.

use chrono::Utc;
use salam::models::{
    chat_groups,
    log::{LockedLogs, begin_write},
    memberships,
    rejections::{CommandError, Rejection},
    users,
};
use sea_orm::{
    ActiveValue::Set, DatabaseTransaction, FromJsonQueryResult, IntoActiveModel, QueryOrder,
    QuerySelect, entity::prelude::*,
};
use serde::{Deserialize, Serialize};

use super::votes::{self, VoteCounts};

/// A poll of a group.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "polls")]
pub struct Model {
    pub created_at: DateTimeWithTimeZone,
    pub updated_at: DateTimeWithTimeZone,
    #[sea_orm(primary_key)]
    pub id: i64,
    pub question: String,
    pub choices: Choices,
    /// `None` while members may vote.
    pub closed_at: Option<DateTimeWithTimeZone>,
    pub group_id: i64,
    pub user_id: i64,
}

/// The texts of the choices, stored as a JSON array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Choices(pub Vec<String>);

/// A poll with the number of votes for each of its choices.
pub struct PollWithVotes {
    pub poll: Model,
    pub votes: Vec<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Creates a poll. The author must be a member of the group.
    ///
    /// # Errors
    /// [`Rejection::NotMember`] when the author is no longer a member, or when the database fails.
    pub async fn create(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        author: &users::Model,
        question: String,
        choices: Vec<String>,
    ) -> Result<PollWithVotes, CommandError> {
        let transaction = begin_write(db).await?;
        // No member can leave the group between this check and the commit.
        LockedLogs::lock(&transaction, [group.id].into()).await?;
        memberships::Model::find_for_actor(&transaction, group.id, author).await?;
        let poll = ActiveModel {
            question: Set(question),
            choices: Set(Choices(choices)),
            group_id: Set(group.id),
            user_id: Set(author.id),
            created_at: Set(Utc::now().into()),
            ..Default::default()
        };
        let poll = poll.insert(&transaction).await?;
        transaction.commit().await?;
        let votes = vec![0; poll.choices.0.len()];
        Ok(PollWithVotes { poll, votes })
    }

    /// Returns at most `limit` polls of a group with ids above `after`, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        after: i64,
        limit: u64,
    ) -> Result<Vec<PollWithVotes>, DbErr> {
        let polls = Entity::find()
            .filter(Column::GroupId.eq(group.id))
            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(db)
            .await?;
        let counts = votes::Model::count(db, polls.iter().map(|poll| poll.id)).await?;
        let with_votes = polls
            .into_iter()
            .map(|poll| PollWithVotes::new(poll, &counts));
        Ok(with_votes.collect())
    }

    /// Returns a poll of a group, or `None` when the group has no such poll.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        id: i64,
    ) -> Result<Option<Self>, DbErr> {
        Entity::find_by_id(id)
            .filter(Column::GroupId.eq(group.id))
            .one(db)
            .await
    }

    /// Returns the poll with the number of votes for each of its choices.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn with_votes(self, db: &impl ConnectionTrait) -> Result<PollWithVotes, DbErr> {
        let counts = votes::Model::count(db, [self.id]).await?;
        Ok(PollWithVotes::new(self, &counts))
    }

    /// Stores the vote of a member. A vote replaces the member's earlier vote.
    ///
    /// # Errors
    /// [`Rejection::NotMember`] when the voter is no longer a member, [`Rejection::Conflict`] when the poll
    /// is closed, or when the database fails.
    pub async fn vote(
        &self,
        db: &DatabaseConnection,
        voter: &users::Model,
        choice: i32,
    ) -> Result<PollWithVotes, CommandError> {
        let transaction = begin_write(db).await?;
        let poll = Self::lock(&transaction, self.id).await?;
        memberships::Model::find_for_actor(&transaction, poll.group_id, voter).await?;
        if poll.closed_at.is_some() {
            return Err(Rejection::Conflict("This poll is closed.").into());
        }
        votes::Model::cast(&transaction, poll.id, voter.id, choice).await?;
        let poll = poll.with_votes(&transaction).await?;
        transaction.commit().await?;
        Ok(poll)
    }

    /// Closes a poll. A poll that is closed already does not change.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] when the poll does not exist, or when the database fails.
    pub async fn close(db: &DatabaseConnection, id: i64) -> Result<Self, CommandError> {
        let transaction = begin_write(db).await?;
        let poll = Self::lock(&transaction, id).await?;
        if poll.closed_at.is_some() {
            return Ok(poll);
        }
        let mut row = poll.into_active_model();
        row.closed_at = Set(Some(Utc::now().into()));
        let closed = row.update(&transaction).await?;
        transaction.commit().await?;
        Ok(closed)
    }

    /// Locks the log of a poll's group until the transaction ends, and returns the poll.
    async fn lock(transaction: &DatabaseTransaction, id: i64) -> Result<Self, CommandError> {
        let group_id = Self::find_by_id(transaction, id).await?.group_id;
        LockedLogs::lock(transaction, [group_id].into()).await?;
        // Another transaction may have changed the poll before this one had the lock.
        Self::find_by_id(transaction, id).await
    }

    async fn find_by_id(db: &impl ConnectionTrait, id: i64) -> Result<Self, CommandError> {
        let found = Entity::find_by_id(id).one(db).await?;
        Ok(found.ok_or(Rejection::NotFound)?)
    }
}

impl PollWithVotes {
    /// Adds the counts to a poll. A choice without votes gets 0.
    fn new(poll: Model, counts: &VoteCounts) -> Self {
        let choices = (0..).take(poll.choices.0.len());
        let votes = choices.map(|choice| counts.get(&(poll.id, choice)).copied());
        let votes = votes.map(Option::unwrap_or_default).collect();
        Self { poll, votes }
    }
}
