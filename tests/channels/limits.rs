//! Limits of sockets per user and network, and limits of their frames.

use futures_util::future::join_all;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    GroupPath, RichSocket, Socket, TestApp, TestResponse, User, one_line, wait_until,
};

async fn app_with_limits(limits: Value) -> TestApp {
    TestApp::with_settings(json!({ "limits": limits })).await
}

async fn open_stream_from(user: &User<'_>, group: &str, from: &str) -> reqwest::Response {
    let request = user
        .app
        .request(Method::GET, &group.path("events/"))
        .header("accept", "text/event-stream")
        .header("x-forwarded-for", from);
    request.bearer_auth(&user.access).send().await.unwrap()
}

/// Opens a base socket from an address, or returns the status of the rejection.
async fn open_base_from(user: &User<'_>, group: &str, from: &str) -> Result<Socket, u16> {
    let (path, cookie) = (format!("/ws/chat/{group}/"), user.cookie());
    let headers = [("cookie", cookie.as_str()), ("x-forwarded-for", from)];
    let opened = Socket::with_headers(user.app.address, &path, &headers).await;
    opened.map_err(|status| status.as_u16())
}

/// The same as [`open_base_from`] for a multi-group socket.
async fn open_rich_from(user: &User<'_>, from: &str) -> Result<RichSocket, u16> {
    let offers = format!("chat.v1.json, bearer.{}", user.access);
    let headers = [
        ("sec-websocket-protocol", offers.as_str()),
        ("x-forwarded-for", from),
    ];
    let opened = Socket::with_headers(user.app.address, "/ws/", &headers).await;
    opened
        .map(|socket| RichSocket::from_socket(socket, ""))
        .map_err(|status| status.as_u16())
}

const ADDRESS: &str = "2001:db8::1";
const SAME_NETWORK: &str = "2001:db8::2";
const OTHER_NETWORK: &str = "2001:db8:1::1";

#[tokio::test]
async fn sockets_per_user_are_limited() {
    let app = app_with_limits(json!({"sockets_per_user": 3})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    // All kinds of sockets count, from any address.
    let mut base = open_base_from(&ann, &group, ADDRESS).await.unwrap();
    let _many = ann.open_multi_group().await;
    let streaming = open_stream_from(&ann, &group, OTHER_NETWORK).await;
    assert_eq!(streaming.status(), 200);

    assert_eq!(
        open_base_from(&ann, &group, OTHER_NETWORK).await.err(),
        Some(429)
    );
    for mut rejected in [
        ann.open_rich(&group, "").await,
        RichSocket::connect_multi_group(app.address, &ann.access).await,
    ] {
        let (bye, code) = rejected.bye().await;
        assert_eq!((code, &bye["reconnect"]), (4409, &json!(false)), "{bye}");
    }
    let rejected = ann.app.request(Method::GET, &group.path("events/"));
    let rejected = rejected
        .header("accept", "text/event-stream")
        .bearer_auth(&ann.access);
    let rejected = TestResponse::from_request(rejected).await;
    assert_eq!(rejected.header("retry-after"), "10");
    assert_snapshot!(one_line(&rejected), @r#"429 Too Many Requests {"detail":"Too many sockets; close one.","code":"rate_limited"}"#);
    let _others = [bob.open_live(&group).await, bob.open_live(&group).await];

    // A closed socket makes room for another.
    base.close(1000).await;
    wait_until("room for another", async || {
        open_base_from(&ann, &group, ADDRESS).await.is_ok()
    })
    .await;
}

/// Failed handshakes and broken sockets release their permits.
#[tokio::test]
async fn failed_handshakes_release_their_socket_permits() {
    let app = app_with_limits(json!({"sockets_per_user": 2, "sockets_per_network": 2})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let path = format!("/ws/chat/{group}/");
    for _ in 0..5 {
        // The client requests an upgrade and disconnects before the response.
        let request = app
            .request(Method::GET, &path)
            .header("cookie", ann.cookie());
        let request = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        drop(request.send().await.unwrap());
        wait_until("a free permit", async || {
            open_base_from(&ann, &group, ADDRESS).await.is_ok()
        })
        .await;
    }
    wait_until("both free permits", async || {
        let opened = [
            open_base_from(&ann, &group, ADDRESS).await,
            open_base_from(&ann, &group, ADDRESS).await,
        ];
        opened.iter().all(Result::is_ok)
    })
    .await;
}

#[tokio::test]
async fn sockets_per_network_are_limited() {
    let app = app_with_limits(json!({"sockets_per_network": 2})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let _one = open_base_from(&ann, &group, ADDRESS).await.unwrap();
    let _two = open_rich_from(&bob, SAME_NETWORK).await.unwrap();
    assert_eq!(
        open_base_from(&ann, &group, SAME_NETWORK).await.err(),
        Some(429)
    );
    assert_eq!(open_rich_from(&bob, ADDRESS).await.err(), Some(429));
    assert_eq!(open_stream_from(&bob, &group, ADDRESS).await.status(), 429);
    open_base_from(&ann, &group, OTHER_NETWORK).await.unwrap();
}

#[tokio::test]
async fn new_sockets_per_network_are_rate_limited() {
    let app = app_with_limits(json!({"sockets_per_minute": 3})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    open_base_from(&ann, &group, ADDRESS).await.unwrap();
    open_rich_from(&ann, ADDRESS).await.unwrap();
    assert_eq!(
        open_stream_from(&ann, &group, SAME_NETWORK).await.status(),
        200
    );
    assert_eq!(open_base_from(&ann, &group, ADDRESS).await.err(), Some(429));
    assert_eq!(open_rich_from(&ann, SAME_NETWORK).await.err(), Some(429));
    let rejected = open_stream_from(&ann, &group, ADDRESS).await;
    assert_eq!(rejected.status(), 429);
    let seconds: u64 = rejected.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    open_base_from(&ann, &group, OTHER_NETWORK).await.unwrap();
}

/// Pings count as frames too.
#[tokio::test]
async fn a_flooding_rich_socket_is_closed_and_others_are_not() {
    let app = app_with_limits(json!({"frames_per_second": 500, "frames_held": 1})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut quiet = ann.open_live(&group).await;
    let floods = [
        Message::text(json!({"type": "typing", "group": group, "on": true}).to_string()),
        Message::text(json!({"type": "read", "group": group, "seq": 1}).to_string()),
        Message::text("{}"),
        Message::Ping(Default::default()),
    ];
    let floods = floods.into_iter().map(async |frame| {
        let mut socket = ann.open_live(&group).await;
        // The burst, the frames that are held back for a second, and some more.
        for _ in 0..2000 {
            socket.send_frame(frame.clone()).await;
        }
        socket.bye().await
    });
    for (bye, code) in join_all(floods).await {
        assert_eq!((code, &bye["reconnect"]), (4529, &json!(true)), "{bye}");
    }
    quiet.expect_no_events().await;
}

#[tokio::test]
async fn a_flooding_base_socket_is_throttled_but_answered() {
    let app = app_with_limits(json!({"frames_per_second": 500, "frames_held": 1})).await;
    let ann = app.user("ann").await;
    let mut socket = ann.open_base(&ann.start_chat().await).await;
    for _ in 0..2000 {
        socket.send("[]").await;
    }
    for _ in 0..2000 {
        assert_eq!(socket.next_message().await, "now is [clock]");
    }
}

#[tokio::test]
async fn a_subscribe_request_counts_each_group_toward_the_rate_limit() {
    let app = app_with_limits(json!({"subs_per_10s": 600})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    // As many groups as one socket may have. Only one of them exists.
    let mut groups = vec![json!({"group": group, "after": 0})];
    groups.extend((1..512).map(|i| json!({"group": format!("chat_{i:08x}")})));
    let sub = json!({"type": "sub", "groups": groups});
    let mut socket = ann.open_multi_group().await;
    let (ok, _) = socket.request_collecting(sub.clone()).await;
    assert_eq!(ok["type"], "ok", "{ok}");
    // The limit is per user, so it holds for another socket too.
    for mut socket in [socket, ann.open_multi_group().await] {
        let (error, _) = socket.request_collecting(sub.clone()).await;
        assert_eq!(error["code"], "rate_limited", "{error}");
        let wait = error["retry_after_ms"].as_u64().unwrap();
        assert!((1..=10_000).contains(&wait), "{error}");
        let some = json!({"type": "sub", "groups": [{"group": group}]});
        assert_eq!(socket.request_collecting(some).await.0["type"], "ok");
    }
    let (ok, _) = bob.open_multi_group().await.request_collecting(sub).await;
    assert_eq!(ok["type"], "ok", "{ok}");
}
