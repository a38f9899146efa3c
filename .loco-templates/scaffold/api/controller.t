to: src/controllers/{{ snake_plural }}.rs
skip_exists: true
message: "Controller `{{ pascal_singular }}` was added. Its routes need an access token; whoever has one may read and change every row, so narrow that where rows belong to somebody."
injections:
- into: src/controllers/mod.rs
  append: true
  content: "pub mod {{ snake_plural }};"
- into: src/app.rs
  after: "AppRoutes::"
  content: "            .add_route(controllers::{{ snake_plural }}::routes())"
- into: src/controllers/openapi.rs
  before: "// openapi-inject"
  content: "        super::{{ snake_plural }}::list,\n        super::{{ snake_plural }}::create,\n        super::{{ snake_plural }}::get_one,\n        super::{{ snake_plural }}::update,\n        super::{{ snake_plural }}::remove,"
---
//! The endpoints of {{ snake_plural }}.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use loco_rs::{
    app::AppContext,
    controller::{Json, Routes},
    prelude::{delete, get, post, put},
};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, QueryOrder, QuerySelect};

use super::extractors::CurrentUser;
use crate::{
    errors::{Error, Result},
    models::_entities::{{ snake_plural }}::{ActiveModel, Column, Entity, Model},
    views::{
        errors::{Detail, Refusal},
        {{ snake_plural }}::{ {{- pascal_singular }}, {{ pascal_singular }}Params},
    },
};

/// Rows of one answer, at most.
const PAGE: u64 = 100;

/// List the first 100.
#[utoipa::path(
    get, path = "/api/{{ snake_plural }}/", operation_id = "{{ snake_plural }}_list", tag = "{{ snake_plural }}",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "In the order of their ids.", body = Vec<{{ pascal_singular }}>),
        (status = 401, description = "No live access token.", body = Refusal),
    ),
)]
pub async fn list(
    _: CurrentUser,
    State(ctx): State<AppContext>,
) -> Result<Json<Vec<{{ pascal_singular }}>>> {
    let rows = Entity::find().order_by_asc(Column::Id).limit(PAGE).all(&ctx.db).await?;
    Ok(Json(rows.into_iter().map({{ pascal_singular }}::from).collect()))
}

/// Create one.
#[utoipa::path(
    post, path = "/api/{{ snake_plural }}/", operation_id = "{{ snake_plural }}_create", tag = "{{ snake_plural }}",
    security(("bearer" = [])),
    request_body = {{ pascal_singular }}Params,
    responses(
        (status = 201, description = "Created.", body = {{ pascal_singular }}),
        (status = 401, description = "No live access token.", body = Refusal),
    ),
)]
pub async fn create(
    _: CurrentUser,
    State(ctx): State<AppContext>,
    Json(params): Json<{{ pascal_singular }}Params>,
) -> Result<(StatusCode, Json<{{ pascal_singular }}>)> {
    let row = ActiveModel {
        {% for f in fields -%}
        {{ f.field_name }}: Set({{ f.set_expr }}),
        {% endfor -%}
        ..Default::default()
    };
    Ok((StatusCode::CREATED, Json(row.insert(&ctx.db).await?.into())))
}

/// Get one.
#[utoipa::path(
    get, path = "/api/{{ snake_plural }}/{id}/", operation_id = "{{ snake_plural }}_get", tag = "{{ snake_plural }}",
    security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses(
        (status = 200, description = "Here it is.", body = {{ pascal_singular }}),
        (status = 401, description = "No live access token.", body = Refusal),
        (status = 404, description = "There is none.", body = Detail),
    ),
)]
pub async fn get_one(
    _: CurrentUser,
    State(ctx): State<AppContext>,
    Path(id): Path<i64>,
) -> Result<Json<{{ pascal_singular }}>> {
    Ok(Json(find(&ctx, id).await?.into()))
}

/// Change one.
#[utoipa::path(
    put, path = "/api/{{ snake_plural }}/{id}/", operation_id = "{{ snake_plural }}_update", tag = "{{ snake_plural }}",
    security(("bearer" = [])),
    params(("id" = i64, Path)),
    request_body = {{ pascal_singular }}Params,
    responses(
        (status = 200, description = "Changed.", body = {{ pascal_singular }}),
        (status = 401, description = "No live access token.", body = Refusal),
        (status = 404, description = "There is none.", body = Detail),
    ),
)]
pub async fn update(
    _: CurrentUser,
    State(ctx): State<AppContext>,
    Path(id): Path<i64>,
    Json(params): Json<{{ pascal_singular }}Params>,
) -> Result<Json<{{ pascal_singular }}>> {
    let mut row = find(&ctx, id).await?.into_active_model();
    {% for f in fields -%}
    row.{{ f.field_name }} = Set({{ f.set_expr }});
    {% endfor -%}
    Ok(Json(row.update(&ctx.db).await?.into()))
}

/// Delete one.
#[utoipa::path(
    delete, path = "/api/{{ snake_plural }}/{id}/", operation_id = "{{ snake_plural }}_remove", tag = "{{ snake_plural }}",
    security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses(
        (status = 204, description = "Deleted."),
        (status = 401, description = "No live access token.", body = Refusal),
        (status = 404, description = "There is none.", body = Detail),
    ),
)]
pub async fn remove(
    _: CurrentUser,
    State(ctx): State<AppContext>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    find(&ctx, id).await?.into_active_model().delete(&ctx.db).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(ctx: &AppContext, id: i64) -> Result<Model> {
    Entity::find_by_id(id).one(&ctx.db).await?.ok_or(Error::NotFound)
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/{{ snake_plural }}")
        .add("/", get(list))
        .add("/", post(create))
        .add("/{id}", get(get_one))
        .add("/{id}", put(update))
        .add("/{id}", delete(remove))
}
