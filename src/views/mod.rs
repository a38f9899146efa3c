//! The JSON of each answer, and the pages. Entities never go on the wire.

pub mod auth;
pub mod chat;
pub mod errors;
pub mod events;
pub mod groups;
pub mod health;
pub mod invites;
pub mod members;
pub mod messages;
pub mod pages;
pub mod reference;
pub mod sessions;
pub mod texts;

use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// Times on the wire: RFC 3339, UTC, milliseconds.
#[must_use]
pub fn format_time<Z: TimeZone>(at: &DateTime<Z>) -> String {
    at.with_timezone(&Utc)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    pub results: Vec<T>,
    /// The `cursor` of the next page; null after the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` of what was found, which is one more where there is more. `id` is
    /// where the next page goes on.
    #[must_use]
    pub fn from_rows<M>(mut found: Vec<M>, limit: usize, id: impl Fn(&M) -> i64) -> Self
    where
        T: From<M>,
    {
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| !is_last)
            .map(|last| id(last).to_string());
        Self {
            results: found.into_iter().map(T::from).collect(),
            next,
        }
    }
}
