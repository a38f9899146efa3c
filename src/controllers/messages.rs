//! Messages: the history and the log of a group, and the commands about messages that a rich socket has too.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use loco_rs::{
    app::AppContext,
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::{get, patch},
};
use mime::Mime;
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use super::extractors::{
    ApiJson, Cid, CurrentUser, GroupMember, IdempotencyKey, PathNumber, QueryParams, Throttle,
    WholeNumber, parse_media_type, parse_number,
};
use crate::{
    channels::{Channels, ResumePoint},
    errors::{Error, Result},
    models::{
        event_data::EventKind,
        events,
        group_commands::{AppliedCommand, CommandKind},
        messages::{self, HistoryContent, HistoryWindow, TextError, check_text},
    },
    views::{
        errors::{
            BodyErrors, Conflict, Forbidden, Gone, Invalid, NotFound, RateLimited, Unauthorized,
            Unavailable,
        },
        events::{Event, EventPage, PageReset},
        messages::{History, Message},
    },
};

/// The default and the highest number of messages on one page.
const MESSAGES_PER_PAGE: u32 = 50;
const MAX_MESSAGES_PER_PAGE: u32 = 100;

/// The highest number of kinds of an application that a page of history includes.
const MAX_NOTE_KINDS: usize = 20;

/// The default and the highest number of events on one page.
const EVENTS_PER_PAGE: u32 = 100;
const MAX_EVENTS_PER_PAGE: u32 = 500;

/// The highest number of bytes of the events on one page, beyond the first event.
const EVENT_PAGE_BYTES: usize = 512 * 1024;

/// A new message.
#[derive(Deserialize, ToSchema)]
pub struct MessageParams {
    #[serde(deserialize_with = "message_text")]
    #[schema(example = "hi", min_length = 1, max_length = 8000)]
    pub text: String,
    /// The `seq` of the message that this message answers.
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub reply_to: Option<WholeNumber<1, { i64::MAX }>>,
    /// Your own id of this request, if you cannot send the header `Idempotency-Key`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    pub cid: Option<Cid>,
}

/// The new text of a message.
#[derive(Deserialize, ToSchema)]
pub struct EditParams {
    #[serde(deserialize_with = "message_text")]
    #[schema(example = "hi!", min_length = 1, max_length = 8000)]
    pub text: String,
    /// Your own id of this request, if you cannot send the header `Idempotency-Key`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    pub cid: Option<Cid>,
}

/// List the messages of a group, the newest first.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/messages/", operation_id = "list_messages", tag = "messages",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("limit" = Option<u32>, Query, description = "A page has at most this number of results. The default is 50, and the maximum is 100.", minimum = 1),
        ("before" = Option<i64>, Query, description = "Return messages just before this `seq`.", minimum = 1),
        ("after" = Option<i64>, Query, description = "Return messages just after this `seq`.", minimum = 0),
        ("notes" = Option<bool>, Query, description = "`true` adds the other events that appear in the history, such as new members. The limit counts both.", example = false),
        ("kinds" = Option<String>, Query, description = "With `notes=true`, the notes include the events of these kinds of an application. The names are separated by commas. The maximum is 20 kinds.", example = "poll.created"),
    ),
    responses((status = 200, description = "The response has a page of the history. A deleted message has no text.", body = History), Invalid, NotFound, Unauthorized, RateLimited, Unavailable),
)]
pub async fn list(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    throttle: Throttle,
    params: QueryParams,
) -> Result<Response> {
    let limit = params.page_limit(MESSAGES_PER_PAGE, MAX_MESSAGES_PER_PAGE)?;
    let before = params.number("before", 1)?;
    let window = match (before, params.number("after", 0)?) {
        (None, None) => HistoryWindow::Newest,
        (Some(seq), None) => HistoryWindow::Before(seq),
        (None, Some(seq)) => HistoryWindow::After(seq),
        (Some(_), Some(_)) => return Err(Error::invalid("Send either before or after, not both.")),
    };
    let with_notes = params.flag("notes")?;
    let content = if with_notes {
        HistoryContent::MessagesAndNotes(note_kinds(&params)?)
    } else {
        HistoryContent::Messages
    };
    let (db, group, viewer) = (&ctx.db, &member.group, member.user.id);
    let _permit = throttle.acquire_page_permit().await;
    let page =
        messages::StoredMessage::find_page(db, group.id, viewer, window, &content, limit.into());
    let page = page.await?.ok_or(Error::NotFound)?;
    Ok(Json(History::new(&group.name, &page, with_notes)).into_response())
}

/// Returns the kinds of an application that the parameter `kinds` names.
fn note_kinds(params: &QueryParams) -> Result<Vec<EventKind>> {
    let Some(names) = params.text("kinds")? else {
        return Ok(Vec::new());
    };
    let kinds: Option<Vec<_>> = names.split(',').map(EventKind::parse).collect();
    kinds
        .filter(|kinds| kinds.len() <= MAX_NOTE_KINDS)
        .ok_or_else(|| Error::Invalid {
            detail: "This must be a list of at most 20 names of kinds, separated by commas."
                .to_owned(),
            field: Some("kinds".into()),
        })
}

/// Send a message.
#[utoipa::path(
    post, path = "/api/groups/{group_name}/messages/", operation_id = "send_message", tag = "messages",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request. A retry with the same id sends nothing twice.", max_length = 128),
    ),
    request_body(content = MessageParams, example = json!({"text": "hi"})),
    responses(
        (status = 201, description = "The message is stored.", body = Message),
        (status = 200, description = "An earlier request with this id stored the message.", body = Message),
        Invalid, NotFound, Unauthorized, Conflict, Gone, BodyErrors, RateLimited, Unavailable,
    ),
)]
pub async fn create(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    key: IdempotencyKey,
    ApiJson(params): ApiJson<MessageParams>,
) -> Result<(StatusCode, Json<Message>)> {
    let cid = key.merge_with_body(params.cid)?;
    let kind = CommandKind::Send {
        text: params.text,
        reply_to: params.reply_to.map(|WholeNumber(seq)| seq),
    };
    let stored = submit_command(&member, &channels, cid, kind).await?;
    let status = if stored.dup {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, load_message(&ctx, &member, stored.seq).await?))
}

/// Edit the text of your message.
#[utoipa::path(
    patch, path = "/api/groups/{group_name}/messages/{seq}/", operation_id = "edit_message", tag = "messages",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"), ("seq" = i64, Path, example = 41),
        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request.", max_length = 128),
    ),
    request_body(content = EditParams, example = json!({"text": "hi!"})),
    responses((status = 200, description = "The response has the changed message.", body = Message), Forbidden, Invalid, NotFound, Unauthorized, Conflict, Gone, BodyErrors, RateLimited, Unavailable),
)]
pub async fn edit(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    key: IdempotencyKey,
    Path((_, PathNumber(seq))): Path<(String, PathNumber)>,
    ApiJson(EditParams { text, cid }): ApiJson<EditParams>,
) -> Result<Json<Message>> {
    let cid = key.merge_with_body(cid)?;
    submit_command(&member, &channels, cid, CommandKind::Edit { seq, text }).await?;
    load_message(&ctx, &member, seq).await
}

/// Delete a message. Admins and the owner can delete any message, other members only their own.
#[utoipa::path(
    delete, path = "/api/groups/{group_name}/messages/{seq}/", operation_id = "delete_message", tag = "messages",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"), ("seq" = i64, Path, example = 41),
        ("Idempotency-Key" = Option<String>, Header, description = "Your own id of this request.", max_length = 128),
    ),
    responses((status = 204, description = "The text is deleted from the history and from the log."), Forbidden, Invalid, NotFound, Unauthorized, Conflict, Gone, RateLimited, Unavailable),
)]
pub async fn delete(
    member: GroupMember<CurrentUser>,
    SharedStore(channels): SharedStore<Channels>,
    IdempotencyKey(cid): IdempotencyKey,
    Path((_, PathNumber(seq))): Path<(String, PathNumber)>,
) -> Result<StatusCode> {
    submit_command(&member, &channels, cid, CommandKind::Delete { seq }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the events of a group's log, in order.
///
/// The events are the same as on a rich socket. With `Accept: text/event-stream`, the response is a stream of
/// Server-Sent Events, which continues with new events. An event of the log has its `seq` as its id and has no name.
/// Three kinds of events have a name: `sync` when the stream has caught up, `reset` when the log cannot continue from
/// the client's position, and `bye` before the end of the stream. Their data are the frames of the same type on a rich
/// socket.
#[utoipa::path(
    get, path = "/api/groups/{group_name}/events/", operation_id = "list_events", tag = "messages",
    security(("bearer" = [])),
    params(
        ("group_name" = String, Path, example = "chat_a1b2c3d4"),
        ("limit" = Option<u32>, Query, description = "A page has at most this number of results. The default is 100, and the maximum is 500. A stream ignores the parameter.", minimum = 1),
        ("after" = Option<i64>, Query, description = "The `seq` of the last event that you have. Without it, the response starts with the first event.", minimum = 0),
        ("epoch" = Option<String>, Query, description = "The `epoch` in which you received that event."),
        ("Last-Event-ID" = Option<i64>, Header, description = "For a stream, the header means the same as `after`, and has priority over `after`.", minimum = 0),
    ),
    responses(
        (status = 200, description = "The response has a page of the log. A page has fewer events than the limit if the events are long. The log is complete when the last event is `position`.",
            content((EventPage = "application/json"), (String = "text/event-stream"))),
        Invalid, NotFound, Unauthorized, RateLimited, Unavailable,
    ),
)]
pub async fn list_events(
    member: GroupMember<CurrentUser>,
    State(ctx): State<AppContext>,
    SharedStore(channels): SharedStore<Channels>,
    params: QueryParams,
    throttle: Throttle,
    headers: HeaderMap,
) -> Result<Response> {
    let after = params.number("after", 0)?;
    if prefers_event_stream(&headers) {
        let resume_point = ResumePoint {
            after: last_event_id(&headers)?.or(after),
            epoch: params.text("epoch")?.map(ToOwned::to_owned),
        };
        throttle.check_socket_open()?;
        channels.check_send_rate(member.user.id)?;
        let start = throttle.wait_for_start(&channels).await?;
        let admission = throttle.admit_socket(&channels, &member.user, start, None)?;
        return Ok(channels.serve_event_stream(
            member.channel_member(),
            member.session,
            resume_point,
            admission,
        ));
    }
    let limit = params.page_limit(EVENTS_PER_PAGE, MAX_EVENTS_PER_PAGE)?;
    let (db, group, after) = (&ctx.db, &member.group, after.unwrap_or(0));
    let epoch = channels.epoch();
    let is_other_epoch = params
        .text("epoch")?
        .is_some_and(|requested| requested != epoch);
    let reason = match () {
        () if is_other_epoch => Some("epoch"),
        () if after > group.head => Some("ahead"),
        () => None,
    };
    let events = if reason.is_some() {
        Vec::new()
    } else {
        let _permit = throttle.acquire_page_permit().await;
        events::Model::page_after(db, group.id, after, limit.into(), EVENT_PAGE_BYTES).await?
    };
    // Some events may have been stored since the head was read.
    let last = events.last().map_or(0, |event| event.seq);
    let head = group.head.max(last);
    let page = EventPage {
        results: events
            .iter()
            .map(|event| Event::new(&group.name, event))
            .collect(),
        position: head,
        epoch: &epoch,
        reset: reason.map(|reason| PageReset { reason, head }),
    };
    Ok(Json(page).into_response())
}

/// Returns whether the client prefers Server-Sent Events to JSON (RFC 9110, section 12.5.1). Clients that
/// generators make accept both alike, and get JSON.
fn prefers_event_stream(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter();
    let ranges: Vec<Mime> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(parse_media_type)
        .collect();
    let quality = |essence: &str| {
        let named = ranges.iter().filter(|range| range.essence_str() == essence);
        named
            .map(|range| match range.get_param("q") {
                Some(quality) => quality.as_str().parse().unwrap_or(0.0),
                None => 1.0,
            })
            .fold(0.0, f32::max)
    };
    quality("text/event-stream") > quality("application/json")
}

/// Returns the seq of the last event that an interrupted stream delivered. An empty header counts as absent.
fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>> {
    let mut lines = headers.get_all("last-event-id").iter();
    let (first, other) = (lines.next(), lines.next());
    let Some(id) = first.filter(|id| !id.is_empty() || other.is_some()) else {
        return Ok(None);
    };
    let id = id.to_str().ok().filter(|_| other.is_none());
    id.and_then(parse_number).map(Some).ok_or_else(|| {
        Error::invalid("Last-Event-ID must be the `seq` of an event: a whole number, 0 or more.")
    })
}

/// Reads the text of a message, for `#[serde(deserialize_with = "message_text")]`.
fn message_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match check_text(&text) {
        Ok(()) => Ok(text),
        Err(error @ TextError::Blank) => Err(de::Error::custom(error)),
        Err(error @ TextError::TooLong) => {
            Err(de::Error::invalid_length(text.len(), &&*error.to_string()))
        }
    }
}

/// Counts a command about messages against the rate limit of sends, and executes it.
pub(super) async fn submit_command(
    member: &GroupMember<CurrentUser>,
    channels: &Channels,
    cid: Option<String>,
    kind: CommandKind,
) -> Result<AppliedCommand> {
    channels.check_send_rate(member.user.id)?;
    let command = member.command(cid, kind);
    Ok(channels.execute(&member.group.name, command).await?)
}

/// Returns a message as this member sees it.
pub(super) async fn load_message(
    ctx: &AppContext,
    member: &GroupMember<CurrentUser>,
    seq: i64,
) -> Result<Json<Message>> {
    let message =
        messages::StoredMessage::find(&ctx.db, member.group.id, member.user.id, seq).await?;
    Ok(Json(message.ok_or(Error::NotFound)?.into()))
}

pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/groups/{group_name}")
        .add("/messages", get(list).post(create))
        .add("/messages/{seq}", patch(edit).delete(delete))
        .add("/events", get(list_events))
}
