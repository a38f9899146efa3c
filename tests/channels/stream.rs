//! A group's log as a stream of Server-Sent Events.

use reqwest::Method;
use serde_json::json;

use super::nodes::connected_nodes;
use crate::support::{Answer, EventStream, RedisServer, TestApp};

#[tokio::test]
async fn a_stream_resumes_as_a_socket_does_and_goes_on() {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    for i in 0..10 {
        ann.say(&group, &format!("line\nbreak {i}"), &i.to_string())
            .await;
    }
    let mut socket = ann.rich(&group, "after=3").await;
    let mut told = socket.until_sync().await;
    let sync = told.pop().unwrap();
    let told = told.split_off(2);
    let there = ann.at(&there);
    let mut after = EventStream::open(&there, &group, "after=3", None).await;
    let mut resumed = EventStream::open(&ann, &group, "after=8", Some("3")).await;
    for stream in [&mut after, &mut resumed] {
        for event in &told {
            assert_eq!(stream.event().await, *event);
        }
        assert_eq!(stream.named("sync").await, sync);
    }
    for i in 10..20 {
        ann.say(&group, "live", &i.to_string()).await;
        let event = socket.event().await;
        assert_eq!(after.event().await, event);
        assert_eq!(resumed.event().await, event);
    }
}

/// There is no limit to what is missed: it is told as fast as it is read.
#[tokio::test]
async fn a_stream_begins_with_the_first_event() {
    const EVENTS: usize = 300;
    let app = TestApp::with(json!({"channels": {"replay_limit": 10}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut socket = ann.live(&group).await;
    socket.floods(EVENTS).await;
    let mut stream = EventStream::open(&ann, &group, "", None).await;
    for seq in 1..=EVENTS {
        assert_eq!(stream.event().await["seq"], seq);
    }
    assert_eq!(stream.named("sync").await["seq"], EVENTS);
}

#[tokio::test]
async fn a_stream_says_where_the_log_does_not_have_what_the_client_has() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    ann.say(&group, "one", "1").await;
    for (query, last, reason) in [
        ("after=0&epoch=x", None, "epoch"),
        ("after=2", None, "ahead"),
        ("", Some("7"), "ahead"),
    ] {
        let mut stream = EventStream::open(&ann, &group, query, last).await;
        let reset = stream.named("reset").await;
        assert_eq!(
            (&reset["reason"], &reset["head"]),
            (&json!(reason), &json!(1))
        );
        assert_eq!(stream.named("sync").await["seq"], 1);
    }
    for id in ["x", "-1", "+1", "1.5", "99999999999999999999"] {
        let path = format!("/api/groups/{group}/events/");
        let request = app
            .request(Method::GET, &path)
            .bearer_auth(&ann.access)
            .header("accept", "application/json;q=0.1, Text/Event-Stream; q=0.9")
            .header("last-event-id", id);
        let refused = Answer::to(request).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (400, &json!("invalid"))
        );
    }
}

#[tokio::test]
async fn who_would_rather_have_json_gets_it() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    for accept in [
        "*/*",
        "text/event-stream;q=0, application/json",
        "application/json, text/event-stream;q=0.5",
    ] {
        let path = format!("/api/groups/{group}/events/");
        let request = app.request(Method::GET, &path).bearer_auth(&ann.access);
        let page = Answer::to(request.header("accept", accept)).await;
        assert_eq!(page.json()["position"], 0, "{accept}");
    }
}

/// However much waits for it, it hears why it must go.
#[tokio::test]
async fn a_stream_that_is_behind_is_told_why_it_ends() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let mut stream = EventStream::open(&bob, &group, "after=1", None).await;
    stream.named("sync").await;
    for i in 0..1000 {
        ann.say(&group, &"x".repeat(8000), &i.to_string()).await;
    }
    let put_out = format!("/api/groups/{group}/members/bob/");
    assert_eq!(ann.delete(&put_out).await.status, 204);
    let mut last = 1;
    loop {
        let event = stream.next().await.unwrap();
        if event.name.as_deref() == Some("bye") {
            assert_eq!(event.data["code"], 4403);
            break;
        }
        last += 1;
        assert_eq!(event.data["seq"], last);
    }
    assert!(last < 1000, "it was not behind");
}

#[tokio::test]
async fn who_is_put_out_is_told_so_and_no_stranger_listens() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    let path = format!("/api/groups/{group}/events/");
    let ask = async |token: &str| {
        let request = app.request(Method::GET, &path);
        let request = request.header("accept", "text/event-stream");
        Answer::to(request.bearer_auth(token)).await.status.as_u16()
    };
    assert_eq!((ask(&bob.access).await, ask("x").await), (404, 401));
    ann.brings_in(&bob, &group).await;
    let mut stream = EventStream::open(&bob, &group, "after=1", None).await;
    stream.named("sync").await;
    let put_out = format!("/api/groups/{group}/members/bob/");
    assert_eq!(ann.delete(&put_out).await.status, 204);
    assert_eq!(stream.named("bye").await["code"], 4403);
    assert_eq!(stream.next().await, None);
    assert_eq!(ask(&bob.access).await, 404);
    app.until_no_group_is_active().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_with_the_server() {
    let app = TestApp::with(json!({"tokens": {"refresh_lifetime": 2}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut stream = EventStream::open(&ann, &group, "", None).await;
    stream.named("sync").await;
    assert_eq!(stream.named("bye").await["code"], 4401);
    assert_eq!(stream.next().await, None);

    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut stream = EventStream::open(&ann, &group, "", None).await;
    stream.named("sync").await;
    app.stop().await;
    assert_eq!(stream.named("bye").await["code"], 1012);
    assert_eq!(stream.next().await, None);
}
