//! One statement about many rows: those that are asked about come as a table beside it.

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, DbBackend, FromQueryResult, Statement, Value};
use serde::de::DeserializeOwned;

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

/// The same, for many short rows: the columns are those that the query finds, and hold nothing but
/// numbers and texts. What reads SQLite is a thread of its own, and would wake its reader for each row;
/// it is given one, of JSON.
///
/// # Errors
/// When the database fails.
pub async fn many_rows_of<T: FromQueryResult + DeserializeOwned, const N: usize>(
    db: &impl ConnectionTrait,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    found: &str,
    query: &str,
) -> Result<Vec<T>, DbErr> {
    if db.get_database_backend() != DbBackend::Sqlite {
        return rows_of(db, columns, asked, query).await;
    }
    let fields: Vec<String> = found
        .split(", ")
        .map(|column| format!("'{column}',{column}"))
        .collect();
    let query = format!(
        "SELECT json_group_array(json_object({})) FROM ({query})",
        fields.join(",")
    );
    let Some(statement) = with_asked(db, columns, asked, &query) else {
        return Ok(Vec::new());
    };
    let Some(row) = db.query_one_raw(statement).await? else {
        return Ok(Vec::new());
    };
    let rows: String = row.try_get_by_index(0)?;
    serde_json::from_str(&rows).map_err(|error| DbErr::Json(error.to_string()))
}

/// Executes a command that begins with a table `asked` of the given rows; not where there are none.
/// Gives the number of rows that it has written.
///
/// # Errors
/// When the database fails.
pub async fn execute<const N: usize>(
    transaction: &DatabaseTransaction,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    command: &str,
) -> Result<u64, DbErr> {
    match with_asked(transaction, columns, asked, command) {
        Some(statement) => Ok(transaction.execute_raw(statement).await?.rows_affected()),
        None => Ok(0),
    }
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
    let mut sql = format!("WITH asked({columns}) AS (VALUES ");
    for row in 0..rows {
        for column in 0..N {
            sql.push_str(match (row, column) {
                (0, 0) => "(",
                (_, 0) => "),(",
                _ => ",",
            });
            match backend {
                // SQLite finds one without a number faster.
                DbBackend::Sqlite => sql.push('?'),
                _ => sql.push_str(&format!("${}", row * N + column + 1)),
            }
        }
    }
    sql.push_str(")) ");
    sql.push_str(statement);
    Some(Statement::from_sql_and_values(backend, sql, values))
}
