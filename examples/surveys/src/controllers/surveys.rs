//! Endpoints of surveys. The members of a group create surveys and vote.

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
    models::surveys::{self, SurveyAction, SurveyChange},
    views::surveys::Survey,
};

/// The number of surveys on one page.
const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 100;

/// A choice of a survey.
type Choice = Text<1, 100>;

/// A new survey.
#[derive(Deserialize, ToSchema)]
pub struct SurveyParams {
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

/// Reads the choices of a survey, and checks their number.
fn choices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Choice>, D::Error> {
    let choices = Vec::deserialize(deserializer)?;
    if (2..=10).contains(&choices.len()) {
        Ok(choices)
    } else {
        Err(de::Error::custom("2 to 10 choices."))
    }
}

/// List the surveys of a group, the oldest first.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/surveys/", operation_id = "list_surveys", tag = "surveys",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("limit" = Option<u32>, Query, description = "A page has at most this number of results. The default is 50, and the maximum is 100.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The value `next` of the previous page."),
    ),
    responses((status = 200, description = "The response has a page of surveys.", body = Page<Survey>), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn list(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    params: QueryParams,
) -> Result<Json<Page<Survey>>> {
    let limit = params.page_limit(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    let after = params.number("cursor", 1)?.unwrap_or(0);
    let rows = surveys::Model::list(&ctx.db, &member.group, after, u64::from(limit) + 1);
    let page = Page::from_rows(rows.await?, limit as usize, |row| row.survey.id);
    Ok(Json(page))
}

/// Create a survey.
#[utoipa::path(
    post, path = "/api/groups/{group_name}/surveys/", operation_id = "create_survey", tag = "surveys",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request. A retry with the same id creates no second survey.", max_length = 128),
    ),
    request_body = SurveyParams,
    responses((status = 201, description = "The survey is created. Rich sockets receive it as the event `survey.created`.", body = Survey), (status = 200, description = "An earlier request with this id created the survey.", body = Survey), Invalid, NotFound, Unauthorized, Conflict, BodyErrors, RateLimited, Unavailable),
)]
pub async fn create(
    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    IdempotencyKey(cid): IdempotencyKey,
    ApiJson(params): ApiJson<SurveyParams>,
) -> Result<(StatusCode, RowJson)> {
    throttle.check_change(Some(&member.user))?;
    let action = SurveyAction::Create {
        question: params.question.into(),
        choices: params.choices.into_iter().map(Into::into).collect(),
    };
    let (is_new, survey) = change(&channels, &member, cid, action).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, survey))
}

/// Show a survey.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/surveys/{id}/", operation_id = "show_survey", tag = "surveys",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("id" = i64, Path, example = 1)),
    responses((status = 200, description = "The response has the survey.", body = Survey), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn show(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    Path((_, PathNumber(id))): Path<(String, PathNumber)>,
) -> Result<Json<Survey>> {
    let survey = find(&ctx, &member, id).await?;
    Ok(Json(survey.with_votes(&ctx.db).await?.into()))
}

/// Vote in a survey. A later vote replaces an earlier one.
#[utoipa::path(
    put, path = "/api/groups/{group_name}/surveys/{id}/vote/", operation_id = "vote", tag = "surveys",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("id" = i64, Path, example = 1)),
    request_body = VoteParams,
    responses((status = 200, description = "Your vote is stored. Rich sockets receive the survey as the event `survey.voted`.", body = Survey), Invalid, NotFound, Unauthorized, Conflict, BodyErrors, RateLimited, Unavailable),
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
    let survey = find(&ctx, &member, id).await?;
    let choice = usize::try_from(params.choice).ok();
    if choice
        .and_then(|choice| survey.choices.0.get(choice))
        .is_none()
    {
        return Err(Error::Invalid {
            detail: "This survey has no such choice.".to_owned(),
            field: Some("choice".into()),
        });
    }
    let choice = params.choice;
    let (_, survey) = change(&channels, &member, None, SurveyAction::Vote { id, choice }).await?;
    Ok(survey)
}

/// Close a survey. Only the author, admins and the owner can close it. A closed survey stays closed.
#[utoipa::path(
    put, path = "/api/groups/{group_name}/surveys/{id}/close/", operation_id = "close_survey", tag = "surveys",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("id" = i64, Path, example = 1)),
    responses((status = 200, description = "The survey is closed. Rich sockets receive it as the event `survey.closed`.", body = Survey), Forbidden, Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn close(
    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
    Path((_, PathNumber(id))): Path<(String, PathNumber)>,
    throttle: Throttle,
) -> Result<RowJson> {
    throttle.check_change(Some(&member.user))?;
    let (_, survey) = change(&channels, &member, None, SurveyAction::Close { id }).await?;
    Ok(survey)
}

/// Gives a change to the writer of the group. Returns `false` with the survey if it has not changed.
async fn change(
    channels: &Channels,
    member: &GroupMember<CurrentUser>,
    cid: Option<String>,
    action: SurveyAction,
) -> Result<(bool, RowJson)> {
    let change = SurveyChange {
        action,
        to_json: row_json::<_, Survey>,
    };
    let command = member.command(cid, CommandKind::ChangeRow(SharedRowChange::new(change)));
    let applied = channels.execute(&member.group.name, command).await?;
    let has_changed = !applied.dup;
    // An applied command of this kind always has its row.
    let row = applied.into_row().ok_or(Error::Unavailable)?;
    Ok((has_changed, row))
}

/// Finds a survey of the member's group.
///
/// # Errors
/// [`Error::NotFound`] when the group has no such survey, or when the database fails.
async fn find(
    ctx: &AppContext,
    member: &GroupMember<CurrentUser>,
    id: i64,
) -> Result<surveys::Model> {
    let found = surveys::Model::find(&ctx.db, &member.group, id).await?;
    found.ok_or(Error::NotFound)
}

/// Returns the routes of surveys.
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/groups/{group_name}/surveys")
        .add("/", get(list).post(create))
        .add("/{id}", get(show))
        .add("/{id}/vote", put(vote))
        .add("/{id}/close", put(close))
}
