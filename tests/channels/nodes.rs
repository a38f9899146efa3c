//! Two nodes, one database, one Redis.

use std::sync::Arc;

use serde_json::json;

use crate::support::{RedisServer, Socket, TestApp, TestDatabase, User};

async fn nodes(redis: &RedisServer) -> (TestApp, TestApp) {
    let database = Arc::new(TestDatabase::create().await);
    let settings = json!({"channels": {"redis_url": redis.url()}});
    let first = TestApp::node(database.clone(), settings.clone()).await;
    (first, TestApp::node(database, settings).await)
}

#[tokio::test]
async fn a_post_at_one_node_reaches_sockets_of_the_other() {
    let redis = RedisServer::start().await;
    let (here, there) = nodes(&redis).await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    let mut near = ann.open(&group).await;
    let mut far = ann.at(&there).open(&group).await;
    for _ in 0..20 {
        near.send(r#"{"message": "x"}"#).await;
        assert_eq!(near.message().await, "now is [clock]");
        assert_eq!(far.message().await, "ann now is [clock]");
        far.send(r#"{"message": "y"}"#).await;
        assert_eq!(far.message().await, "now is [clock]");
        assert_eq!(near.message().await, "ann now is [clock]");
    }
    near.expect_silence().await;
    far.expect_silence().await;
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
    }
    far.expect_silence().await;
}

/// Within one node a post needs no Redis.
async fn works_here(socket: &mut Socket, user: &User<'_>, group: &str) {
    let mut other = user.open(group).await;
    socket.send(r#"{"message": "x"}"#).await;
    assert_eq!(socket.message().await, "now is [clock]");
    assert_eq!(other.message().await, "ann now is [clock]");
}
