//! A username must have a letter or a digit. Accounts with another username are renamed, and can still log in with
//! the former username.
//!
//! A username such as `..` cannot be a part of a path: RFC 3986, section 5.2.4, removes such segments.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, string_null},
    sea_orm::QueryResult,
};
use serde_json::Value;

use super::skeletons;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The number of users in one read.
const RENAME_READ_BATCH: u64 = 1000;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.alter_table(
            Table::alter()
                .table("users")
                .add_column(string_null("former_username"))
                .to_owned(),
        )
        .await?;
        // Both databases have partial indexes. Few users are in this index.
        let former = "CREATE UNIQUE INDEX \"idx-users-former_username\" ON users (former_username) \
                      WHERE former_username IS NOT NULL";
        m.get_connection().execute_unprepared(former).await?;
        m.alter_table(
            Table::alter()
                .table("sessions")
                .add_column(big_integer("generation").default(0))
                .to_owned(),
        )
        .await?;
        let mut after = 0;
        loop {
            let users = load_users(m, after).await?;
            let Some((last, _)) = users.last() else {
                return Ok(());
            };
            after = *last;
            for (id, username) in users {
                if !username.chars().any(char::is_alphanumeric) {
                    rename_user(m, id, &username).await?;
                }
            }
        }
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.drop_index(
            Index::drop()
                .name("idx-users-former_username")
                .table("users")
                .to_owned(),
        )
        .await?;
        for (table, column) in [("users", "former_username"), ("sessions", "generation")] {
            m.alter_table(Table::alter().table(table).drop_column(column).to_owned())
                .await?;
        }
        Ok(())
    }
}

async fn load_users(m: &SchemaManager<'_>, after: i64) -> Result<Vec<(i64, String)>, DbErr> {
    let next = Query::select()
        .columns(["id", "username"])
        .from("users")
        .and_where(Expr::col("id").gt(after))
        .order_by("id", Order::Asc)
        .limit(RENAME_READ_BATCH)
        .to_owned();
    let rows = m.get_connection().query_all(&next).await?;
    let user = |row: &QueryResult| Ok((row.try_get("", "id")?, row.try_get("", "username")?));
    rows.iter().map(user).collect()
}

/// Renames a user to `user_<id>`, or to the first free name of `user_<id>_2`, `user_<id>_3`, …
async fn rename_user(m: &SchemaManager<'_>, id: i64, former: &str) -> Result<(), DbErr> {
    let mut username = format!("user_{id}");
    for suffix in 2.. {
        if !is_username_taken(m, &username).await? {
            break;
        }
        username = format!("user_{id}_{suffix}");
    }
    let renamed = Query::update()
        .table("users")
        .value("username", username.as_str())
        .value("username_key", username.as_str())
        .value("former_username", former)
        .and_where(Expr::col("id").eq(id))
        .to_owned();
    m.get_connection().execute(&renamed).await?;
    for skeleton in skeletons::compute(&username, &username) {
        let take = Query::insert()
            .into_table("skeletons")
            .columns(["skeleton", "holder"])
            .values_panic([
                skeleton.into(),
                skeletons::holder(&username, &username).into(),
            ])
            .on_conflict(OnConflict::column("skeleton").do_nothing().to_owned())
            .to_owned();
        m.get_connection().execute(&take).await?;
    }
    rename_in_events(m, former, &username).await
}

/// Returns whether a username is used, or looks like a used username.
async fn is_username_taken(m: &SchemaManager<'_>, username: &str) -> Result<bool, DbErr> {
    let same = Query::select()
        .column("id")
        .from("users")
        .and_where(Expr::col("username_key").eq(username))
        .to_owned();
    let alike = Query::select()
        .column("holder")
        .from("skeletons")
        .and_where(Expr::col("skeleton").is_in(skeletons::compute(username, username)))
        .and_where(Expr::col("holder").ne(skeletons::ASCII_HOLDER))
        .to_owned();
    let connection = m.get_connection();
    Ok(connection.query_one(&same).await?.is_some()
        || connection.query_one(&alike).await?.is_some())
}

/// Replaces the username in the data of `member.…` events.
async fn rename_in_events(m: &SchemaManager<'_>, former: &str, new: &str) -> Result<(), DbErr> {
    let member_events = Query::select()
        .columns(["group_id", "seq", "data"])
        .from("events")
        .and_where(Expr::col("kind").like("member.%"))
        .and_where(
            Expr::col("data").like(
                LikeExpr::new(format!(
                    "%{}%",
                    Value::from(former)
                        .to_string()
                        .replace('!', "!!")
                        .replace('%', "!%")
                        .replace('_', "!_")
                ))
                .escape('!'),
            ),
        )
        .to_owned();
    let connection = m.get_connection();
    for row in connection.query_all(&member_events).await? {
        let (group, seq): (i64, i64) = (row.try_get("", "group_id")?, row.try_get("", "seq")?);
        let data: String = row.try_get("", "data")?;
        let Ok(Value::Object(mut data)) = serde_json::from_str(&data) else {
            continue;
        };
        if data.get("user").and_then(Value::as_str) != Some(former) {
            continue;
        }
        data.insert("user".to_owned(), new.into());
        let renamed = Query::update()
            .table("events")
            .value("data", Value::Object(data).to_string())
            .and_where(Expr::col("group_id").eq(group))
            .and_where(Expr::col("seq").eq(seq))
            .to_owned();
        connection.execute(&renamed).await?;
    }
    Ok(())
}
