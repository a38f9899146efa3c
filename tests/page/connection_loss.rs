//! A conversation survives crashes of the server and lost connections: no message is lost, and none is
//! sent twice.

use fantoccini::key::Key;
use serde_json::Value;

use super::{PageUser, group_of_two, sign_in_at};
use crate::{
    clients::Proxy,
    support::{Device, GroupPath, Server, TestApp, TestDatabase, wait_until},
};

/// A server that crashes and restarts on the same port.
struct CrashingServer {
    database: TestDatabase,
    server: Option<Server>,
    port: u16,
}

impl CrashingServer {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let mut server = Server::start(&database);
        let port = server.listen_address().await.port();
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

    async fn restart(&mut self) {
        let mut server = Server::start_on_port(&self.database, self.port);
        assert_eq!(server.listen_address().await.port(), self.port);
        self.server = Some(server);
    }

    /// Opens the page for ann and bob, who are in one chat.
    async fn open_chat_for_two(&self) -> (PageUser, PageUser) {
        let url = self.url("/");
        let arrive = async || PageUser::visit(Device::desktop(), &url).await;
        let (ann, bob) = tokio::join!(arrive(), arrive());
        ann.sign_up("ann", "Ann").await;
        ann.start_chat("Lunch").await;
        bob.sign_up("bob", "Bob").await;
        bob.open(&ann.create_invite_link().await).await;
        bob.click("Join chat").await;
        bob.wait_until("the chat", async || bob.chat_title().await == "Lunch")
            .await;
        (ann, bob)
    }
}

/// Returns the stored texts, in order, as the page's user reads them.
async fn stored_texts(user: &PageUser) -> Vec<String> {
    let script = "
        const { Salam } = await import('/static/salam.js');
        const salam = new Salam();
        const [{ group }] = (await salam.groups()).results;
        const { results } = await salam.events(group, { limit: 100 });
        return results.filter(({ kind }) => kind === 'message.created').map(({ data }) => data.text);";
    let script = format!("return (async () => {{ {script} }})()");
    serde_json::from_value(user.run(&script).await).unwrap()
}

/// Waits until both pages show the same texts, as many as `count`. Asserts that they are the stored
/// texts.
async fn expect_same_messages(ann: &PageUser, bob: &PageUser, count: usize) -> Vec<String> {
    let is_all = |texts: &[String]| texts.len() == count && !texts.concat().contains('(');
    for one in [ann, bob] {
        one.wait_until("all messages to be sent", async || {
            is_all(&one.message_texts().await)
        })
        .await;
    }
    let texts = ann.message_texts().await;
    assert_eq!(texts, bob.message_texts().await);
    assert_eq!(texts, stored_texts(ann).await);
    texts
}

fn texts_of<'a>(texts: &'a [String], username: &str) -> Vec<&'a str> {
    let of_user = texts.iter().filter(|text| text.starts_with(username));
    of_user.map(String::as_str).collect()
}

#[tokio::test]
async fn a_server_crash_loses_and_duplicates_no_messages() {
    let mut crashing = CrashingServer::start().await;
    let (ann, bob) = crashing.open_chat_for_two().await;
    let say = async |from: usize| {
        for n in from..from + 3 {
            let (by_ann, by_bob) = (format!("ann {n}"), format!("bob {n}"));
            tokio::join!(ann.send_message(&by_ann), bob.send_message(&by_bob));
        }
    };
    say(0).await;
    // Ann's page waits minutes for its next attempt, so that only "Try now" reconnects it.
    ann.run("window.random = Math.random; Math.random = () => 60")
        .await;
    // Some sends are acknowledged, some are not, and the results of some are unknown.
    tokio::join!(say(3), async {
        ann.expect_message("ann 4").await;
        crashing.crash();
    });
    ann.expect_text("Offline. Reconnecting in").await;
    bob.expect_text("Offline.").await;
    say(6).await;
    ann.expect_text("Waiting for connection…").await;
    crashing.restart().await;
    ann.run("Math.random = window.random").await;
    ann.click("Try now").await;
    ann.expect_text("Connected").await;
    say(9).await;
    let texts = expect_same_messages(&ann, &bob, 24).await;
    for username in ["ann", "bob"] {
        let expected: Vec<_> = (0..12).map(|n| format!("{username} {n}")).collect();
        assert_eq!(texts_of(&texts, username), expected);
    }
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn messages_written_offline_survive_closing_the_page() {
    let mut crashing = CrashingServer::start().await;
    let (ann, bob) = crashing.open_chat_for_two().await;
    crashing.crash();
    ann.expect_text("Offline.").await;
    ann.send_message("kept one").await;
    ann.send_message("kept two").await;
    ann.type_message("a draft").await;
    let chat = ann.run("return location.href").await;
    ann.click("Account").await;
    ann.click("Sign out").await;
    ann.expect_text("2 messages haven't been sent yet").await;
    ann.answer_dialog("Cancel").await;
    ann.open("about:blank").await;
    crashing.restart().await;
    ann.open(chat.as_str().unwrap()).await;
    let texts = expect_same_messages(&ann, &bob, 2).await;
    assert_eq!(texts, ["kept one", "kept two"]);
    ann.press_key(Key::Enter).await;
    bob.expect_message("a draft").await;
    expect_same_messages(&ann, &bob, 3).await;
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}

#[tokio::test]
async fn a_message_whose_reply_is_lost_is_sent_once() {
    let app = TestApp::start().await;
    let (group, owner, _) = group_of_two(&app).await;
    let proxy = Proxy::start(app.address).await;
    let there = format!("http://{}/#/chat/{group}", proxy.address);
    let here = app.url(&format!("/#/chat/{group}"));
    let (ann, bob) = tokio::join!(sign_in_at(&there, "ann"), sign_in_at(&here, "bob"));
    ann.send_message("before").await;
    ann.expect_messages(&["before"]).await;
    proxy.drop_next_chunks(usize::MAX);
    ann.send_message("unsure").await;
    bob.expect_message("unsure").await;
    ann.expect_messages(&["before", "(unsure)"]).await;
    ann.send_message("waiting").await;
    proxy.drop_connections();
    proxy.drop_next_chunks(0);
    let texts = expect_same_messages(&ann, &bob, 3).await;
    assert_eq!(texts, ["before", "unsure", "waiting"]);

    // An event is lost on a connection that stays open.
    proxy.drop_next_chunks(1);
    bob.send_message("lost").await;
    wait_until("an event to be lost", async || {
        proxy.chunks_left_to_drop() == 0
    })
    .await;
    bob.send_message("found").await;
    expect_same_messages(&ann, &bob, 5).await;
    let page = owner.get(&group.path("messages/")).await;
    let results: Vec<Value> = serde_json::from_value(page.json()["results"].clone()).unwrap();
    assert_eq!(results.len(), 5);
    ann.close_without_errors().await;
    bob.close_without_errors().await;
}
