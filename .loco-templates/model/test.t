{% set plural_snake = name | plural | snake_case -%}
{% set singular = name | snake_case -%}
{% set words = plural_snake | replace(from="_", to=" ") -%}
{% set_global owned = false -%}
{% set_global grouped = false -%}
{% set_global needy = false -%}
{% for ref in references -%}
{% if ref.0 == "user" and ref.1 == "" %}{% set_global owned = true -%}
{% elif ref.0 == "chat_group" and ref.1 == "group_id" %}{% set_global grouped = true -%}
{% elif ref.0 is not ending_with("?") %}{% set_global needy = true -%}
{% endif -%}
{% endfor -%}
{% if grouped or owned %}{% set own = "&own, " %}{% else %}{% set own = "" %}{% endif -%}
to: "tests/models/{{plural_snake}}.rs"
message: "The model `{{plural_snake}}` was added, with finders and a test."
skip_exists: true
injections:
- into: "tests/models/mod.rs"
  after_last: "^mod "
  content: "mod {{plural_snake}};"
---
//! {{ words | capitalize }} as they are stored.

use salam::models::{ {%- if grouped %}chat_groups, {% endif %}{{plural_snake}}{% if owned %}, users{% endif -%} };
{% if not needy %}use sea_orm::{ActiveModelTrait, ActiveValue::Set};
{% endif %}
use crate::support::TestApp;

#[tokio::test]
async fn a_{{singular}}_is_found_by_its_{% if grouped %}group{% elif owned %}user{% else %}id{% endif %}_alone() {
    let app = TestApp::start().await;
    let db = &app.ctx.db;
{% if grouped %}    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let group = async |name: String| {
        let found = chat_groups::Model::find_by_name(db, &name).await;
        found.unwrap().unwrap()
    };
    let own = group(ann.start_chat().await).await;
    let other = group(bob.start_chat().await).await;
{% elif owned %}    app.user("ann").await;
    app.user("bob").await;
{% endif %}{% if owned %}    let user = async |name: &str| {
        let found = users::Model::find_by_username(db, name).await;
        found.unwrap().unwrap()
    };
{% endif %}{% if owned and not grouped %}    let own = user("ann").await;
    let other = user("bob").await;
{% endif %}{% if needy %}    // What it refers to has to be there first: make it, and then one of these, and go on as for others.
    let found = {{plural_snake}}::Model::find(db, {{own}}1).await.unwrap();
    assert_eq!(found, None);
{% if own %}    let listed = {{plural_snake}}::Model::list(db, &other, 0, 10).await.unwrap();
{% else %}    let listed = {{plural_snake}}::Model::list(db, 0, 10).await.unwrap();
{% endif %}    assert_eq!(listed, []);
{% else %}    let row = {{plural_snake}}::ActiveModel {
{% if owned %}        user_id: Set({% if grouped %}user("ann").await{% else %}own{% endif %}.id),
{% endif %}{% if grouped %}        group_id: Set(own.id),
{% endif %}{% for column in columns %}{% if column.1 is not containing("Null") and column.1 is not containing("_null") %}        {{column.0}}: Set(Default::default()),
{% endif %}{% endfor %}        ..Default::default()
    };
    let made = row.insert(db).await.unwrap();
    let found = {{plural_snake}}::Model::find(db, {{own}}made.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&made));
{% if own %}    let found = {{plural_snake}}::Model::find(db, &other, made.id).await.unwrap();
    assert_eq!(found, None);
{% endif %}    let listed = {{plural_snake}}::Model::list(db, {{own}}0, 10).await.unwrap();
    assert_eq!(listed, [made]);
{% endif %}}
// ==> src/models/{{plural_snake}}.rs
//! {{ words | capitalize }}{% if grouped %}, each of a group{% elif owned %}, each of the user who made it{% endif %}.

{% if with_tz %}use chrono::Utc;
{% endif %}use loco_rs::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

pub use super::_entities::{{plural_snake}}::{ActiveModel, Column, Entity, Model};
{% if grouped %}use super::chat_groups;
{% elif owned %}use super::users;
{% endif %}
{% if with_tz %}#[async_trait]
impl ActiveModelBehavior for ActiveModel {
    async fn before_save<C: ConnectionTrait>(mut self, _: &C, insert: bool) -> Result<Self, DbErr> {
        let now = Utc::now().into();
        if insert && self.created_at.is_not_set() {
            self.created_at = Set(now);
        }
        if self.updated_at.is_not_set() || self.updated_at.is_unchanged() {
            self.updated_at = Set(now);
        }
        Ok(self)
    }
}
{% else %}impl ActiveModelBehavior for ActiveModel {}
{% endif %}
impl Model {
    /// {% if grouped %}Those of a group{% elif owned %}Those of a user{% else %}All of them{% endif %} after the one with the id `after`, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
{% if grouped %}        group: &chat_groups::Model,
{% elif owned %}        user: &users::Model,
{% endif %}        after: i64,
        limit: u64,
    ) -> Result<Vec<Self>, DbErr> {
        Entity::find()
{% if grouped %}            .filter(Column::GroupId.eq(group.id))
{% elif owned %}            .filter(Column::UserId.eq(user.id))
{% endif %}            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(db)
            .await
    }

    /// {% if grouped %}One of a group's{% elif owned %}One of a user's{% else %}The one with this id{% endif %}.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(
        db: &DatabaseConnection,
{% if grouped %}        group: &chat_groups::Model,
{% elif owned %}        user: &users::Model,
{% endif %}        id: i64,
    ) -> Result<Option<Self>, DbErr> {
        Entity::find_by_id(id)
{% if grouped %}            .filter(Column::GroupId.eq(group.id))
{% elif owned %}            .filter(Column::UserId.eq(user.id))
{% endif %}            .one(db)
            .await
    }
}
