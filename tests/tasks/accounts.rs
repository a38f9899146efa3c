//! The operator's tasks for accounts and sessions.

use insta::assert_snapshot;
use serde_json::json;

use super::run_task;
use crate::support::{GroupPath, RedisServer, TestApp, one_line};

/// Starts a node of the development environment, with which the task's process communicates.
async fn app_with_redis(redis: &RedisServer) -> TestApp {
    let settings = json!({"channels": {"redis_url": redis.url(), "topic_prefix": "salam"}});
    let app = TestApp::with_settings(settings).await;
    app.until_redis_is_connected().await;
    app
}

async fn login_status(app: &TestApp, password: &str) -> u16 {
    let login = json!({"username": "ann", "password": password});
    app.post("/api/token/", login).await.status.as_u16()
}

#[tokio::test]
async fn a_deactivated_user_is_logged_out_until_reactivated() {
    let redis = RedisServer::start().await;
    let app = app_with_redis(&redis).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let (mut rich, mut base) = (ann.open_live(&group).await, ann.open_base(&group).await);
    ann.send_message(&group, "hi", "1").await;
    let mut other = bob.open_base(&group).await;
    let (ok, output) = run_task(&app, &redis.url(), "user:deactivate", &["username:ANN"]).await;
    assert!(ok, "{output}");
    assert_eq!(
        output.trim(),
        "ann can no longer log in; all sessions have ended, and their sockets are closed within a \
         second; groups with a new owner: 1"
    );
    assert_eq!(rich.bye_code().await, 4410);
    assert_eq!(base.close_code().await, 4410);
    other.expect_no_frames().await;
    let members = group.path("members/");
    assert_snapshot!(one_line(&bob.get(&members).await), @r#"200 OK {"results":[{"username":"ann","name":"ann","role":"member","active":false,"joined_at":"[now]"},{"username":"bob","name":"bob","role":"owner","active":true,"joined_at":"[now]"}],"next":null}"#);
    // Bob owns the group now, and nobody can make the deactivated account an owner or an admin again.
    for role in ["owner", "admin"] {
        let given = bob
            .patch(&format!("{members}ann/"), json!({"role": role}))
            .await;
        assert_eq!(
            (given.status.as_u16(), &given.json()["code"]),
            (409, &json!("conflict"))
        );
    }
    let renamed = bob.patch(&group.path(""), json!({"title": "Ours"})).await;
    assert_eq!(renamed.status, 200, "{renamed}");
    let text = bob.get(&group.path("messages/")).await.json();
    assert_eq!(text["results"][0]["by_active"], false, "{text}");
    assert!(!ann.is_logged_in().await && bob.is_logged_in().await);
    assert_eq!(login_status(&app, "the staple of ann").await, 401);
    let (ok, output) = run_task(&app, &redis.url(), "user:activate", &["username:ann"]).await;
    assert_eq!((ok, output.trim()), (true, "ann can log in"));
    assert_eq!(login_status(&app, "the staple of ann").await, 200);
    assert!(!ann.is_logged_in().await, "an ended session stays ended");
    let (ok, _) = run_task(&app, &redis.url(), "user:activate", &["username:bob"]).await;
    assert!(
        ok && bob.is_logged_in().await,
        "an active user stays active"
    );
}

/// A task that ignores a wrong argument could do more than requested.
#[tokio::test]
async fn unknown_or_empty_task_arguments_are_rejected() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for arguments in [
        &["username:ann", "Id:67e55044-10b1-426f-9247-bb680e5fe0c8"][..],
        &["username:ann", "id:"],
        &["username:ann", "all:true"],
        &["username:"],
    ] {
        let (ok, output) = run_task(&app, "", "session:revoke", arguments).await;
        assert!(
            !ok && output.contains("; example: cargo loco"),
            "{arguments:?}: {output}"
        );
    }
    assert!(ann.is_logged_in().await);
}

#[tokio::test]
async fn reset_password_sets_a_random_password() {
    let redis = RedisServer::start().await;
    let app = app_with_redis(&redis).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    let (ok, output) = run_task(&app, &redis.url(), "user:reset-password", &["username:ann"]).await;
    assert!(ok, "{output}");
    assert_eq!(socket.bye_code().await, 4410);
    let text = output.lines().next().unwrap();
    let password = text.strip_prefix("the password of ann is now ").unwrap();
    assert!(
        password.len() == 23 && password.split('-').count() == 4,
        "{password}"
    );
    assert_eq!(login_status(&app, "the staple of ann").await, 401);
    assert_eq!(login_status(&app, password).await, 200);
    assert!(!ann.is_logged_in().await);
}

#[tokio::test]
async fn sessions_can_be_listed_and_revoked() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let others = [app.log_in("ann").await, app.log_in("ann").await];
    let group = ann.start_chat().await;
    let mut socket = ann.open_base(&group).await;
    let (ok, output) = run_task(&app, "", "session:list", &["username:ann"]).await;
    assert!(ok && output.lines().count() == 3, "{output}");
    // The last used session comes first.
    let first = output
        .lines()
        .last()
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let one = ["username:ann", &format!("id:{first}")];
    let (ok, output) = run_task(&app, "", "session:revoke", &one).await;
    assert!(ok, "{output}");
    assert_eq!(
        output.trim(),
        "revoked 1 session of ann; the sockets are closed within 30 seconds"
    );
    assert!(!ann.is_logged_in().await && others[0].is_logged_in().await);
    assert_eq!(socket.close_code().await, 4410);
    let (ok, output) = run_task(&app, "", "session:revoke", &["username:ann"]).await;
    assert!(
        ok && output.starts_with("revoked 2 sessions of ann;"),
        "{output}"
    );
    assert!(!others[0].is_logged_in().await && !others[1].is_logged_in().await);
    let (ok, output) = run_task(&app, "", "session:list", &["username:ann"]).await;
    assert_eq!((ok, output.trim()), (true, "ann is not logged in"));
    for (task, arguments, expected) in [
        (
            "session:revoke",
            vec![],
            "the argument `username` is missing; example: cargo loco",
        ),
        (
            "session:revoke",
            vec!["username:eve"],
            "there is no user `eve`",
        ),
        (
            "session:revoke",
            vec!["username:ann", "id:x"],
            "`x` is not a session id",
        ),
        ("session:revoke", one.to_vec(), "ann has no session"),
        (
            "user:deactivate",
            vec!["username:"],
            "`username` has no value",
        ),
    ] {
        let (ok, output) = run_task(&app, "", task, &arguments).await;
        assert!(!ok && output.contains(expected), "{arguments:?}: {output}");
    }
}
