//! Invites: admins create and revoke them, and users with a code accept them.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use chrono::Duration;
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::{delete, get, post},
};
use serde::Deserialize;
use tracing::Span;
use utoipa::ToSchema;

use super::extractors::{
    ApiJson, CurrentUser, GroupMember, PathNumber, PublicBase, QueryParams, Throttle, WholeNumber,
};
use crate::{
    channels::Channels,
    errors::{Error, Result},
    models::{
        events::Actor,
        group_commands::{CommandKind, GroupCommand},
        invites::{self, InviteCode},
        member_groups::MemberGroup,
        memberships::Role,
    },
    settings::Settings,
    views::{
        Page,
        errors::{
            BodyErrors, Conflict, Forbidden, Invalid, NotFound, RateLimited, Unauthorized,
            Unavailable,
        },
        groups::Group,
        invites::{Invite, NewInvite, Offer},
    },
};

/// The default and the highest number of invites on one page.
const INVITES_PER_PAGE: u32 = 50;
const MAX_INVITES_PER_PAGE: u32 = 100;

/// The default lifetime of an invite (a week) and the longest (366 days), in seconds.
const DEFAULT_EXPIRY_SECONDS: i64 = 7 * 24 * 60 * 60;
const MAX_EXPIRY_SECONDS: i64 = 366 * 24 * 60 * 60;

/// The highest number of users of one invite.
const MAX_USES: i64 = 1_000_000;

/// A new invite.
#[derive(Deserialize, ToSchema)]
pub struct InviteParams {
    /// The lifetime in seconds. The default is a week.
    #[schema(value_type = Option<i64>, example = 86400, minimum = 1, maximum = 31622400)]
    pub expires_in: Option<WholeNumber<1, MAX_EXPIRY_SECONDS>>,
    /// The number of users who can accept the invite. The default is any number.
    #[schema(value_type = Option<i64>, example = 5, minimum = 1, maximum = 1000000)]
    pub max_uses: Option<WholeNumber<1, MAX_USES>>,
}

/// Create an invite. Requires the role admin or owner.
#[utoipa::path(
    post, path = "/api/groups/{group_name}/invites/", operation_id = "create_invite", tag = "invites",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4")),
    request_body(content = Option<InviteParams>, description = "The body can be empty."),
    responses((status = 201, description = "The invite is created. Only this response has its code.", body = NewInvite), Forbidden, Invalid, NotFound, Unauthorized, BodyErrors, RateLimited, Unavailable),
)]
pub async fn create(
    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    base: PublicBase,
    ApiJson(params): ApiJson<InviteParams>,
) -> Result<(StatusCode, Json<NewInvite>)> {
    throttle.check_invite(&member.user)?;
    let expires_in = params
        .expires_in
        .map_or(DEFAULT_EXPIRY_SECONDS, |WholeNumber(seconds)| seconds);
    let expires_in = Duration::seconds(expires_in);
    let max_uses = params.max_uses.map(|WholeNumber(uses)| uses);
    let command = member.command(
        None,
        CommandKind::CreateInvite {
            expires_in,
            max_uses,
        },
    );
    let applied = channels.execute(&member.group.name, command).await?;
    // An applied `CreateInvite` always has its invite.
    let created = applied.into_invite().ok_or(Error::Unavailable)?;
    Ok((
        StatusCode::CREATED,
        Json(NewInvite::new(
            &created.invite,
            &created.code,
            &base.http_base_url(),
        )),
    ))
}

/// List the invites that can still be used. Requires the role admin or owner.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/invites/", operation_id = "list_invites", tag = "invites",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("limit" = Option<u32>, Query, description = "A page has at most this number of results. The default is 50, and the maximum is 100.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The value `next` of the previous page."),
    ),
    responses((status = 200, description = "The response has a page of the list.", body = Page<Invite>), Forbidden, Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn list(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    params: QueryParams,
) -> Result<Json<Page<Invite>>> {
    member.require_role(Role::Admin)?;
    let limit = params.page_limit(INVITES_PER_PAGE, MAX_INVITES_PER_PAGE)?;
    let after = params.number("cursor", 1)?.unwrap_or(0);
    let rows = invites::Model::list(&ctx.db, member.group.id, after, u64::from(limit) + 1);
    Ok(Json(Page::from_rows(rows.await?, limit as usize, |row| {
        row.id
    })))
}

/// Revoke an invite. Requires the role admin or owner.
#[utoipa::path(
    delete, path = "/api/groups/{group_name}/invites/{id}/", operation_id = "delete_invite", tag = "invites",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4"), ("id" = i64, Path, example = 3)),
    responses((status = 204, description = "The invite is revoked."), Forbidden, Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn revoke(
    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    Path((_, PathNumber(id))): Path<(String, PathNumber)>,
) -> Result<StatusCode> {
    throttle.check_change(Some(&member.user))?;
    let command = member.command(None, CommandKind::RevokeInvite { id });
    channels.execute(&member.group.name, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Show the group that an invite is for.
#[utoipa::path(
    get, path = "/api/invites/{code}/", operation_id = "show_invite", tag = "invites",
    security(("bearer" = [])),
    params(("code" = String, Path, example = "9f86d081884c7d659a2feaa0c55ad015")),
    responses((status = 200, description = "The response has a preview of the group.", body = Offer), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn show(
    _: CurrentUser,
    State(ctx): State<AppContext>,
    Path(code): Path<String>,
) -> Result<Json<Offer>> {
    let offer = invites::Model::find_preview(&ctx.db, &code.into()).await?;
    Ok(Json(offer.ok_or(Error::NotFound)?.into()))
}

/// Join a group by an invite.
#[utoipa::path(
    post, path = "/api/invites/{code}/accept/", operation_id = "accept_invite", tag = "invites",
    security(("bearer" = [])),
    params(("code" = String, Path, example = "9f86d081884c7d659a2feaa0c55ad015")),
    responses((status = 200, description = "You are a member now, or were a member already. The response has the group.", body = Group), Conflict, Forbidden, Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn accept(
    CurrentUser(user): CurrentUser,
    State(ctx): State<AppContext>,
    throttle: Throttle,
    SharedStore(channels): SharedStore<Channels>,
    Path(code): Path<String>,
) -> Result<Json<Group>> {
    throttle.check_change(Some(&user))?;
    let code = InviteCode::from(code);
    let group = invites::Model::find_group_for_code(&ctx.db, &code, &user).await?;
    let group = group.ok_or(Error::NotFound)?;
    Span::current().record("group", group.name.as_str());
    let command = GroupCommand {
        group_id: group.id,
        actor: Some(Actor::from_user(&user)),
        cid: None,
        kind: CommandKind::AcceptInvite {
            code,
            display_name: user.name,
            quotas: Settings::from_context(&ctx)?.limits.quotas(),
        },
    };
    let applied = channels.execute(&group.name, command).await?;
    // An applied `AcceptInvite` always has its group and membership.
    let joined = applied.into_joined().ok_or(Error::Unavailable)?;
    let group = MemberGroup::load(&ctx.db, joined.group, joined.membership).await?;
    Ok(Json(group.into()))
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api")
        .add("/groups/{group_name}/invites", get(list).post(create))
        .add("/groups/{group_name}/invites/{id}", delete(revoke))
        .add("/invites/{code}", get(show))
        .add("/invites/{code}/accept", post(accept))
}
