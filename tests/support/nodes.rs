//! Two nodes of one installation.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{RedisServer, TestApp, TestDatabase};

/// Starts two nodes on one database, with these settings of `channels`.
pub async fn start_nodes(channels: Value) -> (TestApp, TestApp) {
    let database = Arc::new(TestDatabase::create().await);
    let settings = json!({ "channels": channels });
    let here = TestApp::start_node(database.clone(), settings.clone()).await;
    (here, TestApp::start_node(database, settings).await)
}

/// Starts two nodes with these settings of `channels`, and waits until both are connected to Redis.
pub async fn connected_nodes_with(channels: Value) -> (TestApp, TestApp) {
    let (here, there) = start_nodes(channels).await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    (here, there)
}

/// Starts Redis, and two nodes that are connected to it.
pub async fn connected_nodes() -> (RedisServer, TestApp, TestApp) {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes_with(json!({"redis_url": redis.url()})).await;
    (redis, here, there)
}
