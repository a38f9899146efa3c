//! The playground shows the protocol: base sockets have no history, and rich sockets do.

use serde_json::Value;

use super::PageUser;
use crate::support::{Device, TestApp};

/// Returns the log of a socket.
async fn socket_log(user: &PageUser, mode: &str) -> String {
    user.visible_texts(&format!("#play-{mode} .play-log"))
        .await
        .concat()
}

async fn until_logged(user: &PageUser, mode: &str, text: &str) {
    user.wait_until(text, async || socket_log(user, mode).await.contains(text))
        .await;
}

#[tokio::test]
async fn the_playground_shows_replay_after_a_reconnect() {
    let app = TestApp::start().await;
    let learner = PageUser::visit(Device::desktop(), &app.url("/playground/")).await;
    learner.click("Run all four steps").await;
    for mode in ["base", "rich"] {
        until_logged(&learner, mode, "The socket is open.").await;
    }
    until_logged(&learner, "base", "hi learner-").await;
    until_logged(&learner, "rich", "\"type\":\"sync\"").await;

    learner.click_selector("#play-base [data-part=text]").await;
    learner.type_text("by the base socket").await;
    learner.click_in("#play-base", "Send").await;
    until_logged(&learner, "rich", "by the base socket").await;
    learner.click_selector("#play-rich [data-part=text]").await;
    learner.type_text("by the rich socket").await;
    learner.click_in("#play-rich", "Send").await;
    until_logged(&learner, "rich", "by the rich socket").await;
    learner.click("Resend last message (same cid)").await;
    until_logged(&learner, "rich", "is not stored twice").await;

    for mode in ["base", "rich"] {
        learner
            .click_in(&format!("#play-{mode}"), "Drop connection")
            .await;
    }
    for n in 1..=3 {
        learner.click("Post a message over HTTP").await;
        learner
            .expect_text(&format!("While you were away: {n}"))
            .await;
        learner.expect_text("201 Created").await;
    }
    learner.click_in("#play-rich", "Reconnect").await;
    until_logged(
        &learner,
        "rich",
        "3 events were replayed in order: nothing was lost.",
    )
    .await;
    let replayed = learner.visible_texts("#play-rich .play-replayed").await;
    assert_eq!(replayed.len(), 3);
    for (n, entry) in replayed.iter().enumerate() {
        assert!(entry.contains(&format!("While you were away: {}", n + 1)));
        assert!(entry.ends_with("replayed"), "{entry}");
    }
    learner.click_in("#play-base", "Reconnect").await;
    until_logged(&learner, "base", "A base socket can't resume").await;
    assert!(
        !socket_log(&learner, "base")
            .await
            .contains("While you were away")
    );
    learner.close_without_errors().await;
}

#[tokio::test]
async fn the_playground_works_step_by_step_and_shows_errors() {
    let app = TestApp::start().await;
    let learner = PageUser::visit(Device::desktop(), &app.url("/playground/")).await;
    let body = "return document.querySelector('#play-register [data-part=body]').value";
    let body = learner.run(body).await;
    let account: Value = serde_json::from_str(body.as_str().unwrap()).unwrap();
    app.post("/api/register/", account).await;
    learner.click_in("#play-register", "Send").await;
    learner.expect_text("Username already used").await;
    // An existing account works too.
    learner.click_in("#play-login", "Send").await;
    learner.expect_text("200 OK").await;
    learner.click_in("#play-chat", "Send").await;
    let is_started = "return document.querySelector('#play-chat').textContent.includes('chat_')";
    learner.wait_until_true(is_started).await;
    learner.click_in("#play-sockets", "Open both").await;
    until_logged(&learner, "rich", "\"type\":\"sync\"").await;
    learner.click_in("#play-rich", "Close").await;
    until_logged(&learner, "rich", "You closed it.").await;
    learner.close_without_errors().await;
}
