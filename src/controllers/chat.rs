//! Starting a chat.

use axum::{Json, extract::State};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::post,
};
use serde::Deserialize;
use tracing::Span;
use utoipa::ToSchema;

use super::extractors::{Allowance, ContractUser, OptionalFields, PublicBase};
use crate::{
    channels::Channels,
    errors::Result,
    models::{chat_groups, usernames::parse_display_name},
    settings::Settings,
    views::{
        chat::ChatStarted,
        errors::{BodyRefused, Detail, Refusal, TooFast, Unavailable},
    },
};

/// A chat to be started.
#[derive(Deserialize, ToSchema)]
pub struct StartChatParams {
    /// What members see; may be left out.
    #[schema(example = "Lunch", min_length = 1, max_length = 150)]
    pub title: Option<String>,
}

/// Start a chat group of which you are the owner.
#[utoipa::path(
    post, path = "/api/start-chat/", operation_id = "start_chat", tag = "chat",
    security(("bearer" = [])),
    request_body(content = Option<StartChatParams>, description = "May be empty."),
    responses(
        (status = 200, description = "The group was created.", body = ChatStarted),
        (status = 400, description = "The body is not a JSON object, or the title is at fault.", body = Detail,
            example = json!({"detail": "This field may not be blank.", "code": "invalid", "field": "title"})),
        (status = 401, description = "No live access token in `Authorization`; a cookie does not count.", body = Refusal,
            headers(("WWW-Authenticate" = String, description = "`Bearer`"))),
        (status = 409, description = "You are a member of as many groups as one user may be.", body = Detail,
            example = json!({"detail": "You are a member of as many groups as one user may be; leave one first.", "code": "limit_exceeded"})),
        BodyRefused,
        TooFast,
        Unavailable,
    ),
)]
pub async fn start_chat(
    ContractUser(user): ContractUser,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    allowance: Allowance,
    base: PublicBase,
    fields: OptionalFields,
) -> Result<Json<ChatStarted>> {
    let title = fields.parse("title", parse_display_name)?;
    allowance.start(&user)?;
    let settings = Settings::of(&ctx)?;
    let quotas = settings.limits.quotas();
    let (group, membership) =
        chat_groups::Model::start_within(&ctx.db, &user, title, quotas).await?;
    Span::current().record("group", group.name.as_str());
    channels.welcome(&user, &group, &membership);
    let clock = settings.clock();
    Ok(Json(ChatStarted::new(
        group.name,
        &base.socket(),
        &user.username,
        &clock,
    )))
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api")
        .add("/start-chat", post(start_chat))
}
