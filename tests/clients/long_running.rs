//! The sample clients outlive their access tokens, and report what fails.

use serde_json::json;

use super::{Proxy, SOCKET_PATHS, SampleClient, assert_received, code_block, python::PythonClient};
use crate::support::{Browser, TestApp, wait_until};

const FRONTEND_MD: &str = include_str!("../../docs/frontend.md");

/// Starts `chat` of docs/protocol.md in a page of the server.
const START_CHAT_SAMPLE: &str = "
const [url, refresh, group] = arguments;
const token = async () => {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ refresh });
    const answer = await fetch('/api/token/refresh/', { method: 'POST', headers, body });
    if (!answer.ok) throw Object.assign(new Error('no token'), { status: answer.status });
    return (await answer.json()).access;
};
window.received = [];
window.chat = chat(url, token, group, (event) => received.push(event));
window.chat.ended.catch((error) => { window.why = error.status; });";

/// Starts `follow` of docs/frontend.md in a page of the server, together with `send`.
const START_FOLLOW_SAMPLE: &str = "
const [, refresh, group] = arguments;
localStorage.setItem('refresh', refresh);
window.received = [];
const rich = follow(group, (event) => received.push(event));
rich.ended.catch((error) => { window.why = error.status; });
window.chat = { send: (text) => send(group, text) };";

/// Returns the block of docs/frontend.md that contains a text.
fn frontend_block(part: &str) -> &'static str {
    let blocks = FRONTEND_MD.split("```js\n").skip(1);
    let mut code = blocks.map(|block| block.split("```").next().unwrap());
    code.find(|block| block.contains(part))
        .unwrap_or_else(|| panic!("docs/frontend.md has no block with {part}"))
}

/// The samples of the documents that run in a browser, each with its start.
fn browser_samples() -> [String; 2] {
    let parts = ["request(", "renew(", "path(", "follow(", "send("];
    let front = parts.map(|part| frontend_block(&format!("function {part}")));
    [
        format!("{}\n{START_CHAT_SAMPLE}", code_block("js")),
        format!("{}\n{START_FOLLOW_SAMPLE}", front.join("\n")),
    ]
}

/// Disconnects a client after its access token has expired. Both sides send messages during this
/// time.
async fn expect_to_survive_token_expiry(
    mut client: impl SampleClient,
    proxy: &Proxy,
    app: &TestApp,
    group: &str,
) {
    let mut sent = Vec::new();
    for round in ["first", "second"] {
        let [before, away, stored] =
            ["before", "away", "kept"].map(|what| format!("{what}-{round}"));
        app.log_in("ann")
            .await
            .send_message(group, &before, &before)
            .await;
        client.until_received(&before).await;
        // A token that is newer than the client's.
        let later = app.log_in("ann").await;
        wait_until("the access token to expire", async || {
            !later.is_logged_in().await
        })
        .await;
        proxy.drop_connections();
        app.log_in("ann")
            .await
            .send_message(group, &away, &away)
            .await;
        client.send(&stored).await;
        client.until_received(&away).await;
        client.until_received(&stored).await;
        sent.extend([before, away, stored]);
    }
    let sent: Vec<_> = sent.iter().map(String::as_str).collect();
    let ann = app.log_in("ann").await;
    assert_received(&mut client, &ann, group, &sent).await;
}

/// An app whose access tokens live for five seconds.
async fn app_with_short_tokens() -> TestApp {
    TestApp::with_settings(json!({"tokens": {"access_lifetime": 5}})).await
}

#[tokio::test]
async fn the_python_client_survives_access_token_expiry() {
    for address in SOCKET_PATHS {
        let app = app_with_short_tokens().await;
        let (group, [ann]) = app.group_of(["ann"]).await;
        let proxy = Proxy::start(app.address).await;
        let url = format!("ws://{}{address}", proxy.address).replace("{group}", &group);
        let client = PythonClient::start(code_block("python"), &[&url, &ann.refresh, &group]);
        expect_to_survive_token_expiry(client, &proxy, &app, &group).await;
    }
}

#[tokio::test]
async fn the_browser_clients_survive_access_token_expiry() {
    let mut browser = Browser::start().await;
    for script in browser_samples() {
        let app = app_with_short_tokens().await;
        let (group, [ann]) = app.group_of(["ann"]).await;
        let proxy = Proxy::start(app.address).await;
        let url = format!("ws://{}/ws/", proxy.address);
        browser.open(&format!("http://{}/", proxy.address)).await;
        let arguments = [json!(url), json!(ann.refresh), json!(group)];
        browser.run_with(&script, &arguments).await;
        expect_to_survive_token_expiry(&mut browser, &proxy, &app, &group).await;
    }
    browser.close().await;
}

/// Sends an oversized message, two that the server rejects in different ways, and one more.
async fn expect_only_oversized_messages_to_fail(mut client: impl SampleClient) {
    let emoji = "😀".repeat(6_000);
    client.send(&emoji).await;
    client.until_received(&emoji).await;
    // Too many characters; and too many bytes for a frame, which closes the socket.
    for size in [9_000, 70_000] {
        client.send(&"x".repeat(size)).await;
    }
    client.send("after").await;
    client.until_received("after").await;
    let events = client.events().await;
    let failed = events.iter().filter(|frame| frame["type"] == "error");
    let failed: Vec<_> = failed
        .map(|frame| {
            let text = frame["request"]["text"].as_str().unwrap();
            (frame["code"].as_str().unwrap(), text.len())
        })
        .collect();
    assert_eq!(failed, [("too_large", 9_000), ("too_large", 70_000)]);
}

#[tokio::test]
async fn an_oversized_message_fails_without_affecting_others() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let url = format!("ws://{}/ws/", app.address);
    let python = PythonClient::start(code_block("python"), &[&url, &ann.refresh, &group]);
    expect_only_oversized_messages_to_fail(python).await;

    let group = ann.start_chat().await;
    let mut browser = Browser::start().await;
    browser.open(&app.url("/")).await;
    let [script, _] = browser_samples();
    let arguments = [json!(url), json!(ann.refresh), json!(group)];
    browser.run_with(&script, &arguments).await;
    expect_only_oversized_messages_to_fail(&mut browser).await;
    browser.close().await;
}

#[tokio::test]
async fn sample_clients_report_the_end_of_the_session() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    for (name, script) in ["ann", "bob"].into_iter().zip(browser_samples()) {
        let (group, [user]) = app.group_of([name]).await;
        let url = format!("ws://{}/ws/", app.address);
        let mut python = PythonClient::start(code_block("python"), &[&url, &user.refresh, &group]);
        browser.open(&app.url("/")).await;
        let arguments = [json!(url), json!(user.refresh), json!(group)];
        browser.run_with(&script, &arguments).await;
        user.send_message(&group, "hi", "1").await;
        python.until_received("hi").await;
        wait_until("the browser to receive an event", async || {
            browser.run("return received.length").await == 1
        })
        .await;
        let other = app.log_in(name).await;
        let end = format!("/api/sessions/?confirm={name}");
        assert_eq!(other.delete(&end).await.status, 204);
        assert!(python.exited_with_error().await);
        wait_until("the error", async || {
            browser.run("return window.why ?? null").await == 401
        })
        .await;
    }
    browser.close().await;
}
