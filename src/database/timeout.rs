//! The longest time of a query of a background task.

use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr};
use tokio::time::timeout;

use super::classify;
use crate::metrics::METRICS;

/// A database that does not answer within this time counts as unreachable.
pub const DB_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a query, and fails when the database does not answer within [`DB_TIMEOUT`]. A task that serves many others must
/// not wait forever.
///
/// # Errors
/// The error of the query, or of the timeout.
pub async fn with_db_timeout<T>(query: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    let result = timeout(DB_TIMEOUT, query).await.unwrap_or_else(|_| {
        let message = format!("the database did not answer within {DB_TIMEOUT:?}");
        Err(DbErr::Conn(RuntimeErr::Internal(message)))
    });
    if let Err(error) = &result {
        METRICS.database_errors.inc([classify(error).class()]);
    }
    result
}
