//! The playground shows what the protocol does: that the base socket forgets, and the rich one does not.

use serde_json::Value;

use super::Somebody;
use crate::support::{Look, TestApp};

/// What is read in the log of a socket.
async fn log(somebody: &Somebody, mode: &str) -> String {
    somebody
        .texts(&format!("#play-{mode} .play-log"))
        .await
        .concat()
}

async fn until_logged(somebody: &Somebody, mode: &str, words: &str) {
    somebody
        .until(words, async || log(somebody, mode).await.contains(words))
        .await;
}

#[tokio::test]
async fn one_learns_what_is_lost_and_what_is_told_again() {
    let app = TestApp::start().await;
    let learner = Somebody::arrives(Look::desktop(), &app.url("/playground/")).await;
    learner.press("Do all four").await;
    for mode in ["base", "rich"] {
        until_logged(&learner, mode, "The socket is open.").await;
    }
    until_logged(&learner, "base", "hi learner-").await;
    until_logged(&learner, "rich", "\"type\":\"sync\"").await;

    learner.presses("#play-base [data-part=text]").await;
    learner.types("by the base socket").await;
    learner.press_in("#play-base", "Send").await;
    until_logged(&learner, "rich", "by the base socket").await;
    learner.presses("#play-rich [data-part=text]").await;
    learner.types("by the rich socket").await;
    learner.press_in("#play-rich", "Send").await;
    until_logged(&learner, "rich", "by the rich socket").await;
    learner.press("Send the last one again, same cid").await;
    until_logged(&learner, "rich", "is not stored twice").await;

    for mode in ["base", "rich"] {
        learner
            .press_in(&format!("#play-{mode}"), "Drop my connection now")
            .await;
    }
    for n in 1..=3 {
        learner.press("Post something meanwhile").await;
        learner.sees(&format!("While you were away: {n}")).await;
        learner.sees("201 Created").await;
    }
    learner.press_in("#play-rich", "Come back").await;
    until_logged(
        &learner,
        "rich",
        "3 events were told again, in order; nothing was lost.",
    )
    .await;
    let replayed = learner.texts("#play-rich .play-replayed").await;
    assert_eq!(replayed.len(), 3);
    for (n, entry) in replayed.iter().enumerate() {
        assert!(entry.contains(&format!("While you were away: {}", n + 1)));
        assert!(entry.ends_with("told again"), "{entry}");
    }
    learner.press_in("#play-base", "Come back").await;
    until_logged(&learner, "base", "Base mode has no resume").await;
    assert!(!log(&learner, "base").await.contains("While you were away"));
    learner.goes().await;
}

#[tokio::test]
async fn one_walks_step_by_step_and_is_told_what_is_wrong() {
    let app = TestApp::start().await;
    let learner = Somebody::arrives(Look::desktop(), &app.url("/playground/")).await;
    let body = "return document.querySelector('#play-register [data-part=body]').value";
    let body = learner.run(body).await;
    let account: Value = serde_json::from_str(body.as_str().unwrap()).unwrap();
    app.post("/api/register/", account).await;
    learner.press_in("#play-register", "Send").await;
    learner.sees("Username already used").await;
    // An account of before will do.
    learner.press_in("#play-login", "Send").await;
    learner.sees("200 OK").await;
    learner.press_in("#play-chat", "Send").await;
    let is_started = "return document.querySelector('#play-chat').textContent.includes('chat_')";
    learner.until_true(is_started).await;
    learner.press_in("#play-sockets", "Open both").await;
    until_logged(&learner, "rich", "\"type\":\"sync\"").await;
    learner.press_in("#play-rich", "Close").await;
    until_logged(&learner, "rich", "All is well: you have closed it.").await;
    learner.goes().await;
}
