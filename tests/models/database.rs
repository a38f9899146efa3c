//! The settings of every database connection, and migrations in both directions.

use migration::{Migrator, MigratorTrait};
use salam::database::{self, open_writer_pool};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait};

use crate::support::{TestApp, skip_unless};

#[tokio::test]
async fn every_sqlite_connection_has_durable_pragmas_and_a_busy_timeout() {
    skip_unless!(SQLite);
    let app = TestApp::start().await;
    // Held at the same time, so each is another connection of the pool.
    let mut held = Vec::new();
    for _ in 0..app.ctx.config.database.max_connections {
        held.push(app.ctx.db.begin().await.unwrap());
    }
    held.push(open_writer_pool(&app.ctx.db, None).begin().await.unwrap());
    for connection in held {
        for (pragma, value) in [
            ("foreign_keys", "1"),
            ("synchronous", "2"),
            ("busy_timeout", "5000"),
        ] {
            let sql = format!("SELECT CAST({pragma} AS TEXT) AS v FROM pragma_{pragma}");
            let sql = sql.replace("CAST(busy_timeout", "CAST(timeout");
            assert_eq!(query_text(&connection, &sql).await, value, "{pragma}");
        }
        let journal = query_text(
            &connection,
            "SELECT journal_mode AS v FROM pragma_journal_mode",
        )
        .await;
        assert_eq!(journal, "wal");
        let page = "SELECT CAST(page_size AS TEXT) AS v FROM pragma_page_size";
        assert_eq!(query_text(&connection, page).await, "2048");
    }
}

/// PostgreSQL plans a prepared statement at its first use, often on an empty table, and keeps the plan.
#[tokio::test]
async fn postgresql_writers_use_indexes_on_empty_tables() {
    skip_unless!(PostgreSQL);
    let app = TestApp::start().await;
    let connection = open_writer_pool(&app.ctx.db, None).begin().await.unwrap();
    let look_up = "PREPARE look_up(text) AS WITH input AS (\
        SELECT (item.value ->> 0)::bigint AS group_id, (item.value ->> 1)::bigint AS user_id, \
        item.value ->> 2 AS cid FROM jsonb_array_elements($1::jsonb) AS item(value)) \
        SELECT seq FROM input JOIN events ON events.group_id = input.group_id \
        AND events.user_id = input.user_id AND events.cid = input.cid";
    connection.execute_unprepared(look_up).await.unwrap();
    let rows = vec!["[1, 1, \"1\"]"; 256].join(", ");
    let sql = format!("EXPLAIN EXECUTE look_up('[{rows}]')");
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let plan = connection.query_all_raw(statement).await;
    let lines = plan.unwrap().into_iter();
    let plan: Vec<String> = lines
        .map(|line| line.try_get_by_index(0).unwrap())
        .collect();
    let plan = plan.join("\n");
    let index = "Index Scan using \"idx-events-group_id-user_id-cid\" on events";
    assert!(plan.contains(index), "{plan}");
}

#[tokio::test]
async fn every_postgresql_connection_has_a_lock_timeout() {
    skip_unless!(PostgreSQL);
    let app = TestApp::start().await;
    let writing = open_writer_pool(&app.ctx.db, Some("SET search_path = public"));
    for db in [&app.ctx.db, &writing] {
        assert_eq!(show_parameter(db, "lock_timeout").await, "3s");
        assert_eq!(
            show_parameter(db, "idle_in_transaction_session_timeout").await,
            "15s"
        );
        assert_eq!(show_parameter(db, "jit").await, "off");
    }
    assert_eq!(show_parameter(&writing, "enable_seqscan").await, "off");
    assert_eq!(show_parameter(&writing, "search_path").await, "public");
    // The operator's own options replace the defaults, and an empty option means no option.
    for (options, timeout) in [
        ("?options=-c%20lock_timeout%3D7s", "7s"),
        ("?options=", "3s"),
    ] {
        let uri = format!("{}{options}", app.database.uri);
        let config = &app.ctx.config.database;
        let db = database::open_pool(&uri, None, config).unwrap();
        assert_eq!(show_parameter(&db, "lock_timeout").await, timeout);
        assert_eq!(
            show_parameter(&open_writer_pool(&db, None), "lock_timeout").await,
            timeout
        );
    }
}

async fn show_parameter(db: &DatabaseConnection, parameter: &str) -> String {
    let statement = Statement::from_string(DbBackend::Postgres, format!("SHOW {parameter}"));
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn migrations_go_down_and_up_again() {
    let app = TestApp::start().await;
    Migrator::down(&app.ctx.db, None).await.unwrap();
    Migrator::up(&app.ctx.db, None).await.unwrap();
    app.user("ann").await.start_chat().await;
}

async fn query_text(db: &impl ConnectionTrait, sql: &str) -> String {
    let statement = Statement::from_string(DbBackend::Sqlite, sql);
    db.query_one_raw(statement)
        .await
        .unwrap()
        .unwrap()
        .try_get("", "v")
        .unwrap()
}
