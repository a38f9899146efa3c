//! Two nodes with one database and one Redis.

use salam::models::group_commands::CommandKind;
use serde_json::json;

use crate::support::{
    GroupPath, RedisServer, Socket, TestApp, User, connected_nodes, connected_nodes_with,
    message_without_actor, start_nodes,
};

/// Checks that ann's messages at each of two nodes arrive at the other node.
pub async fn expect_messages_to_cross(ann: &User<'_>, there: &TestApp, group: &str) {
    let mut near = ann.open_base(group).await;
    let mut far = ann.on_node(there).open_base(group).await;
    let arrival = "ann now is [clock]";
    for _ in 0..20 {
        near.send(r#"{"message": "x"}"#).await;
        assert_eq!(near.next_message().await, "now is [clock]");
        assert_eq!(far.next_message().await, arrival);
        far.send(r#"{"message": "y"}"#).await;
        assert_eq!(far.next_message().await, "now is [clock]");
        assert_eq!(near.next_message().await, arrival);
    }
    near.expect_no_frames().await;
    far.expect_no_frames().await;
}

#[tokio::test]
async fn a_message_sent_on_one_node_reaches_sockets_on_the_other() {
    let (_redis, here, there) = connected_nodes().await;
    let ann = here.user("ann").await;
    expect_messages_to_cross(&ann, &there, &ann.start_chat().await).await;
}

#[tokio::test]
async fn sockets_stay_open_when_redis_fails() {
    let mut redis = RedisServer::not_running();
    let (here, there) = start_nodes(json!({"redis_url": redis.url()})).await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    // These sockets open before Redis runs.
    let mut near = ann.open_base(&group).await;
    let mut far = ann.on_node(&there).open_base(&group).await;
    expect_local_delivery(&mut near, &ann, &group).await;
    assert_eq!(far.next_message().await, "ann now is [clock]", "by the log");
    for _ in 0..2 {
        redis.start_process().await;
        here.until_redis_is_connected().await;
        there.until_redis_is_connected().await;
        near.send(r#"{"message": "x"}"#).await;
        assert_eq!(near.next_message().await, "now is [clock]");
        assert_eq!(far.next_message().await, "ann now is [clock]");
        redis.kill();
        here.until_redis_is_lost().await;
        there.until_redis_is_lost().await;
        expect_local_delivery(&mut near, &ann, &group).await;
        // The event arrives later, from the log.
        assert_eq!(far.next_message().await, "ann now is [clock]");
    }
    far.expect_no_frames().await;
}

/// Both nodes send while Redis stops and starts. Each message arrives once at every other socket, and
/// its sender gets one reply.
#[tokio::test]
async fn redis_restarts_under_load_lose_no_messages() {
    const ROUNDS: usize = 3;
    const POSTS: usize = 40;
    let (mut redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let mut sockets = Vec::new();
    for node in [&here, &there, &here, &there] {
        sockets.push(ann.on_node(node).open_base(&group).await);
    }
    let sending = sockets.into_iter().map(|mut socket| async move {
        for _ in 0..ROUNDS * POSTS {
            socket.send(r#"{"message": "x"}"#).await;
        }
        let (mut replies, mut arrivals) = (0, 0);
        while replies < ROUNDS * POSTS || arrivals < 3 * ROUNDS * POSTS {
            match socket.next_message().await.as_str() {
                "now is [clock]" => replies += 1,
                "ann now is [clock]" => arrivals += 1,
                other => panic!("{other}"),
            }
        }
        socket.expect_no_frames().await;
    });
    let breaking = async {
        for _ in 0..ROUNDS {
            redis.kill();
            here.until_redis_is_lost().await;
            redis.start_process().await;
            here.until_redis_is_connected().await;
        }
    };
    tokio::join!(futures_util::future::join_all(sending), breaking);
}

/// A node that dies after the commit and before the broadcast.
#[tokio::test]
async fn unpublished_events_are_recovered_from_the_log() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let mut far = ann.on_node(&there).open_base(&group).await;
    for _ in 0..2 {
        message_without_actor(1, "untold")
            .apply_single(&here.ctx.db)
            .await
            .unwrap();
    }
    // A socket that opens later receives no earlier events.
    let mut later = ann.on_node(&there).open_base(&group).await;
    // The next message reveals the gap.
    let mut near = ann.open_base(&group).await;
    near.send(r#"{"message": "x"}"#).await;
    assert_eq!(near.next_message().await, "now is [clock]");
    for _ in 0..3 {
        assert_eq!(
            far.next_message().await,
            "ann now is [clock]",
            "no message has the reader's name"
        );
    }
    assert_eq!(later.next_message().await, "ann now is [clock]");
    for socket in [&mut far, &mut later, &mut near] {
        socket.expect_no_frames().await;
    }
}

/// The connection on which a node publishes breaks, and no other.
#[tokio::test]
async fn a_lost_publication_is_repaired_at_once() {
    let redis = RedisServer::start().await;
    // The sweep would find it much later.
    let channels = json!({"redis_url": redis.url(), "sweep_every": 3600});
    let (here, there) = connected_nodes_with(channels).await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let mut far = bob.on_node(&there).open_live(&group).await;
    // The connection of a node that subscribes is of another type.
    redis.run_command("CLIENT KILL TYPE normal");
    assert_eq!(ann.send_message(&group, "lost", "1").await.status, 201);
    assert_eq!(far.next_event().await["data"]["text"], "lost");
    redis.run_command("CLIENT KILL TYPE normal");
    ann.delete(&group.path("members/bob/")).await;
    assert_eq!(far.bye_code().await, 4403);
}

/// A node that did not receive a deletion does not replay the deleted text.
#[tokio::test]
async fn a_lagging_node_does_not_replay_deleted_text() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 3600}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    socket.send_message("secret", "1").await;
    let mut deletion = message_without_actor(1, "");
    deletion.kind = CommandKind::Delete { seq: 1 };
    deletion.apply_single(&app.ctx.db).await.unwrap();
    let again = json!({"type": "sub", "groups": [{"group": group, "after": 0}]});
    let (_, before) = socket.request_collecting(again).await;
    let frames = [before, socket.until_sync().await].concat();
    let later = ann.open_rich(&group, "after=0").await.until_sync().await;
    for frame in frames.iter().chain(&later) {
        assert!(!frame.to_string().contains("secret"), "{frame}");
    }
    assert_eq!(later.last().unwrap()["seq"], 2);
}

/// Messages within one node need no Redis.
async fn expect_local_delivery(socket: &mut Socket, user: &User<'_>, group: &str) {
    let mut other = user.open_base(group).await;
    socket.send(r#"{"message": "x"}"#).await;
    assert_eq!(socket.next_message().await, "now is [clock]");
    assert_eq!(other.next_message().await, "ann now is [clock]");
}
