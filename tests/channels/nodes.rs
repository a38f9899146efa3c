//! Two nodes, one database, one Redis.

use std::sync::Arc;

use salam::models::changes::What;
use serde_json::{Value, json};

use crate::support::{RedisServer, Socket, TestApp, TestDatabase, User, said};

async fn nodes(redis: &RedisServer) -> (TestApp, TestApp) {
    nodes_with(json!({"redis_url": redis.url()})).await
}

async fn nodes_with(channels: Value) -> (TestApp, TestApp) {
    let database = Arc::new(TestDatabase::create().await);
    let settings = json!({ "channels": channels });
    let first = TestApp::node(database.clone(), settings.clone()).await;
    (first, TestApp::node(database, settings).await)
}

pub async fn connected_nodes(redis: &RedisServer) -> (TestApp, TestApp) {
    connected_nodes_with(json!({"redis_url": redis.url()})).await
}

/// With these settings of the channels.
pub async fn connected_nodes_with(channels: Value) -> (TestApp, TestApp) {
    let (here, there) = nodes_with(channels).await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    (here, there)
}

/// What Ann posts at each of two nodes is told at the other.
pub async fn posts_cross(ann: &User<'_>, there: &TestApp, group: &str) {
    let mut near = ann.open(group).await;
    let mut far = ann.at(there).open(group).await;
    let arrival = "ann now is [clock]";
    for _ in 0..20 {
        near.send(r#"{"message": "x"}"#).await;
        assert_eq!(near.message().await, "now is [clock]");
        assert_eq!(far.message().await, arrival);
        far.send(r#"{"message": "y"}"#).await;
        assert_eq!(far.message().await, "now is [clock]");
        assert_eq!(near.message().await, arrival);
    }
    near.expect_silence().await;
    far.expect_silence().await;
}

#[tokio::test]
async fn a_post_at_one_node_reaches_sockets_of_the_other() {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let ann = here.user("ann").await;
    posts_cross(&ann, &there, &ann.start_chat().await).await;
}

#[tokio::test]
async fn sockets_outlive_their_redis() {
    let mut redis = RedisServer::absent();
    let (here, there) = nodes(&redis).await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    // Opened before there is a Redis.
    let mut near = ann.open(&group).await;
    let mut far = ann.at(&there).open(&group).await;
    works_here(&mut near, &ann, &group).await;
    assert_eq!(far.message().await, "ann now is [clock]", "by the log");
    for _ in 0..2 {
        redis.run().await;
        here.until_redis_is_connected().await;
        there.until_redis_is_connected().await;
        near.send(r#"{"message": "x"}"#).await;
        assert_eq!(near.message().await, "now is [clock]");
        assert_eq!(far.message().await, "ann now is [clock]");
        redis.kill();
        here.until_redis_is_missed().await;
        there.until_redis_is_missed().await;
        works_here(&mut near, &ann, &group).await;
        // Later, by the log.
        assert_eq!(far.message().await, "ann now is [clock]");
    }
    far.expect_silence().await;
}

/// Posts from both nodes all the while Redis goes and comes: each arrives once at every other
/// socket, and is answered once to its sender.
#[tokio::test]
async fn a_redis_that_dies_under_load_loses_nothing() {
    const ROUNDS: usize = 3;
    const POSTS: usize = 40;
    let mut redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    let mut sockets = Vec::new();
    for node in [&here, &there, &here, &there] {
        sockets.push(ann.at(node).open(&group).await);
    }
    let talking = sockets.into_iter().map(|mut socket| async move {
        for _ in 0..ROUNDS * POSTS {
            socket.send(r#"{"message": "x"}"#).await;
        }
        let (mut answers, mut arrivals) = (0, 0);
        while answers < ROUNDS * POSTS || arrivals < 3 * ROUNDS * POSTS {
            match socket.message().await.as_str() {
                "now is [clock]" => answers += 1,
                "ann now is [clock]" => arrivals += 1,
                other => panic!("{other}"),
            }
        }
        socket.expect_silence().await;
    });
    let breaking = async {
        for _ in 0..ROUNDS {
            redis.kill();
            here.until_redis_is_missed().await;
            redis.run().await;
            here.until_redis_is_connected().await;
        }
    };
    tokio::join!(futures_util::future::join_all(talking), breaking);
}

/// A node that dies between storing and telling.
#[tokio::test]
async fn what_nobody_told_is_found_in_the_log() {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    let mut far = ann.at(&there).open(&group).await;
    for _ in 0..2 {
        said(1, "untold")
            .make_alone(&here.ctx.db)
            .await
            .unwrap()
            .unwrap();
    }
    // Who comes later is told nothing of what was before.
    let mut later = ann.at(&there).open(&group).await;
    // The next post shows the gap.
    let mut near = ann.open(&group).await;
    near.send(r#"{"message": "x"}"#).await;
    assert_eq!(near.message().await, "now is [clock]");
    for _ in 0..3 {
        assert_eq!(
            far.message().await,
            "ann now is [clock]",
            "nobody's has the reader's name"
        );
    }
    assert_eq!(later.message().await, "ann now is [clock]");
    for socket in [&mut far, &mut later, &mut near] {
        socket.expect_silence().await;
    }
}

/// The connection by which a node publishes breaks while nothing else does.
#[tokio::test]
async fn a_lost_publication_is_made_up_for_at_once() {
    let redis = RedisServer::start().await;
    let database = Arc::new(TestDatabase::create().await);
    // The sweep would find it, much later.
    let settings = json!({"channels": {"redis_url": redis.url(), "sweep_every": 3600}});
    let here = TestApp::node(database.clone(), settings.clone()).await;
    let there = TestApp::node(database, settings).await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    let (ann, bob) = (here.user("ann").await, here.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let mut far = bob.at(&there).live(&group).await;
    // That of a node with sockets is of another type.
    redis.command("CLIENT KILL TYPE normal");
    assert_eq!(ann.say(&group, "lost", "1").await.status, 201);
    assert_eq!(far.event().await["data"]["text"], "lost");
    redis.command("CLIENT KILL TYPE normal");
    ann.delete(&format!("/api/groups/{group}/members/bob/"))
        .await;
    assert_eq!(far.bye_code().await, 4403);
}

/// A node that has not heard of a deletion yet does not give the text to whoever comes back.
#[tokio::test]
async fn a_node_that_is_behind_replays_no_deleted_text() {
    let app = TestApp::with(json!({"channels": {"sweep_every": 3600}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut socket = ann.live(&group).await;
    socket.says("secret", "1").await;
    let mut deletion = said(1, "");
    deletion.what = What::Delete { seq: 1 };
    deletion.make_alone(&app.ctx.db).await.unwrap().unwrap();
    let again = json!({"type": "sub", "groups": [{"group": group, "after": 0}]});
    let (_, before) = socket.reply_to(again).await;
    let frames = [before, socket.until_sync().await].concat();
    let later = ann.rich(&group, "after=0").await.until_sync().await;
    for frame in frames.iter().chain(&later) {
        assert!(!frame.to_string().contains("secret"), "{frame}");
    }
    assert_eq!(later.last().unwrap()["seq"], 2);
}

/// Within one node a post needs no Redis.
async fn works_here(socket: &mut Socket, user: &User<'_>, group: &str) {
    let mut other = user.open(group).await;
    socket.send(r#"{"message": "x"}"#).await;
    assert_eq!(socket.message().await, "now is [clock]");
    assert_eq!(other.message().await, "ann now is [clock]");
}
