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
{% set_global sets = false -%}
{% if owned or grouped %}{% set_global sets = true %}{% endif -%}
{% for column in columns -%}
{% if column.1 is not containing("Null") and column.1 is not containing("_null") %}{% set_global sets = true %}{% endif -%}
{% endfor -%}
{% set_global names_user = false -%}
{% if owned %}{% if not grouped or not needy %}{% set_global names_user = true %}{% endif %}{% endif -%}
{% set events = get_env(name="SALAM_GENERATE_EVENT", default="") -%}
{% set word = singular | replace(from="_", to=" ") -%}
{% if grouped or owned %}{% set own = "&own, " %}{% else %}{% set own = "" %}{% endif -%}
to: "tests/models/{{plural_snake}}.rs"
skip_exists: true
injections:
- into: "tests/models/mod.rs"
  after_last: "^mod "
  content: "mod {{plural_snake}};"
---
//! The model of {{ words }}.

use salam::models::{ {%- if grouped %}chat_groups, {% endif %}{{plural_snake}}{% if names_user %}, users{% endif -%} };
{% if not needy %}use sea_orm::{% if sets %}{ActiveModelTrait, ActiveValue::Set}{% else %}ActiveModelTrait{% endif %};
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
{% endif %}{% if names_user %}    let user = async |name: &str| {
        let found = users::Model::find_by_username(db, name).await;
        found.unwrap().unwrap()
    };
{% endif %}{% if owned and not grouped %}    let own = user("ann").await;
    let other = user("bob").await;
{% endif %}{% if needy %}    // Create the rows to which a {{ word }} refers, then a {{ word }}, and test `find` and `list` with it.
    let found = {{plural_snake}}::Model::find(db, {{own}}1).await.unwrap();
    assert_eq!(found, None);
{% if own %}    let listed = {{plural_snake}}::Model::list(db, &other, 0, 10).await.unwrap();
{% else %}    let listed = {{plural_snake}}::Model::list(db, 0, 10).await.unwrap();
{% endif %}    assert!(listed.is_empty());
{% else %}    let row = {{plural_snake}}::ActiveModel {
{% if owned %}        user_id: Set({% if grouped %}user("ann").await{% else %}own{% endif %}.id),
{% endif %}{% if grouped %}        group_id: Set(own.id),
{% endif %}{% for column in columns %}{% if column.1 is not containing("Null") and column.1 is not containing("_null") %}        {{column.0}}: Set(Default::default()),
{% endif %}{% endfor %}        ..Default::default()
    };
    let created = row.insert(db).await.unwrap();
{% if owned and grouped %}    let created = (created, "ann".to_owned());
    let id = created.0.id;
{% else %}    let id = created.id;
{% endif %}    let found = {{plural_snake}}::Model::find(db, {{own}}id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&created));
{% if own %}    let found = {{plural_snake}}::Model::find(db, &other, id).await.unwrap();
    assert_eq!(found, None);
{% endif %}    let listed = {{plural_snake}}::Model::list(db, {{own}}0, 10).await.unwrap();
    assert_eq!(listed, [created]);
{% endif %}}
// ==> src/models/{{plural_snake}}.rs
//! {{ words | capitalize }}. {% if grouped and owned %}Each {{ word }} belongs to a group and to the member who created it.{% elif grouped %}Each {{ word }} belongs to a group.{% elif owned %}Each {{ word }} belongs to the user who created it.{% endif %}

{% if with_tz %}use chrono::Utc;
{% endif %}use loco_rs::prelude::*;
{% if grouped %}use sea_orm::{ActiveValue::Unchanged, QueryOrder, QuerySelect};
{% else %}use sea_orm::{QueryOrder, QuerySelect};
{% endif %}{% if grouped and events %}use serde::Deserialize;
use serde_json::value::RawValue;
{% endif %}
pub use super::_entities::{{plural_snake}}::{ActiveModel, Column, Entity, Model};
{% if grouped %}use super::{
    chat_groups,
    group_commands::{RowChange, RowJson, RowOutcome, RowScope},
    rejections::{CommandError, Rejection},
{% if owned %}    users,
{% endif %}};
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
{% if grouped %}/// A {{ word }}{% if owned %} with the username of the member who created the {{ word }}{% endif %}.
pub type Row = {% if owned %}(Model, String){% else %}Model{% endif %};

/// A change of a {{ word }} by a member of the group.
#[derive(Debug)]
pub struct Change {
    pub action: Action,
    /// Returns the JSON of the changed {{ word }}: the response{% if events %}, and the data of the event{% endif %}.
    pub to_json: fn(Row) -> Result<RowJson, CommandError>,
}

/// The kinds of changes.
#[derive(Debug)]
pub enum Action {
    Create(Box<ActiveModel>),
    Update { id: i64, values: Box<ActiveModel> },
    Delete { id: i64 },
}

{% if events %}/// The id in the JSON of a {{ word }}.
#[derive(Deserialize)]
struct RowId {
    id: i64,
}

{% endif %}#[async_trait]
impl RowChange for Change {
    fn event_kind(&self) -> Option<&'static str> {
{% if events %}        Some(match self.action {
            Action::Create(_) => "{{ singular }}.created",
            Action::Update { .. } => "{{ singular }}.updated",
            Action::Delete { .. } => "{{ singular }}.deleted",
        })
{% else %}        // Sockets receive no event of the change.
        None
{% endif %}    }

{% if events %}    fn is_retry_of(&self, first: &RawValue) -> bool {
        match &self.action {
            Action::Create(_) => true,
            Action::Update { id, .. } | Action::Delete { id } => {
                let first: Option<RowId> = serde_json::from_str(first.get()).ok();
                first.is_some_and(|first| first.id == *id)
            }
        }
    }

{% endif %}    async fn apply(&self, scope: &RowScope<'_>) -> Result<RowOutcome, CommandError> {
        let row = match &self.action {
            Action::Create(row) => (**row).clone().insert(scope.transaction).await?,
            Action::Update { id, values } => {
                let row = find_for_change(scope, *id).await?;
                let changed = ActiveModel { id: Unchanged(row.id), ..(**values).clone() };
                changed.update(scope.transaction).await?
            }
            Action::Delete { id } => {
                let row = find_for_change(scope, *id).await?;
                row.clone().delete(scope.transaction).await?;
                row
            }
        };
{% if owned %}        let author = users::Entity::find_by_id(row.user_id);
        let author = author.one(scope.transaction).await?;
        let json = (self.to_json)(with_username((row, author)))?;
        Ok(RowOutcome::Changed(json))
{% else %}        Ok(RowOutcome::Changed((self.to_json)(row)?))
{% endif %}    }
}

/// Returns a {{ word }} of the group{% if owned %} that the actor has created{% endif %}.
async fn find_for_change(scope: &RowScope<'_>, id: i64) -> Result<Model, CommandError> {
    let found = Entity::find_by_id(id).filter(Column::GroupId.eq(scope.group_id));
    let row = found.one(scope.transaction).await?.ok_or(Rejection::NotFound)?;
{% if owned %}    if scope.actor.is_none_or(|actor| actor.id != row.user_id) {
        return Err(Rejection::Forbidden.into());
    }
{% endif %}    Ok(row)
}

{% endif %}impl Model {
    /// Returns at most `limit` {{ words }}{% if grouped %} of a group{% elif owned %} of a user{% endif %} with ids above `after`, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &DatabaseConnection,
{% if grouped %}        group: &chat_groups::Model,
{% elif owned %}        user: &users::Model,
{% endif %}        after: i64,
        limit: u64,
    ) -> Result<Vec<{% if grouped %}Row{% else %}Self{% endif %}>, DbErr> {
        let rows = Entity::find()
{% if grouped %}            .filter(Column::GroupId.eq(group.id))
{% elif owned %}            .filter(Column::UserId.eq(user.id))
{% endif %}            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(limit){% if grouped and owned %}
            .find_also_related(users::Entity){% endif %}
            .all(db)
            .await?;
{% if grouped and owned %}        Ok(rows.into_iter().map(with_username).collect())
{% else %}        Ok(rows)
{% endif %}    }

    /// Returns a {{ word }}{% if grouped %} of a group{% elif owned %} of a user{% endif %}.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(
        db: &DatabaseConnection,
{% if grouped %}        group: &chat_groups::Model,
{% elif owned %}        user: &users::Model,
{% endif %}        id: i64,
    ) -> Result<Option<{% if grouped %}Row{% else %}Self{% endif %}>, DbErr> {
        let row = Entity::find_by_id(id)
{% if grouped %}            .filter(Column::GroupId.eq(group.id))
{% elif owned %}            .filter(Column::UserId.eq(user.id))
{% endif %}{% if grouped and owned %}            .find_also_related(users::Entity)
{% endif %}            .one(db)
            .await?;
{% if grouped and owned %}        Ok(row.map(with_username))
{% else %}        Ok(row)
{% endif %}    }
}
{% if grouped and owned %}
fn with_username((row, user): (Model, Option<users::Model>)) -> Row {
    // The user exists: a row is deleted together with its user.
    (row, user.map(|user| user.username).unwrap_or_default())
}
{% endif %}