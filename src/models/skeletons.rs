//! The rule that no two usernames look alike (UTS 39). A skeleton stands for the appearance of a name.
//!
//! Each skeleton has one holder. All ASCII names share one holder, so they may look like each other. Every other name
//! is a holder of its own. The database decides: the second registration of a skeleton waits for the first, and then
//! fails.

use loco_rs::prelude::*;
use migration::skeletons;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};

pub use super::_entities::skeletons::{ActiveModel, Column, Entity, Model};
use super::usernames::Username;

impl ActiveModelBehavior for ActiveModel {}

/// The skeletons of a username, and their holder.
pub struct ConfusableKey {
    skeletons: Vec<String>,
    holder: String,
}

impl ConfusableKey {
    /// Computes the skeletons of a username.
    #[must_use]
    pub fn from_username(username: &Username) -> Self {
        let (username, key) = (username.as_str(), username.key());
        Self {
            skeletons: skeletons::compute(username, &key).into_iter().collect(),
            holder: skeletons::holder(username, &key).to_owned(),
        }
    }

    /// Returns whether the two usernames look alike and cannot both exist.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.holder != other.holder
            && self
                .skeletons
                .iter()
                .any(|skeleton| other.skeletons.contains(skeleton))
    }

    /// Returns whether another username looks like this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_reserved_by_other(&self, db: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let query = Entity::find()
            .filter(Column::Skeleton.is_in(&self.skeletons))
            .filter(Column::Holder.ne(self.holder.as_str()));
        Ok(query.one(db).await?.is_some())
    }

    /// Reserves the skeletons for this username, within the transaction. Returns whether no other name holds one of
    /// them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reserve(&self, db: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let rows = self.skeletons.iter().map(|skeleton| ActiveModel {
            skeleton: Set(skeleton.clone()),
            holder: Set(self.holder.clone()),
        });
        // A skeleton with the same holder is written again, and so counted. A skeleton of another holder is not.
        let same_holder = OnConflict::column(Column::Skeleton)
            .update_column(Column::Holder)
            .action_and_where(Expr::col((Entity, Column::Holder)).eq(self.holder.as_str()))
            .to_owned();
        let reserved = Entity::insert_many(rows)
            .on_conflict(same_holder)
            .exec_without_returning(db)
            .await?;
        Ok(usize::try_from(reserved).is_ok_and(|reserved| reserved == self.skeletons.len()))
    }
}
