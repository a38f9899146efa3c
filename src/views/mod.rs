//! The JSON of each response, and the pages. Entities of the database are never serialized.

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

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::models::{group_commands::RowJson, rejections::CommandError};

/// Returns a time as the API shows it: RFC 3339, UTC, milliseconds.
#[must_use]
pub fn format_time<Z: TimeZone>(at: &DateTime<Z>) -> String {
    at.with_timezone(&Utc)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A changed row of an application as the response to the request.
impl IntoResponse for RowJson {
    fn into_response(self) -> Response {
        Json(self.get()).into_response()
    }
}

/// Returns the JSON of a row, for [`RowChange::apply`](crate::models::group_commands::RowChange::apply).
///
/// # Errors
/// When the view has a map whose keys are not strings.
pub fn row_json<M, V: From<M> + Serialize>(row: M) -> Result<RowJson, CommandError> {
    RowJson::new(&V::from(row))
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    pub results: Vec<T>,
    /// The `cursor` of the next page; null on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Returns a page of at most `limit` rows.
    ///
    /// `rows` has one row more if there is a next page. `id` returns the cursor of a row.
    #[must_use]
    pub fn from_rows<M>(mut rows: Vec<M>, limit: usize, id: impl Fn(&M) -> i64) -> Self
    where
        T: From<M>,
    {
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| !is_last)
            .map(|last| id(last).to_string());
        Self {
            results: rows.into_iter().map(T::from).collect(),
            next,
        }
    }
}
