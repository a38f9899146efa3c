//! Messages by the REST API.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp, one_line};

#[tokio::test]
async fn messages_can_be_sent_edited_and_deleted() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let path = group.path("messages/");
    let mut socket = bob.open_live(&group).await;
    let mut base = bob.open_base(&group).await;
    let mut responses = one_line(&ann.send_message(&group, "hi", "c1").await);
    responses += &one_line(&ann.send_message(&group, "hi", "c1").await);
    responses += &one_line(&ann.send_message(&group, "ho", "c1").await);
    responses += &one_line(&bob.post(&path, json!({"text": "yes", "reply_to": 2})).await);
    responses += &one_line(
        &ann.patch(&format!("{path}2/"), json!({"text": "hi!"}))
            .await,
    );
    responses += &one_line(&ann.send_message(&group, "hi", "c1").await);
    responses += &one_line(
        &bob.patch(&format!("{path}2/"), json!({"text": "mine"}))
            .await,
    );
    responses += &one_line(&bob.delete(&format!("{path}2/")).await);
    responses += &one_line(&ann.delete(&format!("{path}3/")).await);
    responses += &one_line(
        &bob.patch(&format!("{path}3/"), json!({"text": "mine"}))
            .await,
    );
    responses += &one_line(&ann.delete(&format!("{path}3/")).await);
    responses += &one_line(&ann.get(&path).await);
    responses += &one_line(&ann.get(&group.path("events/?after=1")).await);
    assert_snapshot!(responses, @r#"
    201 Created {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c1","reactions":[]}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c1","reactions":[]}
    409 Conflict {"detail":"This id was used for another request.","code":"cid_reused"}
    201 Created {"seq":3,"at":"[now]","by":"bob","by_active":true,"text":"yes","reply_to":2,"edited_at":null,"deleted":false,"cid":null,"reactions":[]}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi!","reply_to":null,"edited_at":"[now]","deleted":false,"cid":"c1","reactions":[]}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi!","reply_to":null,"edited_at":"[now]","deleted":false,"cid":"c1","reactions":[]}
    403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    204 No Content 
    410 Gone {"detail":"This message was deleted.","code":"gone"}
    410 Gone {"detail":"This message was deleted.","code":"gone"}
    200 OK {"results":[{"seq":3,"at":"[now]","by":"bob","by_active":true,"text":null,"reply_to":null,"edited_at":null,"deleted":true,"cid":null,"reactions":[]},{"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi!","reply_to":null,"edited_at":"[now]","deleted":false,"cid":"c1","reactions":[]}],"position":5,"has_more":false}
    200 OK {"results":[{"type":"event","group":"[group]","seq":2,"at":"[now]","by":"ann","kind":"message.created","cid":"c1","data":{"edited":true,"text":"hi!"}},{"type":"event","group":"[group]","seq":3,"at":"[now]","by":"bob","kind":"message.created","data":{"deleted":true,"text":null}},{"type":"event","group":"[group]","seq":4,"at":"[now]","by":"ann","kind":"message.edited","data":{"seq":2,"text":"hi!"}},{"type":"event","group":"[group]","seq":5,"at":"[now]","by":"ann","kind":"message.deleted","data":{"seq":3}}],"position":5,"epoch":"[epoch]"}
    "#);
    for kind in ["created", "created", "edited", "deleted"] {
        assert_eq!(socket.next_event().await["kind"], format!("message.{kind}"));
    }
    socket.expect_no_frames().await;
    assert_eq!(base.next_message().await, "ann now is [clock]");
    assert_eq!(
        base.next_message().await,
        "bob now is [clock]",
        "another socket of the same user"
    );
    base.expect_no_frames().await;
}

#[tokio::test]
async fn invalid_messages_are_rejected() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let path = group.path("messages/");
    let mut responses = String::new();
    for body in [
        json!({}),
        json!({"text": ""}),
        json!({"text": null}),
        json!({"text": 5}),
        json!({"text": "é".repeat(8001)}),
        json!({"text": "hi", "reply_to": 0}),
        json!({"text": "hi", "reply_to": "1"}),
        json!({"text": "hi", "reply_to": 1}),
        json!([]),
    ] {
        responses += &one_line(&ann.post(&path, body).await);
    }
    for cid in ["a b", "", "é", &"x".repeat(129)] {
        responses += &one_line(&ann.send_message(&group, "hi", cid).await);
    }
    for seq in [
        "0",
        "-1",
        "99",
        "x",
        "9223372036854775807",
        "99999999999999999999",
    ] {
        responses += &format!(
            "{seq}: {}",
            one_line(
                &ann.patch(&format!("{path}{seq}/"), json!({"text": "x"}))
                    .await
            )
        );
        responses += &format!(
            "{seq}: {}",
            one_line(&ann.delete(&format!("{path}{seq}/")).await)
        );
    }
    for query in [
        "before=0",
        "before=x",
        "after=-1",
        "before=1&after=1",
        "limit=0",
        "limit=%FF",
    ] {
        responses += &format!(
            "{query}: {}",
            one_line(&ann.get(&format!("{path}?{query}")).await)
        );
    }
    assert_snapshot!(responses, @r#"
    400 Bad Request {"detail":"This field is required.","code":"invalid","field":"text"}
    400 Bad Request {"detail":"This field needs at least one visible character.","code":"invalid","field":"text"}
    400 Bad Request {"detail":"This field is required.","code":"invalid","field":"text"}
    400 Bad Request {"detail":"Not a valid string.","code":"invalid","field":"text"}
    413 Payload Too Large {"detail":"A message may have at most 8000 characters.","code":"too_large","field":"text"}
    400 Bad Request {"detail":"A whole number from 1 to 9223372036854775807.","code":"invalid","field":"reply_to"}
    400 Bad Request {"detail":"A whole number from 1 to 9223372036854775807.","code":"invalid","field":"reply_to"}
    400 Bad Request {"detail":"This message does not exist.","code":"invalid","field":"reply_to"}
    400 Bad Request {"detail":"The body must be a JSON object.","code":"invalid"}
    400 Bad Request {"detail":"Idempotency-Key: 1 to 128 ASCII characters without spaces.","code":"invalid"}
    400 Bad Request {"detail":"Idempotency-Key: 1 to 128 ASCII characters without spaces.","code":"invalid"}
    400 Bad Request {"detail":"Idempotency-Key: 1 to 128 ASCII characters without spaces.","code":"invalid"}
    400 Bad Request {"detail":"Idempotency-Key: 1 to 128 ASCII characters without spaces.","code":"invalid"}
    0: 404 Not Found {"detail":"Not found.","code":"not_found"}
    0: 404 Not Found {"detail":"Not found.","code":"not_found"}
    -1: 400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    -1: 400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    99: 404 Not Found {"detail":"Not found.","code":"not_found"}
    99: 404 Not Found {"detail":"Not found.","code":"not_found"}
    x: 400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    x: 400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    9223372036854775807: 404 Not Found {"detail":"Not found.","code":"not_found"}
    9223372036854775807: 404 Not Found {"detail":"Not found.","code":"not_found"}
    99999999999999999999: 400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    99999999999999999999: 400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    before=0: 400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"before"}
    before=x: 400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"before"}
    after=-1: 400 Bad Request {"detail":"This must be a whole number, 0 or more.","code":"invalid","field":"after"}
    before=1&after=1: 400 Bad Request {"detail":"Send either before or after, not both.","code":"invalid"}
    limit=0: 400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"limit"}
    limit=%FF: 400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"limit"}
    "#);
    assert_eq!(
        ann.send_message(&group, &"é".repeat(8000), "c")
            .await
            .status,
        201
    );
    assert_eq!(ann.get(&group.path("")).await.json()["head"], 1);
}

#[tokio::test]
async fn history_is_paginated_in_both_directions() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    for i in 1..=10 {
        ann.send_message(&group, &i.to_string(), &i.to_string())
            .await;
        // Events between the messages that are not messages.
        let path = group.path("");
        ann.patch(&path, json!({"title": i.to_string()})).await;
    }
    let texts = async |query: &str| {
        let page = ann
            .get(&format!("/api/groups/{group}/messages/?{query}"))
            .await
            .json();
        assert_eq!(page["position"], 20);
        let results = page["results"].as_array().unwrap();
        let texts = results
            .iter()
            .map(|message| message["text"].as_str().unwrap());
        texts.collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "10 9 8 7 6 5 4 3 2 1"),
        ("limit=3", "10 9 8"),
        ("limit=3&before=15", "7 6 5"),
        ("before=1", ""),
        ("limit=3&after=0", "3 2 1"),
        ("limit=3&after=3", "5 4 3"),
        ("after=17", "10"),
        ("after=19", ""),
        ("after=9223372036854775807", ""),
        (
            "limit=1000&before=9223372036854775807",
            "10 9 8 7 6 5 4 3 2 1",
        ),
    ] {
        assert_eq!(texts(query).await, expected, "{query}");
    }
    let log = async |query: &str| {
        let page = ann
            .get(&format!("/api/groups/{group}/events/?{query}"))
            .await
            .json();
        assert_eq!(page["position"], 20);
        let results = page["results"].as_array().unwrap().clone();
        results
            .iter()
            .map(|event: &Value| event["seq"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(log("").await, (1..=20).collect::<Vec<_>>());
    assert_eq!(log("after=5&limit=3").await, [6, 7, 8]);
    assert!(log("after=20").await.is_empty());
}

#[tokio::test]
async fn history_pages_are_bounded_in_bytes_and_skip_nothing() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    // JSON encodes each of these characters as six bytes.
    let long = format!("{}x", "\u{1}".repeat(7999));
    for number in 0..30 {
        let text = if number % 3 == 2 { "short" } else { &long };
        let response = ann.send_message(&group, text, &number.to_string()).await;
        assert_eq!(response.status, 201, "{response}");
    }
    // An edit has the limit of a message.
    let edited = group.path("messages/4/");
    assert_eq!(
        ann.patch(&edited, json!({ "text": long })).await.status,
        200
    );
    let path = group.path("messages/?limit=100");
    let most = 400 * 1024;
    let walk = async |mut query: String, next: fn(&Value) -> String| {
        let mut seqs = Vec::new();
        loop {
            let page = bob.get(&format!("{path}{query}")).await;
            assert!(page.body.len() < most, "{}", page.body.len());
            let page = page.json();
            let results = page["results"].as_array().unwrap().clone();
            assert!(!results.is_empty());
            seqs.extend(
                results
                    .iter()
                    .map(|message| message["seq"].as_i64().unwrap()),
            );
            if page["has_more"] == false {
                return seqs;
            }
            query = next(&page["results"]);
        }
    };
    let last = |results: &Value| results.as_array().unwrap().last().unwrap()["seq"].clone();
    let _ = last;
    let backwards = walk(String::new(), |results| {
        let last = results.as_array().unwrap().last().unwrap();
        format!("&before={}", last["seq"])
    })
    .await;
    let expected: Vec<i64> = (2..32).collect();
    assert_eq!(
        backwards,
        expected.iter().rev().copied().collect::<Vec<_>>()
    );
    let mut forwards = walk("&after=0".to_owned(), |results| {
        format!("&after={}", results[0]["seq"])
    })
    .await;
    forwards.sort_unstable();
    assert_eq!(forwards, expected);
    // A page that reaches its limit, and the last page.
    let page = async |query: &str| {
        let page = bob
            .get(&format!("/api/groups/{group}/messages/?{query}"))
            .await
            .json();
        (
            page["results"].as_array().unwrap().len(),
            page["has_more"].as_bool().unwrap(),
        )
    };
    assert_eq!(page("limit=1").await, (1, true));
    assert_eq!(page("limit=1&before=3").await, (1, false));
    assert_eq!(page("limit=1&after=30").await, (1, false));
    assert_eq!(page("limit=1&after=29").await, (1, true));
    assert_eq!(page("before=2").await, (0, false));
    let events = bob.get(&group.path("events/?limit=500")).await;
    assert!(events.body.len() < 2 * most, "{}", events.body.len());
}

#[tokio::test]
async fn group_list_pages_are_bounded_in_bytes() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let long = format!("{}x", "\u{1}".repeat(7999));
    let mut groups = Vec::new();
    for number in 0..12 {
        groups.push(ann.start_chat().await);
        ann.send_message(groups.last().unwrap(), &long, &number.to_string())
            .await;
    }
    groups.reverse();
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = ann.get(&format!("/api/groups/?limit=100{cursor}")).await;
        assert!(page.body.len() < 400 * 1024, "{}", page.body.len());
        let page = page.json();
        for group in page["results"].as_array().unwrap() {
            assert_eq!(group["last_message"]["text"], long.as_str());
            found.push(group["group"].as_str().unwrap().to_owned());
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((found, pages), (groups, 2));
}

#[tokio::test]
async fn edited_texts_are_removed_from_the_log() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let path = group.path("messages/");
    ann.send_message(&group, "other", "0").await;
    ann.send_message(&group, "secret one", "1").await;
    let mut live = bob.open_live(&group).await;
    for text in ["secret two", "secret three", "kept"] {
        let edited = ann
            .patch(&format!("{path}3/"), json!({ "text": text }))
            .await;
        assert_eq!(edited.status, 200, "{edited}");
        assert_eq!(
            live.next_event().await["data"]["text"],
            text,
            "a live socket has it"
        );
    }
    let reply = ann
        .post(&path, json!({"text": "to it", "reply_to": 3}))
        .await;
    assert_eq!(reply.status, 201);
    let log = bob.get(&group.path("events/?after=1")).await;
    assert!(!log.body.contains("secret"), "{log}");
    assert_snapshot!(one_line(&log), @r#"200 OK {"results":[{"type":"event","group":"[group]","seq":2,"at":"[now]","by":"ann","kind":"message.created","cid":"0","data":{"text":"other"}},{"type":"event","group":"[group]","seq":3,"at":"[now]","by":"ann","kind":"message.created","cid":"1","data":{"edited":true,"text":"kept"}},{"type":"event","group":"[group]","seq":4,"at":"[now]","by":"ann","kind":"message.edited","data":{"replaced":true,"seq":3,"text":""}},{"type":"event","group":"[group]","seq":5,"at":"[now]","by":"ann","kind":"message.edited","data":{"replaced":true,"seq":3,"text":""}},{"type":"event","group":"[group]","seq":6,"at":"[now]","by":"ann","kind":"message.edited","data":{"seq":3,"text":"kept"}},{"type":"event","group":"[group]","seq":7,"at":"[now]","by":"ann","kind":"message.created","data":{"reply_to":3,"text":"to it"}}],"position":7,"epoch":"[epoch]"}"#);
    // A socket that resumes, on this node and on another.
    let other = TestApp::start_node(app.database.clone(), json!({})).await;
    for node in [&app, &other] {
        let frames = bob
            .on_node(node)
            .open_rich(&group, "after=0")
            .await
            .until_sync()
            .await;
        let frames = json!(frames).to_string();
        assert!(
            !frames.contains("secret") && frames.contains("kept"),
            "{frames}"
        );
    }
    // A retry of the first request is still recognised, although its text has changed.
    assert_eq!(
        ann.send_message(&group, "secret one", "1").await.status,
        200
    );
    let history = bob.get(&path).await;
    assert!(
        !history.body.contains("secret") && history.body.contains("kept"),
        "{history}"
    );
}
