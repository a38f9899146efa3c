//! Actions of a user on a page: to click visible elements, to type, and to read.

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
use crate::support::{TEST_TIMEOUT, with_timeout};

/// Shared helpers of the scripts: the visible text without bidi isolates, and the controls by their
/// names.
const SCRIPT_HELPERS: &str = r"
const plain = (text) => (text ?? '').replace(/[\u2066-\u2069]/g, '').replace(/\s+/g, ' ').trim();
const labelOf = (it) => plain([...(it.labels?.[0]?.childNodes ?? [])].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data).join(' '));
const nameOf = (it) => plain(it.ariaLabel) || labelOf(it) || plain(it.innerText);
// Not covered by another element, such as a dialog.
const isOnTop = (it) => {
    it.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    const { left, top, width, height } = it.getBoundingClientRect();
    const hit = width && document.elementFromPoint(left + width / 2, top + height / 2);
    return Boolean(hit) && (it.contains(hit) || hit.contains(it));
};
";

const FIND_CONTROL: &str = "
const [scope, name] = arguments;
const controls = 'a, button, input, select, textarea';
for (const root of document.querySelectorAll(scope)) {
    for (const it of root.querySelectorAll(controls)) if (nameOf(it) === name && isOnTop(it)) return it;
}
return null;
";

impl Browser {
    /// Runs a script with the shared helpers.
    pub async fn run_with_helpers(&self, script: &str, arguments: &[Value]) -> Value {
        self.run_with(&format!("{SCRIPT_HELPERS}{script}"), arguments)
            .await
    }

    /// Finds the reachable control of this name.
    async fn find_control(&self, scope: &str, name: &str) -> Option<Element> {
        let found = self
            .run_with_helpers(FIND_CONTROL, &[json!(scope), json!(name)])
            .await;
        self.to_element(&found)
    }

    fn to_element(&self, found: &Value) -> Option<Element> {
        let id = found.as_object()?.values().next()?.as_str()?.to_owned();
        Some(Element::from_element_id(self.client.clone(), id.into()))
    }

    /// `true` if a control of this name exists.
    pub async fn has_control(&self, scope: &str, name: &str) -> bool {
        self.find_control(scope, name).await.is_some()
    }

    /// Clicks a button or a link by its name, as soon as it exists.
    pub async fn click(&self, name: &str) {
        self.click_in("body", name).await;
    }

    /// Clicks a control within the elements of a selector.
    pub async fn click_in(&self, scope: &str, name: &str) {
        self.wait_until(&format!("{name} to be pressed"), async || {
            match self.find_control(scope, name).await {
                Some(control) => is_applied(control.click().await),
                None => false,
            }
        })
        .await;
    }

    /// Clicks the first element of a selector, independent of its name in the language of the page.
    pub async fn click_selector(&self, selector: &str) {
        let find = "return [...document.querySelectorAll(arguments[0])].find(isOnTop) ?? null";
        self.wait_until(&format!("{selector} to be pressed"), async || {
            let found = self.run_with_helpers(find, &[json!(selector)]).await;
            match self.to_element(&found) {
                Some(element) => is_applied(element.click().await),
                None => false,
            }
        })
        .await;
    }

    /// Replaces the text of the field with this label.
    pub async fn fill(&self, label: &str, text: &str) {
        self.wait_until(&format!("{label} to be filled in"), async || {
            match self.find_control("body", label).await {
                Some(field) => {
                    is_applied(field.click().await)
                        && is_applied(field.clear().await)
                        && is_applied(field.send_keys(text).await)
                }
                None => false,
            }
        })
        .await;
    }

    /// Types into the focused element.
    pub async fn type_text(&self, text: &str) {
        self.perform_keys(text.chars().map(|key| (None, key))).await;
    }

    pub async fn press_key(&self, key: Key) {
        self.perform_keys([(None, key.into())]).await;
    }

    pub async fn press_shift_key(&self, key: Key) {
        self.perform_keys([(Some(Key::Shift.into()), key.into())])
            .await;
    }

    async fn perform_keys(&self, keys: impl IntoIterator<Item = (Option<char>, char)>) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for (held, value) in keys {
            let hold = held.map(|value| KeyAction::Down { value });
            let release = held.map(|value| KeyAction::Up { value });
            let press = [KeyAction::Down { value }, KeyAction::Up { value }];
            for action in hold.into_iter().chain(press).chain(release) {
                actions = actions.then(action);
            }
        }
        with_timeout("keys", self.client.perform_actions(actions))
            .await
            .unwrap();
    }

    /// Inserts a text at once, like a paste.
    pub async fn insert_text(&self, text: &str) {
        self.devtools("Input.insertText", json!({ "text": text }))
            .await;
    }

    /// Moves the pointer to the first element of a selector.
    pub async fn hover(&self, selector: &str) {
        let found = self
            .run_with(
                "return document.querySelector(arguments[0])",
                &[json!(selector)],
            )
            .await;
        let over = PointerAction::MoveToElement {
            element: self.to_element(&found).expect(selector),
            duration: None,
            x: 0.0,
            y: 0.0,
        };
        let actions = MouseActions::new("mouse".to_owned()).then(over);
        with_timeout("the mouse", self.client.perform_actions(actions))
            .await
            .unwrap();
    }

    /// Returns the visible text of the page in one line.
    pub async fn visible_text(&self) -> String {
        let seen = self.run_with_helpers("return plain(document.body.innerText)", &[]);
        seen.await.as_str().unwrap().to_owned()
    }

    pub async fn expect_text(&self, text: &str) {
        self.wait_until(&format!("{text:?} to be seen"), async || {
            self.visible_text().await.contains(text)
        })
        .await;
    }

    pub async fn expect_no_text(&self, text: &str) {
        self.wait_until(&format!("{text:?} to disappear"), async || {
            !self.visible_text().await.contains(text)
        })
        .await;
    }

    /// Polls until a condition holds. A failure reports the visible text.
    pub async fn wait_until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !holds().await {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(TEST_TIMEOUT, waiting).await.is_err() {
            let seen: String = self.visible_text().await.chars().take(2000).collect();
            let complaints = self.console_errors().await;
            panic!("timed out waiting for {what}; the page shows:\n{seen}\n{complaints:?}");
        }
    }

    /// Returns the visible texts of all elements of a selector.
    pub async fn visible_texts(&self, selector: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].filter((it) => it.checkVisibility()).map((it) => plain(it.innerText))";
        let found = self.run_with_helpers(script, &[json!(selector)]).await;
        serde_json::from_value(found).unwrap()
    }

    pub async fn wait_until_true(&self, script: &str) {
        self.wait_until(script, async || self.run(script).await == json!(true))
            .await;
    }
}

/// Returns `false` if the page changed during the action, so that the caller tries again.
fn is_applied(done: Result<(), CmdError>) -> bool {
    match done {
        Ok(()) => true,
        Err(CmdError::Standard(rejected)) => {
            let why = rejected.error();
            assert!(
                [
                    "stale element reference",
                    "element click intercepted",
                    "element not interactable"
                ]
                .contains(&why.as_str()),
                "{rejected}"
            );
            false
        }
        Err(error) => panic!("{error}"),
    }
}
