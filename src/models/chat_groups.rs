use sea_orm::entity::prelude::*;

pub use super::_entities::chat_groups::{ActiveModel, Entity, Model};

impl ActiveModelBehavior for ActiveModel {}
