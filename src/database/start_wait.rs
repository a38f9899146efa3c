//! The wait for a database that starts later than the server, for example when a machine or a cluster boots.

use std::time::Duration;

use migration::check_pooler;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::{Instant, sleep};

use super::{DbErrorKind, Outage, classify, error::sqlstate};

/// The pause between two attempts.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The time between two lines of the log.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Waits until PostgreSQL accepts connections, for at most `limit`. The log shows the wait. Returns at once for SQLite.
///
/// # Errors
/// When PostgreSQL cannot be reached within `limit`, or refuses the connection for a reason that a wait does not
/// change, such as a wrong password or an unsuitable pooler.
pub async fn wait_until_reachable(db: &DatabaseConnection, limit: Duration) -> Result<(), DbErr> {
    let started_at = Instant::now();
    let mut logged_at = None;
    loop {
        let Err(error) = check_pooler(db).await else {
            if logged_at.is_some() {
                let seconds = started_at.elapsed().as_secs();
                tracing::info!(seconds, "the database accepts connections");
            }
            return Ok(());
        };
        if !may_end_by_itself(&error) || started_at.elapsed() + RETRY_DELAY > limit {
            return Err(error);
        }
        if logged_at.is_none_or(|at: Instant| at.elapsed() >= LOG_INTERVAL) {
            logged_at = Some(Instant::now());
            let remaining = limit.saturating_sub(started_at.elapsed()).as_secs();
            tracing::warn!(%error, remaining_seconds = remaining, "waiting for the database");
        }
        sleep(RETRY_DELAY).await;
    }
}

/// Returns `true` for an error that may end without an operator: the database does not run yet, starts, or is overloaded.
fn may_end_by_itself(error: &DbErr) -> bool {
    match classify(error) {
        DbErrorKind::ConnectionLost | DbErrorKind::Unavailable(Outage::Busy) => true,
        // With a code, the server has refused the account or the name of the database.
        DbErrorKind::Unavailable(Outage::Unreachable) => sqlstate(error).is_none(),
        _ => false,
    }
}
