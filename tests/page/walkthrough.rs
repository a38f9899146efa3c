//! A walk-through of the page by two users.

use fantoccini::key::Key;

use super::{PageUser, SharedChat, group_of_two, open_shared_chat, set_reaction, sign_in_at};
use crate::support::{Device, TestApp};

#[tokio::test]
async fn two_users_chat_after_an_invite() {
    let app = TestApp::start().await;
    let url = app.url("/");
    let ann = PageUser::visit(Device::desktop(), &url).await;
    ann.sign_up("ann", "Ann Lee").await;
    ann.expect_text("You don't have any chats yet.").await;
    ann.start_chat("Lunch").await;
    let link = ann.create_invite_link().await;
    assert!(link.starts_with(&format!("{url}#/invite/")), "{link}");

    let bob = PageUser::visit(Device::desktop(), &link).await;
    bob.expect_text("You're invited to a chat.").await;
    bob.sign_up("bob", "Bob Ray").await;
    bob.expect_text("Ann Lee (@ann) invites you to Lunch.")
        .await;
    bob.click("Join chat").await;
    bob.wait_until("the chat", async || bob.chat_title().await == "Lunch")
        .await;
    ann.expect_text("Bob Ray joined").await;

    ann.send_message("Hello Bob").await;
    bob.expect_message("Hello Bob").await;
    bob.send_message("Hello Ann").await;
    for one in [&ann, &bob] {
        one.expect_messages(&["Hello Bob", "Hello Ann"]).await;
    }
    // A user of an invite that is used up finds the chat in the list too.
    assert_eq!(bob.listed_chats().await.len(), 1);
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn presence_and_typing_are_shown() {
    let app = TestApp::start().await;
    let SharedChat { ann, bob, .. } = open_shared_chat(&app).await;
    for one in [&ann, &bob] {
        one.expect_text("2 members, 2 online").await;
    }

    bob.type_message("h").await;
    ann.expect_text("bob is typing…").await;
    bob.press_key(Key::Backspace).await;
    ann.expect_no_text("bob is typing…").await;
    ann.type_message("hi").await;
    bob.expect_text("ann is typing…").await;
    ann.press_key(Key::Enter).await;
    bob.expect_message("hi").await;
    bob.expect_no_text("ann is typing…").await;

    bob.close_without_errors().await;
    ann.expect_text("2 members, no one else is online").await;
    ann.close_without_errors().await;
}

#[tokio::test]
async fn messages_can_be_replied_to_reacted_to_edited_and_deleted() {
    let app = TestApp::start().await;
    let SharedChat { ann, bob, .. } = open_shared_chat(&app).await;
    ann.send_message("At noon?").await;
    bob.use_message_tool("Reply", "At noon?").await;
    bob.expect_text("Replying to ann: At noon?").await;
    bob.send_message("Yes").await;
    let response = ann.message_selector("Yes").await;
    let quote = ann.visible_texts(&format!("{response} .quote")).await;
    assert_eq!(quote, ["In reply to ann At noon?"]);

    bob.use_message_tool("React", "At noon?").await;
    bob.click_in("#emoji", "🎉").await;
    let reactions = format!("{} .chip", ann.message_selector("At noon?").await);
    let are = async |expected: &[&str]| {
        ann.wait_until("reactions", async || {
            ann.visible_texts(&reactions).await == expected
        })
        .await;
    };
    are(&["🎉 1"]).await;
    ann.click_in(".reactions", "🎉 1").await;
    are(&["🎉 2"]).await;
    ann.click_in(".reactions", "🎉 2").await;
    are(&["🎉 1"]).await;
    bob.click_in(".reactions", "🎉 1").await;
    are(&[]).await;

    ann.use_message_tool("Edit", "At noon?").await;
    ann.expect_text("Editing your message").await;
    ann.type_text(" Or at one?").await;
    ann.press_key(Key::Enter).await;
    bob.expect_message("At noon? Or at one?").await;
    bob.expect_text("edited").await;
    bob.wait_until("the quote to follow", async || {
        let quote = bob.visible_texts(&format!("{response} .quote")).await;
        quote == ["In reply to ann At noon? Or at one?"]
    })
    .await;

    let line = bob.message_selector("At noon? Or at one?").await;
    bob.hover(&format!("{line} .bubble")).await;
    bob.wait_until("the tools of the message", async || {
        bob.has_control(&line, "Reply").await
    })
    .await;
    assert!(!bob.has_control(&line, "Delete").await);
    ann.use_message_tool("Delete", "At noon? Or at one?").await;
    ann.answer_dialog("Cancel").await;
    ann.use_message_tool("Delete", "At noon? Or at one?").await;
    ann.answer_dialog("Delete").await;
    for one in [&ann, &bob] {
        one.expect_messages(&["This message was deleted.", "Yes"])
            .await;
    }
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn a_rate_limited_reaction_shows_a_toast() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    bob.send_message(&group, "At noon?", "1").await;
    // As often as the server accepts in a burst.
    for turn in 0..10 {
        set_reaction(&owner, &group, 2, "👍", turn % 2 == 0).await;
    }
    let ann = sign_in_at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.use_message_tool("React", "At noon?").await;
    ann.click_in("#emoji", "👍").await;
    ann.wait_until("a toast", async || {
        let toast = ann.visible_texts("#toast").await.concat();
        toast.starts_with("Too many attempts. Try again in ")
    })
    .await;
    assert_eq!(ann.visible_texts(".chip").await, Vec::<String>::new());
    // Another reaction does not wait for the rejected one.
    ann.use_message_tool("React", "At noon?").await;
    ann.click_in("#emoji", "🎉").await;
    ann.wait_until("the other reaction", async || {
        ann.visible_texts(".chip").await == ["🎉 1"]
    })
    .await;
    ann.close_without_errors().await;
}

#[tokio::test]
async fn unread_messages_are_counted_and_marked() {
    let app = TestApp::start().await;
    let SharedChat { ann, bob, .. } = open_shared_chat(&app).await;
    ann.send_message("Seen").await;
    bob.expect_message("Seen").await;
    ann.expect_text("Read by bob").await;

    // Another tab covers bob's, and then bob's is visible again.
    let tab = bob.cover_tab().await;
    ann.send_message("One").await;
    ann.send_message("Two").await;
    let is_titled = async |title: &str| {
        let script = format!("return document.title === {title:?}");
        bob.wait_until_true(&script).await;
    };
    is_titled("(2) Lunch · Salam").await;
    assert_eq!(bob.visible_texts(".badge").await, ["2 2 unread messages"]);
    bob.uncover_tab(tab).await;
    is_titled("Lunch · Salam").await;
    bob.wait_until_true("return !document.querySelector('.badge')?.checkVisibility()")
        .await;
    let new = "return document.querySelector('.new + .line .text')?.innerText === 'One'";
    bob.wait_until_true(new).await;
    ann.expect_text("Read by bob").await;

    // Bob has the list open, and not the chat.
    bob.click("Account").await;
    bob.expect_text("Where you're signed in").await;
    ann.send_message("Three").await;
    bob.wait_until("the count", async || {
        bob.listed_chats()
            .await
            .concat()
            .contains("ann: Three 1 1 unread message")
    })
    .await;
    bob.click_in(".chats", &bob.listed_chats().await.concat())
        .await;
    bob.expect_message("Three").await;
    bob.wait_until_true(&new.replace("One", "Three")).await;
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn sessions_can_be_ended_here_and_from_another_browser() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let url = app.url("/");
    let (here, there) = tokio::join!(sign_in_at(&url, "ann"), sign_in_at(&url, "ann"));
    here.click("Account").await;
    here.expect_text("this browser").await;
    here.expect_text("Sign out of all other devices").await;
    // The test harness opened one more session.
    let ended = async || here.visible_texts("[data-part=sessions] .row").await.len();
    here.wait_until("the sessions", async || ended().await == 3)
        .await;
    here.click("Sign out of all other devices").await;
    there
        .expect_text("You were signed out from another device.")
        .await;
    here.wait_until("the sessions", async || ended().await == 1)
        .await;

    there.sign_in("ann").await;
    here.reload().await;
    here.click_in("[data-part=sessions]", "Sign out").await;
    there
        .expect_text("You were signed out from another device.")
        .await;
    here.click("Sign out").await;
    here.expect_text("Username").await;
    assert_eq!(here.run("return localStorage.length").await, 0);
    here.close_without_errors().await;
    there.close_without_errors().await;
}
