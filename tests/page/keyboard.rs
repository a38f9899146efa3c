//! The whole page by keyboard. After each step, the focus is on a visible element.

use fantoccini::key::Key;
use serde_json::json;

use super::{PageUser, group_of_two, sign_in_at};
use crate::support::{Device, GroupPath, TestApp};

/// Returns the name of the focused element, and whether the focus is visible on the screen.
const READ_FOCUS: &str = "
const it = document.activeElement;
if (!it || it === document.body) return '';
if (it.matches('main')) return 'main'; // all that there is: nothing is to be marked in it
const name = nameOf(it);
const { bottom, top, width } = it.getBoundingClientRect();
const { outlineStyle, outlineWidth } = getComputedStyle(it);
const isMarked = it.matches(':focus-visible') && outlineStyle !== 'none' && outlineWidth !== '0px';
const isSeen = bottom > 0 && top < innerHeight && width > 0 && it.checkVisibility();
return isMarked && isSeen ? name || it.className : `UNSEEN ${it.outerHTML}`;";

/// A user without a mouse.
struct KeyboardUser(PageUser);

impl KeyboardUser {
    /// Returns the name of the focused element, which always exists.
    async fn focused_name(&self) -> String {
        let focus = self.0.run_with_helpers(READ_FOCUS, &[]).await;
        let focus = focus.as_str().unwrap().to_owned();
        assert!(!focus.is_empty(), "nothing has the focus");
        assert!(!focus.starts_with("UNSEEN"), "{focus}");
        focus
    }

    async fn press(&self, key: Key) {
        self.0.press_key(key).await;
    }

    /// Waits until the element of this name has the focus.
    async fn expect_focus(&self, name: &str) {
        self.0
            .wait_until(&format!("{name:?} to have the focus"), async || {
                self.0.run_with_helpers(READ_FOCUS, &[]).await == json!(name)
            })
            .await;
    }

    /// Presses Tab, or Shift and Tab, until the element of this name has the focus.
    async fn tab_until(&self, name: &str, is_back: bool) {
        let mut passed = Vec::new();
        self.focused_name().await;
        while self.0.run_with_helpers(READ_FOCUS, &[]).await != json!(name) {
            if is_back {
                self.0.press_shift_key(Key::Tab).await;
            } else {
                self.press(Key::Tab).await;
            }
            // After the last element, the browser itself has the focus for a moment.
            passed.push(self.0.run_with_helpers(READ_FOCUS, &[]).await);
            assert!(passed.len() < 40, "{name} is not among {passed:?}");
        }
    }

    async fn tab_to(&self, name: &str) {
        self.tab_until(name, false).await;
    }

    async fn tab_back_to(&self, name: &str) {
        self.tab_until(name, true).await;
    }

    async fn activate(&self, name: &str) {
        self.tab_to(name).await;
        self.press(Key::Enter).await;
    }
}

#[tokio::test]
async fn sign_up_and_chat_creation_work_by_keyboard() {
    let app = TestApp::start().await;
    let ann = KeyboardUser(PageUser::visit(Device::desktop(), &app.url("/")).await);
    ann.expect_focus("Username").await;
    ann.activate("Create account").await;
    ann.expect_focus("Your name").await;
    ann.0.type_text("Ann").await;
    ann.press(Key::Tab).await;
    ann.0.type_text("ann").await;
    ann.press(Key::Tab).await;
    ann.0.type_text("short").await;
    ann.press(Key::Enter).await;
    ann.0
        .expect_text("Your password needs at least 8 characters.")
        .await;
    ann.expect_focus("Password").await;
    ann.0.type_text(" but longer by a staple").await;
    ann.press(Key::Enter).await;
    ann.0.expect_text("You don't have any chats yet.").await;
    ann.focused_name().await;

    ann.activate("Start a chat").await;
    ann.expect_focus("Chat name").await;
    ann.press(Key::Escape).await;
    ann.expect_focus("Start a chat").await;
    ann.press(Key::Enter).await;
    ann.0.type_text("Lunch").await;
    ann.press(Key::Enter).await;
    ann.expect_focus("Write a message").await;
    ann.tab_back_to("People and invites").await;
    ann.press(Key::Enter).await;
    ann.0.expect_text("@ann · owner").await;
    ann.activate("Create link").await;
    ann.expect_focus("Invite link").await;
    ann.activate("Revoke").await;
    ann.0.expect_no_text("Revoke").await;
    ann.focused_name().await;
    ann.press(Key::Escape).await;
    ann.expect_focus("People and invites").await;
    ann.press(Key::Enter).await;
    ann.activate("Delete chat").await;
    ann.0.expect_text("will be deleted for everyone").await;
    ann.focused_name().await;
    ann.press(Key::Escape).await;
    ann.expect_focus("Delete chat").await;
    ann.press(Key::Escape).await;
    ann.expect_focus("People and invites").await;

    ann.tab_back_to("Account").await;
    ann.press(Key::Enter).await;
    ann.0.expect_text("Where you're signed in").await;
    ann.focused_name().await;
    ann.activate("Sign out").await;
    ann.expect_focus("Username").await;
    ann.0.close_without_errors().await;
}

#[tokio::test]
async fn message_actions_work_by_keyboard() {
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    for text in ["One", "Two"] {
        bob.send_message(&group, text, text).await;
    }
    let ann = KeyboardUser(sign_in_at(&app.url(&format!("/#/chat/{group}")), "ann").await);
    ann.expect_focus("Write a message").await;
    ann.0.type_text("Three").await;
    ann.press(Key::Enter).await;
    ann.0.expect_message("Three").await;
    ann.expect_focus("Write a message").await;

    // A message, the next message by the arrows, and then its tools.
    let line = async |words: &str| {
        let is_there = format!(
            "return document.activeElement.querySelector('.text')?.innerText === {words:?}"
        );
        ann.0.wait_until_true(&is_there).await;
        ann.focused_name().await;
    };
    ann.0.press_shift_key(Key::Tab).await;
    while ann
        .0
        .run("return document.activeElement.matches('.line')")
        .await
        != json!(true)
    {
        ann.0.press_shift_key(Key::Tab).await;
    }
    line("Three").await;
    ann.press(Key::Home).await;
    line("One").await;
    ann.press(Key::Down).await;
    line("Two").await;
    ann.activate("React").await;
    ann.expect_focus("👍").await;
    ann.press(Key::Right).await;
    ann.press(Key::Down).await;
    ann.focused_name().await;
    ann.press(Key::Enter).await;
    ann.0
        .wait_until("a reaction", async || {
            ann.0.visible_texts(".chip").await.len() == 1
        })
        .await;
    ann.expect_focus("React").await;
    ann.press(Key::Escape).await;
    line("Two").await;
    ann.activate("Reply").await;
    ann.expect_focus("Write a message").await;
    ann.0.type_text("Four").await;
    ann.press(Key::Enter).await;
    ann.0.expect_message("Four").await;

    // The arrow edits the user's last message.
    ann.press(Key::Up).await;
    ann.0.expect_text("Editing your message").await;
    ann.press(Key::Escape).await;
    ann.0.expect_no_text("Editing your message").await;
    ann.press(Key::Up).await;
    ann.0.type_text("th").await;
    ann.press(Key::Enter).await;
    ann.0.expect_message("Fourth").await;
    ann.expect_focus("Write a message").await;

    ann.tab_back_to("Delete").await;
    ann.press(Key::Enter).await;
    ann.0.expect_text("Delete this message?").await;
    ann.focused_name().await;
    ann.press(Key::Escape).await;
    ann.expect_focus("Delete").await;
    ann.press(Key::Enter).await;
    ann.expect_focus("Cancel").await;
    ann.activate("Delete").await;
    ann.0.expect_message("This message was deleted.").await;
    line("This message was deleted.").await;
    ann.press(Key::Escape).await;
    ann.expect_focus("Write a message").await;
    ann.0.close_without_errors().await;
}

#[tokio::test]
async fn invites_and_chat_switching_work_by_keyboard() {
    let app = TestApp::start().await;
    let (group, owner, _) = group_of_two(&app).await;
    let carol = app.user("carol").await;
    super::start_titled_chat(&carol, "Alone").await;
    let code = owner.create_invite(&group).await;
    let carol = KeyboardUser(sign_in_at(&app.url(&format!("/#/invite/{code}")), "carol").await);
    carol.expect_focus("Join chat").await;
    carol.press(Key::Enter).await;
    carol.expect_focus("Write a message").await;
    let chats = carol.0.listed_chats().await;
    carol.tab_back_to(&chats[1]).await;
    carol.press(Key::Enter).await;
    carol
        .0
        .wait_until("the other chat", async || {
            carol.0.chat_title().await == "Alone"
        })
        .await;
    carol.expect_focus("Write a message").await;
    owner.delete(&group.path("members/carol/")).await;
    carol
        .0
        .wait_until("the chat to disappear", async || {
            carol.0.listed_chats().await.len() == 1
        })
        .await;
    carol.focused_name().await;
    carol.0.close_without_errors().await;
}
