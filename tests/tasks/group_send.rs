//! `cargo loco task group:send`.

use serde_json::json;

use super::{run, run_with};
use crate::support::{Certificates, RedisCluster, RedisServer, TestApp, WatchedRedis};

async fn send(app: &TestApp, redis: &str, arguments: &[&str]) -> (bool, String) {
    run(app, redis, "group:send", arguments).await
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
async fn it_goes_by_every_kind_of_redis() {
    let certificates = Certificates::make();
    let authority = certificates.authority();
    let authority = authority.to_str().unwrap();
    let (cluster, watched) = tokio::join!(RedisCluster::start(), WatchedRedis::start());
    let tls = RedisServer::start_tls(&certificates).await;
    for (url, authority) in [
        (cluster.url(), ""),
        (watched.url(), ""),
        (tls.url(), authority),
    ] {
        let app = TestApp::with(json!({"channels": {
            "redis_url": url,
            "redis_ca_file": authority,
            "topic_prefix": "salam",
            "sweep_every": 3600,
        }}))
        .await;
        app.until_redis_is_connected().await;
        let ann = app.user("ann").await;
        let group = ann.start_chat().await;
        let mut socket = ann.open(&group).await;
        let variables = [("REDIS_URL", url.as_str()), ("REDIS_CA_FILE", authority)];
        let arguments = [&*format!("group:{group}"), "message:Hi"];
        let (ok, told) = run_with(&app, &variables, "group:send", &arguments).await;
        assert!(ok, "{told}");
        assert_eq!(told.trim(), format!("sent to {group}"));
        assert_eq!(socket.message().await, "ann now is [clock]");
    }
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
