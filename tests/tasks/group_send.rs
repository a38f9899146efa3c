//! `cargo loco task group:send`.

use serde_json::json;

use super::{run_task, run_task_with};
use crate::support::{Certificates, RedisCluster, RedisServer, SentinelRedis, TestApp};

async fn run_group_send(app: &TestApp, redis: &str, arguments: &[&str]) -> (bool, String) {
    run_task(app, redis, "group:send", arguments).await
}

/// Starts a node of the development environment, whose topics have the same names as those of the task's
/// process.
async fn app_with_redis(redis: &RedisServer) -> TestApp {
    let settings = json!({"channels": {"redis_url": redis.url(), "topic_prefix": "salam"}});
    TestApp::with_settings(settings).await
}

#[tokio::test]
async fn group_send_shows_each_socket_its_own_username() {
    let redis = RedisServer::start().await;
    let app = app_with_redis(&redis).await;
    let ann = app.user("ann").await;
    app.until_redis_is_connected().await;
    let group = ann.start_chat().await;
    let mut socket = ann.open_base(&group).await;
    let (ok, output) = run_group_send(
        &app,
        &redis.url(),
        &[&format!("group:{group}"), "message:Hi: there"],
    )
    .await;
    assert!(ok, "{output}");
    assert_eq!(output.trim(), format!("sent to {group}"));
    assert_eq!(socket.next_message().await, "ann now is [clock]");
    socket.expect_no_frames().await;
}

#[tokio::test]
async fn group_send_works_with_every_kind_of_redis() {
    let certificates = Certificates::generate();
    let authority = certificates.ca_certificate();
    let authority = authority.to_str().unwrap();
    let (cluster, watched) = tokio::join!(RedisCluster::start(), SentinelRedis::start());
    let tls = RedisServer::start_tls(&certificates).await;
    for (url, authority) in [
        (cluster.url(), ""),
        (watched.url(), ""),
        (tls.url(), authority),
    ] {
        let app = TestApp::with_settings(json!({"channels": {
            "redis_url": url,
            "redis_ca_file": authority,
            "topic_prefix": "salam",
            "sweep_every": 3600,
        }}))
        .await;
        app.until_redis_is_connected().await;
        let (group, [ann]) = app.group_of(["ann"]).await;
        let mut socket = ann.open_base(&group).await;
        let variables = [("REDIS_URL", url.as_str()), ("REDIS_CA_FILE", authority)];
        let arguments = [&*format!("group:{group}"), "message:Hi"];
        let (ok, output) = run_task_with(&app, &variables, "group:send", &arguments).await;
        assert!(ok, "{output}");
        assert_eq!(output.trim(), format!("sent to {group}"));
        assert_eq!(socket.next_message().await, "ann now is [clock]");
    }
}

#[tokio::test]
async fn group_send_is_delivered_by_the_sweep_without_redis() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 1}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_base(&group).await;
    for redis in [String::new(), RedisServer::not_running().url()] {
        let (ok, output) =
            run_group_send(&app, &redis, &[&format!("group:{group}"), "message:Hi"]).await;
        assert!(ok && output.contains("stored for"), "{output}");
        assert_eq!(socket.next_message().await, "ann now is [clock]");
    }
    socket.expect_no_frames().await;
}

#[tokio::test]
async fn group_send_reports_invalid_arguments() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = format!("group:{}", ann.start_chat().await);
    let cases = [
        (
            vec![],
            "the argument `group` is missing; example: cargo loco task",
        ),
        (vec!["message:x"], "`group` is missing"),
        (vec![&*group], "`message` is missing"),
        (vec![&*group, "message:"], "`message` has no value"),
        (
            vec!["group:chat_00000000", "message:x"],
            "there is no group `chat_00000000`",
        ),
    ];
    for (arguments, expected) in cases {
        let (ok, output) = run_group_send(&app, "", &arguments).await;
        assert!(!ok && output.contains(expected), "{arguments:?}: {output}");
    }
}
