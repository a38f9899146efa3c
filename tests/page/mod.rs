//! The page in real browsers. The tests see, click and type like users.

mod accessibility;
mod chat_list;
mod connection_loss;
mod extension;
mod history;
mod hostile_content;
mod keyboard;
mod members;
mod page_user;
mod persian;
mod phone;
mod playground;
mod screenshots;
mod walkthrough;

use salam::models::users;
use serde_json::json;

use self::page_user::PageUser;
use crate::support::{Device, TestApp, User};

/// Two users with the same chat open.
struct SharedChat {
    ann: PageUser,
    bob: PageUser,
    group: String,
}

/// Opens the chat "Lunch" for ann, its owner, and bob.
async fn open_shared_chat(app: &TestApp) -> SharedChat {
    let (group, _, _) = group_of_two(app).await;
    let url = app.url(&format!("/#/chat/{group}"));
    let (ann, bob) = tokio::join!(sign_in_at(&url, "ann"), sign_in_at(&url, "bob"));
    SharedChat { ann, bob, group }
}

/// Creates the group of ann and bob, without pages.
async fn group_of_two(app: &TestApp) -> (String, User<'_>, User<'_>) {
    let ann = app.user("ann").await;
    let bob = app.user("bob").await;
    let group = start_titled_chat(&ann, "Lunch").await;
    ann.add_member(&bob, &group).await;
    (group, ann, bob)
}

/// Starts a chat with a title.
async fn start_titled_chat(user: &User<'_>, title: &str) -> String {
    let response = user
        .post("/api/start-chat/", json!({ "title": title }))
        .await;
    response.json()["group_name"].as_str().unwrap().to_owned()
}

/// Adds or removes a reaction of a user.
async fn set_reaction(user: &User<'_>, group: &str, seq: usize, emoji: &str, on: bool) {
    let emoji: String = emoji.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/groups/{group}/messages/{seq}/reactions/{emoji}/");
    let response = if on {
        user.put(&path, json!({})).await
    } else {
        user.delete(&path).await
    };
    assert!(response.status.is_success(), "{response}");
}

/// Activates or deactivates an account, like an operator.
async fn set_active(app: &TestApp, username: &str, is_active: bool) {
    let db = &app.ctx.db;
    let user = users::Model::find_by_username(db, username).await;
    let user = user.unwrap().unwrap();
    user.set_active(db, is_active).await.unwrap();
}

/// Opens the page, signs in, and waits for the connection.
async fn sign_in_at(url: &str, username: &str) -> PageUser {
    let user = PageUser::visit(Device::desktop(), url).await;
    user.sign_in(username).await;
    user.expect_text("Connected").await;
    user
}

/// Without this, the final check of each test would prove nothing.
#[tokio::test]
async fn console_errors_and_csp_violations_are_detected() {
    let app = TestApp::start().await;
    let ann = PageUser::visit(Device::desktop(), &app.url("/")).await;
    ann.expect_text("Sign in").await;
    ann.run("setTimeout(() => { throw new Error('wrong') })")
        .await;
    ann.run("document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:9/'}))")
        .await;
    let mut complaints = Vec::new();
    ann.wait_until("both errors to be reported", async || {
        complaints.extend(ann.console_errors().await);
        complaints.len() == 2
    })
    .await;
    let errors = complaints.concat();
    assert!(
        errors.contains("Error: wrong") && errors.contains("Content Security Policy"),
        "{errors}"
    );
    assert_eq!(
        ann.csp_violations().await,
        json!([["img-src", "http://127.0.0.1:9/"]])
    );
}
