//! The sample clients outlive their access tokens, and report what fails.

use serde_json::json;

use super::{ADDRESSES, Client, Proxy, assert_told, block, python::Python};
use crate::support::{Browser, TestApp, until};

const FRONTEND: &str = include_str!("../../docs/frontend.md");

/// Starts `chat` of docs/protocol.md in a page of the server.
const CHAT: &str = "
const [url, refresh, group] = arguments;
const token = async () => {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ refresh });
    const answer = await fetch('/api/token/refresh/', { method: 'POST', headers, body });
    if (!answer.ok) throw Object.assign(new Error('no token'), { status: answer.status });
    return (await answer.json()).access;
};
window.told = [];
window.chat = chat(url, token, group, (event) => told.push(event));
window.chat.ended.catch((error) => { window.why = error.status; });";

/// Starts `follow` of docs/frontend.md in a page of the server, with `send` beside it.
const FOLLOW: &str = "
const [, refresh, group] = arguments;
localStorage.setItem('refresh', refresh);
window.told = [];
const rich = follow(group, (event) => told.push(event));
rich.ended.catch((error) => { window.why = error.status; });
window.chat = { send: (text) => send(group, text) };";

/// Returns the block of docs/frontend.md that contains a text.
fn frontend(part: &str) -> &'static str {
    let blocks = FRONTEND.split("```js\n").skip(1);
    let mut code = blocks.map(|block| block.split("```").next().unwrap());
    code.find(|block| block.contains(part))
        .unwrap_or_else(|| panic!("docs/frontend.md has no block with {part}"))
}

/// The samples of the documents that run in a browser, each with its start.
fn scripts() -> [String; 2] {
    let parts = ["request(", "renew(", "path(", "follow(", "send("];
    let front = parts.map(|part| frontend(&format!("function {part}")));
    [
        format!("{}\n{CHAT}", block("js")),
        format!("{}\n{FOLLOW}", front.join("\n")),
    ]
}

/// Cuts a client off after its access token has expired, and lets both sides say something meanwhile.
async fn outlive(mut client: impl Client, proxy: &Proxy, app: &TestApp, group: &str) {
    let mut said = Vec::new();
    for round in ["first", "second"] {
        let [before, away, kept] = ["before", "away", "kept"].map(|what| format!("{what}-{round}"));
        app.log_in("ann").await.say(group, &before, &before).await;
        client.until_told(&before).await;
        // A token that is not older than the client's.
        let later = app.log_in("ann").await;
        until("the access token to expire", async || {
            !later.is_logged_in().await
        })
        .await;
        proxy.cut();
        app.log_in("ann").await.say(group, &away, &away).await;
        client.send(&kept).await;
        client.until_told(&away).await;
        client.until_told(&kept).await;
        said.extend([before, away, kept]);
    }
    let said: Vec<_> = said.iter().map(String::as_str).collect();
    let ann = app.log_in("ann").await;
    assert_told(&mut client, &ann, group, &said).await;
}

/// An app whose access tokens live for five seconds.
async fn with_short_tokens() -> TestApp {
    TestApp::with(json!({"tokens": {"access_lifetime": 5}})).await
}

#[tokio::test]
async fn the_python_client_outlives_its_access_token() {
    for address in ADDRESSES {
        let app = with_short_tokens().await;
        let ann = app.user("ann").await;
        let group = ann.start_chat().await;
        let proxy = Proxy::start(app.address).await;
        let url = format!("ws://{}{address}", proxy.address).replace("{group}", &group);
        let client = Python::start(block("python"), &[&url, &ann.refresh, &group]);
        outlive(client, &proxy, &app, &group).await;
    }
}

#[tokio::test]
async fn the_browser_clients_outlive_their_access_tokens() {
    let mut browser = Browser::start().await;
    for script in scripts() {
        let app = with_short_tokens().await;
        let ann = app.user("ann").await;
        let group = ann.start_chat().await;
        let proxy = Proxy::start(app.address).await;
        let url = format!("ws://{}/ws/", proxy.address);
        browser.open(&format!("http://{}/", proxy.address)).await;
        let arguments = [json!(url), json!(ann.refresh), json!(group)];
        browser.run_with(&script, &arguments).await;
        outlive(&mut browser, &proxy, &app, &group).await;
    }
    browser.close().await;
}

/// Sends a message of many bytes, two that the server refuses in different ways, and one more.
async fn fail_alone(mut client: impl Client) {
    let emoji = "😀".repeat(6_000);
    client.send(&emoji).await;
    client.until_told(&emoji).await;
    // Too many characters, and too many bytes for a frame, which closes the socket.
    for size in [9_000, 70_000] {
        client.send(&"x".repeat(size)).await;
    }
    client.send("after").await;
    client.until_told("after").await;
    let told = client.events().await;
    let failed = told.iter().filter(|frame| frame["type"] == "error");
    let failed: Vec<_> = failed
        .map(|frame| {
            let text = frame["request"]["text"].as_str().unwrap();
            (frame["code"].as_str().unwrap(), text.len())
        })
        .collect();
    assert_eq!(failed, [("too_large", 9_000), ("too_large", 70_000)]);
}

#[tokio::test]
async fn a_message_that_is_too_large_fails_alone() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let url = format!("ws://{}/ws/", app.address);
    let python = Python::start(block("python"), &[&url, &ann.refresh, &group]);
    fail_alone(python).await;

    let group = ann.start_chat().await;
    let mut browser = Browser::start().await;
    browser.open(&app.url("/")).await;
    let [script, _] = scripts();
    let arguments = [json!(url), json!(ann.refresh), json!(group)];
    browser.run_with(&script, &arguments).await;
    fail_alone(&mut browser).await;
    browser.close().await;
}

#[tokio::test]
async fn the_end_of_the_session_is_reported() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    for (name, script) in ["ann", "bob"].into_iter().zip(scripts()) {
        let user = app.user(name).await;
        let group = user.start_chat().await;
        let url = format!("ws://{}/ws/", app.address);
        let mut python = Python::start(block("python"), &[&url, &user.refresh, &group]);
        browser.open(&app.url("/")).await;
        let arguments = [json!(url), json!(user.refresh), json!(group)];
        browser.run_with(&script, &arguments).await;
        user.say(&group, "hi", "1").await;
        python.until_told("hi").await;
        until("the browser to be told", async || {
            browser.run("return told.length").await == 1
        })
        .await;
        let other = app.log_in(name).await;
        let end = format!("/api/sessions/?confirm={name}");
        assert_eq!(other.delete(&end).await.status, 204);
        assert!(python.has_failed().await);
        until("the error", async || {
            browser.run("return window.why ?? null").await == 401
        })
        .await;
    }
    browser.close().await;
}
