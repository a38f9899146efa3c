//! Members of groups, their roles, and bans.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::{delete, get, patch},
};
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use super::extractors::{ApiJson, CurrentUser, GroupMember, QueryParams, Throttle};
use crate::{
    channels::Channels,
    errors::{Error, Result},
    models::{
        bans,
        group_commands::CommandKind,
        memberships::{self, Role},
    },
    views::{
        Page,
        errors::{
            BodyErrors, Conflict, Forbidden, Invalid, NotFound, RateLimited, Unauthorized,
            Unavailable,
        },
        members::{Ban, Member},
    },
};

/// The default and the highest number of members, or of bans, on one page.
const MEMBERS_PER_PAGE: u32 = 100;
const MAX_MEMBERS_PER_PAGE: u32 = 500;

/// The new role of a member.
#[derive(Deserialize, ToSchema)]
pub struct MemberParams {
    /// The new role. A member who becomes the owner replaces you, and you become an admin.
    #[serde(deserialize_with = "deserialize_role")]
    #[schema(value_type = crate::views::members::Role, example = "admin")]
    pub role: Role,
}

/// List the members of a group, the longest membership first.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/members/", operation_id = "list_members", tag = "members",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("limit" = Option<u32>, Query, description = "A page has at most this number of results. The default is 100, and the maximum is 500.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The value `next` of the previous page."),
    ),
    responses((status = 200, description = "The response has a page of the list.", body = Page<Member>), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn list(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    params: QueryParams,
) -> Result<Json<Page<Member>>> {
    let limit = params.page_limit(MEMBERS_PER_PAGE, MAX_MEMBERS_PER_PAGE)?;
    let after = params.number("cursor", 1)?.unwrap_or(0);
    let rows = memberships::Model::list(&ctx.db, member.group.id, after, u64::from(limit) + 1);
    Ok(Json(Page::from_rows(rows.await?, limit as usize, |row| {
        row.id
    })))
}

/// Change the role of a member. Requires the role owner.
#[utoipa::path(
    patch, path = "/api/groups/{group_name}/members/{username}/", operation_id = "update_member", tag = "members",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("username" = String, Path, example = "bob")),
    request_body = MemberParams,
    responses((status = 200, description = "The role is changed. The response has the member.", body = Member), Forbidden, Invalid, NotFound, Unauthorized, Conflict, BodyErrors, RateLimited, Unavailable),
)]
pub async fn update(
    member: GroupMember<CurrentUser>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    Path((_, username)): Path<(String, String)>,
    ApiJson(MemberParams { role }): ApiJson<MemberParams>,
) -> Result<Json<Member>> {
    throttle.check_change(Some(&member.user))?;
    let command = member.command(None, CommandKind::SetRole { username, role });
    let applied = channels.execute(&member.group.name, command).await?;
    // An applied `SetRole` always has its member.
    let changed = applied.into_member().ok_or(Error::Unavailable)?;
    Ok(Json(changed.into()))
}

/// Leave a group, or remove another member.
///
/// An admin can remove members with the role `member`, and the owner can remove every other member.
#[utoipa::path(
    delete, path = "/api/groups/{group_name}/members/{username}/", operation_id = "remove_member", tag = "members",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"), ("username" = String, Path, example = "bob"),
        ("ban" = Option<bool>, Query, description = "`true` also bans the user, who then cannot join again. The user does not have to be a member."),
    ),
    responses((status = 204, description = "The user is not a member now. The user's sockets of this group alone are closed with 4403. The user's sockets of many groups stay open, and get a frame `error` for this group."), Forbidden, Invalid, NotFound, Unauthorized, Conflict, RateLimited, Unavailable),
)]
pub async fn remove(
    member: GroupMember<CurrentUser>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    Path((_, username)): Path<(String, String)>,
    params: QueryParams,
) -> Result<StatusCode> {
    throttle.check_change(Some(&member.user))?;
    let kind = if params.flag("ban")? {
        CommandKind::Ban { username }
    } else if member.user.has_username(&username) {
        CommandKind::Leave
    } else {
        CommandKind::Kick { username }
    };
    let command = member.command(None, kind);
    channels.execute(&member.group.name, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the banned users of a group, the oldest ban first. Requires the role admin or owner.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/bans/", operation_id = "list_bans", tag = "members",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("limit" = Option<u32>, Query, description = "A page has at most this number of results. The default is 100, and the maximum is 500.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The value `next` of the previous page."),
    ),
    responses((status = 200, description = "The response has a page of the list.", body = Page<Ban>), Forbidden, Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn list_bans(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    params: QueryParams,
) -> Result<Json<Page<Ban>>> {
    member.require_role(Role::Admin)?;
    let limit = params.page_limit(MEMBERS_PER_PAGE, MAX_MEMBERS_PER_PAGE)?;
    let after = params.number("cursor", 1)?.unwrap_or(0);
    let rows = bans::Model::list(&ctx.db, member.group.id, after, u64::from(limit) + 1);
    Ok(Json(Page::from_rows(rows.await?, limit as usize, |row| {
        row.id
    })))
}

/// Remove a ban. The user can then join again by an invite. Requires the role admin or owner.
#[utoipa::path(
    delete, path = "/api/groups/{group_name}/bans/{username}/", operation_id = "unban", tag = "members",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("username" = String, Path, example = "bob")),
    responses((status = 204, description = "The ban is removed."), Forbidden, Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn unban(
    member: GroupMember<CurrentUser>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    Path((_, username)): Path<(String, String)>,
) -> Result<StatusCode> {
    throttle.check_change(Some(&member.user))?;
    let command = member.command(None, CommandKind::Unban { username });
    channels.execute(&member.group.name, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a role by its name.
fn deserialize_role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    let name = String::deserialize(deserializer)?;
    let mut roles = [Role::Owner, Role::Admin, Role::Member].into_iter();
    let found = roles.find(|role| role.as_str() == name);
    found.ok_or_else(|| de::Error::custom("One of owner, admin, member."))
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/groups/{group_name}")
        .add("/members", get(list))
        .add("/members/{username}", patch(update).delete(remove))
        .add("/bans", get(list_bans))
        .add("/bans/{username}", delete(unban))
}
