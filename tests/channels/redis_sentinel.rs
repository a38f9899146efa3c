//! A Redis with sentinels.

use serde_json::json;

use crate::support::{SentinelRedis, connected_nodes_with};

#[tokio::test]
async fn a_sentinel_failover_is_followed() {
    let mut redis = SentinelRedis::start().await;
    let channels = json!({"redis_url": redis.url(), "sweep_every": 3600});
    let (here, there) = connected_nodes_with(channels).await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let mut near = ann.open_live(&group).await;
    let mut far = ann.on_node(&there).open_live(&group).await;
    for round in ["before", "after"] {
        // Through Redis: the nodes do not sweep while Redis is connected.
        near.send_message(round, round).await;
        assert_eq!(far.next_event().await["data"]["text"], round);
        if round == "before" {
            redis.master.kill();
            here.until_redis_is_lost().await;
            there.until_redis_is_lost().await;
            near.send_message("meanwhile", "meanwhile").await;
            assert_eq!(
                far.next_event().await["data"]["text"],
                "meanwhile",
                "by the log"
            );
            here.until_redis_is_connected().await;
            there.until_redis_is_connected().await;
        }
    }
    near.expect_no_frames().await;
    far.expect_no_frames().await;
}
