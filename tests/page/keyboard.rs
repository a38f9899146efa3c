//! All of it by the keyboard alone. Whatever is done, the focus is somewhere, and can be seen there.

use fantoccini::key::Key;
use serde_json::json;

use super::{Somebody, at, group_of_two};
use crate::support::{Look, TestApp};

/// What has the focus, by its name; and whether that is seen: it is on the screen, and marked.
const FOCUS: &str = "
const it = document.activeElement;
if (!it || it === document.body) return '';
if (it.matches('main')) return 'main'; // all that there is: nothing is to be marked in it
const name = nameOf(it);
const { bottom, top, width } = it.getBoundingClientRect();
const { outlineStyle, outlineWidth } = getComputedStyle(it);
const isMarked = it.matches(':focus-visible') && outlineStyle !== 'none' && outlineWidth !== '0px';
const isSeen = bottom > 0 && top < innerHeight && width > 0 && it.checkVisibility();
return isMarked && isSeen ? name || it.className : `UNSEEN ${it.outerHTML}`;";

/// Somebody without a mouse.
struct Typist(Somebody);

impl Typist {
    /// What has the focus. There is always something.
    async fn focus(&self) -> String {
        let focus = self.0.look(FOCUS, &[]).await;
        let focus = focus.as_str().unwrap().to_owned();
        assert!(!focus.is_empty(), "nothing has the focus");
        assert!(!focus.starts_with("UNSEEN"), "{focus}");
        focus
    }

    async fn key(&self, key: Key) {
        self.0.key(key).await;
    }

    /// Waits until that has the focus.
    async fn has(&self, name: &str) {
        self.0
            .until(&format!("{name:?} to have the focus"), async || {
                self.0.look(FOCUS, &[]).await == json!(name)
            })
            .await;
    }

    /// Goes on by Tab, or back with Shift, until that has the focus.
    async fn goes_to(&self, name: &str, is_back: bool) {
        let mut passed = Vec::new();
        self.focus().await;
        while self.0.look(FOCUS, &[]).await != json!(name) {
            if is_back {
                self.0.with_shift(Key::Tab).await;
            } else {
                self.key(Key::Tab).await;
            }
            // (After the last it is the browser's own, for a moment.)
            passed.push(self.0.look(FOCUS, &[]).await);
            assert!(passed.len() < 40, "{name} is not among {passed:?}");
        }
    }

    async fn to(&self, name: &str) {
        self.goes_to(name, false).await;
    }

    async fn back_to(&self, name: &str) {
        self.goes_to(name, true).await;
    }

    async fn presses(&self, name: &str) {
        self.to(name).await;
        self.key(Key::Enter).await;
    }
}

#[tokio::test]
async fn one_signs_up_starts_a_chat_and_finds_the_way_back() {
    let app = TestApp::start().await;
    let ann = Typist(Somebody::arrives(Look::desktop(), &app.url("/")).await);
    ann.has("Username").await;
    ann.presses("Create an account").await;
    ann.has("Your name").await;
    ann.0.types("Ann").await;
    ann.key(Key::Tab).await;
    ann.0.types("ann").await;
    ann.key(Key::Tab).await;
    ann.0.types("short").await;
    ann.key(Key::Enter).await;
    ann.0.sees("Password:").await;
    ann.has("Password").await;
    ann.0.types(" but longer by a staple").await;
    ann.key(Key::Enter).await;
    ann.0.sees("You are in no chat yet.").await;
    ann.focus().await;

    ann.presses("Start your first chat").await;
    ann.has("Name of the chat").await;
    ann.key(Key::Escape).await;
    ann.has("Start your first chat").await;
    ann.key(Key::Enter).await;
    ann.0.types("Lunch").await;
    ann.key(Key::Enter).await;
    ann.has("Write a message").await;
    ann.back_to("People and invites").await;
    ann.key(Key::Enter).await;
    ann.0.sees("@ann · owner").await;
    ann.presses("Make a link").await;
    ann.has("Link").await;
    ann.presses("Withdraw").await;
    ann.0.sees_no_more("Withdraw").await;
    ann.focus().await;
    ann.key(Key::Escape).await;
    ann.has("People and invites").await;
    ann.key(Key::Enter).await;
    ann.presses("Delete this chat for everybody").await;
    ann.0.sees("is deleted for everybody").await;
    ann.focus().await;
    ann.key(Key::Escape).await;
    ann.has("Delete this chat for everybody").await;
    ann.key(Key::Escape).await;
    ann.has("People and invites").await;

    ann.back_to("Account").await;
    ann.key(Key::Enter).await;
    ann.0.sees("Where you are signed in").await;
    ann.focus().await;
    ann.presses("Sign out").await;
    ann.has("Username").await;
    ann.0.goes().await;
}

#[tokio::test]
async fn one_does_all_that_can_be_done_with_a_message() {
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    for text in ["One", "Two"] {
        bob.say(&group, text, text).await;
    }
    let ann = Typist(at(&app.url(&format!("/#/chat/{group}")), "ann").await);
    ann.has("Write a message").await;
    ann.0.types("Three").await;
    ann.key(Key::Enter).await;
    ann.0.hears("Three").await;
    ann.has("Write a message").await;

    // A line, and by the arrows another; then what can be done with it.
    let line = async |words: &str| {
        let is_there = format!(
            "return document.activeElement.querySelector('.text')?.innerText === {words:?}"
        );
        ann.0.until_true(&is_there).await;
        ann.focus().await;
    };
    ann.0.with_shift(Key::Tab).await;
    while ann
        .0
        .run("return document.activeElement.matches('.line')")
        .await
        != json!(true)
    {
        ann.0.with_shift(Key::Tab).await;
    }
    line("Three").await;
    ann.key(Key::Home).await;
    line("One").await;
    ann.key(Key::Down).await;
    line("Two").await;
    ann.presses("React").await;
    ann.has("👍").await;
    ann.key(Key::Right).await;
    ann.key(Key::Down).await;
    ann.focus().await;
    ann.key(Key::Enter).await;
    ann.0
        .until("a reaction", async || ann.0.texts(".chip").await.len() == 1)
        .await;
    ann.has("React").await;
    ann.key(Key::Escape).await;
    line("Two").await;
    ann.presses("Reply").await;
    ann.has("Write a message").await;
    ann.0.types("Four").await;
    ann.key(Key::Enter).await;
    ann.0.hears("Four").await;

    // The last of one's own is edited by the arrow.
    ann.key(Key::Up).await;
    ann.0.sees("Editing your message").await;
    ann.key(Key::Escape).await;
    ann.0.sees_no_more("Editing your message").await;
    ann.key(Key::Up).await;
    ann.0.types("th").await;
    ann.key(Key::Enter).await;
    ann.0.hears("Fourth").await;
    ann.has("Write a message").await;

    ann.back_to("Delete").await;
    ann.key(Key::Enter).await;
    ann.0.sees("Delete this message?").await;
    ann.focus().await;
    ann.key(Key::Escape).await;
    ann.has("Delete").await;
    ann.key(Key::Enter).await;
    ann.has("Cancel").await;
    ann.presses("Delete").await;
    ann.0.hears("This message was deleted.").await;
    line("This message was deleted.").await;
    ann.key(Key::Escape).await;
    ann.has("Write a message").await;
    ann.0.goes().await;
}

#[tokio::test]
async fn one_joins_by_an_invite_and_goes_from_chat_to_chat() {
    let app = TestApp::start().await;
    let (group, owner, _) = group_of_two(&app).await;
    let carol = app.user("carol").await;
    super::titled(&carol, "Alone").await;
    let code = owner.invites(&group).await;
    let carol = Typist(at(&app.url(&format!("/#/invite/{code}")), "carol").await);
    carol.has("Join this chat").await;
    carol.key(Key::Enter).await;
    carol.has("Write a message").await;
    let chats = carol.0.chats().await;
    carol.back_to(&chats[1]).await;
    carol.key(Key::Enter).await;
    carol
        .0
        .until("the other chat", async || {
            carol.0.heading().await == "Alone"
        })
        .await;
    carol.has("Write a message").await;
    owner
        .delete(&format!("/api/groups/{group}/members/carol/"))
        .await;
    carol
        .0
        .until("the chat to go", async || carol.0.chats().await.len() == 1)
        .await;
    carol.focus().await;
    carol.0.goes().await;
}
