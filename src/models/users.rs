use sea_orm::entity::prelude::*;

pub use super::_entities::users::{ActiveModel, Entity, Model};

impl ActiveModelBehavior for ActiveModel {}
