//! The current user, and the groups of the user.

use axum::{Json, extract::State, http::StatusCode};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::{get, put},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::extractors::{
    ApiJson, Confirmation, CurrentUser, GroupMember, QueryParams, Throttle, WholeNumber, nullable,
};
use crate::{
    channels::Channels,
    errors::{Error, Result},
    models::{
        chat_groups, group_commands::CommandKind, member_groups::MemberGroup, memberships::Role,
        usernames::DisplayName,
    },
    views::{
        Page,
        errors::{
            BodyErrors, Forbidden, Invalid, NotFound, RateLimited, Unauthorized, Unavailable,
        },
        groups::{Group, Me},
    },
};

/// The default and the highest number of groups on one page.
const GROUPS_PER_PAGE: u32 = 50;
const MAX_GROUPS_PER_PAGE: u32 = 100;

/// The new title of a group.
#[derive(Deserialize, ToSchema)]
pub struct GroupParams {
    /// The new title. Null removes the title.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, example = "Dinner", min_length = 1, max_length = 150)]
    pub title: Option<Option<DisplayName>>,
}

/// A new read position.
#[derive(Deserialize, ToSchema)]
pub struct ReadParams {
    /// The `seq` of the last event that you have read. A number after the last event means the last event.
    #[schema(value_type = i64, example = 57, minimum = 0)]
    pub seq: WholeNumber<0, { i64::MAX }>,
}

/// Show your account.
#[utoipa::path(
    get, path = "/api/me/", operation_id = "me", tag = "accounts",
    security(("bearer" = [])),
    responses((status = 200, description = "The response has your account.", body = Me), Unauthorized, RateLimited, Unavailable),
)]
pub async fn me(CurrentUser(user): CurrentUser) -> Json<Me> {
    Json(user.into())
}

/// List your groups, the last joined first.
#[utoipa::path(
    get, path = "/api/groups/", operation_id = "list_groups", tag = "groups",
    security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "A page has at most this number of results. The default is 50, and the maximum is 100.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The value `next` of the previous page."),
    ),
    responses(
        (status = 200, description = "The response has a page of groups. A page has fewer groups than the limit if their last messages are long. `next` is null on the last page.", body = Page<Group>),
        Invalid, Unauthorized, RateLimited, Unavailable,
    ),
)]
pub async fn list(
    CurrentUser(user): CurrentUser,
    State(ctx): State<AppContext>,
    throttle: Throttle,
    params: QueryParams,
) -> Result<Json<Page<Group>>> {
    let limit = params.page_limit(GROUPS_PER_PAGE, MAX_GROUPS_PER_PAGE)?;
    let before = params.number("cursor", 1)?.unwrap_or(i64::MAX);
    let _permit = throttle.acquire_page_permit().await;
    let (groups, on_page) = MemberGroup::list(&ctx.db, &user, before, limit as usize).await?;
    Ok(Json(Page::from_rows(groups, on_page, |group| {
        group.membership.id
    })))
}

/// Show a group.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/", operation_id = "show_group", tag = "groups",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4")),
    responses((status = 200, description = "The response has the group as you see it.", body = Group), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn show(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
) -> Result<Json<Group>> {
    let group = MemberGroup::load(&ctx.db, member.group, member.membership).await?;
    Ok(Json(group.into()))
}

/// Change the title of a group. Requires the role admin or owner.
#[utoipa::path(
    patch, path = "/api/groups/{group_name}/", operation_id = "update_group", tag = "groups",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4")),
    request_body = GroupParams,
    responses((status = 200, description = "The title is changed. The response has the group.", body = Group), Forbidden, Invalid, NotFound, Unauthorized, BodyErrors, RateLimited, Unavailable),
)]
pub async fn update(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    ApiJson(params): ApiJson<GroupParams>,
) -> Result<Json<Group>> {
    throttle.check_change(Some(&member.user))?;
    let title = params.title.ok_or_else(|| Error::Invalid {
        detail: "This field is required; null removes the title.".to_owned(),
        field: Some("title".into()),
    })?;
    let title = title.map(Into::into);
    let command = member.command(None, CommandKind::SetTitle { title });
    let applied = channels.execute(&member.group.name, command).await?;
    // An applied `SetTitle` always has its group.
    let group = applied.into_group().ok_or(Error::Unavailable)?;
    let group = MemberGroup::load(&ctx.db, group, member.membership).await?;
    Ok(Json(group.into()))
}

/// Delete a group with all its messages. Requires the role owner.
///
/// A deletion cannot be undone, so the request must repeat the name of the group: `?confirm=<group>`, or
/// `{"confirm": "<group>"}` as its body.
#[utoipa::path(
    delete, path = "/api/groups/{group_name}/", operation_id = "delete_group", tag = "groups",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("confirm" = Option<String>, Query, description = "The name of the group again. The body can have the name instead.", example = "chat_a1b2c3d4"),
    ),
    responses((status = 204, description = "The group is deleted, and its sockets are closed with 4404."), Forbidden, Invalid, NotFound, Unauthorized, BodyErrors, RateLimited, Unavailable),
)]
pub async fn delete(
    member: GroupMember<CurrentUser>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    confirmation: Confirmation,
) -> Result<StatusCode> {
    throttle.check_change(Some(&member.user))?;
    member.require_role(Role::Owner)?;
    confirmation.check("group", |name| name == member.group.name)?;
    let command = member.command(None, CommandKind::DeleteGroup);
    channels.execute(&member.group.name, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Set your read position in a group, for all your devices. The position never moves back.
#[utoipa::path(
    put, path = "/api/groups/{group_name}/read/", operation_id = "mark_read", tag = "groups",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4")),
    request_body = ReadParams,
    responses((status = 200, description = "The response has the group as you see it.", body = Group), Invalid, NotFound, Unauthorized, BodyErrors, RateLimited, Unavailable),
)]
pub async fn mark_read(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    ApiJson(ReadParams {
        seq: WholeNumber(seq),
    }): ApiJson<ReadParams>,
) -> Result<Json<Group>> {
    channels.check_send_rate(member.user.id)?;
    if seq > 0 {
        let command = member.command(None, CommandKind::Read { seq });
        channels.execute(&member.group.name, command).await?;
    }
    let query = chat_groups::Model::find_for_member(&ctx.db, &member.group.name, &member.user);
    let (group, membership) = query.await?.ok_or(Error::NotFound)?;
    let group = MemberGroup::load(&ctx.db, group, membership).await?;
    Ok(Json(group.into()))
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api")
        .add("/me", get(me))
        .add("/groups", get(list))
        .add(
            "/groups/{group_name}",
            get(show).patch(update).delete(delete),
        )
        .add("/groups/{group_name}/read", put(mark_read))
}
