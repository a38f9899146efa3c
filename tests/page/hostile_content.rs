//! Names, titles and texts of an attacker: the page shows them unchanged, and they run nothing, request
//! nothing, and damage nothing next to them.

use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;

use super::PageUser;
use crate::support::{Device, GroupPath, TestApp};

const HOSTILE_NAME: &str = "<img src=x onerror=alert(1)>\u{202e}gnp";
const HOSTILE_TITLE: &str = "\"><script>alert(1)</script>\u{202e}txt";

/// Returns the elements that are wider than the window or cut off.
const FIND_OVERFLOWING_ELEMENTS: &str = "
const { scrollingElement: page } = document;
if (page.scrollWidth > innerWidth) return ['the page'];
if (document.querySelector('.app') && page.scrollHeight > innerHeight) return ['the height of the page'];
return [...document.querySelectorAll('body *')].filter((it) => {
    if (!it.checkVisibility() || it.closest('.unseen, svg, pre') || it.closest('.app:not(.inside) > .main')) return false;
    const { left, right } = it.getBoundingClientRect();
    return right - left > 0 && (left < -1 || right > innerWidth + 1);
}).map((it) => it.outerHTML.slice(0, 200));";

/// Returns the requests to other servers.
const FIND_EXTERNAL_REQUESTS: &str = "
const hosts = performance.getEntriesByType('resource').map(({ name }) => new URL(name).host);
return hosts.filter((host) => host !== location.host);";

/// Returns texts that could reorder their neighbours, because they are neither alone nor isolated.
const FIND_UNISOLATED_BIDI_TEXT: &str = "
const turned = [];
const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
    const { parentElement: parent, data } = node;
    if (!/[\\u202a-\\u202e]/.test(data) || !parent.checkVisibility()) continue;
    const { display, unicodeBidi } = getComputedStyle(parent);
    const isAlone = display !== 'inline' && parent.childNodes.length === 1;
    if (unicodeBidi === 'normal' && !isAlone && !parent.closest('.text')) turned.push(parent.outerHTML);
}
return turned;";

/// Returns links with forbidden targets, and links that would send a referrer.
const FIND_UNSAFE_LINKS: &str = "
return [...document.querySelectorAll('a[href]')].filter(({ href, rel, host }) =>
    !/^https?:/.test(href) || (host !== location.host && !/noopener noreferrer/.test(rel))).map(({ outerHTML }) => outerHTML);";

fn hostile_texts() -> Vec<String> {
    let mut texts = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "javascript:alert(1)",
        "[x](javascript:alert(1))",
        "`<b onmouseover=alert(1)>` ```<iframe srcdoc='<script>alert(1)</script>'>```",
        "data:text/html,<script>alert(1)</script> https://evil.example/?q=<script>",
        "&lt;b&gt; &#60;script&#62; {{7*7}} ${7*7} <!-- ]]>",
        "\u{202e}desrever si siht\u{202c} and \u{2066}isolated",
        "open \u{2067}\u{2068}\u{202b}\u{202d} isolates",
        "a\u{2028}b\u{2029}c",
        "a\u{1}b\u{8}c\u{7f}d\u{85}e\u{feff}f",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("x".repeat(8000));
    texts.push("word ".repeat(1599) + "ends!");
    texts.push("a".to_owned() + &"\u{301}".repeat(3000));
    texts.push("https://evil.example/".to_owned() + &"y".repeat(3000));
    texts.push("😀".repeat(2000));
    texts
}

/// Creates a chat with hostile messages of mallory, and answers of ann. Returns its name and an invite.
async fn create_hostile_chat(app: &TestApp) -> (String, String) {
    let ann = app.user("ann").await;
    let password = TestApp::password_of("mallory");
    let account = json!({"name": "Mallory", "username": "mallory", "password": password});
    let response = app.post("/api/register/", account).await;
    assert_eq!(response.status, 201, "{response}");
    let mallory = app.log_in("mallory").await;
    let group = super::start_titled_chat(&mallory, "Lunch").await;
    // The server rejects such names and titles today. Older versions accepted them.
    for (table, column, value) in [
        ("users", "name", HOSTILE_NAME),
        ("chat_groups", "title", HOSTILE_TITLE),
    ] {
        let db = &app.ctx.db;
        let key = if table == "users" { "username" } else { "name" };
        let of = if table == "users" { "mallory" } else { &group };
        let update = Statement::from_sql_and_values(
            db.get_database_backend(),
            format!("UPDATE {table} SET {column} = $1 WHERE {key} = $2"),
            [value.into(), of.into()],
        );
        db.execute_raw(update).await.unwrap();
    }
    mallory.add_member(&ann, &group).await;
    for (at, text) in hostile_texts().into_iter().enumerate() {
        let response = mallory.send_message(&group, &text, &at.to_string()).await;
        assert_eq!(response.status, 201, "{response}");
    }
    let messages = group.path("messages/");
    for seq in [10, 15] {
        ann.post(&messages, json!({"text": "<i>Well</i>", "reply_to": seq}))
            .await;
    }
    let invite = mallory.create_invite(&group).await;
    (group, invite)
}

/// Asserts that a view is not damaged.
async fn expect_no_harm(user: &PageUser, view: &str) {
    for script in [
        FIND_OVERFLOWING_ELEMENTS,
        FIND_EXTERNAL_REQUESTS,
        FIND_UNISOLATED_BIDI_TEXT,
        FIND_UNSAFE_LINKS,
    ] {
        let found = user.run(script).await;
        assert_eq!(found, json!([]), "{view}: {script}");
    }
    assert_eq!(user.tab_count().await, 1);
}

async fn check_all_views(device: Device) {
    let app = TestApp::start().await;
    let (group, invite) = create_hostile_chat(&app).await;
    let carol = PageUser::visit(device, &app.url(&format!("/#/invite/{invite}"))).await;
    carol.sign_up("carol", "Carol").await;
    carol.expect_text("<img src=x onerror=alert(1)>").await;
    expect_no_harm(&carol, "the invite").await;
    carol.click("Join chat").await;
    carol.expect_message("<i>Well</i>").await;
    expect_no_harm(&carol, "the conversation").await;

    // All text is shown as it was written, except the marks of code.
    let visible = carol
        .run("return [...document.querySelectorAll('.line .text')].map((it) => it.textContent)")
        .await;
    let visible: Vec<String> = serde_json::from_value(visible).unwrap();
    for text in hostile_texts().iter().filter(|text| !text.contains('`')) {
        assert!(visible.contains(text), "{text}");
    }
    let scroll = "document.querySelector('[data-part=scroll]').scrollTop = arguments[0]";
    for top in [0, 1500, 3000] {
        carol.run_with(scroll, &[json!(top)]).await;
        expect_no_harm(&carol, &format!("the conversation at {top}")).await;
    }
    let line = carol.message_selector("<i>Well</i>").await;
    carol.click_selector(&format!("{line} .text")).await;
    carol.click_in(&line, "Reply").await;
    expect_no_harm(&carol, "a response").await;
    carol.send_message("<u>I see</u>").await;
    carol.expect_message("<u>I see</u>").await;
    carol.click("People and invites").await;
    carol.expect_text("@mallory").await;
    expect_no_harm(&carol, "the people").await;
    carol.click_in("#people", "Leave chat").await;
    expect_no_harm(&carol, "the question").await;
    carol.close_without_errors().await;

    // Mallory sees her own name too.
    let mallory = PageUser::visit(device, &app.url("/")).await;
    mallory.sign_in("mallory").await;
    mallory.expect_text("carol: <u>I see</u>").await;
    expect_no_harm(&mallory, "the list").await;
    mallory.click("Account").await;
    mallory.expect_text("this browser").await;
    expect_no_harm(&mallory, "the account").await;
    mallory.open(&app.url(&format!("/#/chat/{group}"))).await;
    mallory.click("People and invites").await;
    mallory.click_in("#people", "Remove: ann").await;
    expect_no_harm(&mallory, "the question").await;
    mallory.close_without_errors().await;
}

#[tokio::test]
async fn hostile_content_is_harmless_on_a_desktop() {
    check_all_views(Device::desktop()).await;
}

#[tokio::test]
async fn hostile_content_is_harmless_on_a_phone() {
    check_all_views(Device::phone()).await;
}
