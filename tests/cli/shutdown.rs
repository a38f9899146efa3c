//! The files that a server leaves when it stops, and the next start with them.

use std::{fs, path::Path};

use insta::assert_snapshot;
use sea_orm::{ConnectionTrait, Database};

use super::command::CommandRun;
use crate::support::{Server, TestDatabase, skip_unless, wait_until};

/// Returns the names of the files in the folder of a file.
fn files_beside(file: &Path) -> Vec<String> {
    let names = fs::read_dir(file.parent().unwrap()).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn register_at(server: &mut Server, username: &str) {
    let url = format!("http://{}/api/register/", server.listen_address().await);
    let account = serde_json::json!({
        "name": username, "username": username, "password": "a staple of batteries",
    });
    let response = reqwest::Client::new().post(url).json(&account).send().await;
    assert_eq!(response.unwrap().status(), 201);
}

async fn stored_usernames(file: &Path) -> Vec<String> {
    let db = Database::connect(format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    let sql = "SELECT username FROM users ORDER BY username";
    let rows = sea_orm::Statement::from_string(db.get_database_backend(), sql);
    let rows = db.query_all_raw(rows).await.unwrap();
    let names = rows
        .iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect();
    db.close().await.unwrap();
    names
}

#[tokio::test]
async fn a_clean_shutdown_leaves_one_complete_sqlite_file() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    for username in ["ann", "bob", "cyd"] {
        let mut server = Server::start(&database);
        register_at(&mut server, username).await;
        assert!(server.stop().await.success());
        assert_eq!(files_beside(file), ["salam.sqlite"]);
    }
    let copy = file.with_file_name("copy.sqlite");
    fs::copy(file, &copy).unwrap();
    assert_eq!(stored_usernames(&copy).await, ["ann", "bob", "cyd"]);
}

#[tokio::test]
async fn a_command_leaves_one_complete_sqlite_file() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    let run = CommandRun::run(&["db", "seed"], &[("DATABASE_URL", &database.uri)]).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert_eq!(files_beside(file), ["salam.sqlite"]);
    assert!(!stored_usernames(file).await.is_empty());
}

#[tokio::test]
async fn the_wal_of_another_file_is_rejected() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    let mut server = Server::start(&database);
    register_at(&mut server, "ann").await;
    server.stop().await;
    let backup = file.with_file_name("backup");
    fs::copy(file, &backup).unwrap();

    // A crash leaves the WAL, and the next start uses it.
    let mut server = Server::start(&database);
    register_at(&mut server, "bob").await;
    server.kill();
    let log = file.with_file_name("salam.sqlite-wal");
    assert!(log.exists());
    let mut server = Server::start(&database);
    register_at(&mut server, "cyd").await;
    server.kill();

    // The backup replaces the file, and the old WAL stays.
    fs::copy(&backup, file).unwrap();
    let variables = [("DATABASE_URL", database.uri.as_str())];
    let folder = file.parent().unwrap().to_str().unwrap();
    for args in [
        &["start"][..],
        &["doctor"],
        &["db", "status"],
        &["task", "session:list", "username:ann"],
    ] {
        let run = CommandRun::run(args, &variables).await;
        assert_eq!(run.code, Some(1), "{args:?}: {}", run.output);
        assert!(
            run.output
                .contains("is the write-ahead log of another file"),
            "{args:?}: {}",
            run.output
        );
        if args == ["start"] {
            assert_snapshot!(run.output.replace(folder, "[data]"), @"error: [data]/salam.sqlite-wal is the write-ahead log of another file than [data]/salam.sqlite, which was replaced after a crash, for example by a backup. Opening both together would damage [data]/salam.sqlite. To use [data]/salam.sqlite, delete [data]/salam.sqlite-wal. To use the previous database, restore its file");
        }
    }
    assert_eq!(
        fs::read(file).unwrap(),
        fs::read(&backup).unwrap(),
        "nothing was changed"
    );
    fs::remove_file(&log).unwrap();
    let mut server = Server::start(&database);
    register_at(&mut server, "dan").await;
    server.stop().await;
    assert_eq!(stored_usernames(file).await, ["ann", "dan"]);
}

#[tokio::test]
async fn destructive_db_commands_need_confirmation_in_production() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    let mut server = Server::start(&database);
    register_at(&mut server, "ann").await;
    server.stop().await;
    let variables = [
        ("DATABASE_URL", database.uri.as_str()),
        ("JWT_SECRET", "vFqk0n3vT7Qm3yq1yQm0bq3H1nJ5y0aW"),
    ];
    let folder = file.parent().unwrap().to_str().unwrap();
    let mut rejected = String::new();
    for command in [
        &["truncate"][..],
        &["reset"],
        &["down"],
        &["down", "3"],
        &["seed", "--reset"],
    ] {
        let args = [&["-e", "production", "db"], command].concat();
        let run = CommandRun::run(&args, &variables).await;
        assert_eq!(run.code, Some(1), "{command:?}: {}", run.output);
        rejected += &run.output.replace(folder, "[data]");
    }
    assert_snapshot!(rejected, @"
    error: `db truncate` would delete data in the file [data]/salam.sqlite (production); nothing was changed. Make a backup, then add --yes-delete-everything
    error: `db reset` would delete data in the file [data]/salam.sqlite (production); nothing was changed. Make a backup, then add --yes-delete-everything
    error: `db down` would delete data in the file [data]/salam.sqlite (production); nothing was changed. Make a backup, then add --yes-delete-everything
    error: `db down` would delete data in the file [data]/salam.sqlite (production); nothing was changed. Make a backup, then add --yes-delete-everything
    error: `db seed --reset` would delete data in the file [data]/salam.sqlite (production); nothing was changed. Make a backup, then add --yes-delete-everything
    ");
    assert_eq!(stored_usernames(file).await, ["ann"]);
    let args = [
        "db",
        "truncate",
        "--yes-delete-everything",
        "-e",
        "production",
    ];
    let run = CommandRun::run(&args, &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert!(stored_usernames(file).await.is_empty());
}

/// The message names no password, for any database.
#[tokio::test]
async fn the_database_to_delete_is_named_without_its_password() {
    let variables = [
        (
            "DATABASE_URL",
            "postgres://salam:canary@db.example:5433/chat?sslmode=require",
        ),
        ("JWT_SECRET", "vFqk0n3vT7Qm3yq1yQm0bq3H1nJ5y0aW"),
    ];
    let run = CommandRun::run(&["db", "reset", "-e", "production"], &variables).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"error: `db reset` would delete data in the database chat at db.example:5433 (production); nothing was changed. Make a backup, then add --yes-delete-everything");
}

#[tokio::test]
async fn a_command_that_needs_no_database_creates_no_file() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    let variables = [("DATABASE_URL", database.uri.as_str())];
    for args in [
        &["task"][..],
        &["routes"],
        &["middleware"],
        &["doctor"],
        &["version"],
    ] {
        CommandRun::run(args, &variables).await;
        assert!(!file.exists(), "{args:?}");
    }
    assert!(
        CommandRun::run(&["task"], &variables)
            .await
            .output
            .contains("user:deactivate")
    );
}

#[tokio::test]
async fn a_stopping_server_is_unready_before_it_closes() {
    let database = TestDatabase::create().await;
    let changes = [("drain_delay: 5", "drain_delay: 60")];
    let mut server = Server::start_with_config(&database, "", &changes);
    let address = server.listen_address().await;
    let status = async |path: &str| {
        // Each request on a connection of its own.
        let client = reqwest::Client::new();
        let response = client.get(format!("http://{address}{path}")).send().await;
        response
            .map(|response| response.status().as_u16())
            .unwrap_or_default()
    };
    assert_eq!(status("/_readiness").await, 200);
    server.terminate();
    wait_until("the server to be unready", async || {
        status("/_readiness").await == 503
    })
    .await;
    assert_eq!(
        status("/_ping").await,
        200,
        "it accepts connections during the delay"
    );
    // A second signal ends the wait.
    server.terminate();
    wait_until("the server to close", async || status("/_ping").await == 0).await;
    assert!(server.wait_for_exit().await.success());
}

/// Programs send SIGHUP to a service to make it read its configuration again.
#[tokio::test]
async fn sighup_does_not_end_a_server_without_a_terminal() {
    let database = TestDatabase::create().await;
    let (server, output) = Server::start_recorded(&database, "", &[], |command| {
        command.stdin(std::process::Stdio::null());
    });
    output.wait_for_line("Salam is ready").await;
    server.send_signal("HUP");
    output.wait_for_line("SIGHUP ignored").await;
    let address = output.wait_for_line("page  http").await;
    let page = address.split_whitespace().last().unwrap();
    assert_eq!(reqwest::get(page).await.unwrap().status(), 200);
    assert!(server.stop().await.success());
}
