//! No two usernames look alike (UTS 39): what a name looks like is held by it alone.
//!
//! Each skeleton has one holder. All names of ASCII alone are one holder together, so they may look
//! like each other; every other name is one of its own. The database decides: who comes second to a
//! skeleton waits for who came first, and finds that it is held.

use loco_rs::prelude::*;
use migration::skeletons;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};

pub use super::_entities::skeletons::{ActiveModel, Column, Entity, Model};
use super::usernames::Username;

impl ActiveModelBehavior for ActiveModel {}

/// What a username looks like.
pub struct ConfusableKey {
    skeletons: Vec<String>,
    holder: String,
}

impl ConfusableKey {
    #[must_use]
    pub fn from_username(username: &Username) -> Self {
        let (username, key) = (username.as_str(), username.key());
        Self {
            skeletons: skeletons::compute(username, &key).into_iter().collect(),
            holder: skeletons::holder(username, &key).to_owned(),
        }
    }

    /// Whether names that look like this cannot be had beside those that look like the other.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.holder != other.holder
            && self
                .skeletons
                .iter()
                .any(|skeleton| other.skeletons.contains(skeleton))
    }

    /// Whether another name looks like this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_reserved_by_other(&self, db: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let held = Entity::find()
            .filter(Column::Skeleton.is_in(&self.skeletons))
            .filter(Column::Holder.ne(self.holder.as_str()));
        Ok(held.one(db).await?.is_some())
    }

    /// Takes it for this name, until the transaction is rolled back; says whether no other name has
    /// it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reserve(&self, db: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let rows = self.skeletons.iter().map(|skeleton| ActiveModel {
            skeleton: Set(skeleton.clone()),
            holder: Set(self.holder.clone()),
        });
        // What is ours already is written anew, and so counted; what is another's is not.
        let mine = OnConflict::column(Column::Skeleton)
            .update_column(Column::Holder)
            .action_and_where(Expr::col((Entity, Column::Holder)).eq(self.holder.as_str()))
            .to_owned();
        let taken = Entity::insert_many(rows)
            .on_conflict(mine)
            .exec_without_returning(db)
            .await?;
        Ok(usize::try_from(taken).is_ok_and(|taken| taken == self.skeletons.len()))
    }
}
