//! Bulk queries: one statement for many input rows.
//!
//! The rows are one parameter of the statement, a JSON array of arrays, and the statement reads them as the table
//! `input`. So a statement has one text, whatever the number of its rows, and a database prepares it once. A cell
//! may be null.
//!
//! ```ignore
//! let members: Vec<MemberRow> = bulk_select(
//!     db,
//!     &[Int("group_id"), Int("user_id")],
//!     [(1, 17), (1, 18)],
//!     "SELECT memberships.id, role FROM input JOIN memberships \
//!      ON memberships.group_id = input.group_id AND memberships.user_id = input.user_id",
//! )
//! .await?;
//! ```

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, DbBackend, FromQueryResult, Statement};
use serde::{
    Deserializer, Serialize,
    de::{DeserializeOwned, Visitor, value::Error as ValueError},
    forward_to_deserialize_any,
};

/// A column of the table `input`: its type and its name.
#[derive(Debug, Clone, Copy)]
pub enum InputColumn {
    Int(&'static str),
    Text(&'static str),
    Uuid(&'static str),
    /// A time, in the form in which SQLite stores it: 2026-11-30T12:00:00.123+00:00.
    Time(&'static str),
}

/// Returns the rows of a query that reads the table `input`, in any order. Without input rows, no statement runs.
///
/// An input row is a tuple or an array, with a cell for each of `columns`.
///
/// # Errors
/// When the database fails.
pub async fn bulk_select<T: FromQueryResult>(
    db: &impl ConnectionTrait,
    columns: &[InputColumn],
    input: impl IntoIterator<Item: Serialize>,
    query: &str,
) -> Result<Vec<T>, DbErr> {
    match bind_input(db, columns, input, query)? {
        Some(statement) => T::find_by_statement(statement).all(db).await,
        None => Ok(Vec::new()),
    }
}

/// Returns the same as [`bulk_select`], for results of many rows: see [`fetch_many`].
///
/// # Errors
/// When the database fails.
pub async fn bulk_select_many<T: FromQueryResult + DeserializeOwned>(
    db: &impl ConnectionTrait,
    columns: &[InputColumn],
    input: impl IntoIterator<Item: Serialize>,
    query: &str,
) -> Result<Vec<T>, DbErr> {
    match bind_input(db, columns, input, query)? {
        Some(statement) => fetch_many(db, statement).await,
        None => Ok(Vec::new()),
    }
}

/// Runs a command that reads the table `input`. Without input rows, no statement runs.
///
/// # Errors
/// When the database fails.
pub async fn bulk_execute(
    transaction: &DatabaseTransaction,
    columns: &[InputColumn],
    input: impl IntoIterator<Item: Serialize>,
    command: &str,
) -> Result<(), DbErr> {
    if let Some(statement) = bind_input(transaction, columns, input, command)? {
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

/// Returns the rows of a query, in any order. The columns of the query are the fields of `T`: numbers, texts and
/// times.
///
/// SQLite returns the rows as one JSON array. The driver's thread would otherwise wake this task for each row,
/// which costs more than the JSON.
///
/// # Errors
/// When the database fails.
pub async fn fetch_many<T: FromQueryResult + DeserializeOwned>(
    db: &impl ConnectionTrait,
    mut statement: Statement,
) -> Result<Vec<T>, DbErr> {
    if statement.db_backend != DbBackend::Sqlite {
        return T::find_by_statement(statement).all(db).await;
    }
    let members: Vec<String> = field_names::<T>()
        .iter()
        .map(|name| format!("'{name}',{name}"))
        .collect();
    statement.sql = format!(
        "SELECT json_group_array(json_object({})) FROM ({})",
        members.join(","),
        statement.sql
    );
    let Some(row) = db.query_one_raw(statement).await? else {
        return Ok(Vec::new());
    };
    let rows: String = row.try_get_by_index(0)?;
    serde_json::from_str(&rows).map_err(json_error)
}

/// Returns the statement with the input rows as its only parameter; `None` without rows.
fn bind_input(
    db: &impl ConnectionTrait,
    columns: &[InputColumn],
    input: impl IntoIterator<Item: Serialize>,
    statement: &str,
) -> Result<Option<Statement>, DbErr> {
    let rows: Vec<_> = input.into_iter().collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let rows = serde_json::to_string(&rows).map_err(json_error)?;
    let backend = db.get_database_backend();
    let cells = columns.iter().enumerate();
    let cells: Vec<String> = cells
        .map(|(index, column)| column.cell_sql(backend, index))
        .collect();
    let source = match backend {
        DbBackend::Sqlite => "jsonb_each(?) AS item",
        _ => "jsonb_array_elements($1::jsonb) AS item(value)",
    };
    let cells = cells.join(", ");
    let sql = format!("WITH input AS (SELECT {cells} FROM {source}) {statement}");
    Ok(Some(Statement::from_sql_and_values(
        backend,
        sql,
        [rows.into()],
    )))
}

impl InputColumn {
    /// Returns the SQL of the cell of a row at `index`.
    fn cell_sql(self, backend: DbBackend, index: usize) -> String {
        let cell = format!("item.value ->> {index}");
        match (self, backend) {
            (Self::Uuid(name), DbBackend::Sqlite) => {
                format!("unhex(replace({cell}, '-', '')) AS {name}")
            }
            (Self::Int(name) | Self::Text(name) | Self::Time(name), DbBackend::Sqlite)
            | (Self::Text(name), _) => format!("{cell} AS {name}"),
            (Self::Int(name), _) => format!("({cell})::bigint AS {name}"),
            (Self::Uuid(name), _) => format!("({cell})::uuid AS {name}"),
            (Self::Time(name), _) => format!("({cell})::timestamptz AS {name}"),
        }
    }
}

fn json_error(error: serde_json::Error) -> DbErr {
    DbErr::Json(error.to_string())
}

/// Returns the names of the fields of a struct, as it is deserialised.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The result is always an error: there is nothing to read.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

/// A deserializer that reads nothing and notes the names of the fields of the struct that it is to read.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = ValueError;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ValueError> {
        *self.0 = fields;
        Err(serde::de::Error::custom("no value"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ValueError> {
        Err(serde::de::Error::custom("not a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
