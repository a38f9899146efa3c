//! One statement about many rows: those that are asked about come as a table beside it.

use std::array::from_fn;

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, DbBackend, FromQueryResult, Statement, Value};
use serde::de::DeserializeOwned;

/// The rows of a query that begins with a table `asked` of the given rows; none where nothing is
/// asked.
///
/// # Errors
/// When the database fails.
pub async fn bulk_select<T: FromQueryResult, const N: usize>(
    db: &impl ConnectionTrait,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    query: &str,
) -> Result<Vec<T>, DbErr> {
    match bind_input(db, columns, asked, query) {
        Some(statement) => T::find_by_statement(statement).all(db).await,
        None => Ok(Vec::new()),
    }
}

/// The same, for many rows: see [`fetch_many`].
///
/// # Errors
/// When the database fails.
pub async fn bulk_select_many<T: FromQueryResult + DeserializeOwned, const N: usize>(
    db: &impl ConnectionTrait,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    found: &str,
    query: &str,
) -> Result<Vec<T>, DbErr> {
    match bind_input(db, columns, asked, query) {
        Some(statement) => fetch_many(db, found, statement).await,
        None => Ok(Vec::new()),
    }
}

/// The rows of a query, in any order. The columns `found` are all that it finds, and hold nothing but
/// numbers, texts and times. What reads SQLite is a thread of its own, and would wake its reader for
/// each row; it is given one, of JSON.
///
/// # Errors
/// When the database fails.
pub async fn fetch_many<T: FromQueryResult + DeserializeOwned>(
    db: &impl ConnectionTrait,
    found: &str,
    mut statement: Statement,
) -> Result<Vec<T>, DbErr> {
    if statement.db_backend != DbBackend::Sqlite {
        return T::find_by_statement(statement).all(db).await;
    }
    let fields: Vec<String> = found
        .split(", ")
        .map(|column| format!("'{column}',{column}"))
        .collect();
    statement.sql = format!(
        "SELECT json_group_array(json_object({})) FROM ({})",
        fields.join(","),
        statement.sql
    );
    let Some(row) = db.query_one_raw(statement).await? else {
        return Ok(Vec::new());
    };
    let rows: String = row.try_get_by_index(0)?;
    serde_json::from_str(&rows).map_err(|error| DbErr::Json(error.to_string()))
}

/// Executes a command that begins with a table `asked` of the given rows; not where there are none.
///
/// # Errors
/// When the database fails.
pub async fn bulk_execute<const N: usize>(
    transaction: &DatabaseTransaction,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    command: &str,
) -> Result<(), DbErr> {
    if let Some(statement) = bind_input(transaction, columns, asked, command) {
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

/// A statement over a table `asked` of the given rows. Its text says little about how many they are:
/// each text is prepared once.
fn bind_input<const N: usize>(
    db: &impl ConnectionTrait,
    columns: &str,
    asked: impl Iterator<Item = [Value; N]>,
    statement: &str,
) -> Option<Statement> {
    let rows: Vec<[Value; N]> = asked.collect();
    if rows.is_empty() {
        return None;
    }
    let backend = db.get_database_backend();
    let (rows, values) = match backend {
        DbBackend::Sqlite => bind_each_value(rows),
        _ if rows.len() == 1 => bind_single_row(rows),
        _ => bind_columns(rows),
    };
    let sql = format!("WITH asked({columns}) AS ({rows}) {statement}");
    Some(Statement::from_sql_and_values(backend, sql, values))
}

/// Each value is a parameter, and as many rows of nothing follow as make their number a power of two.
/// What joins the table never meets those; what inserts from it must leave them out.
fn bind_each_value<const N: usize>(asked: Vec<[Value; N]>) -> (String, Vec<Value>) {
    let rows = asked.len().next_power_of_two();
    let mut values: Vec<_> = asked.into_iter().flatten().collect();
    let nothing: Vec<_> = values.iter().take(N).map(Value::as_null).collect();
    values.extend(nothing.into_iter().cycle().take(rows * N - values.len()));
    // SQLite finds one without a number faster.
    let row = format!("({})", ["?"; N].join(","));
    (format!("VALUES {}", vec![row; rows].join(",")), values)
}

/// Each value is a parameter, by its number.
fn bind_single_row<const N: usize>(asked: Vec<[Value; N]>) -> (String, Vec<Value>) {
    let row: [String; N] = from_fn(|place| format!("${}", place + 1));
    let values = asked.into_iter().flatten().collect();
    (format!("VALUES ({})", row.join(",")), values)
}

/// What stands for a number that is null.
const NULL_NUMBER: i64 = -1;

/// What stands for a text that is null.
const NULL_TEXT: &str = "";

/// Each column is a parameter: PostgreSQL has a few arrays to read, where each of many values would be
/// an expression to evaluate.
///
/// The columns hold numbers, texts, UUIDs or times. Null is a number or text that none of them holds, as
/// the driver's arrays cannot; the others are never null.
fn bind_columns<const N: usize>(asked: Vec<[Value; N]>) -> (String, Vec<Value>) {
    let mut columns = [const { Vec::new() }; N];
    for row in asked {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let (mut found, mut names, mut arrays) = (Vec::new(), Vec::new(), Vec::new());
    for (place, column) in columns.iter_mut().enumerate() {
        let (name, parameter) = (format!("c{place}"), place + 1);
        let (kind, null) = match column.first() {
            Some(Value::BigInt(_)) => ("bigint", Some(Value::from(NULL_NUMBER))),
            Some(Value::String(_)) => ("text", Some(Value::from(NULL_TEXT))),
            Some(Value::Uuid(_)) => ("uuid", None),
            _ => ("timestamptz", None),
        };
        found.push(match &null {
            Some(null) => format!("NULLIF({name}, {null})"),
            None => name.clone(),
        });
        for value in column.iter_mut().filter(|value| !value.is_some()) {
            *value = null.clone().unwrap_or_else(|| value.as_null());
        }
        names.push(name);
        arrays.push(format!("${parameter}::{kind}[]"));
    }
    let rows = format!(
        "SELECT {} FROM unnest({}) AS given({})",
        found.join(", "),
        arrays.join(", "),
        names.join(", ")
    );
    let values = columns.into_iter().filter_map(|column| {
        let kind = column.first()?.array_type();
        Some(Value::Array(kind, Some(Box::new(column))))
    });
    (rows, values.collect())
}
