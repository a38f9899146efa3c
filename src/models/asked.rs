//! One statement about many rows: those that are asked about come as a table beside it.

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, DbBackend, FromQueryResult, Statement, Value};

/// The rows of a query that begins with a table `asked` of the given rows; none where nothing is
/// asked.
///
/// # Errors
/// When the database fails.
pub async fn rows_of<T: FromQueryResult, const N: usize>(
    db: &impl ConnectionTrait,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    query: &str,
) -> Result<Vec<T>, DbErr> {
    match with_asked(db, columns, asked, query) {
        Some(statement) => T::find_by_statement(statement).all(db).await,
        None => Ok(Vec::new()),
    }
}

/// Executes a command that begins with a table `asked` of the given rows; not where there are none.
///
/// # Errors
/// When the database fails.
pub async fn execute<const N: usize>(
    transaction: &DatabaseTransaction,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    command: &str,
) -> Result<(), DbErr> {
    if let Some(statement) = with_asked(transaction, columns, asked, command) {
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

/// A statement over a table `asked` of the given rows, and of as many rows of nothing as make their
/// number a power of two: its text depends on that number, and each text is prepared once. What joins
/// the table never meets those; what inserts from it must leave them out.
fn with_asked<const N: usize>(
    db: &impl ConnectionTrait,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    statement: &str,
) -> Option<Statement> {
    let mut values: Vec<Value> = asked.flatten().collect();
    let nothing: Vec<_> = values.get(..N)?.iter().map(Value::as_null).collect();
    let rows = (values.len() / N).next_power_of_two();
    values.extend(nothing.into_iter().cycle().take(rows * N - values.len()));
    let backend = db.get_database_backend();
    let place = |i: usize| match backend {
        // SQLite finds one without a number faster.
        DbBackend::Sqlite => "?".to_owned(),
        _ => format!("${i}"),
    };
    let places: Vec<String> = (1..=values.len()).map(place).collect();
    let rows: Vec<String> = places
        .chunks(N)
        .map(|row| format!("({})", row.join(",")))
        .collect();
    let sql = format!(
        "WITH asked({columns}) AS (VALUES {}) {statement}",
        rows.join(",")
    );
    Some(Statement::from_sql_and_values(backend, sql, values))
}
