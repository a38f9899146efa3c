//! Endpoints of polls. The members of a group create polls and vote.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use loco_rs::{
    app::AppContext,
    controller::Routes,
    prelude::{get, put},
};
use salam::{
    controllers::extractors::{
        ApiJson, CurrentUser, GroupMember, PathNumber, QueryParams, Text, Throttle,
    },
    errors::{Error, Result},
    views::{
        Page,
        errors::{BodyErrors, Conflict, Invalid, NotFound, RateLimited, Unauthorized, Unavailable},
    },
};
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use crate::{models::polls, views::polls::Poll};

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
        ("limit" = Option<u32>, Query, description = "50 by default, at most 100.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses((status = 200, description = "A page of polls.", body = Page<Poll>), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn list(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    params: QueryParams,
) -> Result<Json<Page<Poll>>> {
    let limit = params.page_limit(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    let after = params.number("cursor", 1..=i64::MAX)?.unwrap_or(0);
    let rows = polls::Model::list(&ctx.db, &member.group, after, u64::from(limit) + 1);
    let page = Page::from_rows(rows.await?, limit as usize, |row| row.poll.id);
    Ok(Json(page))
}

/// Create a poll.
#[utoipa::path(
    post, path = "/api/groups/{group_name}/polls/", operation_id = "create_poll", tag = "polls",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4")),
    request_body = PollParams,
    responses((status = 201, description = "The new poll.", body = Poll), Invalid, NotFound, Unauthorized, BodyErrors, RateLimited, Unavailable),
)]
pub async fn create(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    throttle: Throttle,
    ApiJson(params): ApiJson<PollParams>,
) -> Result<(StatusCode, Json<Poll>)> {
    throttle.check_change(Some(&member.user))?;
    let question = params.question.into();
    let choices = params.choices.into_iter().map(Into::into).collect();
    let created =
        polls::Model::create(&ctx.db, &member.group, &member.user, question, choices).await?;
    Ok((StatusCode::CREATED, Json(created.into())))
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
    responses((status = 200, description = "The poll with your vote.", body = Poll), Invalid, NotFound, Unauthorized, Conflict, BodyErrors, RateLimited, Unavailable),
)]
pub async fn vote(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    Path((_, PathNumber(id))): Path<(String, PathNumber)>,
    throttle: Throttle,
    ApiJson(params): ApiJson<VoteParams>,
) -> Result<Json<Poll>> {
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
    let voted = poll.vote(&ctx.db, &member.user, params.choice).await?;
    Ok(Json(voted.into()))
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
}
