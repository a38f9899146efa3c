//! Endpoints of polls. The members of a group create polls and vote.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::{get, put},
};
use salam::{
    channels::Channels,
    controllers::extractors::{
        ApiJson, CurrentUser, GroupMember, IdempotencyKey, PathNumber, QueryParams, Text, Throttle,
    },
    errors::{Error, Result},
    models::group_commands::{CommandKind, RowJson, SharedRowChange},
    views::{
        Page,
        errors::{
            BodyErrors, Conflict, Forbidden, Invalid, NotFound, RateLimited, Unauthorized,
            Unavailable,
        },
        row_json,
    },
};
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use crate::{
    models::polls::{self, PollAction, PollChange},
    views::polls::Poll,
};

/// The number of polls on one page.
const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 100;

/// A choice of a poll.
type Choice = Text<1, 100>;

/// A new poll.
#[derive(Deserialize, ToSchema)]
pub struct PollParams {
    #[schema(value_type = String, example = "Where do we eat?", min_length = 1, max_length = 255)]
    pub question: Text<1, 255>,
    /// Each choice has 1 to 100 characters.
    #[serde(deserialize_with = "choices")]
    #[schema(value_type = Vec<String>, example = json!(["At home", "In town"]), min_items = 2, max_items = 10)]
    pub choices: Vec<Choice>,
}

/// A vote.
#[derive(Deserialize, ToSchema)]
pub struct VoteParams {
    /// The index of the choice: 0 is the first.
    #[schema(example = 0, minimum = 0, maximum = 9)]
    pub choice: i32,
}

/// Reads the choices of a poll, and checks their number.
fn choices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Choice>, D::Error> {
    let choices = Vec::deserialize(deserializer)?;
    if (2..=10).contains(&choices.len()) {
        Ok(choices)
    } else {
        Err(de::Error::custom("2 to 10 choices."))
    }
}

/// List the polls of a group, the oldest first.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/polls/", operation_id = "list_polls", tag = "polls",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("limit" = Option<u32>, Query, description = "Default 50, at most 100.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The value `next` of the previous page."),
    ),
    responses((status = 200, description = "A page of polls.", body = Page<Poll>), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn list(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    params: QueryParams,
) -> Result<Json<Page<Poll>>> {
    let limit = params.page_limit(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    let after = params.number("cursor", 1)?.unwrap_or(0);
    let rows = polls::Model::list(&ctx.db, &member.group, after, u64::from(limit) + 1);
    let page = Page::from_rows(rows.await?, limit as usize, |row| row.poll.id);
    Ok(Json(page))
}

/// Create a poll.
#[utoipa::path(
    post, path = "/api/groups/{group_name}/polls/", operation_id = "create_poll", tag = "polls",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request. A retry with the same id creates no second poll.", max_length = 128),
    ),
    request_body = PollParams,
    responses((status = 201, description = "The new poll. Rich sockets receive it as the event `poll.created`.", body = Poll), (status = 200, description = "An earlier request with this id created the poll.", body = Poll), Invalid, NotFound, Unauthorized, Conflict, BodyErrors, RateLimited, Unavailable),
)]
pub async fn create(
    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    IdempotencyKey(cid): IdempotencyKey,
    ApiJson(params): ApiJson<PollParams>,
) -> Result<(StatusCode, RowJson)> {
    throttle.check_change(Some(&member.user))?;
    let action = PollAction::Create {
        question: params.question.into(),
        choices: params.choices.into_iter().map(Into::into).collect(),
    };
    let (is_new, poll) = change(&channels, &member, cid, action).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, poll))
}

/// Show a poll.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/polls/{id}/", operation_id = "show_poll", tag = "polls",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("id" = i64, Path, example = 1)),
    responses((status = 200, description = "The poll.", body = Poll), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn show(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    Path((_, PathNumber(id))): Path<(String, PathNumber)>,
) -> Result<Json<Poll>> {
    let poll = find(&ctx, &member, id).await?;
    Ok(Json(poll.with_votes(&ctx.db).await?.into()))
}

/// Vote in a poll. A later vote replaces an earlier one.
#[utoipa::path(
    put, path = "/api/groups/{group_name}/polls/{id}/vote/", operation_id = "vote", tag = "polls",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("id" = i64, Path, example = 1)),
    request_body = VoteParams,
    responses((status = 200, description = "The poll with your vote. Rich sockets receive it as the event `poll.voted`.", body = Poll), Invalid, NotFound, Unauthorized, Conflict, BodyErrors, RateLimited, Unavailable),
)]
pub async fn vote(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    Path((_, PathNumber(id))): Path<(String, PathNumber)>,
    throttle: Throttle,
    ApiJson(params): ApiJson<VoteParams>,
) -> Result<RowJson> {
    throttle.check_change(Some(&member.user))?;
    let poll = find(&ctx, &member, id).await?;
    let choice = usize::try_from(params.choice).ok();
    if choice
        .and_then(|choice| poll.choices.0.get(choice))
        .is_none()
    {
        return Err(Error::Invalid {
            detail: "This poll has no such choice.".to_owned(),
            field: Some("choice".into()),
        });
    }
    let choice = params.choice;
    let (_, poll) = change(&channels, &member, None, PollAction::Vote { id, choice }).await?;
    Ok(poll)
}

/// Close a poll. The author, admins and the owner may do so. A closed poll stays closed.
#[utoipa::path(
    put, path = "/api/groups/{group_name}/polls/{id}/close/", operation_id = "close_poll", tag = "polls",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("id" = i64, Path, example = 1)),
    responses((status = 200, description = "The closed poll. Rich sockets receive it as the event `poll.closed`.", body = Poll), Forbidden, Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn close(
    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
    Path((_, PathNumber(id))): Path<(String, PathNumber)>,
    throttle: Throttle,
) -> Result<RowJson> {
    throttle.check_change(Some(&member.user))?;
    let (_, poll) = change(&channels, &member, None, PollAction::Close { id }).await?;
    Ok(poll)
}

/// Gives a change to the writer of the group. Returns `false` with the poll if it has not changed.
async fn change(
    channels: &Channels,
    member: &GroupMember<CurrentUser>,
    cid: Option<String>,
    action: PollAction,
) -> Result<(bool, RowJson)> {
    let change = PollChange {
        action,
        to_json: row_json::<_, Poll>,
    };
    let command = member.command(cid, CommandKind::ChangeRow(SharedRowChange::new(change)));
    let applied = channels.execute(&member.group.name, command).await?;
    let has_changed = !applied.dup;
    // An applied command of this kind always has its row.
    let row = applied.into_row().ok_or(Error::Unavailable)?;
    Ok((has_changed, row))
}

/// Finds a poll of the member's group.
///
/// # Errors
/// [`Error::NotFound`] when the group has no such poll, or when the database fails.
async fn find(
    ctx: &AppContext,
    member: &GroupMember<CurrentUser>,
    id: i64,
) -> Result<polls::Model> {
    let found = polls::Model::find(&ctx.db, &member.group, id).await?;
    found.ok_or(Error::NotFound)
}

/// Returns the routes of polls.
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/groups/{group_name}/polls")
        .add("/", get(list).post(create))
        .add("/{id}", get(show))
        .add("/{id}/vote", put(vote))
        .add("/{id}/close", put(close))
}
