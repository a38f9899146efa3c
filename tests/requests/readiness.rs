//! `/_readiness`: whether the node can serve, and the reasons if not.

use loco_rs::{app::Hooks, boot::ServeParams, boot::StartMode, environment::Environment};
use salam::{app::App, supervisor::Supervisor};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::support::{
    FaultyPostgresProxy, GroupPath, TestApp, TestDatabase, skip_unless, wait_until, with_timeout,
};

async fn readiness_reasons(app: &TestApp) -> Value {
    let response = app.get("/_readiness").await;
    let body = response.json();
    assert_eq!(body["ok"], response.status == 200);
    assert!(response.status == 200 || response.status == 503);
    body["reasons"].clone()
}

/// Waits until readiness reports exactly these reasons, or none.
async fn until_reasons_are(app: &TestApp, expected: Value) {
    wait_until(&format!("{expected}"), async || {
        readiness_reasons(app).await == expected
    })
    .await;
}

async fn run_sql(app: &TestApp, sql: &str) {
    app.ctx.db.execute_unprepared(sql).await.unwrap();
}

#[tokio::test]
async fn a_ready_node_reports_only_ok() {
    let app = TestApp::start().await;
    let ready = json!({"ok": true, "state": "ok"});
    for (path, expected) in [
        ("/_readiness", ready.clone()),
        ("/_readiness/", ready),
        ("/_ping", json!({"ok": true})),
        ("/_health", json!({"ok": true})),
    ] {
        let response = app.get(path).await;
        assert_eq!(
            (response.status.as_u16(), response.json()),
            (200, expected),
            "{path}"
        );
    }
}

#[tokio::test]
async fn readiness_reports_a_missing_or_newer_schema() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    for table in ["events", "sessions"] {
        run_sql(&app, &format!("ALTER TABLE {table} RENAME TO no_{table}")).await;
        until_reasons_are(&app, json!(["database_schema_missing"])).await;
        if table == "events" {
            let response = ann.send_message(&group, "x", "1").await;
            assert_eq!(response.status, 503);
            assert_eq!(response.header("retry-after"), "1");
        }
        run_sql(&app, &format!("ALTER TABLE no_{table} RENAME TO {table}")).await;
        until_reasons_are(&app, Value::Null).await;
    }
    run_sql(
        &app,
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m2999_x_breaking', 0)",
    )
    .await;
    until_reasons_are(&app, json!(["database_schema_newer"])).await;
    run_sql(
        &app,
        "DELETE FROM seaql_migrations WHERE version = 'm2999_x_breaking'",
    )
    .await;
    until_reasons_are(&app, Value::Null).await;
    let last = "SELECT MAX(version) FROM seaql_migrations";
    run_sql(
        &app,
        &format!("DELETE FROM seaql_migrations WHERE version = ({last})"),
    )
    .await;
    until_reasons_are(&app, json!(["database_schema_missing"])).await;
}

#[tokio::test]
async fn readiness_reports_a_read_only_or_unreachable_postgresql() {
    skip_unless!(PostgreSQL);
    let mut proxy = None;
    let app = TestApp::with_config(|config| {
        let uri = &mut config.database.uri;
        *uri = proxy.insert(FaultyPostgresProxy::in_front_of(uri)).uri();
    })
    .await;
    let proxy = proxy.unwrap();
    let (group, [ann]) = app.group_of(["ann"]).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let name = app.database.uri.rsplit('/').next().unwrap().to_owned();
    // A single session that may always write.
    let mut options = sea_orm::ConnectOptions::new(&app.database.uri);
    options.max_connections(1);
    let own = sea_orm::Database::connect(options).await.unwrap();
    for (value, expected) in [("on", json!(["database_read_only"])), ("off", Value::Null)] {
        let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        for sql in ["SET default_transaction_read_only = off", &set, cut] {
            own.execute_unprepared(sql).await.unwrap();
        }
        until_reasons_are(&app, expected).await;
        // All writes get the same response.
        let status = if value == "on" { 503 } else { 200 };
        let path = group.path("");
        assert_eq!(
            ann.patch(&path, json!({"title": value})).await.status,
            status
        );
        assert_eq!(ann.get(&path).await.status, 200, "reading goes on");
        let observed = ann.send_message(&group, "x", value).await.status;
        assert_eq!(observed, if value == "on" { 503 } else { 201 });
    }
    proxy.refuse_connections();
    own.execute_unprepared(cut).await.unwrap();
    wait_until("PostgreSQL to be missed", async || {
        let observed = readiness_reasons(&app).await;
        let observed = observed.as_array().cloned().unwrap_or_default();
        observed.contains(&json!("database_unreachable"))
    })
    .await;
    assert_eq!(ann.get("/api/groups/").await.status, 503);
    proxy.accept_connections();
    until_reasons_are(&app, Value::Null).await;
    assert_eq!(ann.send_message(&group, "x", "2").await.status, 201);
}

#[tokio::test]
async fn readiness_detects_a_blocked_writer() {
    skip_unless!(SQLite);
    let app = TestApp::start().await;
    let other = sea_orm::Database::connect(&app.database.uri).await.unwrap();
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    wait_until("the node to be unready", async || {
        readiness_reasons(&app).await != Value::Null
    })
    .await;
    other.execute_unprepared("ROLLBACK").await.unwrap();
    until_reasons_are(&app, Value::Null).await;
}

#[tokio::test]
async fn a_panicking_task_makes_the_node_unready_and_stops_the_server() {
    let database = TestDatabase::create().await;
    let mut config = App::load_config(&Environment::Test).await.unwrap();
    config.database.uri = database.uri.clone();
    config.database.dangerously_truncate = false;
    let boot = App::boot(StartMode::ServerOnly, &Environment::Test, config).await;
    let boot = boot.unwrap();
    let (ctx, router) = (boot.app_context, boot.router.unwrap());
    let supervisor = ctx.shared_store.get::<Supervisor>().unwrap();
    let params = ServeParams {
        port: 0,
        binding: "127.0.0.1".to_owned(),
    };
    let serving = tokio::spawn(async move { App::serve(router, &ctx, &params).await });
    // A task that ends normally is not a fault.
    supervisor.spawn("a task that ends", async {});
    assert!(!supervisor.has_failed());
    supervisor.spawn("a task that panics", async { panic!("on purpose") });
    let ended = with_timeout("the server to end", serving).await.unwrap();
    assert!(ended.is_err(), "the process ends with an error");
    let faults: Vec<_> = supervisor.health().active_faults();
    let codes: Vec<_> = faults.iter().map(|fault| fault.code()).collect();
    assert_eq!(codes, ["stopping", "task_failed"]);
}
