//! Reactions to messages.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::put,
};

use super::{
    extractors::{CurrentUser, GroupMember, IdempotencyKey, PathNumber},
    messages::{load_message, submit_command},
};
use crate::{
    channels::Channels,
    errors::{Error, Result},
    models::{group_commands::CommandKind, reactions::Emoji},
    views::{
        errors::{Conflict, Gone, Invalid, NotFound, RateLimited, Unauthorized, Unavailable},
        messages::Message,
    },
};

/// Add your reaction to a message. A repeated request changes nothing.
#[utoipa::path(
    put, path = "/api/groups/{group_name}/messages/{seq}/reactions/{emoji}/", operation_id = "add_reaction", tag = "messages",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"), ("seq" = i64, Path, example = 41),
        ("emoji" = String, Path, description = "Exactly one emoji of Unicode's list, with or without variation selectors.", example = "👍"),
        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request.", max_length = 128),
    ),
    responses((status = 200, description = "The response has the message with its current reactions.", body = Message), Invalid, NotFound, Unauthorized, Conflict, Gone, RateLimited, Unavailable),
)]
pub async fn add(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    IdempotencyKey(cid): IdempotencyKey,
    Path((_, PathNumber(seq), emoji)): Path<(String, PathNumber, String)>,
) -> Result<Json<Message>> {
    set_reaction(&member, &channels, cid, seq, &emoji, true).await?;
    load_message(&ctx, &member, seq).await
}

/// Remove your reaction from a message. A repeated request changes nothing.
#[utoipa::path(
    delete, path = "/api/groups/{group_name}/messages/{seq}/reactions/{emoji}/", operation_id = "remove_reaction", tag = "messages",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"), ("seq" = i64, Path, example = 41),
        ("emoji" = String, Path, description = "Exactly one emoji of Unicode's list, with or without variation selectors.", example = "👍"),
        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request.", max_length = 128),
    ),
    responses((status = 204, description = "The reaction was removed, or did not exist."), Invalid, NotFound, Unauthorized, Conflict, Gone, RateLimited, Unavailable),
)]
pub async fn remove(
    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
    IdempotencyKey(cid): IdempotencyKey,
    Path((_, PathNumber(seq), emoji)): Path<(String, PathNumber, String)>,
) -> Result<StatusCode> {
    set_reaction(&member, &channels, cid, seq, &emoji, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds or removes a reaction of a member to a message.
async fn set_reaction(
    member: &GroupMember<CurrentUser>,
    channels: &Channels,
    cid: Option<String>,
    seq: i64,
    emoji: &str,
    on: bool,
) -> Result<()> {
    let emoji = Emoji::parse(emoji).ok_or_else(|| Error::Invalid {
        detail: Emoji::INVALID_EMOJI_TEXT.to_owned(),
        field: Some("emoji".into()),
    })?;
    submit_command(member, channels, cid, CommandKind::React { seq, emoji, on }).await?;
    Ok(())
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/groups/{group_name}/messages/{seq}/reactions")
        .add("/{emoji}", put(add).delete(remove))
}
