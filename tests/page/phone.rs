//! The page on a phone: one view at a time, within the width of the screen, by touch.

use serde_json::json;

use super::{PageUser, group_of_two, start_titled_chat};
use crate::support::{Device, TestApp};

/// Asserts that a view does not scroll sideways, and that the chat does not scroll as a whole. Some
/// elements scroll by design.
async fn expect_to_fit(user: &PageUser, view: &str) {
    let size = "const { scrollWidth, scrollHeight } = document.scrollingElement; \
         return [scrollWidth, innerWidth, document.querySelector('.app') ? scrollHeight : innerHeight]";
    assert_eq!(user.run(size).await, json!([390, 390, 844]), "{view}");
}

async fn is_list_visible(user: &PageUser) -> bool {
    !user.visible_texts(".side").await.is_empty()
}

#[tokio::test]
async fn the_phone_page_navigates_between_list_and_chat() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    start_titled_chat(&owner, &"A name as long as can be ".repeat(5)).await;
    // More chats than fit on the screen.
    for n in 0..12 {
        let other = start_titled_chat(&bob, &format!("Chat {n}")).await;
        bob.add_member(&owner, &other).await;
        bob.send_message(&other, "Unread", "1").await;
    }
    bob.send_message(&group, &"A long line. ".repeat(40), "1")
        .await;
    let ann = PageUser::visit(Device::phone(), &app.url("/")).await;
    expect_to_fit(&ann, "signing in").await;
    ann.sign_in("ann").await;
    ann.wait_until("the list", async || ann.listed_chats().await.len() == 14)
        .await;
    expect_to_fit(&ann, "the list").await;
    assert!(ann.chat_title().await.is_empty());

    ann.click_selector(&format!(".chat [href$='{group}']"))
        .await;
    ann.wait_until("the chat", async || ann.chat_title().await == "Lunch")
        .await;
    assert!(!is_list_visible(&ann).await);
    ann.expect_message("A long line. ".repeat(40).trim()).await;
    expect_to_fit(&ann, "the conversation").await;
    // The screen keyboard does not open by itself.
    let writes = "return document.activeElement.matches('textarea')";
    assert_eq!(ann.run(writes).await, false);
    ann.send_message("Short").await;
    ann.expect_message("Short").await;

    ann.click("Back to chats").await;
    ann.wait_until("the list", async || is_list_visible(&ann).await)
        .await;
    assert!(ann.chat_title().await.is_empty());
    ann.click("Account").await;
    ann.expect_text("Where you're signed in").await;
    expect_to_fit(&ann, "the account").await;
    ann.click("Back to chats").await;
    ann.click("New chat").await;
    ann.expect_text("Chat name").await;
    expect_to_fit(&ann, "a new chat").await;
    ann.click_in("#new-chat", "Cancel").await;
    for path in ["/playground/", "/#/invite/0123456789abcdef"] {
        ann.open(&app.url(path)).await;
        expect_to_fit(&ann, path).await;
    }
    ann.close_without_errors().await;
}

#[tokio::test]
async fn a_tap_shows_message_actions_on_a_phone() {
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    bob.send_message(&group, "Tap me", "1").await;
    let ann = PageUser::visit(Device::phone(), &app.url(&format!("/#/chat/{group}"))).await;
    ann.sign_in("ann").await;
    let line = ann.message_selector("Tap me").await;
    assert!(ann.visible_texts(".tools").await.is_empty());
    ann.click_selector(&format!("{line} .text")).await;
    ann.click_in(&line, "React").await;
    expect_to_fit(&ann, "the emoji").await;
    ann.click_in("#emoji", "❤️").await;
    ann.wait_until("a reaction", async || {
        ann.visible_texts(".chip").await == ["❤️ 1"]
    })
    .await;
    ann.click_selector(&format!("{line} .text")).await;
    ann.click_in(&line, "Reply").await;
    expect_to_fit(&ann, "a response").await;
    ann.send_message("Tapped").await;
    let own = ann.message_selector("Tapped").await;
    ann.click_selector(&format!("{own} .text")).await;
    ann.click_in(&own, "Delete").await;
    expect_to_fit(&ann, "the question").await;
    ann.answer_dialog("Delete").await;
    ann.expect_message("This message was deleted.").await;
    ann.click("People and invites").await;
    ann.click("Create link").await;
    ann.click("Copy").await;
    expect_to_fit(&ann, "the people").await;
    ann.close_without_errors().await;
}
