//! The clock of the database: the one clock that all nodes share.
//!
//! The clocks of two nodes may differ, and an operator may set the clock of a node. So a time that one node stores
//! and another node compares, such as the end of a session or of an invite, comes from the database. The
//! comparison also runs there. SQLite runs in the process, and its clock is the clock of the machine.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeZone, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, sea_query::Expr};
use tokio::time::sleep;

use super::with_db_timeout;

/// The difference between the clocks of this node and of the database above which it is logged.
const MAX_DIFFERENCE: chrono::Duration = chrono::Duration::seconds(2);

/// The time between two comparisons of the clocks.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The number of comparisons until a difference is logged again.
const CHECKS_PER_WARNING: u32 = 10;

/// The microseconds that the clock of this node is ahead of the clock of the database.
static MICROS_AHEAD: AtomicI64 = AtomicI64::new(0);

/// `true` if the last comparison found a difference that is too large.
static IS_SKEWED: AtomicBool = AtomicBool::new(false);

/// Returns the SQL expression of the present time.
///
/// Its precision is a microsecond on PostgreSQL and a millisecond on SQLite. On SQLite the text has the form in
/// which times are stored.
#[must_use]
pub const fn now_sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
        _ => "clock_timestamp()",
    }
}

/// Returns the present time as an expression of a query.
#[must_use]
pub fn now_expr(db: &impl ConnectionTrait) -> Expr {
    Expr::cust(now_sql(db.get_database_backend()))
}

/// Returns the present time.
///
/// # Errors
/// When the database fails.
pub async fn now(db: &impl ConnectionTrait) -> Result<DateTime<Utc>, DbErr> {
    let backend = db.get_database_backend();
    let sql = format!("SELECT {} AS now", now_sql(backend));
    let row = db
        .query_one_raw(Statement::from_string(backend, sql))
        .await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the time of the database".to_owned()))?;
    row.try_get("", "now")
}

/// Converts a time of this node's clock to the clock of the database, as far as the difference is known.
#[must_use]
pub fn to_database_time(node_time: DateTime<Utc>) -> DateTime<Utc> {
    node_time - chrono::Duration::microseconds(MICROS_AHEAD.load(Ordering::Relaxed))
}

/// Returns the time since the database stored something, or zero if its time is in the future.
///
/// The result is exact to some milliseconds: the clocks are compared every 30 s.
#[must_use]
pub fn age_of(at: DateTime<impl TimeZone>) -> Duration {
    to_database_time(Utc::now())
        .signed_duration_since(at)
        .to_std()
        .unwrap_or_default()
}

/// The seconds that the clock of this node is ahead of the clock of the database, by the last comparison. Negative if
/// the clock is behind.
#[must_use]
pub fn seconds_ahead() -> f64 {
    let micros = MICROS_AHEAD.load(Ordering::Relaxed);
    let seconds = Duration::from_micros(micros.unsigned_abs()).as_secs_f64();
    if micros < 0 { -seconds } else { seconds }
}

/// Returns `true` if the clocks of this node and of the database differed by more than 2 s at the last comparison.
#[must_use]
pub fn is_skewed() -> bool {
    IS_SKEWED.load(Ordering::Relaxed)
}

/// The offset of the clock of this node from the clock of the database.
#[derive(Debug, Clone, Copy)]
pub struct ClockOffset {
    /// The offset: positive if the clock of this node is ahead.
    pub offset: chrono::Duration,
    /// The duration of the measurement. The offset may be wrong by half of it.
    slack: chrono::Duration,
}

impl ClockOffset {
    /// Returns whether the clocks differ by more than 2 s.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.offset.abs() > MAX_DIFFERENCE + self.slack
    }
}

/// Measures the offset of the clock of this node from the clock of the database.
///
/// # Errors
/// When the database fails.
pub async fn measure_offset(db: &impl ConnectionTrait) -> Result<ClockOffset, DbErr> {
    let (node_time, begin) = (Utc::now(), Instant::now());
    let database_time = now(db).await?;
    let slack = chrono::Duration::from_std(begin.elapsed()).unwrap_or_default();
    Ok(ClockOffset {
        // The database has read its clock in the middle of the query, as far as this node can know.
        offset: node_time + slack / 2 - database_time,
        slack,
    })
}

/// Compares the clock of this node with the clock of the database at regular times, and warns the operator of a
/// difference.
///
/// Nothing is lost by a difference. But this node shows wrong times, and its access tokens are valid for a shorter or
/// longer time on other nodes.
pub async fn run_check(db: DatabaseConnection) {
    let mut checks_until_warning = 0_u32;
    loop {
        checks_until_warning = checks_until_warning.saturating_sub(1);
        if let Ok(clock) = with_db_timeout(measure_offset(&db)).await {
            let micros = clock.offset.num_microseconds().unwrap_or(i64::MAX);
            MICROS_AHEAD.store(micros, Ordering::Relaxed);
            // A slow answer of the database alone is not a difference.
            IS_SKEWED.store(clock.is_too_large(), Ordering::Relaxed);
            if clock.is_too_large() && checks_until_warning == 0 {
                checks_until_warning = CHECKS_PER_WARNING;
                tracing::warn!(
                    seconds_ahead = clock.offset.num_seconds(),
                    "the clock of this node differs from the clock of the database"
                );
            }
        }
        sleep(CHECK_EVERY).await;
    }
}
