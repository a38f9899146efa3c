//! Surveys. A survey has a question and choices. Each member of the group has one vote until the survey is closed.
//!
//! A [`SurveyChange`] is a command of the group: the writer checks the membership of the actor in the transaction of the
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

/// A survey of a group.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "surveys")]
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

/// A survey with the number of votes for each of its choices.
pub struct SurveyWithVotes {
    pub survey: Model,
    pub votes: Vec<i64>,
}

/// A change of a survey.
#[derive(Debug)]
pub struct SurveyChange {
    pub action: SurveyAction,
    /// Returns the JSON of the changed survey: the response, and the data of the event.
    pub to_json: fn(SurveyWithVotes) -> Result<RowJson, CommandError>,
}

/// The kinds of changes.
#[derive(Debug)]
pub enum SurveyAction {
    Create {
        question: String,
        choices: Vec<String>,
    },
    /// Votes for a choice by its index. The vote replaces the member's earlier vote.
    Vote { id: i64, choice: i32 },
    /// Ends the votes. The author, admins, the owner and operators may close a survey.
    Close { id: i64 },
}

#[async_trait]
impl RowChange for SurveyChange {
    fn event_kind(&self) -> Option<&'static str> {
        Some(match self.action {
            SurveyAction::Create { .. } => "survey.created",
            SurveyAction::Vote { .. } => "survey.voted",
            SurveyAction::Close { .. } => "survey.closed",
        })
    }

    fn is_for_operators(&self) -> bool {
        matches!(self.action, SurveyAction::Close { .. })
    }

    async fn apply(&self, scope: &RowScope<'_>) -> Result<RowOutcome, CommandError> {
        let db = scope.transaction;
        let (survey, has_changed) = match &self.action {
            SurveyAction::Create { question, choices } => {
                (create(scope, question, choices).await?, true)
            }
            SurveyAction::Vote { id, choice } => {
                let survey = find_in_group(scope, *id).await?;
                let voter = scope.actor.ok_or(Rejection::Forbidden)?;
                if survey.closed_at.is_some() {
                    return Err(Rejection::Conflict("This survey is closed.").into());
                }
                let has_changed = votes::Model::cast(db, survey.id, voter.id, *choice).await?;
                (survey, has_changed)
            }
            SurveyAction::Close { id } => {
                let survey = find_in_group(scope, *id).await?;
                let is_author = scope.actor.is_some_and(|actor| actor.id == survey.user_id);
                if !is_author && scope.role < Role::Admin {
                    return Err(Rejection::Forbidden.into());
                }
                if survey.closed_at.is_some() {
                    (survey, false)
                } else {
                    (close(db, survey).await?, true)
                }
            }
        };
        let json = (self.to_json)(survey.with_votes(db).await?)?;
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
    let survey = ActiveModel {
        question: Set(question.to_owned()),
        choices: Set(Choices(choices.to_vec())),
        group_id: Set(scope.group_id),
        user_id: Set(author.id),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    };
    Ok(survey.insert(scope.transaction).await?)
}

async fn close(db: &DatabaseTransaction, survey: Model) -> Result<Model, CommandError> {
    let now = Utc::now().into();
    let mut row = survey.into_active_model();
    row.closed_at = Set(Some(now));
    row.updated_at = Set(now);
    Ok(row.update(db).await?)
}

/// Returns a survey of the group of the change.
async fn find_in_group(scope: &RowScope<'_>, id: i64) -> Result<Model, CommandError> {
    let found = Entity::find_by_id(id).filter(Column::GroupId.eq(scope.group_id));
    let found = found.one(scope.transaction).await?;
    Ok(found.ok_or(Rejection::NotFound)?)
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns at most `limit` surveys of a group with ids above `after`, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        after: i64,
        limit: u64,
    ) -> Result<Vec<SurveyWithVotes>, DbErr> {
        let surveys = Entity::find()
            .filter(Column::GroupId.eq(group.id))
            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(db)
            .await?;
        let counts = votes::Model::count(db, surveys.iter().map(|survey| survey.id)).await?;
        let with_votes = surveys
            .into_iter()
            .map(|survey| SurveyWithVotes::new(survey, &counts));
        Ok(with_votes.collect())
    }

    /// Returns a survey of a group, or `None` when the group has no such survey.
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

    /// Returns the survey with the number of votes for each of its choices.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn with_votes(self, db: &impl ConnectionTrait) -> Result<SurveyWithVotes, DbErr> {
        let counts = votes::Model::count(db, [self.id]).await?;
        Ok(SurveyWithVotes::new(self, &counts))
    }
}

impl SurveyWithVotes {
    /// Adds the counts to a survey. A choice without votes gets 0.
    fn new(survey: Model, counts: &VoteCounts) -> Self {
        let choices = (0..).take(survey.choices.0.len());
        let votes = choices.map(|choice| counts.get(&(survey.id, choice)).copied());
        let votes = votes.map(Option::unwrap_or_default).collect();
        Self { survey, votes }
    }
}
