//! `cargo loco task group:send`, run as the operator runs it: in a process of its own.

use std::process::Command;

use serde_json::json;

use crate::support::{RedisServer, TestApp, soon};

async fn send(app: &TestApp, redis: &str, arguments: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_salam-cli"));
    command
        // Away from a developer's own .env, which tests must not see.
        .current_dir(folder.path())
        .env(
            "LOCO_CONFIG_FOLDER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
        )
        .args(["task", "-e", "development", "group:send"])
        .args(arguments)
        .env("DATABASE_URL", &app.database.uri)
        .env("REDIS_URL", redis)
        .env("LOG_LEVEL", "error");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = soon("the task", output).await.unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

/// Nodes of the development environment, whose topics the task's process names alike.
async fn app(redis: &RedisServer) -> TestApp {
    let settings = json!({"channels": {"redis_url": redis.url(), "topic_prefix": "salam"}});
    TestApp::with(settings).await
}

#[tokio::test]
async fn each_socket_is_shown_its_own_username() {
    let redis = RedisServer::start().await;
    let app = app(&redis).await;
    let ann = app.user("ann").await;
    app.until_redis_is_connected().await;
    let group = ann.start_chat().await;
    let mut socket = ann.open(&group).await;
    let (ok, told) = send(
        &app,
        &redis.url(),
        &[&format!("group:{group}"), "message:Hi: there"],
    )
    .await;
    assert!(ok, "{told}");
    assert_eq!(told.trim(), format!("sent to {group}"));
    assert_eq!(socket.message().await, "ann now is [clock]");
    socket.expect_silence().await;
}

#[tokio::test]
async fn without_redis_it_is_found_by_the_sweep() {
    let app = TestApp::with(json!({"channels": {"sweep_every": 1}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut socket = ann.open(&group).await;
    for redis in [String::new(), RedisServer::absent().url()] {
        let (ok, told) = send(&app, &redis, &[&format!("group:{group}"), "message:Hi"]).await;
        assert!(ok && told.contains("stored for"), "{told}");
        assert_eq!(socket.message().await, "ann now is [clock]");
    }
    socket.expect_silence().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_told() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = format!("group:{}", ann.start_chat().await);
    let cases = [
        (vec![], "`group` is missing; like this: cargo loco task"),
        (vec!["message:x"], "`group` is missing"),
        (vec![&*group], "`message` is missing"),
        (vec![&*group, "message:"], "`message` is missing"),
        (
            vec!["group:chat_00000000", "message:x"],
            "there is no group `chat_00000000`",
        ),
    ];
    for (arguments, expected) in cases {
        let (ok, told) = send(&app, "", &arguments).await;
        assert!(!ok && told.contains(expected), "{arguments:?}: {told}");
    }
}
