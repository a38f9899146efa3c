//! A Redis that sentinels watch.

use std::sync::Arc;

use serde_json::json;

use crate::support::{TestApp, TestDatabase, WatchedRedis};

#[tokio::test]
async fn the_next_master_is_found() {
    let mut redis = WatchedRedis::start().await;
    let database = Arc::new(TestDatabase::create().await);
    let settings = json!({"channels": {"redis_url": redis.url(), "sweep_every": 3600}});
    let here = TestApp::node(database.clone(), settings.clone()).await;
    let there = TestApp::node(database, settings).await;
    let ann = here.user("ann").await;
    let group = ann.start_chat().await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    let mut near = ann.live(&group).await;
    let mut far = ann.at(&there).live(&group).await;
    for round in ["before", "after"] {
        // By Redis: there is no sweep while it is connected.
        near.says(round, round).await;
        assert_eq!(far.event().await["data"]["text"], round);
        if round == "before" {
            redis.master.kill();
            here.until_redis_is_missed().await;
            there.until_redis_is_missed().await;
            near.says("meanwhile", "meanwhile").await;
            assert_eq!(far.event().await["data"]["text"], "meanwhile", "by the log");
            here.until_redis_is_connected().await;
            there.until_redis_is_connected().await;
        }
    }
    near.expect_silence().await;
    far.expect_silence().await;
}
