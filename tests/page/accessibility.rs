//! Accessibility of every view, as far as axe-core can check it: the rules of WCAG 2.2, levels A and AA,
//! and further good practice.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{PageUser, group_of_two, set_active};
use crate::{
    clients::Proxy,
    support::{Device, GroupPath, TestApp},
};

/// Runs axe-core, and returns its violations.
const RUN_AXE: &str = "
// Colours change at once, but not before the next frame.
await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
await Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
return axe.run(document, { runOnly: arguments[0], resultTypes: ['violations'] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`)));
";

const AXE_RULES: [&str; 6] = [
    "wcag2a",
    "wcag2aa",
    "wcag21a",
    "wcag21aa",
    "wcag22aa",
    "best-practice",
];

/// Stores a message that an earlier page could not send.
const STORE_FAILED_MESSAGE: &str = "
const { user } = JSON.parse(localStorage['salam.session']);
localStorage[`salam.outbox.${user.id}.${arguments[0]}.f`] = JSON.stringify({
    cid: 'f', text: 'Refused', replyTo: null, at: Date.now(), state: 'failed', error: { code: 'invalid', message: 'No.' },
});";

/// Shows the offline state, which a test cannot reach by waiting.
const SHOW_OFFLINE: &str = "
document.querySelector('.status').dataset.state = 'waiting';
document.querySelector('[data-part=status-retry]').hidden = false;";

/// Reviews all views. Collects the violations, so that one failure reports all of them.
struct AccessibilityReview {
    user: PageUser,
    axe: String,
    violations: Vec<String>,
}

impl AccessibilityReview {
    async fn start(device: Device, url: &str) -> Self {
        let file = "target/node/node_modules/axe-core/axe.min.js";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        Self {
            user: PageUser::visit(device, url).await,
            axe: fs::read_to_string(file).expect("axe-core is installed (bin/test installs it)"),
            violations: Vec::new(),
        }
    }

    /// The dark scheme has other colours.
    async fn check_view(&mut self, view: &str) {
        self.run_rules(view, &json!(AXE_RULES)).await;
        self.user.set_color_scheme("dark").await;
        let only = json!({"type": "rule", "values": ["color-contrast"]});
        self.run_rules(&format!("{view}, dark"), &only).await;
        self.user.set_color_scheme("light").await;
    }

    async fn run_rules(&mut self, view: &str, rules: &Value) {
        if self.user.run("return 'axe' in window").await != json!(true) {
            self.user.run(&self.axe).await;
        }
        let found = self
            .user
            .run_with(RUN_AXE, std::slice::from_ref(rules))
            .await;
        let found: Vec<String> = serde_json::from_value(found).unwrap();
        let lines = found.into_iter().map(|what| format!("{view}: {what}"));
        self.violations.extend(lines);
    }

    async fn finish(self) {
        self.user.close_without_errors().await;
        assert!(
            self.violations.is_empty(),
            "{}",
            self.violations.join("\n\n")
        );
    }
}

/// Creates a chat that contains every kind of item. Returns its name and an invite.
async fn chat_with_everything(app: &TestApp) -> (String, String) {
    let (group, ann, bob) = group_of_two(app).await;
    let messages = group.path("messages/");
    let first = "Where `shall` we meet? https://example.com/ 😀";
    bob.send_message(&group, first, "1").await;
    let response = json!({"text": "At the usual place", "reply_to": 2});
    ann.post(&messages, response).await;
    ann.send_message(&group, "Gone soon", "3").await;
    ann.delete(&format!("{messages}4/")).await;
    let edited = json!({"text": "At the usual place, at noon"});
    ann.patch(&format!("{messages}3/"), edited).await;
    let thumb = format!("{messages}3/reactions/%F0%9F%91%8D/");
    bob.put(&thumb, json!({})).await;
    bob.send_message(&group, "```\nlet code = 1;\n```", "5")
        .await;
    let code = ann.create_invite(&group).await;
    // The mark of a deactivated account is visible too.
    set_active(app, "bob", false).await;
    (group, code)
}

/// Visits all views.
async fn review_all_views(device: Device, query: &str) {
    let app = TestApp::start().await;
    let (group, code) = chat_with_everything(&app).await;
    let carol = app.user("carol").await;
    super::start_titled_chat(&carol, "Alone").await;
    let proxy = Proxy::start(app.address).await;
    let url = |path: &str| format!("http://{}{path}", proxy.address);
    let mut review = AccessibilityReview::start(device, &url(&format!("/{query}"))).await;

    review.check_view("sign in").await;
    review.user.click_selector("[data-part=switch]").await;
    review.user.click_selector("[data-part=submit]").await;
    let rejected = async || {
        !review
            .user
            .visible_texts(".error")
            .await
            .concat()
            .is_empty()
    };
    review.user.wait_until("an error", rejected).await;
    review.check_view("sign up, refused").await;
    review.user.open(&url(&format!("/#/invite/{code}"))).await;
    review.user.reload().await;
    review.check_view("sign up, invited").await;
    review.user.sign_in("carol").await;
    review.check_view("invited").await;
    review.user.click_selector("[data-part=accept]").await;
    let lines = async || review.user.visible_texts(".line").await.len() == 4;
    review.user.wait_until("the conversation", lines).await;
    review
        .user
        .run_with(STORE_FAILED_MESSAGE, &[json!(group)])
        .await;
    review.user.reload().await;
    let remedy = async || review.user.visible_texts(".remedy").await.len() == 1;
    review.user.wait_until("a failed message", remedy).await;
    proxy.drop_next_chunks(usize::MAX);
    review.user.click_selector(".composer textarea").await;
    review.user.type_text("On its way").await;
    review.user.click_selector("[data-part=send]").await;
    review.user.run(SHOW_OFFLINE).await;
    review.check_view("conversation").await;
    proxy.drop_connections();
    proxy.drop_next_chunks(0);
    review.user.expect_message("On its way").await;
    review.user.click_selector("#m3 .text").await;
    let tools = async || review.user.visible_texts(".tools").await.len() == 1;
    review.user.wait_until("the tools", tools).await;
    review.check_view("tools").await;
    review.user.click_selector("[data-part=reply]").await;
    review.check_view("answering").await;
    review.user.click_selector("#m3 .text").await;
    review.user.click_selector("[data-part=react]").await;
    review.check_view("emoji").await;
    review.user.click_selector("#emoji button").await;
    let own = review.user.message_selector("On its way").await;
    review.user.click_selector(&format!("{own} .text")).await;
    review.user.click_selector("[data-part=delete]").await;
    review.check_view("confirm").await;
    review.user.click_selector("#ask [data-part=no]").await;
    review.user.click_selector("[data-part=people]").await;
    review.check_view("people, as a member").await;

    for (path, view) in [
        ("/#/", "list"),
        ("/#/account", "account"),
        ("/#/chat/chat_00000000", "no such chat"),
        ("/#/invite/AAAA", "no such invite"),
    ] {
        review.user.open(&url("/")).await;
        review.user.open(&url(path)).await;
        review.check_view(view).await;
    }
    review.user.open(&url("/playground/")).await;
    review.check_view("playground").await;
    review.user.click_selector("[data-part=all]").await;
    let open = "return document.querySelectorAll('.play-log > *').length > 3";
    review.user.wait_until_true(open).await;
    review.check_view("playground, at work").await;
    review.finish().await;
}

/// Visits the views of an owner, and the views of a user without chats.
async fn review_owner_views(device: Device, query: &str) {
    let app = TestApp::start().await;
    app.user("dora").await;
    let mut review = AccessibilityReview::start(device, &app.url(&format!("/{query}"))).await;
    review.user.sign_in("dora").await;
    review.check_view("no chats").await;
    review.user.click_selector("[data-part=new]").await;
    review.check_view("new chat").await;
    review.user.type_text("Dora's").await;
    review.user.click_selector("#new-chat .primary").await;
    review.user.click_selector("[data-part=people]").await;
    review.user.click_selector("#people .primary").await;
    let row = async || review.user.visible_texts("#people .row").await.len() == 2;
    review.user.wait_until("the invite", row).await;
    review.check_view("people, as the owner").await;
    review.finish().await;
}

#[tokio::test]
async fn the_desktop_page_is_accessible() {
    review_all_views(Device::desktop(), "").await;
}

#[tokio::test]
async fn the_desktop_page_is_accessible_for_owners() {
    review_owner_views(Device::desktop(), "").await;
}

#[tokio::test]
async fn the_phone_page_is_accessible() {
    review_all_views(Device::phone(), "").await;
}

#[tokio::test]
async fn the_persian_page_is_accessible() {
    review_all_views(Device::desktop(), "?lang=fa").await;
}

#[tokio::test]
async fn the_persian_phone_page_is_accessible_for_owners() {
    review_owner_views(Device::phone(), "?lang=fa").await;
}
