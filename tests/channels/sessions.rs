//! Sockets close with their session, on every node.

use axum::body::Bytes;
use salam::{
    channels::protocol::node_message::CLUSTER_TOPIC,
    models::{epochs, sessions, users},
};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use super::broker::connected_node;
use crate::support::{
    EventStream, RedisServer, Socket, TestApp, User, connected_nodes_with, wait_until,
};

/// Ends sessions of ann, in one of three ways.
async fn end_sessions(way: &str, ann: &User<'_>) {
    let response = match way {
        "logout" => ann.post("/api/logout/", json!({})).await,
        "others" => ann.delete("/api/sessions/?confirm=ann").await,
        "password" => {
            let body = json!({"old": "the staple of ann", "new": "a battery of staples"});
            ann.put("/api/me/password/", body).await
        }
        _ => unreachable!(),
    };
    let expected = if way == "password" { 200 } else { 204 };
    assert_eq!(response.status, expected, "{way}: {response}");
}

#[tokio::test]
async fn ended_sessions_close_only_their_sockets_on_every_node() {
    let redis = RedisServer::start().await;
    for way in ["logout", "others", "password"] {
        let (here, there) = connected_nodes_with(json!({"redis_url": redis.url()})).await;
        let ann = here.user("ann").await;
        let other = here.log_in("ann").await;
        let bob = here.user("bob").await;
        let group = ann.start_chat().await;
        ann.add_member(&bob, &group).await;
        let (ends, stays) = match way {
            "logout" => (&ann, &other),
            _ => (&other, &ann),
        };
        let far = ends.on_node(&there);
        let (mut rich, mut base) = (far.open_live(&group).await, far.open_base(&group).await);
        let mut many = ends.open_multi_group().await;
        let mut stream = EventStream::open(&far, &group, "", None).await;
        stream.until_sync().await;
        let mut own = stays.on_node(&there).open_live(&group).await;
        let mut strangers = bob.on_node(&there).open_base(&group).await;
        end_sessions(way, &ann).await;
        for code in [rich.bye_code().await, many.bye_code().await] {
            assert_eq!(code, 4410, "{way}");
        }
        assert_eq!(base.close_code().await, 4410, "{way}");
        assert_eq!(stream.next_named("bye").await["code"], 4410, "{way}");
        own.expect_no_frames().await;
        strangers.expect_no_frames().await;
        let back = far.open_rich(&group, "after=1").await.bye_code().await;
        assert_eq!(back, 4401, "{way}: resume is refused");
    }
}

#[tokio::test]
async fn ended_sessions_are_detected_without_redis() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let other = app.log_in("ann").await;
    let group = ann.start_chat().await;
    let (mut rich, mut base) = (ann.open_live(&group).await, ann.open_base(&group).await);
    let mut stays = other.open_live(&group).await;
    // Like another process: the running node gets no notice.
    let ended = sessions::Entity::delete_by_id(session_id_of(&ann).await);
    ended.exec(&app.ctx.db).await.unwrap();
    assert_eq!(rich.bye_code().await, 4410);
    assert_eq!(base.close_code().await, 4410);
    stays.send_message("still here", "1").await;
    let row = users::Entity::find_by_id(1_i64)
        .one(&app.ctx.db)
        .await
        .unwrap();
    row.unwrap().set_active(&app.ctx.db, false).await.unwrap();
    assert_eq!(stays.bye_code().await, 4410);
}

/// A cached session opens a socket without a query.
#[tokio::test]
async fn an_ended_session_cannot_open_a_socket_again() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let path = format!("/ws/chat/{group}/");
    let cookie = ann.cookie();
    let open = async || Socket::with_headers(app.address, &path, &[("cookie", &cookie)]).await;
    drop((ann.open_base(&group).await, open().await.unwrap()));
    // Like another process: the running node gets no notice.
    let ended = sessions::Entity::delete_by_id(session_id_of(&ann).await);
    ended.exec(&app.ctx.db).await.unwrap();
    if let Ok(mut socket) = open().await {
        assert_eq!(socket.close_code().await, 4410);
    }
    let again = app.log_in("ann").await;
    drop(again.open_live(&group).await);
    end_sessions("logout", &again).await;
    assert_eq!(again.open_rich(&group, "").await.bye_code().await, 4401);
}

/// A node that could not publish its notices reports a loss as soon as Redis is back.
#[tokio::test]
async fn a_lost_node_message_rechecks_all_sessions() {
    let redis = RedisServer::start().await;
    let app = TestApp::with_settings(json!({"channels": {"redis_url": redis.url()}})).await;
    app.until_redis_is_connected().await;
    let (group, _) = app.group_of(["ann"]).await;
    let (other_node, _inbox) = connected_node(&redis.url(), "salam-test").await;
    let epoch = epochs::Model::current(&app.ctx.db).await.unwrap();
    other_node.set_epoch(&epoch.name);
    // The first ended session may be found by the check at the node's start. The next scheduled check
    // comes much later.
    for _ in 0..2 {
        let other = app.log_in("ann").await;
        let mut socket = other.open_live(&group).await;
        let ended = sessions::Entity::delete_by_id(session_id_of(&other).await);
        ended.exec(&app.ctx.db).await.unwrap();
        // A node reports that a message of its own was lost.
        other_node
            .publish(CLUSTER_TOPIC, Bytes::new())
            .await
            .unwrap();
        assert_eq!(socket.bye_code().await, 4410);
    }
}

async fn session_id_of(user: &User<'_>) -> Uuid {
    let listed = user.get("/api/sessions/").await.json();
    let listed = listed["results"].as_array().unwrap().clone();
    let current = listed.iter().find(|session| session["current"] == true);
    current.unwrap()["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_socket_that_switched_sessions_ends_with_the_new_session() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let other = app.log_in("ann").await;
    let group = ann.start_chat().await;
    let mut socket = ann.open_live(&group).await;
    let auth = |token: &str| json!({"type": "auth", "token": token});
    assert_eq!(socket.request(auth(&other.access)).await["type"], "ok");
    assert_eq!(ann.post("/api/logout/", json!({})).await.status, 204);
    // The token of an ended session is rejected.
    let rejected = socket.request(auth(&ann.access)).await;
    assert_eq!(rejected["code"], "unauthorized", "{rejected}");
    let reply = socket.request(json!({"type": "auth"})).await;
    assert_eq!(reply["type"], "ok", "{reply}");
    assert_eq!(other.post("/api/logout/", json!({})).await.status, 204);
    let (bye, code) = socket.bye().await;
    assert_eq!((code, &bye["reconnect"]), (4410, &Value::Bool(false)));
}

#[tokio::test]
async fn refresh_token_reuse_closes_the_sockets_of_the_session() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    let rotate = async |token: &Value| {
        let body = json!({"refresh": token, "rotate": true});
        app.post("/api/token/refresh/", body).await
    };
    let first = json!(ann.refresh);
    let second = rotate(&first).await.json()["refresh"].clone();
    let third = rotate(&second).await.json()["refresh"].clone();
    assert_eq!(rotate(&third).await.status, 200);
    assert_eq!(rotate(&first).await.status, 401);
    assert_eq!(socket.bye_code().await, 4410);
}

#[tokio::test]
async fn socket_lifetime_requires_a_token_again() {
    let app = TestApp::with_settings(json!({"tokens": {"socket_lifetime": 8}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut rich = ann.open_rich(&group, "").await;
    let hello = rich.next_frame().await;
    assert!(hello["auth_expires_in"].as_i64().unwrap() < 8, "{hello}");
    let mut base = ann.open_base(&group).await;
    rich.until_sync().await;
    for _ in 0..3 {
        // A session check is not a new token.
        wait_until("two seconds to pass", async || {
            let reply = rich.request(json!({"type": "auth"})).await;
            reply["auth_expires_in"].as_i64().unwrap() <= 5
        })
        .await;
        let reply = rich.request(json!({"type": "auth", "token": ann.access}));
        let left = reply.await["auth_expires_in"].as_i64().unwrap();
        assert!(left == 7 || left == 6, "{left}");
    }
    assert_eq!(base.close_code().await, 4401);
    assert_eq!(rich.bye_code().await, 4401);
}
