//! A user of the page.

use std::ops::Deref;

use fantoccini::key::Key;
use serde_json::json;

use crate::support::{Browser, Device, TestApp};

/// A user and their browser.
pub struct PageUser {
    browser: Browser,
}

impl Deref for PageUser {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl PageUser {
    pub async fn visit(device: Device, url: &str) -> Self {
        let browser = device.open().await;
        browser.open(url).await;
        Self { browser }
    }

    /// Signs in, in any language of the page.
    pub async fn sign_in(&self, username: &str) {
        // Waits for the form.
        self.click_selector("[name=username]").await;
        // The form for a new account also asks for a display name.
        if self.visible_texts("[name=name]").await.len() == 1 {
            self.click_selector("[data-part=switch]").await;
            self.click_selector("[name=username]").await;
        }
        self.type_text(username).await;
        self.click_selector("[name=password]").await;
        self.type_text(&TestApp::password_of(username)).await;
        self.press_key(Key::Enter).await;
        self.wait_until("the page of a signed-in user", async || {
            self.visible_texts(".app").await.len() == 1
        })
        .await;
    }

    pub async fn sign_up(&self, username: &str, name: &str) {
        if !self.has_control("body", "Your name").await {
            self.click("Create account").await;
        }
        self.fill("Your name", name).await;
        self.fill("Username", username).await;
        self.fill("Password", &TestApp::password_of(username)).await;
        self.click("Create account").await;
        self.expect_no_text("Password").await;
    }

    /// Starts a chat by the dialog, and opens it.
    pub async fn start_chat(&self, title: &str) {
        self.click("New chat").await;
        self.fill("Chat name", title).await;
        self.click_in("dialog", "Create chat").await;
        self.wait_until(title, async || self.chat_title().await == title)
            .await;
    }

    /// Returns the title of the open chat.
    pub async fn chat_title(&self) -> String {
        self.visible_texts("#chat-title").await.concat()
    }

    /// Creates an invite by the dialog. Returns its link.
    pub async fn create_invite_link(&self) -> String {
        self.click("People and invites").await;
        self.click("Create link").await;
        let read_link = "return document.querySelector('[data-part=invite-link]').value";
        self.wait_until("a link", async || self.run(read_link).await != json!(""))
            .await;
        let link = self.run(read_link).await.as_str().unwrap().to_owned();
        self.click_in("dialog", "Close").await;
        link
    }

    /// Writes and sends a message. Uses Enter, or the button on devices without a keyboard, where Enter
    /// starts a new line.
    pub async fn send_message(&self, text: &str) {
        self.type_message(text).await;
        let is_touch_device = self
            .run("return matchMedia('(pointer: coarse)').matches")
            .await;
        if is_touch_device == json!(true) {
            self.click("Send").await;
        } else {
            self.press_key(Key::Enter).await;
        }
    }

    /// Types into the message field.
    pub async fn type_message(&self, text: &str) {
        self.click("Write a message").await;
        self.type_text(text).await;
    }

    /// Returns all texts of the chat, first to last. The text of a message that is not stored yet is in parentheses.
    pub async fn message_texts(&self) -> Vec<String> {
        let stored = self.visible_texts("[data-part=lines] .line .text").await;
        let pending = self.visible_texts("[data-part=pending] .line .text").await;
        let marked = pending.into_iter().map(|text| format!("({text})"));
        stored.into_iter().chain(marked).collect()
    }

    pub async fn expect_message(&self, text: &str) {
        self.wait_until(&format!("{text:?} to appear"), async || {
            self.message_texts().await.iter().any(|line| line == text)
        })
        .await;
    }

    /// Waits until the chat shows exactly these texts.
    pub async fn expect_messages(&self, all: &[&str]) {
        self.wait_until(&format!("exactly {all:?}"), async || {
            self.message_texts().await == all
        })
        .await;
    }

    /// Waits for a message with this text. Returns the selector of the last one.
    pub async fn message_selector(&self, text: &str) -> String {
        self.expect_message(text).await;
        let find = "return [...document.querySelectorAll('[data-part=lines] .line')].findLast((it) => plain(it.querySelector('.text').innerText) === arguments[0])?.id";
        let id = self.run_with_helpers(find, &[json!(text)]).await;
        format!("#{}", id.as_str().unwrap())
    }

    /// Uses a tool of a message, by its button.
    pub async fn use_message_tool(&self, tool: &str, text: &str) {
        let line = self.message_selector(text).await;
        self.hover(&format!("{line} .bubble")).await;
        self.click_in(&line, tool).await;
    }

    /// Answers the open dialog.
    pub async fn answer_dialog(&self, response: &str) {
        self.click_in("#ask", response).await;
    }

    /// Returns the chats in the list, with their visible texts.
    pub async fn listed_chats(&self) -> Vec<String> {
        self.visible_texts(".chats .chat").await
    }

    /// Returns the URLs that the page has requested and that contain a text.
    pub async fn requested_urls(&self, part: &str) -> Vec<String> {
        let script = "
            const names = performance.getEntriesByType('resource').map(({ name }) => name);
            return names.filter((name) => name.includes(arguments[0]));";
        serde_json::from_value(self.run_with(script, &[json!(part)]).await).unwrap()
    }

    /// Closes the browser. Asserts that the page reported no errors.
    pub async fn close_without_errors(self) {
        assert_eq!(self.csp_violations().await, json!([]));
        assert_eq!(self.console_errors().await, Vec::<String>::new());
        self.browser.close().await;
    }
}
