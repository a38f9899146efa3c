//! A group's log as a stream of Server-Sent Events.

use reqwest::Method;
use serde_json::json;

use crate::support::{EventStream, GroupPath, TestApp, TestResponse, connected_nodes};

#[tokio::test]
async fn an_event_stream_resumes_and_continues() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    for i in 0..10 {
        ann.send_message(&group, &format!("line\nbreak {i}"), &i.to_string())
            .await;
    }
    let mut socket = ann.open_rich(&group, "after=3").await;
    let mut frames = socket.until_sync().await;
    let sync = frames.pop().unwrap();
    let frames = frames.split_off(2);
    let there = ann.on_node(&there);
    let mut after = EventStream::open(&there, &group, "after=3", None).await;
    let mut resumed = EventStream::open(&ann, &group, "after=8", Some("3")).await;
    for stream in [&mut after, &mut resumed] {
        for event in &frames {
            assert_eq!(stream.next_event().await, *event);
        }
        assert_eq!(stream.next_named("sync").await, sync);
    }
    for i in 10..20 {
        ann.send_message(&group, "live", &i.to_string()).await;
        let event = socket.next_event().await;
        assert_eq!(after.next_event().await, event);
        assert_eq!(resumed.next_event().await, event);
    }
}

/// An event stream has no replay limit. The log is sent as fast as the client reads.
#[tokio::test]
async fn an_event_stream_without_after_starts_at_the_first_event() {
    const EVENTS: usize = 300;
    let app = TestApp::with_settings(json!({"channels": {"replay_limit": 10}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    socket.send_many(EVENTS).await;
    let mut stream = EventStream::open(&ann, &group, "", None).await;
    for seq in 1..=EVENTS {
        assert_eq!(stream.next_event().await["seq"], seq);
    }
    assert_eq!(stream.next_named("sync").await["seq"], EVENTS);
}

#[tokio::test]
async fn an_event_stream_sends_a_reset_when_it_cannot_resume() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.send_message(&group, "one", "1").await;
    for (query, last, reason) in [
        ("after=0&epoch=x", None, "epoch"),
        ("after=2", None, "ahead"),
        ("", Some("7"), "ahead"),
    ] {
        let mut stream = EventStream::open(&ann, &group, query, last).await;
        let reset = stream.next_named("reset").await;
        assert_eq!(
            (&reset["reason"], &reset["head"]),
            (&json!(reason), &json!(1))
        );
        assert_eq!(stream.next_named("sync").await["seq"], 1);
    }
    for id in ["x", "-1", "+1", "1.5", "99999999999999999999"] {
        let path = group.path("events/");
        let request = app
            .request(Method::GET, &path)
            .bearer_auth(&ann.access)
            .header("accept", "application/json;q=0.1, Text/Event-Stream; q=0.9")
            .header("last-event-id", id);
        let rejected = TestResponse::from_request(request).await;
        assert_eq!(
            (rejected.status.as_u16(), &rejected.json()["code"]),
            (400, &json!("invalid"))
        );
    }
}

#[tokio::test]
async fn clients_that_prefer_json_get_a_page_of_events() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    for accept in [
        "*/*",
        "text/event-stream;q=0, application/json",
        "application/json, text/event-stream;q=0.5",
    ] {
        let path = group.path("events/");
        let request = app.request(Method::GET, &path).bearer_auth(&ann.access);
        let page = TestResponse::from_request(request.header("accept", accept)).await;
        assert_eq!(page.json()["position"], 0, "{accept}");
    }
}

/// A stream with much unsent data still receives the reason of its close.
#[tokio::test]
async fn a_lagging_event_stream_gets_a_bye_after_a_kick() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let mut stream = EventStream::open(&bob, &group, "after=1", None).await;
    stream.next_named("sync").await;
    for i in 0..1000 {
        ann.send_message(&group, &"x".repeat(8000), &i.to_string())
            .await;
    }
    let membership = group.path("members/bob/");
    assert_eq!(ann.delete(&membership).await.status, 204);
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
async fn a_kick_ends_the_event_stream_and_strangers_get_404() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let bob = app.user("bob").await;
    let path = group.path("events/");
    let request_stream = async |token: &str| {
        let request = app.request(Method::GET, &path);
        let request = request.header("accept", "text/event-stream");
        TestResponse::from_request(request.bearer_auth(token))
            .await
            .status
            .as_u16()
    };
    assert_eq!(
        (request_stream(&bob.access).await, request_stream("x").await),
        (404, 401)
    );
    ann.add_member(&bob, &group).await;
    let mut stream = EventStream::open(&bob, &group, "after=1", None).await;
    stream.next_named("sync").await;
    let membership = group.path("members/bob/");
    assert_eq!(ann.delete(&membership).await.status, 204);
    assert_eq!(stream.next_named("bye").await["code"], 4403);
    assert_eq!(stream.next().await, None);
    assert_eq!(request_stream(&bob.access).await, 404);
    app.until_no_group_is_active().await;
}

#[tokio::test]
async fn an_event_stream_ends_with_its_session_and_at_shutdown() {
    let app = TestApp::with_settings(json!({"tokens": {"refresh_lifetime": 2}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut stream = EventStream::open(&ann, &group, "", None).await;
    stream.next_named("sync").await;
    assert_eq!(stream.next_named("bye").await["code"], 4401);
    assert_eq!(stream.next().await, None);

    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut stream = EventStream::open(&ann, &group, "", None).await;
    stream.next_named("sync").await;
    app.stop().await;
    assert_eq!(stream.next_named("bye").await["code"], 1012);
    assert_eq!(stream.next().await, None);
}
