//! salam.js, the client module of the page, in use by others.

use salam::models::usernames::Username;
use serde_json::json;

use super::{Proxy, check_with_failures};
use crate::support::{Browser, GroupPath, TestApp, wait_until};

/// Logs in as ann with a new instance, like another tab, and follows a group from its first event.
const LOG_IN_AND_JOIN: &str = "
const [group] = arguments;
const { Salam } = await import('/static/salam.js');
window.salam = new Salam();
await salam.login({ username: 'ann', password: 'the staple of ann' });
window.received = [];
window.ended = [];
salam.on('signed-out', (why) => ended.push(why));
window.chat = salam.connect().join(group, { after: 0 });
chat.on('event', (event) => received.push(event));";

/// Makes several instances, which share storage like tabs, request at the same time.
const REQUEST_CONCURRENTLY: &str = "
const { Salam } = await import('/static/salam.js');
const tabs = Array.from({ length: 4 }, () => new Salam());
const names = await Promise.all(tabs.map(async (tab) => {
    tab.on('signed-out', (why) => ended.push(why));
    await Promise.all([tab.accessToken(), tab.accessToken()]);
    return (await tab.me()).username;
}));
return names.join(' ');";

async fn connect_page(browser: &Browser, url: &str, group: &str) {
    browser.open(url).await;
    browser.run_with(LOG_IN_AND_JOIN, &[json!(group)]).await;
}

#[tokio::test]
async fn salam_js_receives_everything_once_and_in_order() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut proxy = Proxy::start(app.address).await;
    let mut browser = Browser::start().await;
    connect_page(&browser, &format!("http://{}/", proxy.address), &group).await;
    check_with_failures(&mut browser, &mut proxy, &ann, &group).await;
    browser.close().await;
}

#[tokio::test]
async fn salam_js_refreshes_tokens_for_all_tabs() {
    let app = TestApp::with_settings(json!({"tokens": {"access_lifetime": 2}})).await;
    let (group, _) = app.group_of(["ann"]).await;
    let browser = Browser::start().await;
    connect_page(&browser, &app.url("/"), &group).await;
    let token = browser.run("return salam.accessToken()").await;
    wait_until("the token to end", async || {
        let request = app.request(reqwest::Method::GET, "/api/me/");
        let response = request.bearer_auth(token.as_str().unwrap()).send().await;
        response.unwrap().status() == 401
    })
    .await;
    assert_eq!(
        browser
            .run("return salam.me().then(({ username }) => username)")
            .await,
        "ann"
    );
    browser.run("return chat.send('still here')").await;
    let all = "ann ann ann ann";
    assert_eq!(browser.run(REQUEST_CONCURRENTLY).await, all);
    // Without https, no lock keeps the instances from refreshing at the same time.
    browser
        .run("Object.defineProperty(navigator, 'locks', { value: undefined })")
        .await;
    assert_eq!(browser.run(REQUEST_CONCURRENTLY).await, all);
    assert_eq!(browser.run(REQUEST_CONCURRENTLY).await, all);
    assert_eq!(browser.run("return ended").await, json!([]));
    browser.close().await;
}

#[tokio::test]
async fn salam_js_reports_an_ended_session() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let browser = Browser::start().await;
    connect_page(&browser, &app.url("/"), &group).await;
    browser.run("return chat.send('hi')").await;
    assert_eq!(ann.delete("/api/sessions/?confirm=ann").await.status, 204);
    wait_until("the end", async || {
        browser.run("return ended").await == json!(["elsewhere"])
    })
    .await;
    let left = "return [salam.user, localStorage.length, salam.connect().state.name]";
    let left = browser.run(left).await;
    assert_eq!(left[0], json!(null));
    assert_eq!(left[1], 0);
    browser.close().await;
}

/// The client counts missed messages by the log or by the server's count, but not by both.
#[tokio::test]
async fn salam_js_counts_unread_messages_once() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let browser = Browser::start().await;
    connect_page(&browser, &app.url("/"), &group).await;
    let unread = async |count: usize| {
        wait_until("the count", async || {
            browser
                .run("return [chat.isLive, chat.unread, received.length]")
                .await
                == json!([true, count, count + 1])
        })
        .await;
    };
    bob.send_message(&group, "one", "1").await;
    unread(1).await;
    browser.run("salam.connect().drop()").await;
    bob.send_message(&group, "two", "2").await;
    bob.send_message(&group, "three", "3").await;
    unread(3).await;
    browser.run("chat.read(2)").await;
    wait_until("one to be read", async || {
        browser.run("return chat.unread").await == 2
    })
    .await;
    let seen = ann.get(&group.path("")).await.json();
    assert_eq!((&seen["read"], &seen["unread"]), (&json!(2), &json!(2)));
    browser.close().await;
}

/// A subscription counts as a send. A client that has used up its rate gets an error, and still
/// resubscribes.
#[tokio::test]
async fn salam_js_resubscribes_after_a_rate_limit() {
    let app = TestApp::with_settings(json!({"channels": {"sends_per_10s": 5}})).await;
    let (group, _) = app.group_of(["ann"]).await;
    let browser = Browser::start().await;
    connect_page(&browser, &app.url("/"), &group).await;
    browser
        .run("return Promise.all([1, 2, 3, 4].map((number) => chat.send(`${number}`)))")
        .await;
    browser.run("salam.connect().drop()").await;
    browser.run("return chat.send('5')").await;
    let texts = browser
        .run("return [chat.isLive, ...received.map(({ data }) => data.text)]")
        .await;
    assert_eq!(texts, json!([true, "1", "2", "3", "4", "5"]));
    browser.close().await;
}

/// Builds the path of a member for each name, as the client does, and has the browser parse it.
const BUILD_MEMBER_PATHS: &str = "
const [names, hostile] = arguments;
const { path, address } = await import('/static/client/path.js');
const of = (name) => path`/api/groups/chat_a1b2c3d4/members/${name}/`;
const changed = names.filter((name) => {
    const built = of(name);
    const parsed = new URL(address(location.origin, built));
    return parsed.pathname !== built || decodeURIComponent(parsed.pathname.split('/')[5]) !== name;
});
const accepted = hostile.filter((name) => {
    try { return new URL(address(location.origin, of(name))).pathname !== of(name) || name === '' || /^\\.\\.?$/.test(name); } catch { return false; }
});
return [changed, accepted];";

/// Returns every character that a username may have, and every short name of letters and URL marks.
fn all_usernames() -> Vec<String> {
    let single = ('\0'..=char::MAX).map(String::from);
    let mut short = vec![String::new()];
    for _ in 0..4 {
        let longer: Vec<_> = short
            .iter()
            .flat_map(|name| ".-@_+a1".chars().map(move |c| format!("{name}{c}")))
            .collect();
        short.extend(longer);
    }
    short.sort();
    short.dedup();
    let parsed = single
        .chain(short)
        .filter_map(|name| Username::parse(&name).ok());
    let mut names: Vec<_> = parsed.map(|name| name.as_str().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn every_username_survives_in_a_url_path() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    browser.open(&app.url("/")).await;
    let names = all_usernames();
    assert!(names.len() > 100_000, "{}", names.len());
    let hostile = [
        "", ".", "..", "%2e", "%2e%2e", "a/..", "..\\", "?", "#", "//", "a b", "\u{2025}", "\t",
        "\n",
    ];
    for names in names.chunks(20_000) {
        let found = browser
            .run_with(BUILD_MEMBER_PATHS, &[json!(names), json!(hostile)])
            .await;
        assert_eq!(found, json!([[], []]));
    }
    browser.close().await;
}

/// Joins values that are not the name of a group, and returns the error of each call.
const JOIN_INVALID_NAMES: &str = "
const thrown = (group) => { try { salam.connect().join(group); return null; } catch (error) { return error.constructor.name; } };
return [thrown('x'), thrown(undefined), thrown({ group_name: chat.group }), thrown(chat.group), salam.connect().chats.size];";

#[tokio::test]
async fn salam_js_rejects_invalid_group_names() {
    let app = TestApp::start().await;
    let (group, _) = app.group_of(["ann"]).await;
    let browser = Browser::start().await;
    connect_page(&browser, &app.url("/"), &group).await;
    let thrown = browser.run(JOIN_INVALID_NAMES).await;
    let error = "TypeError";
    assert_eq!(thrown, json!([error, error, error, null, 1]));
    // The invalid names did not end the connection.
    browser.run("return chat.send('still here')").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.close().await;
}

/// Records the listeners of all objects, and counts those of the window and the document.
const COUNT_LISTENERS: &str = "
window.listening = [];
window.listened = () => listening.filter(([on]) => on === window || on === document).map(([, type]) => type);
const without = (on, type, listener) => listening.filter((it) => it[0] !== on || it[1] !== type || it[2] !== listener);
const { addEventListener, removeEventListener } = EventTarget.prototype;
EventTarget.prototype.addEventListener = function (type, listener, ...more) {
    window.listening = [...without(this ?? window, type, listener), [this ?? window, type, listener]];
    return addEventListener.call(this ?? window, type, listener, ...more);
};
EventTarget.prototype.removeEventListener = function (type, listener, ...more) {
    window.listening = without(this ?? window, type, listener);
    return removeEventListener.call(this ?? window, type, listener, ...more);
};";

/// Uses and disposes 20 instances in turn, and then one that is connected. Returns the remaining
/// listeners each time, and whether there were any before.
const DISPOSE: &str = "
const { Salam } = await import('/static/salam.js');
for (let n = 0; n < 20; n += 1) {
    const other = new Salam();
    other.on('signed-out', () => {});
    other.connect().join(chat.group, { after: 0 });
    other.dispose();
}
const before = listened();
salam.dispose();
return [before.length > 0, before.length === new Set(before).size, listened()];";

#[tokio::test]
async fn salam_js_removes_all_listeners_on_dispose() {
    let app = TestApp::start().await;
    let (group, _) = app.group_of(["ann"]).await;
    let browser = Browser::start().await;
    browser.open(&app.url("/")).await;
    browser.run(COUNT_LISTENERS).await;
    browser.run_with(LOG_IN_AND_JOIN, &[json!(group)]).await;
    browser.run("return chat.send('hi')").await;
    // The instance in use has one listener of each kind.
    assert_eq!(browser.run(DISPOSE).await, json!([true, true, []]));
    let rejected = "return salam.me().then(() => '', ({ code }) => code)";
    assert_eq!(browser.run(rejected).await, "closed");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.close().await;
}

/// Sends the page the events `offline` and `online`. The random delays are long: a client that ignores
/// the event would reconnect at `retryAt` only.
const OFFLINE_AND_ONLINE: &str = "
Math.random = () => 0.9;
const connection = salam.connect();
dispatchEvent(new Event('offline'));
const { name, retryAt } = connection.state;
window.back = [];
connection.on('state', (state) => { if (state.name === 'live') back.push(Date.now() < retryAt); });
dispatchEvent(new Event('online'));
return name;";

#[tokio::test]
async fn salam_js_reconnects_on_the_online_event() {
    let app = TestApp::start().await;
    let (group, _) = app.group_of(["ann"]).await;
    let browser = Browser::start().await;
    connect_page(&browser, &app.url("/"), &group).await;
    browser.run("return chat.send('before')").await;
    assert_eq!(browser.run(OFFLINE_AND_ONLINE).await, "waiting");
    wait_until("the connection", async || {
        browser.run("return back").await == json!([true])
    })
    .await;
    browser.run("return chat.send('after')").await;
    let texts = "return received.map(({ data }) => data.text)";
    wait_until("both texts", async || {
        browser.run(texts).await == json!(["before", "after"])
    })
    .await;
    browser.close().await;
}

/// Connects in a page in which no WebSocket can be created.
const CONNECT_WITHOUT_WEBSOCKET: &str = "
const { Salam } = await import('/static/salam.js');
window.unhandled = [];
addEventListener('unhandledrejection', ({ reason }) => unhandled.push(String(reason)));
window.WebSocket = class { constructor() { throw new DOMException('No sockets here.', 'SecurityError'); } };
window.salam = new Salam();
await salam.login({ username: 'ann', password: 'the staple of ann' });
salam.connect();";

#[tokio::test]
async fn salam_js_reports_that_websockets_are_unavailable() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let browser = Browser::start().await;
    browser.open(&app.url("/")).await;
    browser.run(CONNECT_WITHOUT_WEBSOCKET).await;
    let state = "
        const { name, code, error } = salam.connect().state;
        return [name, code, error?.code, error?.message.includes('No sockets here.')];";
    let over = json!(["over", 0, "no_websocket", true]);
    wait_until("the end", async || browser.run(state).await == over).await;
    // Another attempt fails in the same way.
    browser.run("salam.connect().retry()").await;
    wait_until("the end again", async || browser.run(state).await == over).await;
    assert_eq!(browser.run("return unhandled").await, json!([]));
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.close().await;
}

/// Connects, closes and connects again at once, like a component that React mounts twice.
const MOUNT_TWICE: &str = "
const [group] = arguments;
const { Salam } = await import('/static/salam.js');
const Native = WebSocket;
window.sockets = [];
window.WebSocket = class extends Native { constructor(...all) { super(...all); sockets.push(this); } };
window.salam = new Salam();
await salam.login({ username: 'ann', password: 'the staple of ann' });
window.received = [];
window.mount = () => {
    window.chat = salam.connect().join(group, { after: 0 });
    chat.on('event', ({ data }) => received.push(data.text));
};
mount();
salam.connect().close();
mount();";

#[tokio::test]
async fn salam_js_reconnects_with_a_single_socket() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let browser = Browser::start().await;
    browser.open(&app.url("/")).await;
    browser.run_with(MOUNT_TWICE, &[json!(group)]).await;
    let is_all = async |texts: &[&str]| {
        wait_until("each event once, by one socket", async || {
            let script =
                "return [received, sockets.filter(({ readyState }) => readyState < 2).length]";
            browser.run(script).await == json!([texts, 1])
        })
        .await;
    };
    ann.send_message(&group, "one", "1").await;
    is_all(&["one"]).await;
    browser.run("return chat.send('two')").await;
    is_all(&["one", "two"]).await;
    // The same during a live connection: the chat starts again.
    browser
        .run("received.length = 0; salam.connect().close(); mount();")
        .await;
    is_all(&["one", "two"]).await;
    ann.send_message(&group, "three", "3").await;
    is_all(&["one", "two", "three"]).await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn salam_js_detects_a_proxy_that_blocks_websockets() {
    let app = TestApp::start().await;
    let (group, _) = app.group_of(["ann"]).await;
    let proxy = Proxy::blocking_upgrades(app.address).await;
    let browser = Browser::start().await;
    connect_page(&browser, &format!("http://{}/", proxy.address), &group).await;
    assert_eq!(
        browser.run("return salam.connect().state.blocked").await,
        false
    );
    // The pauses between the attempts are skipped.
    let blocked = "salam.connect().retry(); return salam.connect().state.blocked";
    wait_until("the proxy to be noticed", async || {
        browser.run(blocked).await == true
    })
    .await;
    let name = browser.run("return salam.connect().state.name").await;
    assert!(name == "waiting" || name == "connecting", "{name}");
    // Everything but the socket works.
    let me = "return salam.me().then(({ username }) => username)";
    assert_eq!(browser.run(me).await, "ann");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.close().await;
}
