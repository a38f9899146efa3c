//! The page in real browsers, by what people see, press and type.

mod axe;
mod breaks;
mod history;
mod hostile;
mod keyboard;
mod list;
mod members;
mod persian;
mod phone;
mod playground;
mod screenshots;
mod somebody;
mod walk;

use salam::models::users;
use serde_json::json;

use self::somebody::Somebody;
use crate::support::{Look, TestApp, User};

/// Two people who look at the same chat.
struct Lunch {
    ann: Somebody,
    bob: Somebody,
    group: String,
}

/// Ann, who owns it, and Bob in the chat "Lunch".
async fn lunch(app: &TestApp) -> Lunch {
    let (group, _, _) = group_of_two(app).await;
    let url = app.url(&format!("/#/chat/{group}"));
    let (ann, bob) = tokio::join!(at(&url, "ann"), at(&url, "bob"));
    Lunch { ann, bob, group }
}

/// The group without anybody who looks at it.
async fn group_of_two(app: &TestApp) -> (String, User<'_>, User<'_>) {
    let ann = app.user("ann").await;
    let bob = app.user("bob").await;
    let group = titled(&ann, "Lunch").await;
    ann.brings_in(&bob, &group).await;
    (group, ann, bob)
}

/// Starts a chat of that name.
async fn titled(user: &User<'_>, title: &str) -> String {
    let answer = user
        .post("/api/start-chat/", json!({ "title": title }))
        .await;
    answer.json()["group_name"].as_str().unwrap().to_owned()
}

/// Adds a reaction of a user to a message, or takes it back.
async fn reacts(user: &User<'_>, group: &str, seq: usize, emoji: &str, on: bool) {
    let emoji: String = emoji.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/groups/{group}/messages/{seq}/reactions/{emoji}/");
    let answer = if on {
        user.put(&path, json!({})).await
    } else {
        user.delete(&path).await
    };
    assert!(answer.status.is_success(), "{answer}");
}

/// Activates or deactivates an account, as an operator does.
async fn set_active(app: &TestApp, username: &str, is_active: bool) {
    let db = &app.ctx.db;
    let user = users::Model::find_by_username(db, username).await;
    let user = user.unwrap().unwrap();
    user.set_active(db, is_active).await.unwrap();
}

/// Somebody who has signed in there, and is connected.
async fn at(url: &str, username: &str) -> Somebody {
    let somebody = Somebody::arrives(Look::desktop(), url).await;
    somebody.signs_in(username).await;
    somebody.sees("Connected").await;
    somebody
}

/// Else the end of each test would prove nothing.
#[tokio::test]
async fn what_goes_wrong_in_a_page_is_noticed() {
    let app = TestApp::start().await;
    let ann = Somebody::arrives(Look::desktop(), &app.url("/")).await;
    ann.sees("Sign in").await;
    ann.run("setTimeout(() => { throw new Error('wrong') })")
        .await;
    ann.run("document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:9/'}))")
        .await;
    let mut complaints = Vec::new();
    ann.until("both to be told", async || {
        complaints.extend(ann.complaints().await);
        complaints.len() == 2
    })
    .await;
    let told = complaints.concat();
    assert!(
        told.contains("Error: wrong") && told.contains("Content Security Policy"),
        "{told}"
    );
    assert_eq!(
        ann.violations().await,
        json!([["img-src", "http://127.0.0.1:9/"]])
    );
}
