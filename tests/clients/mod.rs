//! Runs the sample clients of docs/protocol.md and docs/frontend.md unchanged.

mod browser;
mod cross_origin_pages;
mod long_running;
mod proxy;
mod python;
mod recorded_session;
mod salam_js;
mod walkthroughs;

use serde_json::{Value, json};

pub use self::proxy::Proxy;
use self::python::PythonClient;
use crate::support::{Browser, GroupPath, TestApp, User, wait_until};

const PROTOCOL_MD: &str = include_str!("../../docs/protocol.md");

/// The paths of rich sockets. The sample clients must work with each of them.
const SOCKET_PATHS: [&str; 2] = ["/ws/chat/{group}/", "/ws/"];

/// Returns the only block of the document in this language.
fn code_block(language: &str) -> &'static str {
    let begin = format!("```{language}\n");
    let mut blocks = PROTOCOL_MD.split(&begin).skip(1);
    let block = blocks.next().unwrap().split("```").next().unwrap();
    assert!(blocks.next().is_none(), "two blocks of {language}");
    block
}

/// A running sample client.
trait SampleClient {
    async fn send(&mut self, text: &str);

    /// Returns all events that the client has applied.
    async fn events(&mut self) -> Vec<Value>;

    async fn until_received(&mut self, text: &str) {
        wait_until(text, async || {
            let events = self.events().await;
            events.iter().any(|event| event["data"]["text"] == text)
        })
        .await;
    }
}

#[tokio::test]
async fn the_python_client_receives_everything_once_and_in_order() {
    for address in SOCKET_PATHS {
        let app = TestApp::start().await;
        let (group, [ann]) = app.group_of(["ann"]).await;
        let mut proxy = Proxy::start(app.address).await;
        let url = format!("ws://{}{address}", proxy.address).replace("{group}", &group);
        let client = PythonClient::start(code_block("python"), &[&url, &ann.refresh, &group]);
        check_with_failures(client, &mut proxy, &ann, &group).await;
    }
}

#[tokio::test]
async fn the_browser_client_receives_everything_once_and_in_order() {
    let mut browser = Browser::start().await;
    for address in SOCKET_PATHS {
        let app = TestApp::start().await;
        let (group, [ann]) = app.group_of(["ann"]).await;
        let mut proxy = Proxy::start(app.address).await;
        let url = format!("ws://{}{address}", proxy.address).replace("{group}", &group);
        // Pages of the server may connect to the server only, and not to the proxy.
        let page = cross_origin_pages::serve_foreign_page().await;
        browser.open(&format!("http://127.0.0.1:{page}/")).await;
        let set_up =
            "window.received = []; const onEvent = (event) => window.received.push(event);";
        let start = format!(
            "{}\n{set_up}\nwindow.chat = chat({}, async () => {}, {}, onEvent);",
            code_block("js"),
            json!(url),
            json!(ann.access),
            json!(group)
        );
        browser.run(&start).await;
        check_with_failures(&mut browser, &mut proxy, &ann, &group).await;
    }
    browser.close().await;
}

/// Causes every fault that can occur between a client and the server.
async fn check_with_failures(
    mut client: impl SampleClient,
    proxy: &mut Proxy,
    ann: &User<'_>,
    group: &str,
) {
    ann.send_message(group, "before", "0").await;
    client.until_received("before").await;
    client.send("mine").await;
    client.until_received("mine").await;
    // Both sides send messages while the client is disconnected.
    proxy.drop_connections();
    ann.send_message(group, "away", "1").await;
    client.send("kept").await;
    client.until_received("away").await;
    client.until_received("kept").await;
    // The request arrives and its reply does not.
    proxy.drop_next_chunks(usize::MAX);
    client.send("unsure").await;
    wait_until("the request to be stored", async || {
        stored_texts(ann, group)
            .await
            .contains(&"unsure".to_owned())
    })
    .await;
    proxy.drop_connections();
    proxy.drop_next_chunks(0);
    client.until_received("unsure").await;
    // Its reply is the last frame on the way.
    client.send("settled").await;
    client.until_received("settled").await;
    // An event is lost on a connection that stays open.
    proxy.drop_next_chunks(1);
    ann.send_message(group, "lost", "2").await;
    wait_until("an event to be lost", async || {
        proxy.chunks_left_to_drop() == 0
    })
    .await;
    ann.send_message(group, "after", "3").await;
    client.until_received("after").await;
    client.send("last").await;
    client.until_received("last").await;

    let expected = [
        "before", "mine", "away", "kept", "unsure", "settled", "lost", "after", "last",
    ];
    assert_received(&mut client, ann, group, &expected).await;
}

/// Asserts that a group has exactly these texts, and that a client has applied them once and in order.
async fn assert_received(
    client: &mut impl SampleClient,
    ann: &User<'_>,
    group: &str,
    expected: &[&str],
) {
    assert_eq!(stored_texts(ann, group).await, expected);
    let events = client.events().await;
    let received = events
        .iter()
        .map(|event| event["data"]["text"].as_str().unwrap());
    assert_eq!(received.collect::<Vec<_>>(), expected);
    let seqs = events.iter().map(|event| event["seq"].as_u64().unwrap());
    assert!(seqs.eq((1_u64..).take(expected.len())), "{events:?}");
}

/// Returns all texts of a group.
async fn stored_texts(user: &User<'_>, group: &str) -> Vec<String> {
    let page = user.get(&group.path("events/")).await.json();
    let events = page["results"].as_array().unwrap();
    let texts = events.iter().map(|event| &event["data"]["text"]);
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}
