//! The settings of every database connection, and migrations in both directions.

use migration::{MigrationLock, Migrator, MigratorTrait, SchemaManagerConnection, SchemaState};
use salam::database::{self, open_writer_pool};
use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, TransactionTrait,
};

use crate::support::{TestApp, TestDatabase, skip_unless, wait_until};

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
    let look_up = "PREPARE look_up(bigint[], bigint[], text[]) AS \
        WITH input(group_id, user_id, cid) AS (SELECT c1, c2, c3 FROM unnest($1, $2, $3) AS rows(c1, c2, c3)) \
        SELECT seq FROM input JOIN events ON events.group_id = input.group_id \
        AND events.user_id = input.user_id AND events.cid = input.cid";
    connection.execute_unprepared(look_up).await.unwrap();
    let many = "array_fill(1, '{256}')";
    let sql = format!("EXPLAIN EXECUTE look_up({many}, {many}, {many}::text[])");
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
    for db in [&app.ctx.db, &writing] {
        let name = show_parameter(db, "application_name").await;
        assert!(
            name.starts_with("salam/") && name.ends_with(":8001"),
            "{name}"
        );
    }
    let uri = format!("{}?application_name=mine", app.database.uri);
    let config = &app.ctx.config.database;
    let db = database::open_pool(&uri, None, config, "salam/test").unwrap();
    for db in [&db, &open_writer_pool(&db, None)] {
        assert_eq!(show_parameter(db, "application_name").await, "mine");
    }
    // The operator's own options replace the defaults, and an empty option means no option.
    for (options, timeout) in [
        ("?options=-c%20lock_timeout%3D7s", "7s"),
        ("?options=", "3s"),
    ] {
        let uri = format!("{}{options}", app.database.uri);
        let config = &app.ctx.config.database;
        let db = database::open_pool(&uri, None, config, "salam/test").unwrap();
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

#[tokio::test]
async fn the_database_of_another_program_is_not_migrated_down() {
    let database = TestDatabase::create().await;
    let db = Database::connect(&database.uri).await.unwrap();
    let table = "CREATE TABLE users (id INTEGER)";
    db.execute_unprepared(table).await.unwrap();
    let rejected = Migrator::down(&db, None).await.unwrap_err().to_string();
    assert!(rejected.contains("tables of another program"), "{rejected}");
    // The table of the migrations was not created.
    assert_eq!(SchemaState::read(&db).await.unwrap(), SchemaState::Foreign);
}

/// The lock of another node stands for a migration that runs on that node.
#[tokio::test]
async fn postgresql_migrations_go_down_after_the_migration_of_another_node() {
    skip_unless!(PostgreSQL);
    let app = TestApp::start().await;
    let db = &app.ctx.db;
    let connection = SchemaManagerConnection::Connection(db);
    let lock = MigrationLock::acquire(&connection).await.unwrap();
    let release = async {
        wait_until("the rollback to wait for the lock", async || {
            has_waiting_advisory_lock(db).await
        })
        .await;
        let state = SchemaState::read(db).await.unwrap();
        assert_eq!(state, SchemaState::Pending(0));
        drop(lock);
    };
    let (migrated, ()) = tokio::join!(Migrator::down(db, None), release);
    migrated.unwrap();
    let state = SchemaState::read(db).await.unwrap();
    assert_eq!(state, SchemaState::Pending(Migrator::migrations().len()));
}

async fn has_waiting_advisory_lock(db: &DatabaseConnection) -> bool {
    let sql = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
               WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    let count: i64 = row.try_get_by_index(0).unwrap();
    count > 0
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
