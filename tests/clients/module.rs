//! The module of the page, salam.js, as others may use it.

use salam::models::usernames::Username;
use serde_json::json;

use super::{Proxy, follow};
use crate::support::{Browser, TestApp, until};

/// Logs in as Ann with a new instance, which another tab might as well have made, and follows a group
/// from its beginning.
const CONNECT: &str = "
const [group] = arguments;
const { Salam } = await import('/static/salam.js');
window.salam = new Salam();
await salam.login({ username: 'ann', password: 'the staple of ann' });
window.told = [];
window.ended = [];
salam.on('signed-out', (why) => ended.push(why));
window.chat = salam.connect().join(group, { after: 0 });
chat.on('event', (event) => told.push(event));";

/// Has several instances, which share what is stored as tabs do, ask at once.
const ASK_AT_ONCE: &str = "
const { Salam } = await import('/static/salam.js');
const tabs = Array.from({ length: 4 }, () => new Salam());
const names = await Promise.all(tabs.map(async (tab) => {
    tab.on('signed-out', (why) => ended.push(why));
    await Promise.all([tab.accessToken(), tab.accessToken()]);
    return (await tab.me()).username;
}));
return names.join(' ');";

async fn connect(browser: &Browser, url: &str, group: &str) {
    browser.open(url).await;
    browser.run_with(CONNECT, &[json!(group)]).await;
}

#[tokio::test]
async fn it_gets_all_once_and_in_order() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut proxy = Proxy::start(app.address).await;
    let mut browser = Browser::start().await;
    connect(&browser, &format!("http://{}/", proxy.address), &group).await;
    follow(&mut browser, &mut proxy, &ann, &group).await;
    browser.close().await;
}

#[tokio::test]
async fn it_buys_new_tokens_for_all_tabs() {
    let app = TestApp::with(json!({"tokens": {"access_lifetime": 2}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let browser = Browser::start().await;
    connect(&browser, &app.url("/"), &group).await;
    let token = browser.run("return salam.accessToken()").await;
    until("the token to end", async || {
        let request = app.request(reqwest::Method::GET, "/api/me/");
        let answer = request.bearer_auth(token.as_str().unwrap()).send().await;
        answer.unwrap().status() == 401
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
    assert_eq!(browser.run(ASK_AT_ONCE).await, all);
    // Without https nothing keeps them from buying at once.
    browser
        .run("Object.defineProperty(navigator, 'locks', { value: undefined })")
        .await;
    assert_eq!(browser.run(ASK_AT_ONCE).await, all);
    assert_eq!(browser.run(ASK_AT_ONCE).await, all);
    assert_eq!(browser.run("return ended").await, json!([]));
    browser.close().await;
}

#[tokio::test]
async fn it_says_that_its_session_was_ended() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let browser = Browser::start().await;
    connect(&browser, &app.url("/"), &group).await;
    browser.run("return chat.send('hi')").await;
    assert_eq!(ann.delete("/api/sessions/?confirm=ann").await.status, 204);
    until("the end", async || {
        browser.run("return ended").await == json!(["elsewhere"])
    })
    .await;
    let left = "return [salam.user, localStorage.length, salam.connect().state.name]";
    let left = browser.run(left).await;
    assert_eq!(left[0], json!(null));
    assert_eq!(left[1], 0);
    browser.close().await;
}

/// What it has missed it is told by the log, and by the count of the server: not by both.
#[tokio::test]
async fn it_counts_what_is_unread_once() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let browser = Browser::start().await;
    connect(&browser, &app.url("/"), &group).await;
    let unread = async |count: usize| {
        until("the count", async || {
            browser
                .run("return [chat.isLive, chat.unread, told.length]")
                .await
                == json!([true, count, count + 1])
        })
        .await;
    };
    bob.say(&group, "one", "1").await;
    unread(1).await;
    browser.run("salam.connect().drop()").await;
    bob.say(&group, "two", "2").await;
    bob.say(&group, "three", "3").await;
    unread(3).await;
    browser.run("chat.read(2)").await;
    until("one to be read", async || {
        browser.run("return chat.unread").await == 2
    })
    .await;
    let seen = ann.get(&format!("/api/groups/{group}/")).await.json();
    assert_eq!((&seen["read"], &seen["unread"]), (&json!(2), &json!(2)));
    browser.close().await;
}

/// Subscribing counts as sending. Who has sent all that they may is told so, and comes back all the same.
#[tokio::test]
async fn it_subscribes_again_where_it_was_too_fast() {
    let app = TestApp::with(json!({"channels": {"sends_per_10s": 5}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let browser = Browser::start().await;
    connect(&browser, &app.url("/"), &group).await;
    browser
        .run("return Promise.all([1, 2, 3, 4].map((number) => chat.send(`${number}`)))")
        .await;
    browser.run("salam.connect().drop()").await;
    browser.run("return chat.send('5')").await;
    let texts = browser
        .run("return [chat.isLive, ...told.map(({ data }) => data.text)]")
        .await;
    assert_eq!(texts, json!([true, "1", "2", "3", "4", "5"]));
    browser.close().await;
}

/// Builds the path of a member for each name, as the client does, and has the browser parse it.
const PATHS: &str = "
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

/// Every character that a username may have, and every short name of letters and marks that paths know.
fn names() -> Vec<String> {
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
async fn every_name_stays_what_it_is_in_a_path() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    browser.open(&app.url("/")).await;
    let names = names();
    assert!(names.len() > 100_000, "{}", names.len());
    let hostile = [
        "", ".", "..", "%2e", "%2e%2e", "a/..", "..\\", "?", "#", "//", "a b", "\u{2025}", "\t",
        "\n",
    ];
    for names in names.chunks(20_000) {
        let found = browser
            .run_with(PATHS, &[json!(names), json!(hostile)])
            .await;
        assert_eq!(found, json!([[], []]));
    }
    browser.close().await;
}
