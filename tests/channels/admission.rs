//! When many clients connect at once, some start at a time. An overloaded node refuses the others.

use std::time::Duration;

use insta::assert_snapshot;
use reqwest::Method;
use salam::limits::{AdmissionKind, Overloaded, RateKey, StartPermit};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    GroupPath, RichSocket, Socket, TestApp, TestResponse, User, one_line, wait_until,
};

/// More clients than may wait for a second, at the rate that a node assumes at first.
const CLIENTS: usize = 4500;

/// Starts a node that starts one client at a time. `start_wait` is in seconds.
async fn app_with_one_start_at_a_time(start_wait: u32) -> TestApp {
    let limits = json!({"starts_at_once": 1, "start_wait": start_wait});
    TestApp::with_settings(json!({ "limits": limits })).await
}

async fn start(app: &TestApp) -> StartPermit {
    let admission = app.channels().admission().clone();
    let admitted = admission.admit(AdmissionKind::Handshake, RateKey::User(-1));
    admitted.await.unwrap()
}

async fn until_one_waits(app: &TestApp) {
    wait_until("one to wait", async || {
        app.channels().admission().counts().waiting == 1
    })
    .await;
}

/// Fills the queue with many clients, until the first of them is refused.
async fn fill_queue(app: &TestApp) -> Vec<JoinHandle<Result<StartPermit, Overloaded>>> {
    let wait = |client| {
        let admission = app.channels().admission().clone();
        let kind = AdmissionKind::Subscription;
        tokio::spawn(async move { admission.admit(kind, RateKey::User(client)).await })
    };
    let clients = (2..).map(|client: i64| -client);
    let waiting: Vec<_> = clients.take(CLIENTS).map(wait).collect();
    wait_until("the queue to be full", async || {
        waiting.iter().any(JoinHandle::is_finished)
    })
    .await;
    waiting
}

async fn open_stream(user: &User<'_>, group: &str) -> TestResponse {
    let request = user.app.request(Method::GET, &group.path("events/"));
    let request = request.header("accept", "text/event-stream");
    TestResponse::from_request(request.bearer_auth(&user.access)).await
}

#[tokio::test]
async fn sockets_and_subscriptions_wait_for_their_start() {
    let app = app_with_one_start_at_a_time(30).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut open = ann.open_multi_group().await;

    let permit = start(&app).await;
    let opened_by_release = async |permit: StartPermit| {
        until_one_waits(&app).await;
        drop(permit);
    };
    let (_base, ()) = tokio::join!(ann.open_base(&group), opened_by_release(permit));
    let permit = start(&app).await;
    let (_rich, ()) = tokio::join!(ann.open_live(&group), opened_by_release(permit));
    let permit = start(&app).await;
    let (_many, ()) = tokio::join!(ann.open_multi_group(), opened_by_release(permit));
    let permit = start(&app).await;
    let positions = [(&*group, Some(0))];
    let (_, ()) = tokio::join!(open.subscribe(&positions), opened_by_release(permit));
    open.until_sync().await;
}

#[tokio::test]
async fn an_overloaded_node_refuses_sockets_and_subscriptions_and_serves_the_open_ones() {
    let app = app_with_one_start_at_a_time(1).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut live = ann.open_live(&group).await;
    let mut many = ann.open_multi_group().await;

    let permit = start(&app).await;
    let waiting = fill_queue(&app).await;
    // The credential is not read.
    for cookie in [ann.cookie(), "access=wrong".to_owned()] {
        let (path, headers) = (format!("/ws/chat/{group}/"), [("cookie", cookie.as_str())]);
        let refused = Socket::with_headers(app.address, &path, &headers).await;
        assert_eq!(refused.err().map(|status| status.as_u16()), Some(503));
    }
    for (group, token) in [(&*group, &*ann.access), ("missing", "wrong")] {
        let mut refused = RichSocket::connect(app.address, group, "", token).await;
        assert_bye(refused.bye().await);
    }
    let mut refused = RichSocket::connect_multi_group(app.address, &ann.access).await;
    assert_bye(refused.bye().await);
    let refused = open_stream(&ann, &group).await;
    let retry_after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    assert_snapshot!(one_line(&refused), @r#"503 Service Unavailable {"detail":"Temporarily unavailable; try again soon.","code":"unavailable"}"#);
    let refused = many
        .request(json!({"type": "sub", "groups": [{"group": group}]}))
        .await;
    assert_eq!(refused["code"], "unavailable", "{refused}");
    assert_eq!(refused["retry"], json!(true), "{refused}");
    assert_milliseconds(&refused["retry_after_ms"]);

    // The node refuses others so that it can serve these.
    let sent = ann.send_message(&group, "hello", "1").await;
    assert_eq!(sent.status, 201);
    assert_eq!(live.next_event().await["data"]["text"], "hello");
    let event = live.send_message("again", "2").await;
    assert_eq!(event["data"]["text"], "again", "{event}");

    for client in &waiting {
        client.abort();
    }
    drop(permit);
    let _opened = ann.open_live(&group).await;
    many.subscribe(&[(&group, Some(0))]).await;
    many.until_sync().await;
}

#[tokio::test]
async fn a_client_that_waited_too_long_is_refused() {
    let app = app_with_one_start_at_a_time(1).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let _permit = start(&app).await;
    let mut refused = ann.open_rich(&group, "").await;
    assert_bye(refused.bye().await);
}

/// Checks a `bye` with the wait before the reconnect.
fn assert_bye((bye, code): (Value, u16)) {
    assert_eq!((code, &bye["reconnect"]), (1013, &json!(true)), "{bye}");
    let earliest = assert_milliseconds(&bye["retry_ms"][0]);
    assert_eq!(bye["retry_ms"][1], earliest + earliest / 4, "{bye}");
}

fn assert_milliseconds(value: &Value) -> u64 {
    let (least, most) = (Duration::from_millis(400), Duration::from_secs(60));
    let milliseconds = value.as_u64().unwrap();
    let time = Duration::from_millis(milliseconds);
    assert!(time >= least && time <= most, "{value}");
    milliseconds
}
