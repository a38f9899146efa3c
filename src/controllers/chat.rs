//! The endpoint of the base contract that creates a group.

use axum::{Json, extract::State};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::post,
};
use serde::Deserialize;
use tracing::Span;
use utoipa::ToSchema;

use super::extractors::{ApiJson, BaseApiUser, PublicBase, Throttle};
use crate::{
    channels::Channels,
    errors::Result,
    models::{chat_groups, usernames::DisplayName},
    settings::Settings,
    views::{
        chat::ChatStarted,
        errors::{ApiError, BaseError, BodyErrors, RateLimited, Unavailable},
    },
};

/// A new group.
#[derive(Deserialize, ToSchema)]
pub struct StartChatParams {
    /// The title of the group, which members see. The field is optional.
    #[schema(value_type = Option<String>, example = "Lunch", min_length = 1, max_length = 150)]
    pub title: Option<DisplayName>,
}

/// Create a chat group. You become its owner.
#[utoipa::path(
    post, path = "/api/start-chat/", operation_id = "start_chat", tag = "chat",
    security(("bearer" = [])),
    request_body(content = Option<StartChatParams>, description = "The body can be empty."),
    responses(
        (status = 200, description = "The group was created.", body = ChatStarted),
        (status = 400, description = "The body is not a JSON object, or the title is invalid.", body = ApiError,
            example = json!({"detail": "This field may not be blank.", "code": "invalid", "field": "title"})),
        (status = 401, description = "`Authorization` has no valid access token. A cookie is not accepted.", body = BaseError,
            headers(("WWW-Authenticate" = String, description = "The value is `Bearer`."))),
        (status = 409, description = "You have reached the largest number of groups per user.", body = ApiError,
            example = json!({"detail": "You are a member of as many groups as one user may be; leave one first.", "code": "limit_exceeded"})),
        BodyErrors,
        RateLimited,
        Unavailable,
    ),
)]
pub async fn start_chat(
    BaseApiUser(user): BaseApiUser,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    throttle: Throttle,
    base: PublicBase,
    ApiJson(params): ApiJson<StartChatParams>,
) -> Result<Json<ChatStarted>> {
    throttle.check_chat_start(&user)?;
    let settings = Settings::from_context(&ctx)?;
    let quotas = settings.limits.quotas();
    let title = params.title.map(Into::into);
    let (group, membership) =
        chat_groups::Model::create_within_quotas(&ctx.db, &user, title, quotas).await?;
    Span::current().record("group", group.name.as_str());
    channels.notify_joined(&user, &group, &membership);
    let clock = settings.time_of_day();
    Ok(Json(ChatStarted::new(
        group.name,
        &base.ws_base_url(),
        &user.username,
        &clock,
    )))
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api")
        .add("/start-chat", post(start_chat))
}
