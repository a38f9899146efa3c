//! Votes. A user has at most one vote in each survey.

use std::collections::HashMap;

use sea_orm::{ActiveValue::Set, QuerySelect, entity::prelude::*, sea_query::OnConflict};

/// A vote of a user in a survey.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "survey_votes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub survey_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// The index of the choice in the survey.
    pub choice: i32,
}

/// The number of votes, by the id of the survey and the index of the choice.
pub type VoteCounts = HashMap<(i64, i32), i64>;

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Stores a vote, which replaces the user's earlier vote in the survey.
    ///
    /// Returns `false` if the user has voted for this choice before. The caller checks that the user is a member, that
    /// the survey is open, and that the choice exists.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cast(
        db: &impl ConnectionTrait,
        survey_id: i64,
        user_id: i64,
        choice: i32,
    ) -> Result<bool, DbErr> {
        let earlier = Entity::find_by_id((survey_id, user_id)).one(db).await?;
        if earlier.is_some_and(|vote| vote.choice == choice) {
            return Ok(false);
        }
        let vote = ActiveModel {
            survey_id: Set(survey_id),
            user_id: Set(user_id),
            choice: Set(choice),
        };
        let replace_choice = OnConflict::columns([Column::SurveyId, Column::UserId])
            .update_column(Column::Choice)
            .to_owned();
        Entity::insert(vote)
            .on_conflict(replace_choice)
            .exec_without_returning(db)
            .await?;
        Ok(true)
    }

    /// Counts the votes in surveys with one query. A choice without votes is absent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count(
        db: &impl ConnectionTrait,
        survey_ids: impl IntoIterator<Item = i64>,
    ) -> Result<VoteCounts, DbErr> {
        let rows: Vec<(i64, i32, i64)> = Entity::find()
            .select_only()
            .columns([Column::SurveyId, Column::Choice])
            .column_as(Column::UserId.count(), "votes")
            .filter(Column::SurveyId.is_in(survey_ids))
            .group_by(Column::SurveyId)
            .group_by(Column::Choice)
            .into_tuple()
            .all(db)
            .await?;
        let counts = rows
            .into_iter()
            .map(|(survey_id, choice, votes)| ((survey_id, choice), votes));
        Ok(counts.collect())
    }
}
