//! Reactions in the REST API and in the history.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp, TestResponse, User, one_line};

/// Returns the path of a reaction.
fn reaction_path(group: &str, seq: impl std::fmt::Display, emoji: &str) -> String {
    let emoji: String = emoji.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/api/groups/{group}/messages/{seq}/reactions/{emoji}/")
}

async fn add_reaction(user: &User<'_>, group: &str, seq: i64, emoji: &str) -> TestResponse {
    user.request(Method::PUT, &reaction_path(group, seq, emoji))
        .await
}

async fn remove_reaction(user: &User<'_>, group: &str, seq: i64, emoji: &str) -> TestResponse {
    user.delete(&reaction_path(group, seq, emoji)).await
}

/// Adds a reaction with an idempotency key.
async fn add_reaction_with_cid(
    user: &User<'_>,
    group: &str,
    emoji: &str,
    cid: &str,
) -> TestResponse {
    let request = user
        .app
        .request(Method::PUT, &reaction_path(group, 2, emoji));
    let request = request.header("idempotency-key", cid);
    TestResponse::from_request(request.bearer_auth(&user.access)).await
}

/// Returns the reactions of each message for a user, newest message first.
async fn visible_reactions(user: &User<'_>, group: &str) -> Vec<Value> {
    let history = user.get(&group.path("messages/")).await;
    let results = history.json()["results"].as_array().unwrap().clone();
    let reactions = results.iter().map(|message| message["reactions"].clone());
    reactions.collect()
}

#[tokio::test]
async fn reactions_are_added_counted_and_removed() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    ann.send_message(&group, "hi", "c").await;
    let mut socket = ann.open_live(&group).await;
    let mut responses = String::new();
    for response in [
        add_reaction(&bob, &group, 2, "❤").await,
        add_reaction(&bob, &group, 2, "❤️").await,
        add_reaction(&ann, &group, 2, "👨‍👩‍👧‍👦").await,
        add_reaction(&ann, &group, 2, "❤️").await,
        add_reaction_with_cid(&ann, &group, "#️⃣", "r").await,
        remove_reaction(&ann, &group, 2, "#️⃣").await,
        remove_reaction(&ann, &group, 2, "#️⃣").await,
        add_reaction_with_cid(&ann, &group, "#️⃣", "r").await,
        add_reaction_with_cid(&ann, &group, "👍", "r").await,
        add_reaction_with_cid(&ann, &group, "👍", "a b").await,
    ] {
        responses += &one_line(&response);
    }
    responses += &one_line(&bob.get(&group.path("")).await);
    let path = group.path("messages/2/");
    responses += &one_line(&ann.patch(&path, json!({"text": "hi!"})).await);
    responses += &one_line(&ann.send_message(&group, "hi", "c").await);
    responses += &one_line(&bob.get("/api/groups/").await);
    assert_snapshot!(responses, @r##"
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":1,"mine":true,"by":["bob"]}]}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":1,"mine":true,"by":["bob"]}]}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":1,"mine":false,"by":["bob"]},{"emoji":"👨‍👩‍👧‍👦","count":1,"mine":true,"by":["ann"]}]}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":2,"mine":true,"by":["bob","ann"]},{"emoji":"👨‍👩‍👧‍👦","count":1,"mine":true,"by":["ann"]}]}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":2,"mine":true,"by":["bob","ann"]},{"emoji":"👨‍👩‍👧‍👦","count":1,"mine":true,"by":["ann"]},{"emoji":"#️⃣","count":1,"mine":true,"by":["ann"]}]}
    204 No Content 
    204 No Content 
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":2,"mine":true,"by":["bob","ann"]},{"emoji":"👨‍👩‍👧‍👦","count":1,"mine":true,"by":["ann"]}]}
    409 Conflict {"detail":"This id was used for another request.","code":"cid_reused"}
    400 Bad Request {"detail":"Idempotency-Key: 1 to 128 ASCII characters without spaces.","code":"invalid"}
    200 OK {"group":"[group]","title":null,"role":"member","head":7,"read":1,"unread":1,"last_message":{"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi","reply_to":null,"edited_at":null,"deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":2,"mine":true,"by":["bob","ann"]},{"emoji":"👨‍👩‍👧‍👦","count":1,"mine":false,"by":["ann"]}]},"member_count":2,"others":[{"username":"ann","name":"ann"}],"created_at":"[now]","joined_at":"[now]"}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi!","reply_to":null,"edited_at":"[now]","deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":2,"mine":true,"by":["bob","ann"]},{"emoji":"👨‍👩‍👧‍👦","count":1,"mine":true,"by":["ann"]}]}
    200 OK {"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi!","reply_to":null,"edited_at":"[now]","deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":2,"mine":true,"by":["bob","ann"]},{"emoji":"👨‍👩‍👧‍👦","count":1,"mine":true,"by":["ann"]}]}
    200 OK {"results":[{"group":"[group]","title":null,"role":"member","head":8,"read":1,"unread":1,"last_message":{"seq":2,"at":"[now]","by":"ann","by_active":true,"text":"hi!","reply_to":null,"edited_at":"[now]","deleted":false,"cid":"c","reactions":[{"emoji":"❤️","count":2,"mine":true,"by":["bob","ann"]},{"emoji":"👨‍👩‍👧‍👦","count":1,"mine":false,"by":["ann"]}]},"member_count":2,"others":[{"username":"ann","name":"ann"}],"created_at":"[now]","joined_at":"[now]"}],"next":null}
    "##);
    let mut kinds = String::new();
    for _ in 0..6 {
        let event = socket.next_event().await;
        kinds += &format!("{} {} {}\n", event["by"], event["kind"], event["data"]);
    }
    assert_snapshot!(kinds, @r##"
    "bob" "reaction.added" {"emoji":"❤️","seq":2}
    "ann" "reaction.added" {"emoji":"👨‍👩‍👧‍👦","seq":2}
    "ann" "reaction.added" {"emoji":"❤️","seq":2}
    "ann" "reaction.added" {"emoji":"#️⃣","seq":2}
    "ann" "reaction.removed" {"emoji":"#️⃣","seq":2}
    "ann" "message.edited" {"seq":2,"text":"hi!"}
    "##);
    socket.expect_no_frames().await;
}

#[tokio::test]
async fn deleting_a_message_removes_its_reactions() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    ann.send_message(&group, "two", "2").await;
    ann.send_message(&group, "three", "3").await;
    for seq in [2, 3] {
        add_reaction(&bob, &group, seq, "👍").await;
    }
    ann.delete(&group.path("messages/3/")).await;
    let one = json!([{"emoji": "👍", "count": 1, "mine": false, "by": ["bob"]}]);
    assert_eq!(visible_reactions(&ann, &group).await, [json!([]), one]);
    let mut responses = one_line(&add_reaction(&bob, &group, 3, "👍").await);
    responses += &one_line(&remove_reaction(&bob, &group, 3, "👍").await);
    responses += &one_line(&remove_reaction(&ann, &group, 3, "🔥").await);
    assert_snapshot!(responses, @r#"
    410 Gone {"detail":"This message was deleted.","code":"gone"}
    410 Gone {"detail":"This message was deleted.","code":"gone"}
    410 Gone {"detail":"This message was deleted.","code":"gone"}
    "#);
    let group = ann.get(&group.path("")).await.json();
    assert_eq!(group["last_message"]["reactions"], json!([]));
}

#[tokio::test]
async fn invalid_reactions_are_rejected() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.send_message(&group, "hi", "c").await;
    let path = group.path("");
    ann.patch(&path, json!({"title": "no message"})).await;
    let mut responses = String::new();
    for path in [
        reaction_path(&group, 1, "a"),
        reaction_path(&group, 1, "1"),
        reaction_path(&group, 1, "👍👍"),
        reaction_path(&group, 1, "👍/"),
        reaction_path(&group, 1, "%"),
        reaction_path(&group, 0, "👍"),
        reaction_path(&group, -1, "👍"),
        reaction_path(&group, 2, "👍"),
        reaction_path(&group, 99, "👍"),
        reaction_path(&group, i64::MAX, "👍"),
        reaction_path(&group, "x", "👍"),
        format!("{path}messages/1/reactions/%FF/"),
        format!("{path}messages/1/reactions/%F0%9F%91/"),
        format!("{path}messages/1/reactions//"),
        format!("{path}messages/1/reactions/"),
    ] {
        let shown_path = path.replace(&group, "[group]");
        for method in [Method::PUT, Method::DELETE] {
            let response = ann.request(method.clone(), &path).await;
            responses += &format!("{method} {shown_path}\n    {}", one_line(&response));
        }
    }
    assert_snapshot!(responses, @r#"
    PUT /api/groups/[group]/messages/1/reactions/%61/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    DELETE /api/groups/[group]/messages/1/reactions/%61/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    PUT /api/groups/[group]/messages/1/reactions/%31/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    DELETE /api/groups/[group]/messages/1/reactions/%31/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    PUT /api/groups/[group]/messages/1/reactions/%F0%9F%91%8D%F0%9F%91%8D/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    DELETE /api/groups/[group]/messages/1/reactions/%F0%9F%91%8D%F0%9F%91%8D/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    PUT /api/groups/[group]/messages/1/reactions/%F0%9F%91%8D%2F/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    DELETE /api/groups/[group]/messages/1/reactions/%F0%9F%91%8D%2F/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    PUT /api/groups/[group]/messages/1/reactions/%25/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    DELETE /api/groups/[group]/messages/1/reactions/%25/
        400 Bad Request {"detail":"This must be exactly one emoji.","code":"invalid","field":"emoji"}
    PUT /api/groups/[group]/messages/0/reactions/%F0%9F%91%8D/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    DELETE /api/groups/[group]/messages/0/reactions/%F0%9F%91%8D/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    PUT /api/groups/[group]/messages/-1/reactions/%F0%9F%91%8D/
        400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    DELETE /api/groups/[group]/messages/-1/reactions/%F0%9F%91%8D/
        400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    PUT /api/groups/[group]/messages/2/reactions/%F0%9F%91%8D/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    DELETE /api/groups/[group]/messages/2/reactions/%F0%9F%91%8D/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    PUT /api/groups/[group]/messages/99/reactions/%F0%9F%91%8D/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    DELETE /api/groups/[group]/messages/99/reactions/%F0%9F%91%8D/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    PUT /api/groups/[group]/messages/9223372036854775807/reactions/%F0%9F%91%8D/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    DELETE /api/groups/[group]/messages/9223372036854775807/reactions/%F0%9F%91%8D/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    PUT /api/groups/[group]/messages/x/reactions/%F0%9F%91%8D/
        400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    DELETE /api/groups/[group]/messages/x/reactions/%F0%9F%91%8D/
        400 Bad Request {"detail":"The request is malformed.","code":"invalid"}
    PUT /api/groups/[group]/messages/1/reactions/%FF/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    DELETE /api/groups/[group]/messages/1/reactions/%FF/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    PUT /api/groups/[group]/messages/1/reactions/%F0%9F%91/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    DELETE /api/groups/[group]/messages/1/reactions/%F0%9F%91/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    PUT /api/groups/[group]/messages/1/reactions//
        404 Not Found {"detail":"Not found.","code":"not_found"}
    DELETE /api/groups/[group]/messages/1/reactions//
        404 Not Found {"detail":"Not found.","code":"not_found"}
    PUT /api/groups/[group]/messages/1/reactions/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    DELETE /api/groups/[group]/messages/1/reactions/
        404 Not Found {"detail":"Not found.","code":"not_found"}
    "#);
    let all: Vec<_> = emojis::iter().take(21).map(emojis::Emoji::as_str).collect();
    for emoji in &all[..20] {
        assert_eq!(add_reaction(&ann, &group, 1, emoji).await.status, 200);
    }
    assert_snapshot!(one_line(&add_reaction(&ann, &group, 1, all[20]).await), @r#"409 Conflict {"detail":"You may react to a message with at most 20 different emojis.","code":"limit_exceeded"}"#);
    assert_eq!(
        visible_reactions(&ann, &group).await[0]
            .as_array()
            .unwrap()
            .len(),
        20
    );
}

/// A client that reads the history, and then the log from its `position`, counts the reactions
/// correctly.
#[tokio::test]
async fn history_and_log_agree_while_others_react() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    for i in 0..5 {
        ann.send_message(&group, "hi", &i.to_string()).await;
    }
    let reacting = async {
        for round in 0..20 {
            for seq in 2..7 {
                let method = [Method::PUT, Method::DELETE][round % 2].clone();
                bob.request(method, &reaction_path(&group, seq, "👍")).await;
            }
        }
    };
    let reading = async {
        for _ in 0..20 {
            let path = group.path("messages/");
            let page = ann.get(&path).await.json();
            let path = group.path("events/?limit=500");
            let log = ann.get(&path).await.json();
            let read = usize::try_from(page["position"].as_i64().unwrap()).unwrap();
            for message in page["results"].as_array().unwrap() {
                let events = log["results"].as_array().unwrap()[..read].iter();
                let count: i64 = events
                    .filter(|event| event["data"]["seq"] == message["seq"])
                    .map(|event| {
                        if event["kind"] == "reaction.added" {
                            1
                        } else {
                            -1
                        }
                    })
                    .sum();
                let shown = message["reactions"][0]["count"].as_i64().unwrap_or(0);
                assert_eq!(shown, count, "{message} at {read}");
            }
        }
    };
    tokio::join!(reacting, reading);
}

#[tokio::test]
async fn each_message_of_a_long_history_has_its_own_reactions() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let other_group = ann.start_chat().await;
    ann.send_message(&other_group, "hi", "c").await;
    ann.patch(&other_group.path(""), json!({"title": "x"}))
        .await;
    ann.send_message(&other_group, "hi", "d").await;
    let faces: Vec<_> = emojis::iter().take(60).map(emojis::Emoji::as_str).collect();
    for i in 0..60 {
        ann.send_message(&group, "hi", &i.to_string()).await;
    }
    for seq in 2..62 {
        let face = faces[usize::try_from(seq).unwrap() - 2];
        add_reaction(&bob, &group, seq, face).await;
        if seq % 2 == 0 {
            add_reaction(&ann, &group, seq, face).await;
            add_reaction(&ann, &group, seq, "👍").await;
        }
    }
    // In another group, the same seq is another message.
    add_reaction(&ann, &other_group, 3, "🔥").await;
    let path = group.path("messages/?limit=100");
    let history = ann.get(&path).await.json();
    let results = history["results"].as_array().unwrap();
    assert_eq!(results.len(), 60);
    for message in results {
        let seq = message["seq"].as_i64().unwrap();
        let face = faces[usize::try_from(seq).unwrap() - 2];
        let expected = if seq % 2 == 0 {
            json!([
                {"emoji": face, "count": 2, "mine": true, "by": ["bob", "ann"]},
                {"emoji": "👍", "count": 1, "mine": true, "by": ["ann"]},
            ])
        } else {
            json!([{"emoji": face, "count": 1, "mine": false, "by": ["bob"]}])
        };
        assert_eq!(message["reactions"], expected, "{message}");
    }
    let fire = json!([{"emoji": "🔥", "count": 1, "mine": true, "by": ["ann"]}]);
    let groups = ann.get("/api/groups/").await.json();
    assert_eq!(groups["results"][0]["last_message"]["reactions"], fire);
    assert_eq!(
        visible_reactions(&ann, &other_group).await,
        [fire, json!([])]
    );
}
