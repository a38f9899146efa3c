use sea_orm::entity::prelude::*;

pub use super::_entities::memberships::{ActiveModel, Entity, Model};

impl ActiveModelBehavior for ActiveModel {}
