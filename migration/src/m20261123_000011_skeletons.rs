//! The skeletons of usernames. They prevent two usernames that look alike.

use sea_orm_migration::{prelude::*, schema::string, sea_orm::QueryResult};

use super::skeletons;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The number of users in one read, and in one insert.
const SKELETON_USER_BATCH: u64 = 1000;

struct User {
    id: i64,
    username: String,
    username_key: String,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table("skeletons")
                .col(string("skeleton").primary_key())
                // The key of the only username that may have this skeleton; empty: any ASCII username.
                .col(string("holder"))
                .to_owned(),
        )
        .await?;
        let mut after = 0;
        loop {
            let users = load_users(m, after).await?;
            let Some(last) = users.last() else {
                return Ok(());
            };
            after = last.id;
            m.get_connection()
                .execute(&reserve_skeletons(&users))
                .await?;
        }
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.drop_table(Table::drop().table("skeletons").to_owned())
            .await
    }
}

async fn load_users(m: &SchemaManager<'_>, after: i64) -> Result<Vec<User>, DbErr> {
    let next = Query::select()
        .columns(["id", "username", "username_key"])
        .from("users")
        .and_where(Expr::col("id").gt(after))
        .order_by("id", Order::Asc)
        .limit(SKELETON_USER_BATCH)
        .to_owned();
    let rows = m.get_connection().query_all(&next).await?;
    rows.iter().map(User::from_row).collect()
}

impl User {
    fn from_row(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.try_get("", "id")?,
            username: row.try_get("", "username")?,
            username_key: row.try_get("", "username_key")?,
        })
    }
}

/// Returns the insert of the users' skeletons.
///
/// If two existing names look alike, the older account holds the skeleton. The newer account keeps its name.
fn reserve_skeletons(users: &[User]) -> InsertStatement {
    let mut insert = Query::insert();
    insert
        .into_table("skeletons")
        .columns(["skeleton", "holder"])
        .on_conflict(OnConflict::column("skeleton").do_nothing().to_owned());
    for user in users {
        let holder = skeletons::holder(&user.username, &user.username_key);
        for skeleton in skeletons::compute(&user.username, &user.username_key) {
            insert.values_panic([skeleton.into(), holder.into()]);
        }
    }
    insert
}
