//! What every connection to the database is like, and that migrations go both ways.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbBackend, TransactionTrait};

use crate::support::TestApp;

#[tokio::test]
async fn every_connection_to_sqlite_is_durable_and_patient() {
    let app = TestApp::start().await;
    if app.ctx.db.get_database_backend() != DbBackend::Sqlite {
        return;
    }
    // Held at once, so each is another connection of the pool.
    let mut held = Vec::new();
    for _ in 0..app.ctx.config.database.max_connections {
        let connection = app.ctx.db.begin().await.unwrap();
        for (pragma, value) in [
            ("foreign_keys", "1"),
            ("synchronous", "2"),
            ("busy_timeout", "5000"),
        ] {
            let sql = format!("SELECT CAST({pragma} AS TEXT) AS v FROM pragma_{pragma}");
            let sql = sql.replace("CAST(busy_timeout", "CAST(timeout");
            assert_eq!(text(&connection, &sql).await, value, "{pragma}");
        }
        let journal = text(
            &connection,
            "SELECT journal_mode AS v FROM pragma_journal_mode",
        )
        .await;
        assert_eq!(journal, "wal");
        held.push(connection);
    }
}

#[tokio::test]
async fn migrations_go_down_and_up_again() {
    let app = TestApp::start().await;
    Migrator::down(&app.ctx.db, None).await.unwrap();
    Migrator::up(&app.ctx.db, None).await.unwrap();
    app.user("ann").await.start_chat().await;
}

async fn text(db: &impl ConnectionTrait, sql: &str) -> String {
    let statement = sea_orm::Statement::from_string(DbBackend::Sqlite, sql);
    db.query_one_raw(statement)
        .await
        .unwrap()
        .unwrap()
        .try_get("", "v")
        .unwrap()
}
