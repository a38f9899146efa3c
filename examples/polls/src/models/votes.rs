//! Votes. A user has at most one vote in each poll.

use std::collections::HashMap;

use sea_orm::{ActiveValue::Set, QuerySelect, entity::prelude::*, sea_query::OnConflict};

/// A vote of a user in a poll.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "poll_votes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub poll_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// The index of the choice in the poll.
    pub choice: i32,
}

/// The number of votes, by the id of the poll and the index of the choice.
pub type VoteCounts = HashMap<(i64, i32), i64>;

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Stores a vote, which replaces the user's earlier vote in the poll.
    ///
    /// Returns `false` if the user has voted for this choice before. The caller checks that the user is a member, that
    /// the poll is open, and that the choice exists.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cast(
        db: &impl ConnectionTrait,
        poll_id: i64,
        user_id: i64,
        choice: i32,
    ) -> Result<bool, DbErr> {
        let earlier = Entity::find_by_id((poll_id, user_id)).one(db).await?;
        if earlier.is_some_and(|vote| vote.choice == choice) {
            return Ok(false);
        }
        let vote = ActiveModel {
            poll_id: Set(poll_id),
            user_id: Set(user_id),
            choice: Set(choice),
        };
        let replace_choice = OnConflict::columns([Column::PollId, Column::UserId])
            .update_column(Column::Choice)
            .to_owned();
        Entity::insert(vote)
            .on_conflict(replace_choice)
            .exec_without_returning(db)
            .await?;
        Ok(true)
    }

    /// Counts the votes in polls with one query. A choice without votes is absent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count(
        db: &impl ConnectionTrait,
        poll_ids: impl IntoIterator<Item = i64>,
    ) -> Result<VoteCounts, DbErr> {
        let rows: Vec<(i64, i32, i64)> = Entity::find()
            .select_only()
            .columns([Column::PollId, Column::Choice])
            .column_as(Column::UserId.count(), "votes")
            .filter(Column::PollId.is_in(poll_ids))
            .group_by(Column::PollId)
            .group_by(Column::Choice)
            .into_tuple()
            .all(db)
            .await?;
        let counts = rows
            .into_iter()
            .map(|(poll_id, choice, votes)| ((poll_id, choice), votes));
        Ok(counts.collect())
    }
}
