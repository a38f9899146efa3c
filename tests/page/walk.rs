//! What two people do, by hand.

use fantoccini::key::Key;

use super::{Lunch, Somebody, at, group_of_two, lunch, reacts};
use crate::support::{Look, TestApp};

#[tokio::test]
async fn two_people_meet_by_an_invite_and_talk() {
    let app = TestApp::start().await;
    let url = app.url("/");
    let ann = Somebody::arrives(Look::desktop(), &url).await;
    ann.signs_up("ann", "Ann Lee").await;
    ann.sees("You are in no chat yet.").await;
    ann.starts_chat("Lunch").await;
    let link = ann.makes_link().await;
    assert!(link.starts_with(&format!("{url}#/invite/")), "{link}");

    let bob = Somebody::arrives(Look::desktop(), &link).await;
    bob.sees("You are invited to a chat.").await;
    bob.signs_up("bob", "Bob Ray").await;
    bob.sees("Ann Lee (@ann) invites you to Lunch.").await;
    bob.press("Join this chat").await;
    bob.until("the chat", async || bob.heading().await == "Lunch")
        .await;
    ann.sees("Bob Ray has joined.").await;

    ann.says("Hello Bob").await;
    bob.hears("Hello Bob").await;
    bob.says("Hello Ann").await;
    for one in [&ann, &bob] {
        one.until_said(&["Hello Bob", "Hello Ann"]).await;
    }
    // Who used up an invite finds the chat where the list is, too.
    assert_eq!(bob.chats().await.len(), 1);
    ann.goes().await;
    bob.goes().await;
}

#[tokio::test]
async fn one_sees_who_is_here_and_who_writes() {
    let app = TestApp::start().await;
    let Lunch { ann, bob, .. } = lunch(&app).await;
    ann.sees("Here: bob").await;
    bob.sees("Here: ann").await;

    bob.writes("h").await;
    ann.sees("bob is writing…").await;
    bob.key(Key::Backspace).await;
    ann.sees_no_more("bob is writing…").await;
    ann.writes("hi").await;
    bob.sees("ann is writing…").await;
    ann.key(Key::Enter).await;
    bob.hears("hi").await;
    bob.sees_no_more("ann is writing…").await;

    bob.goes().await;
    ann.sees("Nobody else is here").await;
    ann.goes().await;
}

#[tokio::test]
async fn messages_are_answered_reacted_to_edited_and_deleted() {
    let app = TestApp::start().await;
    let Lunch { ann, bob, .. } = lunch(&app).await;
    ann.says("At noon?").await;
    bob.does("Reply", "At noon?").await;
    bob.sees("Reply to ann: At noon?").await;
    bob.says("Yes").await;
    let answer = ann.line("Yes").await;
    let quote = ann.texts(&format!("{answer} .quote")).await;
    assert_eq!(quote, ["In reply to ann At noon?"]);

    bob.does("React", "At noon?").await;
    bob.press_in("#emoji", "🎉").await;
    let reactions = format!("{} .chip", ann.line("At noon?").await);
    let are = async |expected: &[&str]| {
        ann.until("reactions", async || {
            ann.texts(&reactions).await == expected
        })
        .await;
    };
    are(&["🎉 1"]).await;
    ann.press_in(".reactions", "🎉 1").await;
    are(&["🎉 2"]).await;
    ann.press_in(".reactions", "🎉 2").await;
    are(&["🎉 1"]).await;
    bob.press_in(".reactions", "🎉 1").await;
    are(&[]).await;

    ann.does("Edit", "At noon?").await;
    ann.sees("Editing your message").await;
    ann.types(" Or at one?").await;
    ann.key(Key::Enter).await;
    bob.hears("At noon? Or at one?").await;
    bob.sees("edited").await;
    bob.until("the quote to follow", async || {
        let quote = bob.texts(&format!("{answer} .quote")).await;
        quote == ["In reply to ann At noon? Or at one?"]
    })
    .await;

    let line = bob.line("At noon? Or at one?").await;
    bob.points_at(&format!("{line} .bubble")).await;
    bob.until("what he may do", async || bob.offers(&line, "Reply").await)
        .await;
    assert!(!bob.offers(&line, "Delete").await);
    ann.does("Delete", "At noon? Or at one?").await;
    ann.answers("Cancel").await;
    ann.does("Delete", "At noon? Or at one?").await;
    ann.answers("Delete").await;
    for one in [&ann, &bob] {
        one.until_said(&["This message was deleted.", "Yes"]).await;
    }
    ann.goes().await;
    bob.goes().await;
}

#[tokio::test]
async fn a_reaction_that_is_toggled_too_often_is_refused_with_a_toast() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    bob.say(&group, "At noon?", "1").await;
    // As often as the server accepts at once.
    for turn in 0..10 {
        reacts(&owner, &group, 2, "👍", turn % 2 == 0).await;
    }
    let ann = at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.does("React", "At noon?").await;
    ann.press_in("#emoji", "👍").await;
    ann.until("a toast", async || {
        let toast = ann.texts("#toast").await.concat();
        toast.starts_with("That was too fast. Wait ")
    })
    .await;
    assert_eq!(ann.texts(".chip").await, Vec::<String>::new());
    // Another reaction does not wait for the one that was refused.
    ann.does("React", "At noon?").await;
    ann.press_in("#emoji", "🎉").await;
    ann.until("the other reaction", async || {
        ann.texts(".chip").await == ["🎉 1"]
    })
    .await;
    ann.goes().await;
}

#[tokio::test]
async fn what_was_not_seen_is_counted_and_marked() {
    let app = TestApp::start().await;
    let Lunch { ann, bob, .. } = lunch(&app).await;
    ann.says("Seen").await;
    bob.hears("Seen").await;
    ann.sees("Read by bob").await;

    // Another tab is before his, and then his again.
    let tab = bob.hides().await;
    ann.says("One").await;
    ann.says("Two").await;
    let is_titled = async |title: &str| {
        let script = format!("return document.title === {title:?}");
        bob.until_true(&script).await;
    };
    is_titled("(2) Lunch · Salam").await;
    assert_eq!(bob.texts(".badge").await, ["2 2 unread messages"]);
    bob.shows(tab).await;
    is_titled("Lunch · Salam").await;
    bob.until_true("return !document.querySelector('.badge')?.checkVisibility()")
        .await;
    let new = "return document.querySelector('.new + .line .text')?.innerText === 'One'";
    bob.until_true(new).await;
    ann.sees("Read by bob").await;

    // He looks at the list, and not at the chat.
    bob.press("Account").await;
    bob.sees("Where you are signed in").await;
    ann.says("Three").await;
    bob.until("the count", async || {
        bob.chats()
            .await
            .concat()
            .contains("ann: Three 1 one unread message")
    })
    .await;
    bob.press_in(".chats", &bob.chats().await.concat()).await;
    bob.hears("Three").await;
    bob.until_true(&new.replace("One", "Three")).await;
    ann.goes().await;
    bob.goes().await;
}

#[tokio::test]
async fn sessions_are_ended_from_elsewhere_and_here() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let url = app.url("/");
    let (here, there) = tokio::join!(at(&url, "ann"), at(&url, "ann"));
    here.press("Account").await;
    here.sees("this browser").await;
    here.sees("Sign out everywhere else").await;
    // One was opened by the harness, which is neither of these.
    let ended = async || here.texts("[data-part=sessions] .row").await.len();
    here.until("the sessions", async || ended().await == 3)
        .await;
    here.press("Sign out everywhere else").await;
    there.sees("You were signed out from elsewhere.").await;
    here.until("the sessions", async || ended().await == 1)
        .await;

    there.signs_in("ann").await;
    here.reload().await;
    here.press_in("[data-part=sessions]", "Sign out").await;
    there.sees("You were signed out from elsewhere.").await;
    here.press("Sign out").await;
    here.sees("Username").await;
    assert_eq!(here.run("return localStorage.length").await, 0);
    here.goes().await;
    there.goes().await;
}
