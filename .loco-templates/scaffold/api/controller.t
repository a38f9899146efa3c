{% set words = snake_plural | replace(from="_", to=" ") -%}
{% set word = snake_singular | replace(from="_", to=" ") -%}
{% set events = get_env(name="SALAM_GENERATE_EVENT", default="") -%}
{% set_global owned = false -%}
{% set_global grouped = false -%}
{% set_global sample = "" -%}
{% set_global fields_sent = "" -%}
{% set_global required = "" -%}
{% set_global texts = "" -%}
{% set_global times = false -%}
{% for f in fields -%}
{% set t = f.rust_type | replace(from="Option<", to="") | replace(from=">", to="") -%}
{% if f.field_name == "user_id" and auth %}{% set_global owned = true -%}
{% elif f.field_name == "group_id" and auth %}{% set_global grouped = true -%}
{% else -%}
{% set key = '"' ~ f.field_name ~ '":' -%}
{% if f.is_enum %}{% set value = f.initial_value -%}
{% elif t == "String" %}{% set value = '"' ~ f.field_name ~ '"' -%}
{% elif t == "bool" %}{% set value = "true" -%}
{% elif t == "f32" or t == "f64" %}{% set value = "1.5" -%}
{% elif t == "Uuid" %}{% set value = '"67e55044-10b1-426f-9247-bb680e5fe0c8"' -%}
{% elif t == "Date" %}{% set value = '"2026-11-22"' -%}
{% elif t == "Time" %}{% set value = '"14:05:09"' -%}
{% elif t == "DateTime" %}{% set value = '"2026-11-22T14:05:09"' -%}
{% elif t == "DateTimeWithTimeZone" %}{% set value = '"2026-11-22T14:05:09.123Z"' -%}
{% elif t == "serde_json::Value" %}{% set value = '{"key":"value"}' -%}
{% else %}{% set value = "1" -%}
{% endif -%}
{% set_global sample = sample ~ key ~ value ~ "," -%}
{% set_global fields_sent = fields_sent ~ key ~ " " ~ value ~ ", " -%}
{% if t == "DateTimeWithTimeZone" %}{% set_global times = true %}{% endif -%}
{% if f.rust_type is not starting_with("Option") %}{% set_global required = required ~ '"' ~ f.field_name ~ '", ' %}{% endif -%}
{% if t == "String" and not f.is_enum %}{% set_global texts = texts ~ '"' ~ f.field_name ~ '", ' %}{% endif -%}
{% endif -%}
{% endfor -%}
{% if grouped -%}
{% set base = "/api/groups/{group_name}/" ~ snake_plural -%}
{% set security = "bearer" -%}
{% set codes_list = "200 400 401 404 429 503" -%}
{% if events %}{% set codes_create = "200 201 400 401 404 409 413 415 429 503" %}{% else %}{% set codes_create = "201 400 401 404 409 413 415 429 503" %}{% endif -%}
{% set codes_get = "200 400 401 404 429 503" -%}
{% if owned %}{% set codes_update = "200 400 401 403 404 409 413 415 429 503" %}{% if events %}{% set codes_remove = "204 400 401 403 404 409 415 429 503" %}{% else %}{% set codes_remove = "204 400 401 403 404 415 429 503" %}{% endif -%}
{% else %}{% set codes_update = "200 400 401 404 409 413 415 429 503" %}{% if events %}{% set codes_remove = "204 400 401 404 409 415 429 503" %}{% else %}{% set codes_remove = "204 400 401 404 415 429 503" %}{% endif %}{% endif -%}
{% set access_list = "401 404 200 200 200 404 404 401" -%}
{% set access_create = "401 404 201 201 201 404 404 401" -%}
{% set access_get = "401 404 200 200 200 404 404 401" -%}
{% if owned %}{% set access_update = "401 404 403 403 200 404 404 401" %}{% set access_remove = "401 404 403 403 204 404 404 401" -%}
{% else %}{% set access_update = "401 404 200 200 200 404 404 401" %}{% set access_remove = "401 404 204 204 204 404 404 401" %}{% endif -%}
{% elif auth -%}
{% set base = "/api/" ~ snake_plural -%}
{% set security = "bearer" -%}
{% set codes_list = "200 400 401 429 503" -%}
{% set codes_create = "201 400 401 409 413 415 429 503" -%}
{% set codes_get = "200 400 401 404 429 503" -%}
{% set codes_update = "200 400 401 404 409 413 415 429 503" -%}
{% set codes_remove = "204 400 401 404 415 429 503" -%}
{% set access_list = "401 200 200 200 200 200 200 401" -%}
{% set access_create = "401 201 201 201 201 201 201 401" -%}
{% set access_get = "401 404 404 404 200 404 404 401" -%}
{% set access_update = "401 404 404 404 200 404 404 401" -%}
{% set access_remove = "401 404 404 404 204 404 404 401" -%}
{% else -%}
{% set base = "/api/" ~ snake_plural -%}
{% set security = "no credentials" -%}
{% set codes_list = "200 400 429 503" -%}
{% set codes_create = "201 400 409 413 415 429 503" -%}
{% set codes_get = "200 400 404 429 503" -%}
{% set codes_update = "200 400 404 409 413 415 429 503" -%}
{% set codes_remove = "204 400 404 415 429 503" -%}
{% set access_list = "200 200 200 200 200 200 200 200" -%}
{% set access_create = "201 201 201 201 201 201 201 201" -%}
{% set access_get = "200 200 200 200 200 200 200 200" -%}
{% set access_update = "200 200 200 200 200 200 200 200" -%}
{% set access_remove = "204 204 204 204 204 204 204 204" -%}
{% endif -%}
to: src/controllers/{{ snake_plural }}.rs
skip_exists: true
message: "The endpoints {{ base }}/ are new. {% if grouped %}Each member of the group reads and creates {{ words }}{% if owned %}, and changes the {{ words }} that the member created{% else %}, and changes all of them{% endif %}.{% if events %} Rich sockets receive the events {{ snake_singular }}.created, {{ snake_singular }}.updated and {{ snake_singular }}.deleted.{% endif %}{% elif auth %}Each user reads and changes only the {{ words }} that the user created.{% else %}Each client reads and changes all {{ words }}, without a login.{% endif %}"
injections:
- into: src/controllers/mod.rs
  after_last: "^pub mod "
  content: "pub mod {{ snake_plural }};"
- into: src/app.rs
  after: "AppRoutes::"
  content: "            .add_route(controllers::{{ snake_plural }}::routes())"
- into: src/controllers/openapi.rs
  before: "// openapi-inject"
  content: "        super::{{ snake_plural }}::list,\n        super::{{ snake_plural }}::create,\n        super::{{ snake_plural }}::show,\n        super::{{ snake_plural }}::update,\n        super::{{ snake_plural }}::remove,"
- into: tests/requests/mod.rs
  after_last: "^mod "
  content: "mod {{ snake_plural }};"
- into: tests/requests/access.rs
  before: "// access-inject"
  content: "    \"{{ access_list }} GET {{ base }}/\",\n    \"{{ access_create }} POST {{ base }}/\",\n    \"{{ access_get }} GET {{ base }}/{id}/\",\n    \"{{ access_update }} PUT {{ base }}/{id}/\",\n    \"{{ access_remove }} DELETE {{ base }}/{id}/\","
- into: tests/requests/docs.rs
  before: "// operations-inject"
  content: "    \"GET {{ base }}/: List {{ words }}, the oldest first. {{ codes_list }} {{ security }}\",\n    \"POST {{ base }}/: Create a {{ word }}. {{ codes_create }} {{ security }}\",\n    \"GET {{ base }}/{id}/: Show a {{ word }}. {{ codes_get }} {{ security }}\",\n    \"PUT {{ base }}/{id}/: Replace a {{ word }}. {{ codes_update }} {{ security }}\",\n    \"DELETE {{ base }}/{id}/: Delete a {{ word }}. {{ codes_remove }} {{ security }}\","
---
//! Endpoints of {{ words }}{% if grouped %} of a group{% elif auth %} of a user{% endif %}.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use loco_rs::{
    app::AppContext,
    controller::{Routes{% if grouped %}, extractor::shared_store::SharedStore{% endif %}},
    prelude::get,
};
{% if prelude_use %}{% if times %}{{ prelude_use }}{% else %}{{ prelude_use | replace(from="DateTimeWithTimeZone, ", to="") | replace(from=", DateTimeWithTimeZone", to="") | replace(from="use sea_orm::prelude::{DateTimeWithTimeZone};", to="") }}{% endif %}
{% endif %}{% if grouped %}use sea_orm::ActiveValue::Set;
{% else %}use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel, ModelTrait};
{% endif %}use serde::Deserialize;
use utoipa::ToSchema;

use super::extractors::{
    ApiJson, {% if auth %}CurrentUser, {% endif %}{% if grouped %}GroupMember, {% endif %}{% if events %}IdempotencyKey, {% endif %}PathNumber, QueryParams, {% if texts %}Text, {% endif %}Throttle,
};
use crate::{
{% if grouped %}    channels::Channels,
{% endif %}    errors::{Error, Result},
    models::{ {%- if grouped %}group_commands::{CommandKind, RowJson, SharedRowChange}, {% endif %}{{ snake_plural }}{% if grouped %}::{self, Action, Change}{% endif %}{% if auth and not grouped %}, users{% endif -%} },
    views::{
        Page,
        errors::{BodyErrors, Conflict{% if grouped and owned %}, Forbidden{% endif %}, Invalid, NotFound, RateLimited{% if auth %}, Unauthorized{% endif %}, Unavailable},
{% if grouped %}        row_json,
{% endif %}        {{ snake_plural }}::{ {{- pascal_singular }}{% for e in enums %}, {{ e.enum_type }}{% endfor -%} },
    },
};

/// The default and the highest number of {{ words }} on one page.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 100;

/// The body of a request that creates or replaces a {{ word }}.
#[derive(Deserialize, ToSchema)]
pub struct {{ pascal_singular }}Params {
{% for f in fields %}{% set t = f.rust_type | replace(from="Option<", to="") | replace(from=">", to="") %}{% if f.field_name == "user_id" and owned %}{% elif f.field_name == "group_id" and grouped %}{% else %}{% if f.is_enum %}{% elif t == "String" and f.input_kind == "textarea" %}    #[schema(value_type = {{ f.rust_type }}, example = "{{ f.field_name }}", max_length = 8000)]
{% elif t == "String" %}    #[schema(value_type = {{ f.rust_type }}, example = "{{ f.field_name }}", min_length = 1, max_length = 255)]
{% elif t == "bool" %}    #[schema(example = true)]
{% elif t == "f32" or t == "f64" %}    #[schema(example = 1.5)]
{% elif t == "Uuid" %}    #[schema(example = "67e55044-10b1-426f-9247-bb680e5fe0c8")]
{% elif t == "Date" %}    #[schema(value_type = {{ f.rust_type | replace(from=t, to="String") }}, format = Date, example = "2026-11-22")]
{% elif t == "Time" %}    #[schema(value_type = {{ f.rust_type | replace(from=t, to="String") }}, format = "time", example = "14:05:09")]
{% elif t == "DateTime" %}    #[schema(value_type = {{ f.rust_type | replace(from=t, to="String") }}, format = "date-time-local", example = "2026-11-22T14:05:09")]
{% elif t == "DateTimeWithTimeZone" %}    #[schema(value_type = {{ f.rust_type | replace(from=t, to="String") }}, format = DateTime, example = "2026-11-22T14:05:09.123Z")]
{% elif t == "serde_json::Value" %}    #[schema(value_type = {{ f.rust_type | replace(from=t, to="Object") }}, example = json!({"key": "value"}))]
{% else %}    #[schema(example = 1)]
{% endif %}    pub {{ f.field_name }}: {% if t == "String" and f.input_kind == "textarea" %}{{ f.rust_type | replace(from="String", to="Text<0, 8000>") }}{% elif t == "String" %}{{ f.rust_type | replace(from="String", to="Text<1, 255>") }}{% else %}{{ f.rust_type }}{% endif %},
{% endif %}{% endfor %}}

impl {{ pascal_singular }}Params {
    /// Sets these values of a row.
    fn set(self, mut row: {{ snake_plural }}::ActiveModel) -> {{ snake_plural }}::ActiveModel {
        let params = self;
{% for f in fields %}{% if f.field_name == "user_id" and owned %}{% elif f.field_name == "group_id" and grouped %}{% else %}{% set t = f.rust_type | replace(from="Option<", to="") | replace(from=">", to="") %}        row.{{ f.field_name }} = Set({{ f.set_expr | replace(from="to_string()", to="to_owned()") }}{% if t == "String" %}{% if f.rust_type is starting_with("Option") %}.map(Into::into){% else %}.into(){% endif %}{% endif %});
{% endif %}{% endfor %}        row
    }
}

/// List {{ words }}, the oldest first.
#[utoipa::path(
    get, path = "{{ base }}/", operation_id = "list_{{ snake_plural }}", tag = "{{ words }}",
{% if auth %}    security(("bearer" = [])),
{% endif %}    params(
{% if grouped %}        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
{% endif %}        ("limit" = Option<u32>, Query, description = "A page has at most this number of results. The default is 50, and the maximum is 100.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The value `next` of the previous page."),
    ),
    responses((status = 200, description = "The response has a page of {{ words }}.", body = Page<{{ pascal_singular }}>), Invalid{% if grouped %}, NotFound{% endif %}{% if auth %}, Unauthorized{% endif %}, RateLimited, Unavailable),
)]
pub async fn list(
{% if grouped %}    member: GroupMember<CurrentUser>,
{% elif auth %}    CurrentUser(user): CurrentUser,
{% endif %}    State(ctx): State<AppContext>,
    params: QueryParams,
) -> Result<Json<Page<{{ pascal_singular }}>>> {
    let limit = params.page_limit(PAGE, MAX_PAGE)?;
    let after = params.number("cursor", 1)?.unwrap_or(0);
    let found = {{ snake_plural }}::Model::list(&ctx.db, {% if grouped %}&member.group, {% elif auth %}&user, {% endif %}after, u64::from(limit) + 1);
    Ok(Json(Page::from_rows(found.await?, limit as usize, |{% if grouped and owned %}(row, _){% else %}row{% endif %}| row.id)))
}

/// Create a {{ word }}.
#[utoipa::path(
    post, path = "{{ base }}/", operation_id = "create_{{ snake_singular }}", tag = "{{ words }}",
{% if auth %}    security(("bearer" = [])),
{% endif %}{% if grouped %}    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
{% if events %}        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request. A retry with the same id creates no second {{ word }}.", max_length = 128),
{% endif %}    ),
{% endif %}    request_body = {{ pascal_singular }}Params,
    responses((status = 201, description = "The {{ word }} is created.{% if events %} Rich sockets receive it as the event `{{ snake_singular }}.created`.{% endif %}", body = {{ pascal_singular }}), {% if events %}(status = 200, description = "An earlier request with this id created the {{ word }}.", body = {{ pascal_singular }}), {% endif %}Invalid{% if grouped %}, NotFound{% endif %}{% if auth %}, Unauthorized{% endif %}, Conflict, BodyErrors, RateLimited, Unavailable),
)]
pub async fn create(
{% if grouped %}    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
{% else %}{% if auth %}    CurrentUser(user): CurrentUser,
{% endif %}    State(ctx): State<AppContext>,
{% endif %}    throttle: Throttle,
{% if events %}    IdempotencyKey(cid): IdempotencyKey,
{% endif %}    ApiJson(params): ApiJson<{{ pascal_singular }}Params>,
) -> Result<(StatusCode, {% if grouped %}RowJson{% else %}Json<{{ pascal_singular }}>{% endif %})> {
    throttle.check_change({% if grouped %}Some(&member.user){% elif auth %}Some(&user){% else %}None{% endif %})?;
{% if grouped %}    let mut row = params.set(Default::default());
    row.group_id = Set(member.group.id);
{% if owned %}    row.user_id = Set(member.user.id);
{% endif %}    let action = Action::Create(Box::new(row));
{% if events %}    let (is_new, created) = change(&channels, &member, cid, action).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, created))
{% else %}    Ok((StatusCode::CREATED, change(&channels, &member, action).await?))
{% endif %}}
{% elif owned %}    let mut row = params.set(Default::default());
    row.user_id = Set(user.id);
    let created = row.insert(&ctx.db).await?;
    Ok((StatusCode::CREATED, Json(created.into())))
}
{% else %}    let created = params.set(Default::default()).insert(&ctx.db).await?;
    Ok((StatusCode::CREATED, Json(created.into())))
}
{% endif %}
/// Show a {{ word }}.
#[utoipa::path(
    get, path = "{{ base }}/{id}/", operation_id = "show_{{ snake_singular }}", tag = "{{ words }}",
{% if auth %}    security(("bearer" = [])),
{% endif %}    params({% if grouped %}("group_name" = String, Path, example = "chat_a1b2c3d4"), {% endif %}("id" = i64, Path, example = 1)),
    responses((status = 200, description = "The response has the {{ word }}.", body = {{ pascal_singular }}), Invalid, NotFound{% if auth %}, Unauthorized{% endif %}, RateLimited, Unavailable),
)]
pub async fn show(
{% if grouped %}    member: GroupMember<CurrentUser>,
{% elif auth %}    CurrentUser(user): CurrentUser,
{% endif %}    State(ctx): State<AppContext>,
    Path({% if grouped %}(_, PathNumber(id)){% else %}PathNumber(id){% endif %}): Path<{% if grouped %}(String, PathNumber){% else %}PathNumber{% endif %}>,
) -> Result<Json<{{ pascal_singular }}>> {
    Ok(Json(find(&ctx, {% if grouped %}&member, {% elif auth %}&user, {% endif %}id).await?.into()))
}

/// Replace a {{ word }}.
#[utoipa::path(
    put, path = "{{ base }}/{id}/", operation_id = "update_{{ snake_singular }}", tag = "{{ words }}",
{% if auth %}    security(("bearer" = [])),
{% endif %}    params(
{% if grouped %}        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
{% endif %}        ("id" = i64, Path, example = 1),
{% if events %}        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request.", max_length = 128),
{% endif %}    ),
    request_body = {{ pascal_singular }}Params,
    responses((status = 200, description = "The {{ word }} is changed.", body = {{ pascal_singular }}), Invalid{% if grouped and owned %}, Forbidden{% endif %}, NotFound{% if auth %}, Unauthorized{% endif %}, Conflict, BodyErrors, RateLimited, Unavailable),
)]
pub async fn update(
{% if grouped %}    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
{% else %}{% if auth %}    CurrentUser(user): CurrentUser,
{% endif %}    State(ctx): State<AppContext>,
{% endif %}    Path({% if grouped %}(_, PathNumber(id)){% else %}PathNumber(id){% endif %}): Path<{% if grouped %}(String, PathNumber){% else %}PathNumber{% endif %}>,
    throttle: Throttle,
{% if events %}    IdempotencyKey(cid): IdempotencyKey,
{% endif %}    ApiJson(params): ApiJson<{{ pascal_singular }}Params>,
) -> Result<{% if grouped %}RowJson{% else %}Json<{{ pascal_singular }}>{% endif %}> {
    throttle.check_change({% if grouped %}Some(&member.user){% elif auth %}Some(&user){% else %}None{% endif %})?;
{% if grouped %}    let values = Box::new(params.set(Default::default()));
    let action = Action::Update { id, values };
{% if events %}    let (_, changed) = change(&channels, &member, cid, action).await?;
    Ok(changed)
{% else %}    change(&channels, &member, action).await
{% endif %}}
{% else %}    let row = find(&ctx, {% if auth %}&user, {% endif %}id).await?;
    let changed = params.set(row.into_active_model());
    Ok(Json(changed.update(&ctx.db).await?.into()))
}
{% endif %}
/// Delete a {{ word }}.
#[utoipa::path(
    delete, path = "{{ base }}/{id}/", operation_id = "delete_{{ snake_singular }}", tag = "{{ words }}",
{% if auth %}    security(("bearer" = [])),
{% endif %}    params(
{% if grouped %}        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
{% endif %}        ("id" = i64, Path, example = 1),
{% if events %}        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request.", max_length = 128),
{% endif %}    ),
    responses((status = 204, description = "The {{ word }} is deleted."), Invalid{% if grouped and owned %}, Forbidden{% endif %}, NotFound{% if auth %}, Unauthorized{% endif %}{% if events %}, Conflict{% endif %}, RateLimited, Unavailable),
)]
pub async fn remove(
{% if grouped %}    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
{% else %}{% if auth %}    CurrentUser(user): CurrentUser,
{% endif %}    State(ctx): State<AppContext>,
{% endif %}    Path({% if grouped %}(_, PathNumber(id)){% else %}PathNumber(id){% endif %}): Path<{% if grouped %}(String, PathNumber){% else %}PathNumber{% endif %}>,
    throttle: Throttle,
{% if events %}    IdempotencyKey(cid): IdempotencyKey,
{% endif %}) -> Result<StatusCode> {
    throttle.check_change({% if grouped %}Some(&member.user){% elif auth %}Some(&user){% else %}None{% endif %})?;
{% if grouped %}    change(&channels, &member, {% if events %}cid, {% endif %}Action::Delete { id }).await?;
{% else %}    let row = find(&ctx, {% if auth %}&user, {% endif %}id).await?;
    row.delete(&ctx.db).await?;
{% endif %}    Ok(StatusCode::NO_CONTENT)
}

{% if grouped %}/// Changes a row by a command of the group, which checks the membership in the transaction of the change.
{% if events %}///
/// Returns `false` with the row of the first request if this request is a retry.
{% endif %}async fn change(
    channels: &Channels,
    member: &GroupMember<CurrentUser>,
{% if events %}    cid: Option<String>,
{% endif %}    action: Action,
) -> Result<{% if events %}(bool, RowJson){% else %}RowJson{% endif %}> {
    let change = Change {
        action,
        to_json: row_json::<_, {{ pascal_singular }}>,
    };
    let command = member.command({% if events %}cid{% else %}None{% endif %}, CommandKind::ChangeRow(SharedRowChange::new(change)));
    let applied = channels.execute(&member.group.name, command).await?;
{% if events %}    let is_new = !applied.dup;
{% endif %}    // An applied command of this kind always has its row.
    let row = applied.into_row().ok_or(Error::Unavailable)?;
    Ok({% if events %}(is_new, row){% else %}row{% endif %})
}

async fn find(ctx: &AppContext, member: &GroupMember<CurrentUser>, id: i64) -> Result<{{ snake_plural }}::Row> {
    let found = {{ snake_plural }}::Model::find(&ctx.db, &member.group, id).await?;
    found.ok_or(Error::NotFound)
}
{% elif auth %}async fn find(ctx: &AppContext, user: &users::Model, id: i64) -> Result<{{ snake_plural }}::Model> {
    let found = {{ snake_plural }}::Model::find(&ctx.db, user, id).await?;
    found.ok_or(Error::NotFound)
}
{% else %}async fn find(ctx: &AppContext, id: i64) -> Result<{{ snake_plural }}::Model> {
    let found = {{ snake_plural }}::Model::find(&ctx.db, id).await?;
    found.ok_or(Error::NotFound)
}
{% endif %}
pub fn routes() -> Routes {
    Routes::new()
        .prefix("{{ base }}")
        .add("/", get(list).post(create))
        .add("/{id}", get(show).put(update).delete(remove))
}
// ==> tests/requests/{{ snake_plural }}.rs
//! Endpoints of {{ words }}.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TestApp, TestResponse, one_line, redact_text};

/// Returns a valid body.
fn valid_{{ snake_singular }}() -> Value {
    json!({ {{- fields_sent | trim_end_matches(pat=", ") -}} })
}

#[tokio::test]
async fn a_{{ snake_singular }}_is_created_read_replaced_and_deleted() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
{% if grouped %}    let all = format!("/api/groups/{}/{{ snake_plural }}/", ann.start_chat().await);
{% else %}    let all = "{{ base }}/".to_owned();
{% endif %}    let created = ann.post(&all, valid_{{ snake_singular }}()).await;
    assert_eq!(created.status, 201, "{created}");
    assert_snapshot!(redact_text(&created.body, &created.json()), @r#"{"id":1,{% if owned and grouped %}"by":"ann",{% endif %}{% if with_tz %}{{ sample }}"created_at":"[now]","updated_at":"[now]"{% else %}{{ sample | trim_end_matches(pat=",") }}{% endif %}}"#);
    let one = format!("{all}{}/", created.json()["id"]);
    assert_eq!(ann.get(&one).await.json(), created.json());
    let listed = ann.get(&all).await.json();
    assert_eq!(listed, json!({"results": [created.json()], "next": null}));
    let changed = ann.put(&one, valid_{{ snake_singular }}()).await;
    assert_eq!(changed.status, 200, "{changed}");
    assert_eq!(changed.json()["id"], created.json()["id"]);
    assert_eq!(ann.delete(&one).await.status, 204);
    for deleted in [ann.get(&one).await, ann.put(&one, valid_{{ snake_singular }}()).await, ann.delete(&one).await] {
        insta::allow_duplicates! {
            assert_snapshot!(one_line(&deleted), @r#"404 Not Found {"detail":"Not found.","code":"not_found"}"#);
        }
    }
}

#[tokio::test]
async fn {% if auth %}strangers_and_clients_without_a_login_find_no_{{ snake_singular }}{% else %}all_clients_find_a_{{ snake_singular }}{% endif %}() {
    let app = TestApp::start().await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
{% if grouped %}    let all = format!("/api/groups/{}/{{ snake_plural }}/", ann.start_chat().await);
{% else %}    let all = "{{ base }}/".to_owned();
{% endif %}    let created = ann.post(&all, valid_{{ snake_singular }}()).await.json();
    let one = format!("{all}{}/", created["id"]);
{% if grouped %}    for response in [bob.get(&all).await, bob.post(&all, valid_{{ snake_singular }}()).await] {
        assert_eq!(response.status, 404, "{response}");
    }
{% elif auth %}    assert_eq!(bob.get(&all).await.json(), json!({"results": [], "next": null}));
{% else %}    assert_eq!(bob.get(&all).await.json(), json!({"results": [created], "next": null}));
{% endif %}{% if auth %}    for response in [bob.get(&one).await, bob.put(&one, valid_{{ snake_singular }}()).await, bob.delete(&one).await] {
        assert_eq!(response.status, 404, "{response}");
    }
    for path in [&all, &one] {
        let response = TestResponse::from_request(app.request(Method::GET, path)).await;
        assert_eq!(response.status, 401, "{response}");
    }
    assert_eq!(ann.get(&one).await.json(), created);
{% else %}    let response = TestResponse::from_request(app.request(Method::GET, &one)).await;
    assert_eq!(response.json(), created);
{% endif %}}

#[tokio::test]
async fn an_invalid_{{ snake_singular }}_is_rejected() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
{% if grouped %}    let all = format!("/api/groups/{}/{{ snake_plural }}/", ann.start_chat().await);
{% else %}    let all = "{{ base }}/".to_owned();
{% endif %}{% if required or texts %}    let rejected = async |field: &str, value: Option<Value>| {
        let mut body = valid_{{ snake_singular }}();
        match value {
            Some(value) => body[field] = value,
            None => drop(body.as_object_mut().unwrap().remove(field)),
        }
        let response = ann.post(&all, body).await;
        assert_eq!((response.status.as_u16(), &response.json()["field"]), (400, &json!(field)), "{response}");
    };
{% endif %}{% if required %}    for field in [{{ required | trim_end_matches(pat=", ") }}] {
        rejected(field, None).await;
    }
{% endif %}{% if texts %}    for field in [{{ texts | trim_end_matches(pat=", ") }}] {
        rejected(field, Some(json!(1))).await;
        rejected(field, Some(json!("x".repeat(8001)))).await;
    }
{% endif %}    for body in [json!([]), json!("text"), Value::Null] {
        let response = ann.post(&all, body).await;
        insta::allow_duplicates! {
            assert_snapshot!(one_line(&response), @r#"400 Bad Request {"detail":"The body must be a JSON object.","code":"invalid"}"#);
        }
    }
    assert_eq!(ann.get(&format!("{all}?limit=0")).await.status, 400);
    assert_eq!(ann.get(&all).await.json()["results"], json!([]));
}

#[tokio::test]
async fn {{ snake_plural }}_have_a_rate_limit() {
    let app = TestApp::with_settings(json!({"limits": {"changes_per_minute": 1}})).await;
    let ann = app.user("ann").await;
{% if grouped %}    let all = format!("/api/groups/{}/{{ snake_plural }}/", ann.start_chat().await);
{% else %}    let all = "{{ base }}/".to_owned();
{% endif %}    let created = ann.post(&all, valid_{{ snake_singular }}()).await;
    assert_eq!(created.status, 201, "{created}");
    let one = format!("{all}{}/", created.json()["id"]);
    for rejected in [ann.post(&all, valid_{{ snake_singular }}()).await, ann.put(&one, valid_{{ snake_singular }}()).await, ann.delete(&one).await] {
        assert_eq!(rejected.status, 429, "{rejected}");
    }
}
{% if events %}
#[tokio::test]
async fn rich_sockets_receive_the_changes_of_a_{{ snake_singular }}() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let all = format!("/api/groups/{group}/{{ snake_plural }}/");
    let mut socket = bob.open_live(&group).await;
    let create = async || {
        let request = app.request(Method::POST, &all).bearer_auth(&ann.access);
        let request = request.header("idempotency-key", "first").json(&valid_{{ snake_singular }}());
        TestResponse::from_request(request).await
    };
    let created = create().await;
    assert_eq!(created.status, 201, "{created}");
    // The response was lost, and the client sends the request again.
    let retried = create().await;
    assert_eq!((retried.status.as_u16(), retried.json()), (200, created.json()));
    let one = format!("{all}{}/", created.json()["id"]);
    assert_eq!(ann.put(&one, valid_{{ snake_singular }}()).await.status, 200);
    assert_eq!(ann.delete(&one).await.status, 204);
    for kind in ["created", "updated", "deleted"] {
        let event = socket.next_event().await;
        assert_eq!(event["kind"], format!("{{ snake_singular }}.{kind}"));
        assert_eq!(event["by"], "ann");
        assert_eq!(event["data"]["id"], created.json()["id"]);
    }
}
{% endif %}