//! The clock of the database: the one clock that all nodes share.
//!
//! The clocks of two nodes may differ, and an operator may set the clock of a node. So a time that one node stores
//! and another node compares, such as the end of a session or of an invite, comes from the database. The
//! comparison also runs there. SQLite runs in the process, and its clock is the clock of the machine.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, sea_query::Expr};
use tokio::time::sleep;

use super::with_db_timeout;

/// The difference between the clocks of this node and of the database above which it is logged.
const MAX_DIFFERENCE: chrono::Duration = chrono::Duration::seconds(2);

/// The time between two comparisons of the clocks.
const CHECK_EVERY: Duration = Duration::from_secs(300);

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

/// The lead of the clock of this node over the clock of the database.
#[derive(Debug, Clone, Copy)]
pub struct ClockLead {
    /// The lead, which is negative if the clock of this node is behind.
    pub lead: chrono::Duration,
    /// The duration of the measurement, by which the lead may be wrong.
    slack: chrono::Duration,
}

impl ClockLead {
    /// Returns whether the clocks differ by more than 2 s.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.lead.abs() > MAX_DIFFERENCE + self.slack
    }
}

/// Measures the lead of the clock of this node over the clock of the database.
///
/// # Errors
/// When the database fails.
pub async fn measure_lead(db: &impl ConnectionTrait) -> Result<ClockLead, DbErr> {
    let (node_time, begin) = (Utc::now(), Instant::now());
    let database_time = now(db).await?;
    Ok(ClockLead {
        lead: node_time - database_time,
        slack: chrono::Duration::from_std(begin.elapsed()).unwrap_or_default(),
    })
}

/// Compares the clock of this node with the clock of the database at regular times, and warns the operator of a
/// difference.
///
/// Nothing is lost by a difference. But this node shows wrong times, and its access tokens are valid for a shorter or
/// longer time on other nodes.
pub async fn run_check(db: DatabaseConnection) {
    loop {
        if let Ok(clock) = with_db_timeout(measure_lead(&db)).await
            && clock.is_too_large()
        {
            tracing::warn!(
                seconds_ahead = clock.lead.num_seconds(),
                "the clock of this node differs from the clock of the database"
            );
        }
        sleep(CHECK_EVERY).await;
    }
}
