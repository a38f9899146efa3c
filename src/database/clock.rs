//! The clock of the database: the one clock that all nodes share.
//!
//! The clocks of two nodes may differ, and an operator may set the clock of a node. So a time that one node stores
//! and another node compares, such as the end of a session or of an invite, comes from the database. The
//! comparison also runs there. SQLite runs in the process, and its clock is the clock of the machine.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, sea_query::Expr};

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
