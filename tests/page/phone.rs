//! On a phone: one thing at a time, all of it within the width of the screen, and reached by touch.

use serde_json::json;

use super::{Somebody, group_of_two, titled};
use crate::support::{Look, TestApp};

/// That a view is not to be scrolled sideways, and in the room not at all: there are places for that.
async fn expect_to_fit(somebody: &Somebody, view: &str) {
    let size = "const { scrollWidth, scrollHeight } = document.scrollingElement; \
         return [scrollWidth, innerWidth, document.querySelector('.app') ? scrollHeight : innerHeight]";
    assert_eq!(somebody.run(size).await, json!([390, 390, 844]), "{view}");
}

async fn sees_the_list(somebody: &Somebody) -> bool {
    !somebody.texts(".side").await.is_empty()
}

#[tokio::test]
async fn one_goes_from_the_list_to_a_chat_and_back() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    titled(&owner, &"A name as long as can be ".repeat(5)).await;
    // More than there is place for.
    for n in 0..12 {
        let other = titled(&bob, &format!("Chat {n}")).await;
        bob.brings_in(&owner, &other).await;
        bob.say(&other, "Unread", "1").await;
    }
    bob.say(&group, &"A long line. ".repeat(40), "1").await;
    let ann = Somebody::arrives(Look::phone(), &app.url("/")).await;
    expect_to_fit(&ann, "signing in").await;
    ann.signs_in("ann").await;
    ann.until("the list", async || ann.chats().await.len() == 14)
        .await;
    expect_to_fit(&ann, "the list").await;
    assert!(ann.heading().await.is_empty());

    ann.presses(&format!(".chat [href$='{group}']")).await;
    ann.until("the chat", async || ann.heading().await == "Lunch")
        .await;
    assert!(!sees_the_list(&ann).await);
    ann.hears("A long line. ".repeat(40).trim()).await;
    expect_to_fit(&ann, "the conversation").await;
    // No keyboard comes up by itself.
    let writes = "return document.activeElement.matches('textarea')";
    assert_eq!(ann.run(writes).await, false);
    ann.says("Short").await;
    ann.hears("Short").await;

    ann.press("Back to the chats").await;
    ann.until("the list", async || sees_the_list(&ann).await)
        .await;
    assert!(ann.heading().await.is_empty());
    ann.press("Account").await;
    ann.sees("Where you are signed in").await;
    expect_to_fit(&ann, "the account").await;
    ann.press("Back to the chats").await;
    ann.press("New chat").await;
    ann.sees("Name of the chat").await;
    expect_to_fit(&ann, "a new chat").await;
    ann.press_in("#new-chat", "Cancel").await;
    for path in ["/playground/", "/#/invite/0123456789abcdef"] {
        ann.open(&app.url(path)).await;
        expect_to_fit(&ann, path).await;
    }
    ann.goes().await;
}

#[tokio::test]
async fn what_can_be_done_with_a_message_appears_by_a_tap() {
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    bob.say(&group, "Tap me", "1").await;
    let ann = Somebody::arrives(Look::phone(), &app.url(&format!("/#/chat/{group}"))).await;
    ann.signs_in("ann").await;
    let line = ann.line("Tap me").await;
    assert!(ann.texts(".tools").await.is_empty());
    ann.presses(&format!("{line} .text")).await;
    ann.press_in(&line, "React").await;
    expect_to_fit(&ann, "the emoji").await;
    ann.press_in("#emoji", "❤️").await;
    ann.until("a reaction", async || ann.texts(".chip").await == ["❤️ 1"])
        .await;
    ann.presses(&format!("{line} .text")).await;
    ann.press_in(&line, "Reply").await;
    expect_to_fit(&ann, "an answer").await;
    ann.says("Tapped").await;
    let mine = ann.line("Tapped").await;
    ann.presses(&format!("{mine} .text")).await;
    ann.press_in(&mine, "Delete").await;
    expect_to_fit(&ann, "the question").await;
    ann.answers("Delete").await;
    ann.hears("This message was deleted.").await;
    ann.press("People and invites").await;
    ann.press("Make a link").await;
    ann.press("Copy").await;
    expect_to_fit(&ann, "the people").await;
    ann.goes().await;
}
