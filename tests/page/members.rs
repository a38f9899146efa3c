//! The members of a chat, and the actions of its owner.

use super::{SharedChat, group_of_two, open_shared_chat, set_active, sign_in_at};
use crate::support::TestApp;

#[tokio::test]
async fn the_owner_renames_the_chat_and_changes_roles() {
    let app = TestApp::start().await;
    let SharedChat { ann, bob, .. } = open_shared_chat(&app).await;
    ann.click("People and invites").await;
    ann.fill("Chat name", "Dinner").await;
    ann.click_in("#people", "Save").await;
    bob.wait_until("the new name", async || bob.chat_title().await == "Dinner")
        .await;
    bob.expect_text("ann renamed the chat to “Dinner”").await;

    bob.click("People and invites").await;
    bob.expect_text("@ann · owner").await;
    assert!(!bob.has_control("#people", "Create link").await);
    ann.click_in("#people", "Make admin: bob").await;
    bob.expect_text("ann made bob an admin").await;
    bob.click_in("#people", "Create link").await;
    ann.click_in("#people", "Make owner: bob").await;
    ann.answer_dialog("Make owner").await;
    ann.expect_text("bob is now the owner").await;
    bob.click_in("#people", "Make member: ann").await;
    ann.expect_text("bob changed ann's role to member").await;
    ann.expect_no_text("Create link").await;
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn a_kicked_member_is_notified_and_may_rejoin_unless_banned() {
    let app = TestApp::start().await;
    let SharedChat { ann, bob, .. } = open_shared_chat(&app).await;
    let link = ann.create_invite_link().await;
    let is_closed = async |reason: &str| {
        bob.expect_text(reason).await;
        bob.wait_until("the chat to disappear", async || {
            bob.listed_chats().await.is_empty()
        })
        .await;
    };
    ann.click("People and invites").await;
    ann.click_in("#people", "Remove: bob").await;
    ann.answer_dialog("Remove").await;
    is_closed("You were removed from this chat.").await;
    ann.expect_text("ann removed bob").await;

    bob.open(&link).await;
    bob.click("Join chat").await;
    bob.wait_until("the chat", async || bob.chat_title().await == "Lunch")
        .await;
    ann.click_in("#people", "Ban: bob").await;
    ann.answer_dialog("Ban").await;
    is_closed("You were banned from this chat.").await;
    bob.open(&link).await;
    bob.click("Join chat").await;
    bob.expect_text("You've been banned from this chat.").await;

    ann.click_in("#people", "Unban").await;
    ann.expect_no_text("Unban").await;
    bob.click("Join chat").await;
    bob.wait_until("the chat", async || bob.chat_title().await == "Lunch")
        .await;
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn leaving_or_deleting_a_chat_removes_it_from_the_page() {
    let app = TestApp::start().await;
    let SharedChat { ann, bob, group } = open_shared_chat(&app).await;
    bob.click("People and invites").await;
    assert!(!bob.has_control("#people", "Delete chat").await);
    bob.click_in("#people", "Leave chat").await;
    bob.answer_dialog("Leave").await;
    ann.expect_text("bob left").await;
    bob.expect_text("You don't have any chats yet.").await;
    bob.open(&app.url(&format!("/#/chat/{group}"))).await;
    bob.expect_text("This chat doesn't exist, or you don't have access.")
        .await;

    ann.click("People and invites").await;
    ann.click_in("#people", "Delete chat").await;
    ann.answer_dialog("Delete").await;
    ann.expect_text("You don't have any chats yet.").await;
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn a_deactivated_member_is_marked_and_gets_no_role() {
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    bob.send_message(&group, "One", "1").await;
    set_active(&app, "bob", false).await;
    let ann = sign_in_at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.expect_message("One").await;
    let is_by = async |author: &str| {
        ann.wait_until(author, async || {
            ann.visible_texts(".line .by").await == [author]
        })
        .await;
    };
    is_by("bob Deactivated").await;
    let are_members = async |rows: &[&str]| {
        ann.wait_until("the members", async || {
            ann.visible_texts("[data-part=members] .row-name").await == rows
        })
        .await;
    };
    ann.click("People and invites").await;
    are_members(&["ann @ann · owner · you", "bob Deactivated @bob · member"]).await;
    for (action, is_offered) in [
        ("Make admin: bob", false),
        ("Make owner: bob", false),
        ("Remove: bob", true),
        ("Ban: bob", true),
    ] {
        let offers = ann.has_control("#people", action).await;
        assert_eq!(offers, is_offered, "{action}");
    }
    ann.click_in("#people", "Close").await;

    // An account that is active again has no mark.
    set_active(&app, "bob", true).await;
    app.log_in("bob")
        .await
        .send_message(&group, "Two", "2")
        .await;
    ann.expect_messages(&["One", "Two"]).await;
    is_by("bob").await;
    ann.click("People and invites").await;
    are_members(&["ann @ann · owner · you", "bob @bob · member"]).await;
    assert!(ann.has_control("#people", "Make admin: bob").await);
    ann.click_in("#people", "Close").await;
    ann.close_without_errors().await;
}
