//! What somebody does at a page: presses what they see, types, and reads.

use std::time::Duration;

use fantoccini::{
    actions::{InputSource, KeyAction, KeyActions, MouseActions, PointerAction},
    elements::Element,
    error::CmdError,
    key::Key,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::Browser;
use crate::support::{PATIENCE, soon};

/// What scripts here have in common: a text as it is read, without the isolates around what is put
/// into it, and what can be pressed or filled in by its name.
const COMMON: &str = r"
const plain = (text) => (text ?? '').replace(/[\u2066-\u2069]/g, '').replace(/\s+/g, ' ').trim();
const labelOf = (it) => plain([...(it.labels?.[0]?.childNodes ?? [])].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data).join(' '));
const nameOf = (it) => plain(it.ariaLabel) || labelOf(it) || plain(it.innerText);
// Not below something else, such as a dialog.
const isOnTop = (it) => {
    it.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    const { left, top, width, height } = it.getBoundingClientRect();
    const hit = width && document.elementFromPoint(left + width / 2, top + height / 2);
    return Boolean(hit) && (it.contains(hit) || hit.contains(it));
};
";

const FIND: &str = "
const [scope, name] = arguments;
const controls = 'a, button, input, select, textarea';
for (const root of document.querySelectorAll(scope)) {
    for (const it of root.querySelectorAll(controls)) if (nameOf(it) === name && isOnTop(it)) return it;
}
return null;
";

impl Browser {
    /// A script with what the scripts here have in common.
    pub async fn look(&self, script: &str, arguments: &[Value]) -> Value {
        self.run_with(&format!("{COMMON}{script}"), arguments).await
    }

    /// The control of that name that can be reached, if there is one.
    async fn control(&self, scope: &str, name: &str) -> Option<Element> {
        let found = self.look(FIND, &[json!(scope), json!(name)]).await;
        self.element(&found)
    }

    fn element(&self, found: &Value) -> Option<Element> {
        let id = found.as_object()?.values().next()?.as_str()?.to_owned();
        Some(Element::from_element_id(self.client.clone(), id.into()))
    }

    /// Whether there is a control of that name.
    pub async fn offers(&self, scope: &str, name: &str) -> bool {
        self.control(scope, name).await.is_some()
    }

    /// Presses a button or follows a link by its name, once it is there.
    pub async fn press(&self, name: &str) {
        self.press_in("body", name).await;
    }

    /// The same, within what a selector names.
    pub async fn press_in(&self, scope: &str, name: &str) {
        self.until(&format!("{name} to be pressed"), async || {
            match self.control(scope, name).await {
                Some(control) => is_done(control.click().await),
                None => false,
            }
        })
        .await;
    }

    /// Presses the first thing that a selector names, whatever it is called in the language of the page.
    pub async fn presses(&self, selector: &str) {
        let find = "return [...document.querySelectorAll(arguments[0])].find(isOnTop) ?? null";
        self.until(&format!("{selector} to be pressed"), async || {
            let found = self.look(find, &[json!(selector)]).await;
            match self.element(&found) {
                Some(element) => is_done(element.click().await),
                None => false,
            }
        })
        .await;
    }

    /// Types something into the field of that label, instead of what was there.
    pub async fn fill(&self, label: &str, words: &str) {
        self.until(&format!("{label} to be filled in"), async || {
            match self.control("body", label).await {
                Some(field) => {
                    is_done(field.click().await)
                        && is_done(field.clear().await)
                        && is_done(field.send_keys(words).await)
                }
                None => false,
            }
        })
        .await;
    }

    /// Types on a keyboard, into whatever has the focus.
    pub async fn types(&self, words: &str) {
        self.keys(words.chars().map(|key| (None, key))).await;
    }

    pub async fn key(&self, key: Key) {
        self.keys([(None, key.into())]).await;
    }

    pub async fn with_shift(&self, key: Key) {
        self.keys([(Some(Key::Shift.into()), key.into())]).await;
    }

    async fn keys(&self, keys: impl IntoIterator<Item = (Option<char>, char)>) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for (held, value) in keys {
            let hold = held.map(|value| KeyAction::Down { value });
            let release = held.map(|value| KeyAction::Up { value });
            let press = [KeyAction::Down { value }, KeyAction::Up { value }];
            for action in hold.into_iter().chain(press).chain(release) {
                actions = actions.then(action);
            }
        }
        soon("keys", self.client.perform_actions(actions))
            .await
            .unwrap();
    }

    /// Puts something in at once, as from a clipboard.
    pub async fn pastes(&self, words: &str) {
        self.devtools("Input.insertText", json!({ "text": words }))
            .await;
    }

    /// Points at the first thing that a selector names.
    pub async fn points_at(&self, selector: &str) {
        let found = self
            .run_with(
                "return document.querySelector(arguments[0])",
                &[json!(selector)],
            )
            .await;
        let over = PointerAction::MoveToElement {
            element: self.element(&found).expect(selector),
            duration: None,
            x: 0.0,
            y: 0.0,
        };
        let actions = MouseActions::new("mouse".to_owned()).then(over);
        soon("the mouse", self.client.perform_actions(actions))
            .await
            .unwrap();
    }

    /// All that is seen of the page, in one line.
    pub async fn seen(&self) -> String {
        let seen = self.look("return plain(document.body.innerText)", &[]);
        seen.await.as_str().unwrap().to_owned()
    }

    pub async fn sees(&self, words: &str) {
        self.until(&format!("{words:?} to be seen"), async || {
            self.seen().await.contains(words)
        })
        .await;
    }

    pub async fn sees_no_more(&self, words: &str) {
        self.until(&format!("{words:?} to go"), async || {
            !self.seen().await.contains(words)
        })
        .await;
    }

    /// Waits until something holds; if in vain, tells what is seen instead.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !holds().await {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            let seen: String = self.seen().await.chars().take(2000).collect();
            let complaints = self.complaints().await;
            panic!("waited in vain for {what}; what is seen is:\n{seen}\n{complaints:?}");
        }
    }

    /// What is read in everything that a selector names.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].filter((it) => it.checkVisibility()).map((it) => plain(it.innerText))";
        let found = self.look(script, &[json!(selector)]).await;
        serde_json::from_value(found).unwrap()
    }

    pub async fn until_true(&self, script: &str) {
        self.until(script, async || self.run(script).await == json!(true))
            .await;
    }
}

/// False where the page has changed below the hand: whoever does it tries again.
fn is_done(done: Result<(), CmdError>) -> bool {
    match done {
        Ok(()) => true,
        Err(CmdError::Standard(refused)) => {
            let why = refused.error();
            assert!(
                [
                    "stale element reference",
                    "element click intercepted",
                    "element not interactable"
                ]
                .contains(&why.as_str()),
                "{refused}"
            );
            false
        }
        Err(error) => panic!("{error}"),
    }
}
