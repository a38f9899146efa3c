//! Somebody who uses the page.

use std::ops::Deref;

use fantoccini::key::Key;
use serde_json::json;

use crate::support::{Browser, Look, TestApp};

/// A person and their browser.
pub struct Somebody {
    browser: Browser,
}

impl Deref for Somebody {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Somebody {
    pub async fn arrives(look: Look, url: &str) -> Self {
        let browser = look.open().await;
        browser.open(url).await;
        Self { browser }
    }

    /// In whatever language.
    pub async fn signs_in(&self, username: &str) {
        self.presses("[name=username]").await;
        if self.texts("[name=name]").await.len() == 1 {
            self.presses("[data-part=switch]").await;
            self.presses("[name=username]").await;
        }
        self.types(username).await;
        self.presses("[name=password]").await;
        self.types(&TestApp::password_of(username)).await;
        self.key(Key::Enter).await;
        self.until("the room", async || self.texts(".app").await.len() == 1)
            .await;
    }

    pub async fn signs_up(&self, username: &str, name: &str) {
        if !self.offers("body", "Your name").await {
            self.press("Create an account").await;
        }
        self.fill("Your name", name).await;
        self.fill("Username", username).await;
        self.fill("Password", &TestApp::password_of(username)).await;
        self.press("Create an account").await;
        self.sees_no_more("Password").await;
    }

    /// Starts a chat by the dialog, and is in it.
    pub async fn starts_chat(&self, title: &str) {
        self.press("New chat").await;
        self.fill("Name of the chat", title).await;
        self.press_in("dialog", "Start").await;
        self.until(title, async || self.heading().await == title)
            .await;
    }

    /// What the chat that is looked at is called.
    pub async fn heading(&self) -> String {
        self.texts("#chat-title").await.concat()
    }

    /// Makes an invite by the dialog and gives its address.
    pub async fn makes_link(&self) -> String {
        self.press("People and invites").await;
        self.press("Make a link").await;
        let link = "return document.querySelector('[data-part=invite-link]').value";
        self.until("a link", async || self.run(link).await != json!(""))
            .await;
        let link = self.run(link).await.as_str().unwrap().to_owned();
        self.press_in("dialog", "Close").await;
        link
    }

    /// Writes something, and sends it: by Enter, which where there is no keyboard begins a line.
    pub async fn says(&self, words: &str) {
        self.writes(words).await;
        let is_touched = self.run("return matchMedia('(pointer: coarse)').matches");
        if is_touched.await == json!(true) {
            self.press("Send").await;
        } else {
            self.key(Key::Enter).await;
        }
    }

    /// Types something into where one writes.
    pub async fn writes(&self, words: &str) {
        self.press("Write a message").await;
        self.types(words).await;
    }

    /// All that is read in the chat, from the first line to the last that is there. What is not stored
    /// yet has a mark.
    pub async fn said(&self) -> Vec<String> {
        let stored = self.texts("[data-part=lines] .line .text").await;
        let pending = self.texts("[data-part=pending] .line .text").await;
        let marked = pending.into_iter().map(|text| format!("({text})"));
        stored.into_iter().chain(marked).collect()
    }

    pub async fn hears(&self, words: &str) {
        self.until(&format!("{words:?} to be heard"), async || {
            self.said().await.iter().any(|said| said == words)
        })
        .await;
    }

    /// Waits until exactly this is read in the chat.
    pub async fn until_said(&self, all: &[&str]) {
        self.until(&format!("exactly {all:?}"), async || {
            self.said().await == all
        })
        .await;
    }

    /// The line with that text, as a selector.
    pub async fn line(&self, words: &str) -> String {
        self.hears(words).await;
        let find = "return [...document.querySelectorAll('[data-part=lines] .line')].findLast((it) => plain(it.querySelector('.text').innerText) === arguments[0])?.id";
        let id = self.look(find, &[json!(words)]).await;
        format!("#{}", id.as_str().unwrap())
    }

    /// Does something with a message, by the buttons that appear at it.
    pub async fn does(&self, tool: &str, words: &str) {
        let line = self.line(words).await;
        self.points_at(&format!("{line} .bubble")).await;
        self.press_in(&line, tool).await;
    }

    /// Answers the question that is asked.
    pub async fn answers(&self, answer: &str) {
        self.press_in("#ask", answer).await;
    }

    /// The chats in the list, with what is seen of each.
    pub async fn chats(&self) -> Vec<String> {
        self.texts(".chats .chat").await
    }

    /// The addresses that the page has requested, as far as they contain a text.
    pub async fn requested(&self, part: &str) -> Vec<String> {
        let script = "
            const names = performance.getEntriesByType('resource').map(({ name }) => name);
            return names.filter((name) => name.includes(arguments[0]));";
        serde_json::from_value(self.run_with(script, &[json!(part)]).await).unwrap()
    }

    /// Goes, and was shown nothing that was wrong.
    pub async fn goes(self) {
        assert_eq!(self.violations().await, json!([]));
        assert_eq!(self.complaints().await, Vec::<String>::new());
        self.browser.close().await;
    }
}
