//! Every view is open to those who do not see, hear or point well, as far as a program can tell
//! (axe-core): the rules of WCAG 2.2, A and AA, and what is good practice besides.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{Somebody, group_of_two, set_active};
use crate::{
    clients::Proxy,
    support::{Look, TestApp},
};

/// What it checks, and what it says of what it finds.
const CHECK: &str = "
// Colours change in no time, but not before the next frame.
await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
await Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
return axe.run(document, { runOnly: arguments[0], resultTypes: ['violations'] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`)));
";

const RULES: [&str; 6] = [
    "wcag2a",
    "wcag2aa",
    "wcag21a",
    "wcag21aa",
    "wcag22aa",
    "best-practice",
];

/// A message that an earlier page could not send, as it keeps it.
const FAILED: &str = "
const { user } = JSON.parse(localStorage['salam.session']);
localStorage[`salam.outbox.${user.id}.${arguments[0]}.f`] = JSON.stringify({
    cid: 'f', text: 'Refused', replyTo: null, at: Date.now(), state: 'failed', error: { code: 'invalid', message: 'No.' },
});";

/// How a page looks that is offline: there is no way to make it wait long enough.
const OFFLINE: &str = "
document.querySelector('.status').dataset.state = 'waiting';
document.querySelector('[data-part=status-retry]').hidden = false;";

/// Looks at each view, and goes on where there is something wrong, so that all of it is told.
struct Review {
    who: Somebody,
    axe: String,
    found: Vec<String>,
}

impl Review {
    async fn begin(look: Look, url: &str) -> Self {
        let file = "target/node/node_modules/axe-core/axe.min.js";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        Self {
            who: Somebody::arrives(look, url).await,
            axe: fs::read_to_string(file).expect("axe-core is there (bin/test installs it)"),
            found: Vec::new(),
        }
    }

    /// In the dark it is the colours that are others.
    async fn of(&mut self, view: &str) {
        self.check(view, &json!(RULES)).await;
        self.who.colours("dark").await;
        let only = json!({"type": "rule", "values": ["color-contrast"]});
        self.check(&format!("{view}, dark"), &only).await;
        self.who.colours("light").await;
    }

    async fn check(&mut self, view: &str, rules: &Value) {
        if self.who.run("return 'axe' in window").await != json!(true) {
            self.who.run(&self.axe).await;
        }
        let found = self.who.run_with(CHECK, std::slice::from_ref(rules)).await;
        let found: Vec<String> = serde_json::from_value(found).unwrap();
        let told = found.into_iter().map(|what| format!("{view}: {what}"));
        self.found.extend(told);
    }

    async fn end(self) {
        self.who.goes().await;
        assert!(self.found.is_empty(), "{}", self.found.join("\n\n"));
    }
}

/// A chat with everything in it that there is to be seen: its name, and an invite.
async fn lively(app: &TestApp) -> (String, String) {
    let (group, ann, bob) = group_of_two(app).await;
    let messages = format!("/api/groups/{group}/messages/");
    let first = "Where `shall` we meet? https://example.com/ 😀";
    bob.say(&group, first, "1").await;
    let answer = json!({"text": "At the usual place", "reply_to": 2});
    ann.post(&messages, answer).await;
    ann.say(&group, "Gone soon", "3").await;
    ann.delete(&format!("{messages}4/")).await;
    let edited = json!({"text": "At the usual place, at noon"});
    ann.patch(&format!("{messages}3/"), edited).await;
    let thumb = format!("{messages}3/reactions/%F0%9F%91%8D/");
    bob.put(&thumb, json!({})).await;
    bob.say(&group, "```\nlet code = 1;\n```", "5").await;
    let code = ann.invites(&group).await;
    // The mark of a deactivated account is seen, too.
    set_active(app, "bob", false).await;
    (group, code)
}

/// Walks through all views.
async fn review(look: Look, query: &str) {
    let app = TestApp::start().await;
    let (group, code) = lively(&app).await;
    let carol = app.user("carol").await;
    super::titled(&carol, "Alone").await;
    let proxy = Proxy::start(app.address).await;
    let url = |path: &str| format!("http://{}{path}", proxy.address);
    let mut review = Review::begin(look, &url(&format!("/{query}"))).await;

    review.of("sign in").await;
    review.who.presses("[data-part=switch]").await;
    review.who.presses("[data-part=submit]").await;
    let refused = async || !review.who.texts(".error").await.concat().is_empty();
    review.who.until("an error", refused).await;
    review.of("sign up, refused").await;
    review.who.open(&url(&format!("/#/invite/{code}"))).await;
    review.who.reload().await;
    review.of("sign up, invited").await;
    review.who.signs_in("carol").await;
    review.of("invited").await;
    review.who.presses("[data-part=accept]").await;
    let lines = async || review.who.texts(".line").await.len() == 4;
    review.who.until("the conversation", lines).await;
    review.who.run_with(FAILED, &[json!(group)]).await;
    review.who.reload().await;
    let remedy = async || review.who.texts(".remedy").await.len() == 1;
    review.who.until("a failed message", remedy).await;
    proxy.swallow(usize::MAX);
    review.who.presses(".composer textarea").await;
    review.who.types("On its way").await;
    review.who.presses("[data-part=send]").await;
    review.who.run(OFFLINE).await;
    review.of("conversation").await;
    proxy.cut();
    proxy.swallow(0);
    review.who.hears("On its way").await;
    review.who.presses("#m3 .text").await;
    let tools = async || review.who.texts(".tools").await.len() == 1;
    review.who.until("the tools", tools).await;
    review.of("tools").await;
    review.who.presses("[data-part=reply]").await;
    review.of("answering").await;
    review.who.presses("#m3 .text").await;
    review.who.presses("[data-part=react]").await;
    review.of("emoji").await;
    review.who.presses("#emoji button").await;
    let mine = review.who.line("On its way").await;
    review.who.presses(&format!("{mine} .text")).await;
    review.who.presses("[data-part=delete]").await;
    review.of("confirm").await;
    review.who.presses("#ask [data-part=no]").await;
    review.who.presses("[data-part=people]").await;
    review.of("people, as a member").await;

    for (path, view) in [
        ("/#/", "list"),
        ("/#/account", "account"),
        ("/#/chat/chat_00000000", "no such chat"),
        ("/#/invite/AAAA", "no such invite"),
    ] {
        review.who.open(&url("/")).await;
        review.who.open(&url(path)).await;
        review.of(view).await;
    }
    review.who.open(&url("/playground/")).await;
    review.of("playground").await;
    review.who.presses("[data-part=all]").await;
    let open = "return document.querySelectorAll('.play-log > *').length > 3";
    review.who.until_true(open).await;
    review.of("playground, at work").await;
    review.end().await;
}

/// What an owner sees, and somebody who has nothing yet.
async fn review_of_owners(look: Look, query: &str) {
    let app = TestApp::start().await;
    app.user("dora").await;
    let mut review = Review::begin(look, &app.url(&format!("/{query}"))).await;
    review.who.signs_in("dora").await;
    review.of("no chats").await;
    review.who.presses("[data-part=new]").await;
    review.of("new chat").await;
    review.who.types("Dora's").await;
    review.who.presses("#new-chat .primary").await;
    review.who.presses("[data-part=people]").await;
    review.who.presses("#people .primary").await;
    let row = async || review.who.texts("#people .row").await.len() == 2;
    review.who.until("the invite", row).await;
    review.of("people, as the owner").await;
    review.end().await;
}

#[tokio::test]
async fn at_a_desk() {
    review(Look::desktop(), "").await;
}

#[tokio::test]
async fn at_a_desk_as_the_owner() {
    review_of_owners(Look::desktop(), "").await;
}

#[tokio::test]
async fn on_a_phone() {
    review(Look::phone(), "").await;
}

#[tokio::test]
async fn in_persian() {
    review(Look::desktop(), "?lang=fa").await;
}

#[tokio::test]
async fn in_persian_as_the_owner_on_a_phone() {
    review_of_owners(Look::phone(), "?lang=fa").await;
}
