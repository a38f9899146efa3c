//! The lives of this database. Numbers of a log mean something within one of them: after a backup
//! was restored, the same number may be another event.

use loco_rs::prelude::*;
use sea_orm::SqlErr;
use uuid::Uuid;

pub use super::_entities::epochs::{ActiveModel, Column, Entity, Model};

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The present life. The first who asks begins it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn current(db: &DatabaseConnection) -> Result<Self, DbErr> {
        match Self::last(db).await? {
            Some(epoch) => Ok(epoch),
            None => Self::begin_after(db, None).await,
        }
    }

    /// Begins a new life after the one of this name, and gives the present one: that, or the one
    /// which somebody else began meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_after(db: &DatabaseConnection, ended: Option<&str>) -> Result<Self, DbErr> {
        let last = Self::last(db).await?;
        if let Some(last) = last.as_ref().filter(|last| Some(&*last.name) != ended) {
            return Ok(last.clone());
        }
        let epoch = ActiveModel {
            // Of several that begin one at once the database takes the first.
            id: Set(last.map_or(1, |last| last.id + 1)),
            name: Set(Uuid::new_v4().simple().to_string()),
            ..Default::default()
        };
        match epoch.insert(db).await {
            Ok(epoch) => Ok(epoch),
            Err(error) => match (error.sql_err(), Self::last(db).await?) {
                (Some(SqlErr::UniqueConstraintViolation(_)), Some(epoch)) => Ok(epoch),
                _ => Err(error),
            },
        }
    }

    async fn last(db: &DatabaseConnection) -> Result<Option<Self>, DbErr> {
        Entity::find().order_by_desc(Column::Id).one(db).await
    }
}
