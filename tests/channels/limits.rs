//! How many sockets one may have, and how fast they may talk.

use futures_util::future::join_all;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Answer, RichSocket, Socket, TestApp, User, line, until};

async fn limited(limits: Value) -> TestApp {
    TestApp::with(json!({ "limits": limits })).await
}

async fn stream(user: &User<'_>, group: &str, from: &str) -> reqwest::Response {
    let request = user
        .app
        .request(Method::GET, &format!("/api/groups/{group}/events/"))
        .header("accept", "text/event-stream")
        .header("x-forwarded-for", from);
    request.bearer_auth(&user.access).send().await.unwrap()
}

/// Opens a base socket from an address, or gives the status of the refusal.
async fn base_from(user: &User<'_>, group: &str, from: &str) -> Result<Socket, u16> {
    let (path, cookie) = (format!("/ws/chat/{group}/"), user.cookie());
    let headers = [("cookie", cookie.as_str()), ("x-forwarded-for", from)];
    let opened = Socket::with_headers(user.app.address, &path, &headers).await;
    opened.map_err(|status| status.as_u16())
}

/// The same for a rich socket of many groups.
async fn rich_from(user: &User<'_>, from: &str) -> Result<RichSocket, u16> {
    let offers = format!("chat.v1.json, bearer.{}", user.access);
    let headers = [
        ("sec-websocket-protocol", offers.as_str()),
        ("x-forwarded-for", from),
    ];
    let opened = Socket::with_headers(user.app.address, "/ws/", &headers).await;
    opened
        .map(|socket| RichSocket::over(socket, ""))
        .map_err(|status| status.as_u16())
}

const HERE: &str = "2001:db8::1";
const NEIGHBOUR: &str = "2001:db8::2";
const THERE: &str = "2001:db8:1::1";

#[tokio::test]
async fn one_user_has_so_many_sockets() {
    let app = limited(json!({"sockets_per_user": 3})).await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    // Whatever kind they are of, and wherever they come from.
    let mut base = base_from(&ann, &group, HERE).await.unwrap();
    let _many = ann.many().await;
    let streaming = stream(&ann, &group, THERE).await;
    assert_eq!(streaming.status(), 200);

    assert_eq!(base_from(&ann, &group, THERE).await.err(), Some(429));
    for mut refused in [
        ann.rich(&group, "").await,
        RichSocket::many(app.address, &ann.access).await,
    ] {
        let (bye, code) = refused.bye().await;
        assert_eq!((code, &bye["reconnect"]), (4409, &json!(false)), "{bye}");
    }
    let refused = ann
        .app
        .request(Method::GET, &format!("/api/groups/{group}/events/"));
    let refused = refused
        .header("accept", "text/event-stream")
        .bearer_auth(&ann.access);
    let refused = Answer::to(refused).await;
    assert_eq!(refused.header("retry-after"), "10");
    assert_snapshot!(line(&refused), @r#"429 Too Many Requests {"detail":"Too many sockets; close one.","code":"rate_limited"}"#);
    let _others = [bob.live(&group).await, bob.live(&group).await];

    // One that is closed makes room for another.
    base.close(1000).await;
    until("room for another", async || {
        base_from(&ann, &group, HERE).await.is_ok()
    })
    .await;
}

/// Handshakes that fail take nothing for good, and nor do sockets that break.
#[tokio::test]
async fn no_place_is_lost() {
    let app = limited(json!({"sockets_per_user": 2, "sockets_per_network": 2})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let path = format!("/ws/chat/{group}/");
    for _ in 0..5 {
        // It asks for an upgrade, and is gone before it comes.
        let request = app
            .request(Method::GET, &path)
            .header("cookie", ann.cookie());
        let request = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        drop(request.send().await.unwrap());
        until("a place", async || {
            base_from(&ann, &group, HERE).await.is_ok()
        })
        .await;
    }
    until("both places", async || {
        let opened = [
            base_from(&ann, &group, HERE).await,
            base_from(&ann, &group, HERE).await,
        ];
        opened.iter().all(Result::is_ok)
    })
    .await;
}

#[tokio::test]
async fn one_network_has_so_many_sockets() {
    let app = limited(json!({"sockets_per_network": 2})).await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let _one = base_from(&ann, &group, HERE).await.unwrap();
    let _two = rich_from(&bob, NEIGHBOUR).await.unwrap();
    assert_eq!(base_from(&ann, &group, NEIGHBOUR).await.err(), Some(429));
    assert_eq!(rich_from(&bob, HERE).await.err(), Some(429));
    assert_eq!(stream(&bob, &group, HERE).await.status(), 429);
    base_from(&ann, &group, THERE).await.unwrap();
}

#[tokio::test]
async fn one_network_opens_so_many_sockets_in_a_minute() {
    let app = limited(json!({"sockets_per_minute": 3})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    base_from(&ann, &group, HERE).await.unwrap();
    rich_from(&ann, HERE).await.unwrap();
    assert_eq!(stream(&ann, &group, NEIGHBOUR).await.status(), 200);
    assert_eq!(base_from(&ann, &group, HERE).await.err(), Some(429));
    assert_eq!(rich_from(&ann, NEIGHBOUR).await.err(), Some(429));
    let refused = stream(&ann, &group, HERE).await;
    assert_eq!(refused.status(), 429);
    let seconds: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    base_from(&ann, &group, THERE).await.unwrap();
}

/// Pings are frames too, of whatever they are the answer.
#[tokio::test]
async fn a_rich_socket_that_floods_is_closed_and_others_are_not() {
    let app = limited(json!({"frames_per_second": 500, "frames_held": 1})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut quiet = ann.live(&group).await;
    let floods = [
        Message::text(json!({"type": "typing", "group": group, "on": true}).to_string()),
        Message::text(json!({"type": "read", "group": group, "seq": 1}).to_string()),
        Message::text("{}"),
        Message::Ping(Default::default()),
    ];
    let floods = floods.into_iter().map(async |frame| {
        let mut socket = ann.live(&group).await;
        // The burst, what is held back for a second, and some.
        for _ in 0..2000 {
            socket.send_frame(frame.clone()).await;
        }
        socket.bye().await
    });
    for (bye, code) in join_all(floods).await {
        assert_eq!((code, &bye["reconnect"]), (4529, &json!(true)), "{bye}");
    }
    quiet.until_silent().await;
}

#[tokio::test]
async fn a_base_socket_that_floods_is_read_more_slowly_and_answered_all_the_same() {
    let app = limited(json!({"frames_per_second": 500, "frames_held": 1})).await;
    let ann = app.user("ann").await;
    let mut socket = ann.open(&ann.start_chat().await).await;
    for _ in 0..2000 {
        socket.send("[]").await;
    }
    for _ in 0..2000 {
        assert_eq!(socket.message().await, "now is [clock]");
    }
}

#[tokio::test]
async fn one_request_of_many_groups_counts_as_many() {
    let app = limited(json!({"subs_per_10s": 600})).await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    // As many groups as one socket may have, of which only one is there.
    let mut groups = vec![json!({"group": group, "after": 0})];
    groups.extend((1..512).map(|i| json!({"group": format!("chat_{i:08x}")})));
    let sub = json!({"type": "sub", "groups": groups});
    let mut socket = ann.many().await;
    let (ok, _) = socket.reply_to(sub.clone()).await;
    assert_eq!(ok["type"], "ok", "{ok}");
    // It is the user's limit: of another socket as well.
    for mut socket in [socket, ann.many().await] {
        let (error, _) = socket.reply_to(sub.clone()).await;
        assert_eq!(error["code"], "rate_limited", "{error}");
        let wait = error["retry_after_ms"].as_u64().unwrap();
        assert!((1..=10_000).contains(&wait), "{error}");
        let some = json!({"type": "sub", "groups": [{"group": group}]});
        assert_eq!(socket.reply_to(some).await.0["type"], "ok");
    }
    let (ok, _) = bob.many().await.reply_to(sub).await;
    assert_eq!(ok["type"], "ok", "{ok}");
}
