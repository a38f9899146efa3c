//! The sessions of a user, and their end.

use futures_util::future::join_all;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, TestResponse, User, one_line};

/// Returns the ids of a user's sessions, the last used first.
async fn session_ids(user: &User<'_>) -> Vec<String> {
    let listed = user.get("/api/sessions/").await.json();
    let listed = listed["results"].as_array().unwrap().iter();
    listed
        .map(|session| session["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn post_refresh(user: &User<'_>, token: &str, rotate: bool) -> TestResponse {
    let body = json!({"refresh": token, "rotate": rotate});
    user.app.post("/api/token/refresh/", body).await
}

#[tokio::test]
async fn each_login_creates_a_listed_session() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let login = app.request(Method::POST, "/api/token/").header(
        "user-agent",
        "Mozilla/5.0 (a\u{7f}phone) "
            .repeat(20)
            .replace('\u{7f}', "\t"),
    );
    let login = login.json(&json!({"username": "ann", "password": "the staple of ann"}));
    let phone = User {
        access: TestResponse::from_request(login).await.access_token(),
        ..ann.clone()
    };
    app.user("bob").await;
    let response = phone.get("/api/sessions/").await;
    let listed = response.json()["results"].clone();
    for id in listed.as_array().unwrap() {
        id["id"].as_str().unwrap().parse::<Uuid>().unwrap();
    }
    let agent = listed[0]["user_agent"].as_str().unwrap();
    assert_eq!(agent.chars().count(), 200);
    let responses = one_line(&response)
        .replace(agent, "[200 characters]")
        .replace(listed[0]["id"].as_str().unwrap(), "[first]")
        .replace(listed[1]["id"].as_str().unwrap(), "[second]");
    assert_snapshot!(responses, @r#"200 OK {"results":[{"id":"[first]","created_at":"[now]","last_used_at":"[now]","expires_at":"[later]","user_agent":"[200 characters]","current":true},{"id":"[second]","created_at":"[now]","last_used_at":"[now]","expires_at":"[later]","user_agent":null,"current":false}]}"#);
    assert!(agent.starts_with("Mozilla/5.0 (aphone) Mozilla"), "{agent}");
}

#[tokio::test]
async fn logout_ends_the_session() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let elsewhere = app.log_in("ann").await;
    let response = ann.post("/api/logout/", json!({})).await;
    assert_snapshot!(response, @"
    204 No Content
    set-cookie: access=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0
    ");
    assert!(!ann.is_logged_in().await && elsewhere.is_logged_in().await);
    assert_eq!(post_refresh(&ann, &ann.refresh, false).await.status, 401);
    assert_eq!(ann.post("/api/logout/", json!({})).await.status, 401);
    assert_eq!(session_ids(&elsewhere).await.len(), 1);
    // A cookie is not enough, so a foreign page cannot log anybody out.
    let by_cookie = app
        .request(Method::POST, "/api/logout/")
        .header("cookie", elsewhere.cookie());
    assert_eq!(TestResponse::from_request(by_cookie).await.status, 401);
    assert!(elsewhere.is_logged_in().await);
}

#[tokio::test]
async fn a_session_can_be_ended_from_another_session() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let bob = app.user("bob").await;
    let phone = app.log_in("ann").await;
    let [own, other] = [
        session_ids(&phone).await[0].clone(),
        session_ids(&phone).await[1].clone(),
    ];
    let path = |id: &str| format!("/api/sessions/{id}/");
    for id in [&own, "x", "1", &Uuid::new_v4().to_string()] {
        let response = bob.delete(&path(id)).await;
        assert_eq!(
            one_line(&response).trim(),
            r#"404 Not Found {"detail":"Not found.","code":"not_found"}"#
        );
    }
    assert_eq!(phone.delete(&path(&other)).await.status, 204);
    assert!(!ann.is_logged_in().await && phone.is_logged_in().await);
    assert_eq!(phone.delete(&path(&other)).await.status, 404);
    // The current session can be ended too.
    assert_eq!(phone.delete(&path(&own)).await.status, 204);
    assert!(!phone.is_logged_in().await && bob.is_logged_in().await);
}

#[tokio::test]
async fn all_other_sessions_can_be_ended_at_once() {
    let app = TestApp::start().await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let others = [app.log_in("ann").await, app.log_in("ann").await];
    assert_eq!(ann.delete("/api/sessions/?confirm=ann").await.status, 204);
    for other in others {
        assert!(!other.is_logged_in().await);
    }
    assert!(ann.is_logged_in().await && bob.is_logged_in().await);
    assert_eq!(ann.delete("/api/sessions/?confirm=ann").await.status, 204);
    assert_eq!(session_ids(&ann).await.len(), 1);
}

#[tokio::test]
async fn changing_the_password_ends_all_other_sessions() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let other = app.log_in("ann").await;
    let change = async |body: Value| ann.put("/api/me/password/", body).await;
    let (old, new) = ("the staple of ann", "a battery of staples");
    let mut responses = String::new();
    for body in [
        json!({}),
        json!({"old": old, "new": "short"}),
        json!({"old": old, "new": "password"}),
        json!({"old": old, "new": 5}),
        json!({"old": new, "new": new}),
    ] {
        responses += &one_line(&change(body).await);
    }
    assert_snapshot!(responses, @r#"
    400 Bad Request {"detail":"This field is required.","code":"invalid","field":"old"}
    400 Bad Request {"detail":"Ensure this field has at least 8 characters.","code":"invalid","field":"new"}
    400 Bad Request {"detail":"This password is too common.","code":"invalid","field":"new"}
    400 Bad Request {"detail":"Not a valid string.","code":"invalid","field":"new"}
    400 Bad Request {"detail":"The current password is wrong.","code":"invalid","field":"old"}
    "#);
    assert!(other.is_logged_in().await);
    let response = change(json!({"old": old, "new": new})).await;
    assert_eq!(response.status, 200, "{response}");
    let tokens = response.json();
    assert!(!ann.is_logged_in().await && !other.is_logged_in().await);
    let token = tokens["refresh"].as_str().unwrap();
    assert_eq!(post_refresh(&ann, token, false).await.status, 200);
    assert_eq!(post_refresh(&ann, &other.refresh, false).await.status, 401);
    for (password, status) in [(old, 401), (new, 200)] {
        let login = json!({"username": "ann", "password": password});
        assert_eq!(app.post("/api/token/", login).await.status, status);
    }
}

#[tokio::test]
async fn refresh_token_reuse_ends_the_session() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let other = app.log_in("ann").await;
    let next = async |token: &str| {
        let response = post_refresh(&ann, token, true).await;
        assert_eq!(response.status, 200, "{response}");
        response.json()["refresh"].as_str().unwrap().to_owned()
    };
    // A lost response does no harm: the first successor is valid until a second one is used.
    let lost = next(&ann.refresh).await;
    let second = next(&ann.refresh).await;
    let third = next(&second).await;
    // Two tabs rotate at the same time: for 10 s, the overtaken tokens are accepted.
    for token in [&ann.refresh, &lost] {
        assert_eq!(post_refresh(&ann, token, false).await.status, 200);
    }
    // A token of two generations ago is too old in any case.
    let fourth = next(&third).await;
    assert_eq!(post_refresh(&ann, &ann.refresh, true).await.status, 401);
    assert!(!ann.is_logged_in().await && other.is_logged_in().await);
    for token in [&second, &third, &fourth] {
        assert_eq!(post_refresh(&ann, token, false).await.status, 401);
    }
}

#[tokio::test]
async fn concurrent_logins_with_the_old_password_end_after_a_change() {
    let app = TestApp::start().await;
    let mut ann = app.user("ann").await;
    let mut passwords = ["the staple of ann", "a battery of staples"];
    for _ in 0..5 {
        let [old, new] = passwords;
        let login = json!({"username": "ann", "password": old});
        let logins = join_all((0..4).map(|_| app.post("/api/token/", login.clone())));
        let change = ann.put("/api/me/password/", json!({"old": old, "new": new}));
        let (logins, changed) = tokio::join!(logins, change);
        assert_eq!(changed.status, 200, "{changed}");
        ann.access = changed.access_token();
        let statuses: Vec<_> = logins.iter().map(|login| login.status.as_u16()).collect();
        assert!(
            statuses.iter().all(|status| [200, 401].contains(status)),
            "{statuses:?}"
        );
        assert_eq!(session_ids(&ann).await.len(), 1, "{statuses:?}");
        passwords.reverse();
    }
}

#[tokio::test]
async fn changing_the_password_revokes_all_earlier_tokens() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut rich = ann.open_live(&group).await;
    let mut base = ann.open_base(&group).await;
    let rotated = post_refresh(&ann, &ann.refresh, true).await.json()["refresh"].clone();
    let body = json!({"old": "the staple of ann", "new": "a battery of staples"});
    let response = ann.put("/api/me/password/", body).await;
    assert_eq!(response.status, 200, "{response}");
    let tokens = response.json();
    let cookie = response.header("set-cookie").to_owned();
    assert!(cookie.starts_with(&format!("access={};", tokens["access"].as_str().unwrap())));
    let new = User {
        access: tokens["access"].as_str().unwrap().to_owned(),
        refresh: tokens["refresh"].as_str().unwrap().to_owned(),
        ..ann.clone()
    };
    // A copy of an old token is useless, and cannot end the session.
    assert!(!ann.is_logged_in().await);
    for old in [ann.refresh.as_str(), rotated.as_str().unwrap()] {
        for rotate in [false, true] {
            assert_eq!(post_refresh(&ann, old, rotate).await.status, 401);
        }
    }
    assert!(
        crate::support::Socket::connect(app.address, &group, &ann.cookie())
            .await
            .is_err()
    );
    let old = json!({"type": "auth", "token": ann.access});
    assert_eq!(rich.request_collecting(old).await.0["code"], "unauthorized");
    // The session continues, with the new tokens and its sockets.
    assert!(new.is_logged_in().await);
    assert_eq!(session_ids(&new).await.len(), 1);
    rich.send_message("still here", "1").await;
    assert_eq!(base.next_message().await, "ann now is [clock]");
    base.send(r#"{"message": "so am I"}"#).await;
    assert_eq!(base.next_message().await, "now is [clock]");
    rich.next_event().await;
    rich.request(json!({"type": "auth", "token": new.access}))
        .await;
    new.open_base(&group).await;
    let next = post_refresh(&new, &new.refresh, true).await.json();
    let next = next["refresh"].as_str().unwrap();
    assert_eq!(post_refresh(&new, next, false).await.status, 200);
    assert!(new.is_logged_in().await);
}

/// The server checks the current password before any slow step.
#[tokio::test]
async fn the_current_password_is_checked_before_the_new_one() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let body = json!({"old": "not the staple", "new": "password"});
    let response = ann.put("/api/me/password/", body).await;
    assert_snapshot!(one_line(&response), @r#"400 Bad Request {"detail":"The current password is wrong.","code":"invalid","field":"old"}"#);
    let taken = json!({"name": "x", "username": "ann", "password": "password"});
    let response = app.post("/api/register/", taken).await;
    assert_eq!(response.body, r#"{"error":"Username already used"}"#);
    let invalid = json!({"name": "x", "username": "a b", "password": "password"});
    let response = app.post("/api/register/", invalid).await;
    assert!(!response.body.contains("common"), "{response}");
}
