//! The members of a chat, and the actions of its owner.

use super::{SharedChat, group_of_two, open_shared_chat, set_active, sign_in_at};
use crate::support::TestApp;

#[tokio::test]
async fn the_owner_renames_the_chat_and_changes_roles() {
    let app = TestApp::start().await;
    let SharedChat { ann, bob, .. } = open_shared_chat(&app).await;
    ann.click("People and invites").await;
    ann.fill("Name of the chat", "Dinner").await;
    ann.click_in("#people", "Save").await;
    bob.wait_until("the new name", async || bob.chat_title().await == "Dinner")
        .await;
    bob.expect_text("ann calls this chat Dinner.").await;

    bob.click("People and invites").await;
    bob.expect_text("@ann · owner").await;
    assert!(!bob.has_control("#people", "Make a link").await);
    ann.click_in("#people", "Make admin: bob").await;
    bob.expect_text("ann has made bob an admin.").await;
    bob.click_in("#people", "Make a link").await;
    ann.click_in("#people", "Make owner: bob").await;
    ann.answer_dialog("Yes").await;
    ann.expect_text("bob owns this chat now.").await;
    bob.click_in("#people", "Make member: ann").await;
    ann.expect_text("bob has made ann a member like others.")
        .await;
    ann.expect_no_text("Make a link").await;
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn a_kicked_member_is_notified_and_may_rejoin_unless_banned() {
    let app = TestApp::start().await;
    let SharedChat { ann, bob, .. } = open_shared_chat(&app).await;
    let link = ann.create_invite_link().await;
    let is_closed = async || {
        bob.expect_text("You are not in this chat any more.").await;
        bob.wait_until("the chat to disappear", async || {
            bob.listed_chats().await.is_empty()
        })
        .await;
    };
    ann.click("People and invites").await;
    ann.click_in("#people", "Put out: bob").await;
    ann.answer_dialog("Yes").await;
    is_closed().await;
    ann.expect_text("ann has put out bob.").await;

    bob.open(&link).await;
    bob.click("Join this chat").await;
    bob.wait_until("the chat", async || bob.chat_title().await == "Lunch")
        .await;
    ann.click_in("#people", "Ban: bob").await;
    ann.answer_dialog("Yes").await;
    is_closed().await;
    bob.open(&link).await;
    bob.click("Join this chat").await;
    bob.expect_text("You were put out of this chat for good.")
        .await;

    ann.click_in("#people", "Let back in").await;
    ann.expect_no_text("Let back in").await;
    bob.click("Join this chat").await;
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
    assert!(
        !bob.has_control("#people", "Delete this chat for everybody")
            .await
    );
    bob.click_in("#people", "Leave this chat").await;
    bob.answer_dialog("Leave this chat").await;
    ann.expect_text("bob has left.").await;
    bob.expect_text("You are in no chat yet.").await;
    bob.open(&app.url(&format!("/#/chat/{group}"))).await;
    bob.expect_text("There is no such thing here, or you may not see it.")
        .await;

    ann.click("People and invites").await;
    ann.click_in("#people", "Delete this chat for everybody")
        .await;
    ann.answer_dialog("Delete").await;
    ann.expect_text("You are in no chat yet.").await;
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
        ("Put out: bob", true),
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
