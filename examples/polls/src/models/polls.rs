//! Polls. A poll has a question and choices. Each member of the group has one vote until the poll is closed.
//!
//! A [`PollChange`] is a command of the group: the writer checks the membership of the actor in the transaction of the
//! change, and all members receive the event of the change.

use async_trait::async_trait;
use chrono::Utc;
use salam::models::{
    chat_groups,
    group_commands::{RowChange, RowJson, RowOutcome, RowScope},
    memberships::Role,
    rejections::{CommandError, Rejection},
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

/// A change of a poll.
#[derive(Debug)]
pub struct PollChange {
    pub action: PollAction,
    /// Returns the JSON of the changed poll: the response, and the data of the event.
    pub to_json: fn(PollWithVotes) -> Result<RowJson, CommandError>,
}

/// The kinds of changes.
#[derive(Debug)]
pub enum PollAction {
    Create {
        question: String,
        choices: Vec<String>,
    },
    /// Votes for a choice by its index. The vote replaces the member's earlier vote.
    Vote { id: i64, choice: i32 },
    /// Ends the votes. The author, admins, the owner and operators may close a poll.
    Close { id: i64 },
}

#[async_trait]
impl RowChange for PollChange {
    fn event_kind(&self) -> Option<&'static str> {
        Some(match self.action {
            PollAction::Create { .. } => "poll.created",
            PollAction::Vote { .. } => "poll.voted",
            PollAction::Close { .. } => "poll.closed",
        })
    }

    fn is_for_operators(&self) -> bool {
        matches!(self.action, PollAction::Close { .. })
    }

    async fn apply(&self, scope: &RowScope<'_>) -> Result<RowOutcome, CommandError> {
        let db = scope.transaction;
        let (poll, has_changed) = match &self.action {
            PollAction::Create { question, choices } => {
                (create(scope, question, choices).await?, true)
            }
            PollAction::Vote { id, choice } => {
                let poll = find_in_group(scope, *id).await?;
                let voter = scope.actor.ok_or(Rejection::Forbidden)?;
                if poll.closed_at.is_some() {
                    return Err(Rejection::Conflict("This poll is closed.").into());
                }
                let has_changed = votes::Model::cast(db, poll.id, voter.id, *choice).await?;
                (poll, has_changed)
            }
            PollAction::Close { id } => {
                let poll = find_in_group(scope, *id).await?;
                let is_author = scope.actor.is_some_and(|actor| actor.id == poll.user_id);
                if !is_author && scope.role < Role::Admin {
                    return Err(Rejection::Forbidden.into());
                }
                if poll.closed_at.is_some() {
                    (poll, false)
                } else {
                    (close(db, poll).await?, true)
                }
            }
        };
        let json = (self.to_json)(poll.with_votes(db).await?)?;
        Ok(if has_changed {
            RowOutcome::Changed(json)
        } else {
            RowOutcome::Unchanged(json)
        })
    }
}

async fn create(
    scope: &RowScope<'_>,
    question: &str,
    choices: &[String],
) -> Result<Model, CommandError> {
    let author = scope.actor.ok_or(Rejection::Forbidden)?;
    let now = Utc::now().into();
    let poll = ActiveModel {
        question: Set(question.to_owned()),
        choices: Set(Choices(choices.to_vec())),
        group_id: Set(scope.group_id),
        user_id: Set(author.id),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    };
    Ok(poll.insert(scope.transaction).await?)
}

async fn close(db: &DatabaseTransaction, poll: Model) -> Result<Model, CommandError> {
    let now = Utc::now().into();
    let mut row = poll.into_active_model();
    row.closed_at = Set(Some(now));
    row.updated_at = Set(now);
    Ok(row.update(db).await?)
}

/// Returns a poll of the group of the change.
async fn find_in_group(scope: &RowScope<'_>, id: i64) -> Result<Model, CommandError> {
    let found = Entity::find_by_id(id).filter(Column::GroupId.eq(scope.group_id));
    let found = found.one(scope.transaction).await?;
    Ok(found.ok_or(Rejection::NotFound)?)
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
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
