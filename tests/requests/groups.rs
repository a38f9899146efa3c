//! Groups and invites.

use insta::assert_snapshot;
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp, one_line};

#[tokio::test]
async fn me_and_the_group_list_show_the_user_and_their_groups() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut responses = one_line(&ann.get("/api/me/").await);
    responses += &one_line(&ann.get("/api/groups").await);
    let first = ann.start_chat().await;
    let second = ann
        .post("/api/start-chat/", json!({"title": "Lunch"}))
        .await
        .json();
    let second = second["group_name"].as_str().unwrap();
    ann.add_member(&bob, second).await;
    ann.send_message(second, "one", "1").await;
    bob.send_message(second, "two", "1").await;
    ann.send_message(second, "three", "2").await;
    responses += &one_line(&bob.get("/api/groups/").await);
    responses += &one_line(&ann.get(&first.path("")).await);
    // A sender has read all earlier messages.
    bob.send_message(second, "four", "2").await;
    responses += &one_line(&bob.get(&format!("/api/groups/{second}")).await);
    bob.delete(&second.path("messages/5/")).await;
    responses += &one_line(&ann.get(&second.path("")).await);
    assert_snapshot!(responses, @r#"
    200 OK {"id":1,"username":"ann","name":"ann"}
    200 OK {"results":[],"next":null}
    200 OK {"results":[{"group":"[group]","title":"Lunch","role":"member","head":4,"read":3,"unread":1,"last_message":{"seq":4,"at":"[now]","by":"ann","by_active":true,"text":"three","reply_to":null,"edited_at":null,"deleted":false,"cid":"2","reactions":[]},"member_count":2,"others":[{"username":"ann","name":"ann"}],"created_at":"[now]","joined_at":"[now]"}],"next":null}
    200 OK {"group":"[group]","title":null,"role":"owner","head":0,"read":0,"unread":0,"last_message":null,"member_count":1,"others":[],"created_at":"[now]","joined_at":"[now]"}
    200 OK {"group":"[group]","title":"Lunch","role":"member","head":5,"read":5,"unread":0,"last_message":{"seq":5,"at":"[now]","by":"bob","by_active":true,"text":"four","reply_to":null,"edited_at":null,"deleted":false,"cid":"2","reactions":[]},"member_count":2,"others":[{"username":"ann","name":"ann"}],"created_at":"[now]","joined_at":"[now]"}
    200 OK {"group":"[group]","title":"Lunch","role":"owner","head":6,"read":4,"unread":0,"last_message":{"seq":5,"at":"[now]","by":"bob","by_active":true,"text":null,"reply_to":null,"edited_at":null,"deleted":true,"cid":"2","reactions":[]},"member_count":2,"others":[{"username":"bob","name":"bob"}],"created_at":"[now]","joined_at":"[now]"}
    "#);
}

#[tokio::test]
async fn the_group_list_is_paginated() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut groups = Vec::new();
    for _ in 0..5 {
        groups.insert(0, ann.start_chat().await);
    }
    for limit in [1, 2, 5, 100, 1000] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = ann
                .get(&format!("/api/groups/?limit={limit}&cursor={cursor}"))
                .await
                .json();
            let results = page["results"].as_array().unwrap();
            assert!(results.len() <= limit);
            seen.extend(
                results
                    .iter()
                    .map(|group| group["group"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(seen, groups);
    }
    let mut responses = String::new();
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "cursor=x",
        "cursor=0",
        "limit=99999999999999999999",
    ] {
        responses += &one_line(&ann.get(&format!("/api/groups/?{query}")).await);
    }
    assert_snapshot!(responses, @r#"
    400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"limit"}
    400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"limit"}
    400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"limit"}
    400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"cursor"}
    400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"cursor"}
    400 Bad Request {"detail":"This must be a whole number, 1 or more.","code":"invalid","field":"limit"}
    "#);
}

#[tokio::test]
async fn a_group_can_be_renamed_and_deleted() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let path = group.path("");
    let mut socket = ann.open_live(&group).await;
    let mut responses = String::new();
    for body in [
        json!({"title": " Lunch "}),
        json!({"title": "Lunch"}),
        json!({"title": null}),
        json!({}),
        json!({"title": 5}),
        json!({"title": ""}),
        json!({"title": "x".repeat(151)}),
    ] {
        responses += &one_line(&ann.patch(&path, body).await);
    }
    assert_snapshot!(responses, @r#"
    200 OK {"group":"[group]","title":"Lunch","role":"owner","head":1,"read":0,"unread":0,"last_message":null,"member_count":1,"others":[],"created_at":"[now]","joined_at":"[now]"}
    200 OK {"group":"[group]","title":"Lunch","role":"owner","head":1,"read":0,"unread":0,"last_message":null,"member_count":1,"others":[],"created_at":"[now]","joined_at":"[now]"}
    200 OK {"group":"[group]","title":null,"role":"owner","head":2,"read":0,"unread":0,"last_message":null,"member_count":1,"others":[],"created_at":"[now]","joined_at":"[now]"}
    400 Bad Request {"detail":"This field is required; null removes the title.","code":"invalid","field":"title"}
    400 Bad Request {"detail":"Not a valid string.","code":"invalid","field":"title"}
    400 Bad Request {"detail":"This field may not be blank.","code":"invalid","field":"title"}
    400 Bad Request {"detail":"Ensure this field has no more than 150 characters.","code":"invalid","field":"title"}
    "#);
    // Each change makes one event, and a request without a change makes none.
    for title in [json!("Lunch"), Value::Null] {
        let event = socket.next_event().await;
        assert_eq!(
            (&event["kind"], &event["data"]["title"]),
            (&json!("group.updated"), &title)
        );
    }
    socket.expect_no_frames().await;
    let delete = format!("{path}?confirm={group}");
    assert_eq!(ann.delete(&delete).await.status, 204);
    assert_eq!(ann.delete(&delete).await.status, 404);
    assert_eq!(ann.get("/api/groups/").await.json()["results"], json!([]));
}

#[tokio::test]
async fn accepting_an_invite_adds_a_member() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann
        .post("/api/start-chat/", json!({"title": "Lunch"}))
        .await
        .json();
    let group = group["group_name"].as_str().unwrap();
    let path = group.path("invites/");
    let made = ann
        .post(&path, json!({"expires_in": 60, "max_uses": 1}))
        .await;
    let code = made.json()["code"].as_str().unwrap().to_owned();
    let url = made.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(url, app.url(&format!("/#/invite/{code}")));
    let api_url = made.json()["api_url"].as_str().unwrap().to_owned();
    assert_eq!(api_url, app.url(&format!("/api/invites/{code}/")));
    let mut responses = one_line(&made).replace(&app.address.to_string(), "[address]");
    let mut socket = ann.open_live(group).await;
    responses += &one_line(&ann.get(&path).await);
    responses += &one_line(&bob.get(&format!("/api/invites/{code}/")).await);
    responses += &one_line(
        &bob.post(&format!("/api/invites/{code}/accept/"), json!({}))
            .await,
    );
    let event = socket.next_event().await;
    assert_eq!(event["kind"], "member.joined", "{event}");
    responses += &format!("{} {}\n", event["by"], event["data"]);
    // The invite is used up: a third user cannot join, the list does not show it, and members stay
    // members.
    let cat = app.user("cat").await;
    responses += &one_line(
        &cat.post(&format!("/api/invites/{code}/accept/"), json!({}))
            .await,
    );
    responses += &one_line(&cat.get(&format!("/api/invites/{code}/")).await);
    responses += &one_line(&ann.get(&path).await);
    assert_snapshot!(responses, @r#"
    201 Created {"id":1,"code":"[code]","url":"http://[address]/#/invite/[code]","api_url":"http://[address]/api/invites/[code]/","expires_at":"[later]","max_uses":1,"uses":0}
    200 OK {"results":[{"id":1,"created_by":"ann","created_at":"[now]","expires_at":"[later]","max_uses":1,"uses":0}],"next":null}
    200 OK {"title":"Lunch","invited_by":{"username":"ann","name":"ann"},"expires_at":"[later]"}
    200 OK {"group":"[group]","title":"Lunch","role":"member","head":1,"read":1,"unread":0,"last_message":null,"member_count":2,"others":[{"username":"ann","name":"ann"}],"created_at":"[now]","joined_at":"[now]"}
    "bob" {"name":"bob","role":"member","user":"bob"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    200 OK {"results":[],"next":null}
    "#);
    socket.expect_no_frames().await;
    // The database does not store the code.
    let stored = salam::models::invites::Entity::find()
        .one(&app.ctx.db)
        .await
        .unwrap()
        .unwrap();
    assert!(!format!("{stored:?}").contains(&code));
}

#[tokio::test]
async fn invites_respect_max_uses_and_expiry() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let path = group.path("invites/");
    let invite = async |body: Value| {
        let made = ann.post(&path, body).await;
        assert_eq!(made.status, 201, "{made}");
        made.json()
    };
    let usernames = ["bob", "cat", "dan", "eve", "fay", "gus"];
    let mut users = Vec::new();
    for name in usernames {
        users.push(app.user(name).await);
    }
    // Many users accept at the same time, and three of them join.
    let three = invite(json!({"max_uses": 3})).await;
    let accept = format!("/api/invites/{}/accept/", three["code"].as_str().unwrap());
    let accepting = users.iter().map(|user| user.post(&accept, json!({})));
    let responses = futures_util::future::join_all(accepting).await;
    let count = |status: u16| {
        responses
            .iter()
            .filter(|response| response.status == status)
            .count()
    };
    assert_eq!((count(200), count(404)), (3, 3));
    // A member who accepts again stays a member, and uses nothing up.
    let again = invite(json!({"max_uses": 1})).await;
    let accept_again = format!("/api/invites/{}/accept/", again["code"].as_str().unwrap());
    assert_eq!(ann.post(&accept_again, json!({})).await.status, 200);
    let listed = ann.get(&path).await.json();
    assert_eq!(
        (&listed["results"][0]["id"], &listed["results"][0]["uses"]),
        (&again["id"], &json!(0))
    );
    // A revoked invite.
    let withdraw = format!("{path}{}/", again["id"]);
    assert_eq!(ann.delete(&withdraw).await.status, 204);
    assert_eq!(ann.delete(&withdraw).await.status, 404);
    let late = users
        .iter()
        .zip(&responses)
        .find(|(_, response)| response.status == 404)
        .unwrap()
        .0;
    assert_eq!(late.post(&accept_again, json!({})).await.status, 404);
    // An expired invite.
    let short = invite(json!({"expires_in": 1})).await;
    let offer = format!("/api/invites/{}/", short["code"].as_str().unwrap());
    assert_eq!(late.get(&offer).await.status, 200);
    crate::support::wait_until("the invite to expire", async || {
        late.get(&offer).await.status == 404
    })
    .await;
    assert_eq!(
        late.post(&format!("{offer}accept/"), json!({}))
            .await
            .status,
        404
    );

    let mut responses = String::new();
    for body in [
        json!({"expires_in": 0}),
        json!({"expires_in": "1"}),
        json!({"expires_in": 1e30}),
        json!({"max_uses": 0}),
        json!({"max_uses": 1.5}),
        json!({"max_uses": -1}),
    ] {
        responses += &one_line(&ann.post(&path, body).await);
    }
    for code in [
        "x",
        "%00",
        "ffffffffffffffffffffffffffffffff",
        &"x".repeat(3000),
    ] {
        responses += &one_line(&ann.get(&format!("/api/invites/{code}/")).await);
        responses += &one_line(
            &ann.post(&format!("/api/invites/{code}/accept/"), json!({}))
                .await,
        );
    }
    assert_snapshot!(responses, @r#"
    400 Bad Request {"detail":"A whole number from 1 to 31622400.","code":"invalid","field":"expires_in"}
    400 Bad Request {"detail":"A whole number from 1 to 31622400.","code":"invalid","field":"expires_in"}
    400 Bad Request {"detail":"A whole number from 1 to 31622400.","code":"invalid","field":"expires_in"}
    400 Bad Request {"detail":"A whole number from 1 to 1000000.","code":"invalid","field":"max_uses"}
    400 Bad Request {"detail":"A whole number from 1 to 1000000.","code":"invalid","field":"max_uses"}
    400 Bad Request {"detail":"A whole number from 1 to 1000000.","code":"invalid","field":"max_uses"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    "#);
}
