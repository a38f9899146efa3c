//! A conversation goes on whatever becomes of the server and of the line to it: nothing is lost, and
//! nothing is said twice.

use fantoccini::key::Key;
use serde_json::Value;

use super::{Somebody, at, group_of_two};
use crate::{
    clients::Proxy,
    support::{Look, Server, TestApp, TestDatabase, until},
};

/// A server that crashes and comes back at the same place.
struct Crashing {
    database: TestDatabase,
    server: Option<Server>,
    port: u16,
}

impl Crashing {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let mut server = Server::start(&database);
        let port = server.address().await.port();
        Self {
            database,
            server: Some(server),
            port,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn crash(&mut self) {
        self.server.take().unwrap().kill();
    }

    async fn come_back(&mut self) {
        let mut server = Server::at(&self.database, self.port);
        assert_eq!(server.address().await.port(), self.port);
        self.server = Some(server);
    }

    /// Ann and Bob, who have met there, each at the page.
    async fn lunch(&self) -> (Somebody, Somebody) {
        let url = self.url("/");
        let arrive = async || Somebody::arrives(Look::desktop(), &url).await;
        let (ann, bob) = tokio::join!(arrive(), arrive());
        ann.signs_up("ann", "Ann").await;
        ann.starts_chat("Lunch").await;
        bob.signs_up("bob", "Bob").await;
        bob.open(&ann.makes_link().await).await;
        bob.press("Join this chat").await;
        bob.until("the chat", async || bob.heading().await == "Lunch")
            .await;
        (ann, bob)
    }
}

/// What is stored, in order, read by whom looks at the page.
async fn stored(somebody: &Somebody) -> Vec<String> {
    let script = "
        const { Salam } = await import('/static/salam.js');
        const salam = new Salam();
        const [{ group }] = (await salam.groups()).results;
        const { results } = await salam.events(group, { limit: 100 });
        return results.filter(({ kind }) => kind === 'message.created').map(({ data }) => data.text);";
    let script = format!("return (async () => {{ {script} }})()");
    serde_json::from_value(somebody.run(&script).await).unwrap()
}

/// Waits until both read the same, so many texts and nothing else, which is what is stored.
async fn expect_the_same(ann: &Somebody, bob: &Somebody, count: usize) -> Vec<String> {
    let is_all = |said: &[String]| said.len() == count && !said.concat().contains('(');
    for one in [ann, bob] {
        one.until("all to be said", async || is_all(&one.said().await))
            .await;
    }
    let said = ann.said().await;
    assert_eq!(said, bob.said().await);
    assert_eq!(said, stored(ann).await);
    said
}

fn of<'a>(said: &'a [String], who: &str) -> Vec<&'a str> {
    let theirs = said.iter().filter(|text| text.starts_with(who));
    theirs.map(String::as_str).collect()
}

#[tokio::test]
async fn a_server_that_crashes_loses_and_doubles_nothing() {
    let mut crashing = Crashing::start().await;
    let (ann, bob) = crashing.lunch().await;
    let say = async |from: usize| {
        for n in from..from + 3 {
            let (by_ann, by_bob) = (format!("ann {n}"), format!("bob {n}"));
            tokio::join!(ann.says(&by_ann), bob.says(&by_bob));
        }
    };
    say(0).await;
    // Some of these are answered, some are not, and of some nobody knows.
    tokio::join!(say(3), async {
        ann.hears("ann 4").await;
        crashing.crash();
    });
    ann.sees("Offline. Trying again in").await;
    bob.sees("Offline.").await;
    say(6).await;
    ann.sees("Waiting for the connection").await;
    crashing.come_back().await;
    ann.press("Try now").await;
    ann.sees("Connected").await;
    say(9).await;
    let said = expect_the_same(&ann, &bob, 24).await;
    for who in ["ann", "bob"] {
        let expected: Vec<_> = (0..12).map(|n| format!("{who} {n}")).collect();
        assert_eq!(of(&said, who), expected);
    }
    ann.goes().await;
    bob.goes().await;
}

#[tokio::test]
async fn what_was_written_offline_outlives_its_page() {
    let mut crashing = Crashing::start().await;
    let (ann, bob) = crashing.lunch().await;
    crashing.crash();
    ann.sees("Offline.").await;
    ann.says("kept one").await;
    ann.says("kept two").await;
    ann.writes("a draft").await;
    let chat = ann.run("return location.href").await;
    ann.press("Account").await;
    ann.press("Sign out").await;
    ann.sees("2 messages are not sent yet").await;
    ann.answers("Cancel").await;
    ann.open("about:blank").await;
    crashing.come_back().await;
    ann.open(chat.as_str().unwrap()).await;
    let said = expect_the_same(&ann, &bob, 2).await;
    assert_eq!(said, ["kept one", "kept two"]);
    ann.key(Key::Enter).await;
    bob.hears("a draft").await;
    expect_the_same(&ann, &bob, 3).await;
    ann.goes().await;
    bob.goes().await;
}

#[tokio::test]
async fn a_message_whose_reply_is_lost_is_said_once() {
    let app = TestApp::start().await;
    let (group, owner, _) = group_of_two(&app).await;
    let proxy = Proxy::start(app.address).await;
    let there = format!("http://{}/#/chat/{group}", proxy.address);
    let here = app.url(&format!("/#/chat/{group}"));
    let (ann, bob) = tokio::join!(at(&there, "ann"), at(&here, "bob"));
    ann.says("before").await;
    ann.until_said(&["before"]).await;
    proxy.swallow(usize::MAX);
    ann.says("unsure").await;
    bob.hears("unsure").await;
    ann.until_said(&["before", "(unsure)"]).await;
    ann.says("waiting").await;
    proxy.cut();
    proxy.swallow(0);
    let said = expect_the_same(&ann, &bob, 3).await;
    assert_eq!(said, ["before", "unsure", "waiting"]);

    // An event is lost on a line that goes on.
    proxy.swallow(1);
    bob.says("lost").await;
    until("an event to be lost", async || proxy.left() == 0).await;
    bob.says("found").await;
    expect_the_same(&ann, &bob, 5).await;
    let page = owner.get(&format!("/api/groups/{group}/messages/")).await;
    let results: Vec<Value> = serde_json::from_value(page.json()["results"].clone()).unwrap();
    assert_eq!(results.len(), 5);
    ann.goes().await;
    bob.goes().await;
}
