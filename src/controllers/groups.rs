//! Who is logged in, and their groups.

use axum::{Json, extract::State, http::StatusCode};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::{get, put},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::extractors::{
    Allowance, Confirmation, CurrentUser, GroupMember, OptionalFields, Params,
};
use crate::{
    channels::Channels,
    errors::{Error, Result},
    models::{
        changes::What, chat_groups, memberships::Role, mine::Mine, usernames::parse_display_name,
    },
    views::{
        Page,
        errors::{BodyRefused, Forbidden, Invalid, NotFound, TooFast, Unauthorized, Unavailable},
        groups::{Group, Me},
    },
};

/// Groups on one page.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 100;

/// A group's new title.
#[derive(Deserialize, ToSchema)]
pub struct GroupParams {
    /// Null takes the title away.
    #[schema(example = "Dinner", min_length = 1, max_length = 150)]
    pub title: Option<String>,
}

/// How far somebody has read.
#[derive(Deserialize, ToSchema)]
pub struct ReadParams {
    /// The last event that you have read; one beyond the last there is means all.
    #[schema(example = 57, minimum = 0)]
    pub seq: i64,
}

/// Say who is logged in.
#[utoipa::path(
    get, path = "/api/me/", operation_id = "me", tag = "accounts",
    security(("bearer" = [])),
    responses((status = 200, description = "You.", body = Me), Unauthorized, TooFast, Unavailable),
)]
pub async fn me(CurrentUser(user): CurrentUser) -> Json<Me> {
    Json(user.into())
}

/// List the groups that you belong to, the one joined last first.
#[utoipa::path(
    get, path = "/api/groups/", operation_id = "list_groups", tag = "groups",
    security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "50 if left out, 100 at most.", minimum = 1),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "A page of them; shorter than its limit where last messages are long. `next` is null after the last.", body = Page<Group>),
        Invalid, Unauthorized, TooFast, Unavailable,
    ),
)]
pub async fn list(
    CurrentUser(user): CurrentUser,
    State(ctx): State<AppContext>,
    allowance: Allowance,
    params: Params,
) -> Result<Json<Page<Group>>> {
    let limit = params.limit(PAGE, MAX_PAGE)?;
    let before = params.number("cursor", 1..=i64::MAX)?.unwrap_or(i64::MAX);
    let _turn = allowance.page().await;
    let (found, on_page) = Mine::list(&ctx.db, &user, before, limit as usize).await?;
    Ok(Json(Page::of(found, on_page, |mine| mine.membership.id)))
}

/// Show a group.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/", operation_id = "show_group", tag = "groups",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4")),
    responses((status = 200, description = "The group as you see it.", body = Group), Invalid, NotFound, Unauthorized, TooFast, Unavailable),
)]
pub async fn show(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
) -> Result<Json<Group>> {
    let mine = Mine::of(&ctx.db, member.group, member.membership).await?;
    Ok(Json(mine.into()))
}

/// Give a group another title. (Admins and the owner.)
#[utoipa::path(
    patch, path = "/api/groups/{group_name}/", operation_id = "update_group", tag = "groups",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4")),
    request_body = GroupParams,
    responses((status = 200, description = "The group as it is now.", body = Group), Forbidden, Invalid, NotFound, Unauthorized, BodyRefused, TooFast, Unavailable),
)]
pub async fn update(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    allowance: Allowance,
    SharedStore(channels): SharedStore<Channels>,
    fields: OptionalFields,
) -> Result<Json<Group>> {
    allowance.change(Some(&member.user))?;
    let title = fields.parse("title", parse_display_name)?;
    if !fields.has("title") {
        return Err(Error::Invalid {
            detail: "This field is required; null takes the title away.".to_owned(),
            field: Some("title".into()),
        });
    }
    let name = member.group.name.clone();
    let db = ctx.db.clone();
    let renaming = async move { member.group.rename(&db, &member.user, title).await };
    let group = channels.told(&name, renaming).await?;
    let mine = Mine::of(&ctx.db, group, member.membership).await?;
    Ok(Json(mine.into()))
}

/// Delete a group with all that was said in it. (The owner.)
///
/// This cannot be undone, so the request repeats the name of the group: `?confirm=<group>`, or
/// `{"confirm": "<group>"}` as its body.
#[utoipa::path(
    delete, path = "/api/groups/{group_name}/", operation_id = "delete_group", tag = "groups",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("confirm" = Option<String>, Query, description = "The name of the group once more, unless the body has it.", example = "chat_a1b2c3d4"),
    ),
    responses((status = 204, description = "It is gone, and its sockets are closed with 4404."), Forbidden, Invalid, NotFound, Unauthorized, BodyRefused, TooFast, Unavailable),
)]
pub async fn delete(
    member: GroupMember<CurrentUser>,
    allowance: Allowance,
    SharedStore(channels): SharedStore<Channels>,
    confirmation: Confirmation,
) -> Result<StatusCode> {
    allowance.change(Some(&member.user))?;
    member.require(Role::Owner)?;
    confirmation.check("group", |given| given == member.group.name)?;
    channels.delete(member.group, member.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say how far you have read, on all of your devices. It never goes back.
#[utoipa::path(
    put, path = "/api/groups/{group_name}/read/", operation_id = "mark_read", tag = "groups",
    security(("bearer" = [])),
    params(("group_name" = String, Path, example = "chat_a1b2c3d4")),
    request_body = ReadParams,
    responses((status = 200, description = "The group as you see it now.", body = Group), Invalid, NotFound, Unauthorized, BodyRefused, TooFast, Unavailable),
)]
pub async fn read(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    fields: OptionalFields,
) -> Result<Json<Group>> {
    let seq = fields.number("seq", 0..=i64::MAX)?;
    let seq = seq.ok_or_else(|| Error::required("seq"))?;
    channels.may_send(member.user.id)?;
    if seq > 0 {
        let change = member.member().change(None, What::Read { seq });
        let name = member.group.name.as_str().into();
        channels.make(name, change).await??;
    }
    let found = chat_groups::Model::find_for_member(&ctx.db, &member.group.name, &member.user);
    let (group, membership) = found.await?.ok_or(Error::NotFound)?;
    let mine = Mine::of(&ctx.db, group, membership).await?;
    Ok(Json(mine.into()))
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
        .add("/groups/{group_name}/read", put(read))
}
