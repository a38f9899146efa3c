//! Who is in a chat, and what the owner may do about it.

use super::{Lunch, at, group_of_two, lunch, set_active};
use crate::support::TestApp;

#[tokio::test]
async fn the_owner_renames_the_chat_and_gives_roles() {
    let app = TestApp::start().await;
    let Lunch { ann, bob, .. } = lunch(&app).await;
    ann.press("People and invites").await;
    ann.fill("Name of the chat", "Dinner").await;
    ann.press_in("#people", "Save").await;
    bob.until("the new name", async || bob.heading().await == "Dinner")
        .await;
    bob.sees("ann calls this chat Dinner.").await;

    bob.press("People and invites").await;
    bob.sees("@ann · owner").await;
    assert!(!bob.offers("#people", "Make a link").await);
    ann.press_in("#people", "Make admin: bob").await;
    bob.sees("ann has made bob an admin.").await;
    bob.press_in("#people", "Make a link").await;
    ann.press_in("#people", "Make owner: bob").await;
    ann.answers("Yes").await;
    ann.sees("bob owns this chat now.").await;
    bob.press_in("#people", "Make member: ann").await;
    ann.sees("bob has made ann a member like others.").await;
    ann.sees_no_more("Make a link").await;
    ann.goes().await;
    bob.goes().await;
}

#[tokio::test]
async fn who_is_put_out_is_told_and_comes_back_unless_banned() {
    let app = TestApp::start().await;
    let Lunch { ann, bob, .. } = lunch(&app).await;
    let link = ann.makes_link().await;
    let gone = async || {
        bob.sees("You are not in this chat any more.").await;
        bob.until("the chat to go", async || bob.chats().await.is_empty())
            .await;
    };
    ann.press("People and invites").await;
    ann.press_in("#people", "Put out: bob").await;
    ann.answers("Yes").await;
    gone().await;
    ann.sees("ann has put out bob.").await;

    bob.open(&link).await;
    bob.press("Join this chat").await;
    bob.until("the chat", async || bob.heading().await == "Lunch")
        .await;
    ann.press_in("#people", "Ban: bob").await;
    ann.answers("Yes").await;
    gone().await;
    bob.open(&link).await;
    bob.press("Join this chat").await;
    bob.sees("You were put out of this chat for good.").await;

    ann.press_in("#people", "Let back in").await;
    ann.sees_no_more("Let back in").await;
    bob.press("Join this chat").await;
    bob.until("the chat", async || bob.heading().await == "Lunch")
        .await;
    ann.goes().await;
    bob.goes().await;
}

#[tokio::test]
async fn who_leaves_and_what_is_deleted_is_gone() {
    let app = TestApp::start().await;
    let Lunch { ann, bob, group } = lunch(&app).await;
    bob.press("People and invites").await;
    assert!(
        !bob.offers("#people", "Delete this chat for everybody")
            .await
    );
    bob.press_in("#people", "Leave this chat").await;
    bob.answers("Leave this chat").await;
    ann.sees("bob has left.").await;
    bob.sees("You are in no chat yet.").await;
    bob.open(&app.url(&format!("/#/chat/{group}"))).await;
    bob.sees("There is no such thing here, or you may not see it.")
        .await;

    ann.press("People and invites").await;
    ann.press_in("#people", "Delete this chat for everybody")
        .await;
    ann.answers("Delete").await;
    ann.sees("You are in no chat yet.").await;
    ann.goes().await;
    bob.goes().await;
}

#[tokio::test]
async fn a_deactivated_member_is_marked_and_gets_no_role() {
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    bob.say(&group, "One", "1").await;
    set_active(&app, "bob", false).await;
    let ann = at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.hears("One").await;
    let is_by = async |author: &str| {
        ann.until(author, async || ann.texts(".line .by").await == [author])
            .await;
    };
    is_by("bob Deactivated").await;
    let are_members = async |rows: &[&str]| {
        ann.until("the members", async || {
            ann.texts("[data-part=members] .row-name").await == rows
        })
        .await;
    };
    ann.press("People and invites").await;
    are_members(&["ann @ann · owner · you", "bob Deactivated @bob · member"]).await;
    for (action, is_offered) in [
        ("Make admin: bob", false),
        ("Make owner: bob", false),
        ("Put out: bob", true),
        ("Ban: bob", true),
    ] {
        let offers = ann.offers("#people", action).await;
        assert_eq!(offers, is_offered, "{action}");
    }
    ann.press_in("#people", "Close").await;

    // An account that is active again is not marked.
    set_active(&app, "bob", true).await;
    app.log_in("bob").await.say(&group, "Two", "2").await;
    ann.until_said(&["One", "Two"]).await;
    is_by("bob").await;
    ann.press("People and invites").await;
    are_members(&["ann @ann · owner · you", "bob @bob · member"]).await;
    assert!(ann.offers("#people", "Make admin: bob").await);
    ann.press_in("#people", "Close").await;
    ann.goes().await;
}
