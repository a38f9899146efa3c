//! The rich mode, over real sockets.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    RichSocket, Socket, TestApp, one_line, redact_frame, redact_frames, wait_until,
};

#[tokio::test]
async fn a_rich_socket_starts_with_hello_group_and_sync() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.send_message(&group, "before", "1").await;
    let mut frames = ann.open_rich(&group, "").await.until_sync().await;
    let left = frames[0]["auth_expires_in"].take().as_i64().unwrap();
    assert!((1_209_500..=1_209_600).contains(&left), "{left}");
    assert_snapshot!(redact_frames(&frames), @r#"
    {"auth_expires_in":null,"conn":"[conn]","epoch":"[epoch]","features":["typing","presence","read","reactions"],"limits":{"frame":65536,"groups":1,"replay":500,"sends_per_10s":100000,"text":8000},"now":"[now]","ping":{"every":25,"timeout":10},"retry_ms":{"first":[0,5000],"max":20000},"type":"hello","user":{"id":1,"name":"ann","username":"ann"},"v":1}
    {"floor":0,"group":"[group]","head":1,"mode":"live","online":["ann"],"read":1,"role":"owner","title":null,"type":"group","unread":0}
    {"group":"[group]","seq":1,"type":"sync"}
    "#);
}

#[tokio::test]
async fn sends_edits_and_deletions_are_broadcast() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let mut anns = ann.open_live(&group).await;
    let mut bobs = bob.open_live(&group).await;
    let mut base = bob.open_base(&group).await;

    let mut results = String::new();
    for request in [
        json!({"type": "send", "cid": "c1", "text": "سلام\u{0} \"hi\""}),
        json!({"type": "send", "text": "and you?", "reply_to": 2}),
        json!({"type": "edit", "cid": "c2", "seq": 2, "text": "hi!"}),
        json!({"type": "delete", "cid": "c3", "seq": 3}),
    ] {
        let ok = anns.request(request).await;
        let event = anns.next_event().await;
        assert_eq!(event, bobs.next_event().await);
        results += &redact_frames(&[ok, event]);
    }
    assert_snapshot!(results, @r#"
    {"at":"[now]","cid":"c1","id":1,"seq":2,"type":"ok"}
    {"at":"[now]","by":"ann","cid":"c1","data":{"text":"سلام\u0000 \"hi\""},"group":"[group]","kind":"message.created","seq":2,"type":"event"}
    {"at":"[now]","id":2,"seq":3,"type":"ok"}
    {"at":"[now]","by":"ann","data":{"reply_to":2,"text":"and you?"},"group":"[group]","kind":"message.created","seq":3,"type":"event"}
    {"at":"[now]","cid":"c2","id":3,"seq":4,"type":"ok"}
    {"at":"[now]","by":"ann","cid":"c2","data":{"seq":2,"text":"hi!"},"group":"[group]","kind":"message.edited","seq":4,"type":"event"}
    {"at":"[now]","cid":"c3","id":4,"seq":5,"type":"ok"}
    {"at":"[now]","by":"ann","cid":"c3","data":{"seq":3},"group":"[group]","kind":"message.deleted","seq":5,"type":"event"}
    "#);
    // A base socket receives the two messages and nothing else.
    for _ in 0..2 {
        assert_eq!(base.next_message().await, "ann now is [clock]");
    }
    base.expect_no_frames().await;
    base.send(r#"{"message": "from the base"}"#).await;
    assert_eq!(base.next_message().await, "now is [clock]");
    assert_eq!(
        anns.next_event().await["data"],
        json!({"text": "from the base"})
    );
    bobs.next_event().await;
    anns.expect_no_frames().await;
    bobs.expect_no_frames().await;
}

#[tokio::test]
async fn a_rich_socket_accepts_each_credential_and_the_first_one_counts() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let offer = |user: &str| {
        (
            "sec-websocket-protocol",
            format!("chat.v1.json, bearer.{user}"),
        )
    };
    let plain = ("sec-websocket-protocol", "chat.v1.json".to_owned());
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let cookie = |token: &str| ("cookie", format!("access={token}"));
    let foreign = ("origin", "https://evil.example".to_owned());
    let (a, b) = (&*ann.access, &*bob.access);
    for (headers, expected) in [
        (vec![offer(a)], "ann"),
        (vec![plain.clone(), bearer(a)], "ann"),
        (vec![plain.clone(), cookie(a)], "ann"),
        (vec![offer(a), bearer(b), cookie(b)], "ann"),
        (vec![plain.clone(), bearer(a), cookie(b)], "ann"),
        // A page that has a token needs no cookie, and may have any origin.
        (vec![offer(a), foreign.clone()], "ann"),
        (vec![plain.clone(), bearer(a), foreign.clone()], "ann"),
        // An invalid credential is not ignored in favour of a valid one.
        (vec![offer("x"), bearer(a)], "4401"),
        (vec![offer(&ann.refresh)], "4401"),
        (vec![plain.clone(), bearer("x"), cookie(a)], "4401"),
        (vec![plain.clone(), cookie("x")], "4401"),
        (vec![plain.clone()], "4401"),
        (vec![plain.clone(), foreign.clone()], "4401"),
    ] {
        let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let mut socket = RichSocket::with_headers(app.address, &group, "", &headers).await;
        let first = socket.next_frame().await;
        match first["user"]["username"].as_str() {
            Some(username) => assert_eq!(username, expected, "{headers:?}"),
            None => assert_eq!(first["code"].to_string(), expected, "{headers:?}"),
        }
    }
    let path = format!("/ws/chat/{group}/");
    let cookie = ann.cookie();
    let mut headers = vec![
        ("sec-websocket-protocol", "chat.v1.json"),
        ("cookie", &*cookie),
    ];
    headers.push(("origin", "https://evil.example"));
    let rejected = Socket::with_headers(app.address, &path, &headers).await;
    assert_eq!(rejected.err().unwrap(), 403);
}

#[tokio::test]
async fn a_rejected_rich_socket_gets_a_bye_that_reveals_nothing() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let bob = app.user("bob").await;
    let mut results = String::new();
    for (user, group) in [
        ("x", &*group),
        (&*bob.access, &*group),
        (&*bob.access, "chat_00000000"),
    ] {
        let mut socket = RichSocket::connect(app.address, group, "", user).await;
        let (bye, code) = socket.bye().await;
        results += &format!("{code} {}\n", redact_frame(&bye));
    }
    let (bye, code) = ann.open_rich(&group, "after=-1").await.bye().await;
    results += &format!("{code} {}\n", redact_frame(&bye));
    assert_snapshot!(results, @r#"
    4401 {"code":4401,"reason":"unauthorized","reconnect":false,"type":"bye"}
    4403 {"code":4403,"reason":"not a member","reconnect":false,"type":"bye"}
    4403 {"code":4403,"reason":"not a member","reconnect":false,"type":"bye"}
    1008 {"code":1008,"reason":"`after` must be a whole number, 0 or more","reconnect":false,"type":"bye"}
    "#);
    assert_eq!(
        bob.open_rich(&group, "after=1&epoch=x")
            .await
            .bye_code()
            .await,
        4403
    );
    app.until_no_group_is_active().await;
}

/// The client reconnects later, as after any other overload.
#[tokio::test]
async fn a_rich_socket_gets_1013_while_the_database_cannot_be_read() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    // No socket has been opened so far, so no session is cached.
    for table in ["sessions", "memberships"] {
        let rename = format!("ALTER TABLE {table} RENAME TO renamed_{table}");
        app.ctx.db.execute_unprepared(&rename).await.unwrap();
        let mut rejected = vec![ann.open_rich(&group, "").await];
        if table == "sessions" {
            // A multi-group socket opens without a membership.
            rejected.push(RichSocket::connect_multi_group(app.address, &ann.access).await);
        }
        for mut socket in rejected {
            let (bye, code) = socket.bye().await;
            assert_eq!(
                (code, &bye["reason"], &bye["reconnect"]),
                (1013, &json!("overloaded"), &json!(true)),
                "{table}: {bye}"
            );
        }
        let restore = format!("ALTER TABLE renamed_{table} RENAME TO {table}");
        app.ctx.db.execute_unprepared(&restore).await.unwrap();
    }
    ann.open_live(&group).await;
    ann.open_multi_group().await;
}

#[tokio::test]
async fn invalid_frames_and_shutdown_close_a_rich_socket_with_a_bye() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let big = json!({"id": 1, "type": "send", "text": "x".repeat(70_000)}).to_string();
    for (message, expected) in [
        (Message::text("not json"), 1007),
        (Message::text(r#"{"type": "send""#), 1007),
        (Message::binary("{}"), 1003),
        (Message::text(big), 1009),
    ] {
        let mut socket = ann.open_live(&group).await;
        socket.send_frame(message).await;
        assert_eq!(socket.bye_code().await, expected);
    }
    let mut socket = ann.open_live(&group).await;
    let (_, (bye, code)) = tokio::join!(app.stop(), socket.bye());
    assert_eq!(code, 1012);
    assert_snapshot!(bye, @r#"{"code":1012,"reason":"restart","reconnect":true,"retry_ms":[0,8000],"type":"bye"}"#);
}

#[tokio::test]
async fn a_rich_socket_closes_when_its_session_expires() {
    let app =
        TestApp::with_settings(json!({"tokens": {"access_lifetime": 60, "refresh_lifetime": 4}}))
            .await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_rich(&group, "").await;
    let hello = socket.next_frame().await;
    let left = hello["auth_expires_in"].as_i64().unwrap();
    assert!((1..=4).contains(&left), "{hello}");
    socket.until_sync().await;
    let (bye, code) = socket.bye().await;
    assert_eq!((code, &bye["reconnect"]), (4401, &Value::Bool(false)));
}

#[tokio::test]
async fn refreshing_a_session_extends_all_its_sockets() {
    let app =
        TestApp::with_settings(json!({"tokens": {"access_lifetime": 60, "refresh_lifetime": 4}}))
            .await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let (mut rich, mut base) = (ann.open_live(&group).await, ann.open_base(&group).await);
    let at_first = Instant::now() + Duration::from_secs(4);
    let left = async |rich: &mut RichSocket| {
        let done = rich.request(json!({"type": "auth"})).await;
        done["auth_expires_in"].as_i64().unwrap()
    };
    wait_until("the next second", async || left(&mut rich).await < 3).await;
    let refresh = json!({"refresh": ann.refresh});
    let access = app
        .post("/api/token/refresh/", refresh)
        .await
        .access_token();
    assert!(left(&mut rich).await >= 3, "it was less than that");
    let done = rich.request(json!({"type": "auth", "token": access})).await;
    assert_eq!(done["type"], "ok", "{done}");
    wait_until("the end of the first lifetime", async || {
        at_first < Instant::now()
    })
    .await;
    left(&mut rich).await;
    base.send("{}").await;
    assert_eq!(base.next_message().await, "now is [clock]");
    assert_eq!(rich.bye_code().await, 4401, "in the end all do");
    assert_eq!(base.close_code().await, 4401);
}

#[tokio::test]
async fn rate_limited_sends_include_retry_after() {
    let app = TestApp::with_settings(json!({"channels": {"sends_per_10s": 2}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    for i in 0..2 {
        socket.send_message("x", &i.to_string()).await;
    }
    let error = socket
        .request(json!({"type": "send", "cid": "2", "text": "x"}))
        .await;
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("rate_limited"), &json!(true))
    );
    let wait = error["retry_after_ms"].as_u64().unwrap();
    assert!((1..=5000).contains(&wait), "{error}");
    // The REST API shares the limit, and the server reads a base socket more slowly.
    let response = ann.send_message(&group, "x", "2").await;
    assert_snapshot!(one_line(&response), @r#"429 Too Many Requests {"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
    let seconds: u32 = response.header("retry-after").parse().unwrap();
    assert!((1..=5).contains(&seconds), "{response}");
    let mut base = ann.open_base(&group).await;
    base.send(r#"{"message": "x"}"#).await;
    assert_eq!(base.next_message().await, "now is [clock]");
    assert_eq!(socket.next_event().await["seq"], 3);
}
