//! Messages in Redis that no node of the installation has published.

use axum::body::Bytes;
use serde_json::json;

use super::broker::node_with_secret;
use crate::support::{connected_nodes, with_timeout};

#[tokio::test]
async fn forged_redis_messages_are_ignored() {
    let (redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let mut socket = ann.on_node(&there).open_live(&group).await;
    socket.send_message("one", "1").await;
    let forged = json!({
        "type": "event", "group": group, "seq": 2, "at": "2026-11-22T14:05:09.123Z", "by": "ann",
        "kind": "message.created", "data": {"text": "forged"},
    });
    let kick = json!({
        "type": "event", "group": group, "seq": 2, "at": "2026-11-22T14:05:09.123Z", "by": "ann",
        "kind": "member.left", "data": {"user": "ann", "reason": "kicked"},
    });
    let typing = json!({"type": "typing", "group": group, "user": "eve", "on": true});
    let payloads = [forged, kick, typing, json!({"type": "gone"})].map(|it| it.to_string());
    let epoch = salam::models::epochs::Model::current(&here.ctx.db)
        .await
        .unwrap();
    // Signed with another key; with the right key in another epoch; and for another topic.
    let (foreign, _foreign) =
        node_with_secret(&redis.url(), "another secret of thirty-two bytes").await;
    foreign.set_epoch(&epoch.name);
    let (older, _older) = node_with_secret(&redis.url(), &here.secret()).await;
    older.set_epoch("another epoch");
    for payload in &payloads {
        for forger in [&foreign, &older] {
            let published = forger.publish(&group, Bytes::from(payload.clone()));
            with_timeout("Redis to accept it", published).await.unwrap();
        }
        // Published by a shell on Redis, with a payload and without.
        for raw in [payload.as_str(), ""] {
            let channel = json!(format!("salam-test:{group}"));
            redis.run_command(&format!("PUBLISH {channel} {}", json!(raw)));
        }
    }
    // The next event is real, and has the seq of the forged event.
    ann.send_message(&group, "two", "2").await;
    let event = socket.next_event().await;
    assert_eq!(
        (event["seq"].as_i64(), &event["data"]["text"]),
        (Some(2), &json!("two"))
    );
    socket.expect_no_frames().await;
}
