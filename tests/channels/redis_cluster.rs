//! Two nodes with one database and a Redis cluster.

use axum::body::Bytes;
use futures_util::future::join_all;
use salam::channels::broker::BrokerUnavailable;
use serde_json::json;

use super::{
    broker::{connected_node, next_payload, subscribe_deadline},
    nodes::expect_messages_to_cross,
};
use crate::support::{
    RedisCluster, TEST_TIMEOUT, TestApp, User, connected_nodes_with, wait_until, with_timeout,
};

/// Starts nodes whose sweep is too rare to repair the losses of Redis.
async fn cluster_nodes(cluster: &RedisCluster) -> (TestApp, TestApp) {
    let channels = json!({"redis_url": cluster.url(), "sweep_every": 3600});
    connected_nodes_with(channels).await
}

/// Returns a group on each of the masters, with its slot.
async fn groups_on_each_master(cluster: &RedisCluster, user: &User<'_>) -> [(String, u16); 3] {
    let mut groups = [const { None }; 3];
    while groups.contains(&None) {
        let group = user.start_chat().await;
        let (master, slot) = cluster.master_and_slot_of(&format!("salam-test:{group}"));
        groups[master] = Some((group, slot));
    }
    groups.map(Option::unwrap)
}

#[tokio::test]
async fn messages_cross_nodes_through_every_cluster_master() {
    let cluster = RedisCluster::start().await;
    let (here, there) = cluster_nodes(&cluster).await;
    let ann = here.user("ann").await;
    for (group, _) in groups_on_each_master(&cluster, &ann).await {
        expect_messages_to_cross(&ann, &there, &group).await;
    }
}

/// Under load, a slot moves to another node, and a node dies and its replica takes over.
#[tokio::test]
async fn slot_migration_and_failover_under_load_lose_no_messages() {
    let mut cluster = RedisCluster::start().await;
    let (here, there) = cluster_nodes(&cluster).await;
    let ann = here.user("ann").await;
    let bob = ann.on_node(&there);
    let groups = groups_on_each_master(&cluster, &ann).await;
    let send_everywhere = async |round: &str| {
        let sends = groups
            .iter()
            .map(|(group, _)| send_and_receive(&ann, &bob, group, round));
        join_all(sends).await;
    };
    send_everywhere("before").await;

    let (_, moving) = groups[2];
    tokio::join!(send_everywhere("moving"), async {
        cluster.move_slot(moving, 2, 1)
    });
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    send_everywhere("moved").await;

    tokio::join!(send_everywhere("dying"), async {
        cluster.masters[0].kill();
        here.until_redis_is_lost().await;
        here.until_redis_is_connected().await;
        there.until_redis_is_connected().await;
    });
    send_everywhere("taken-over").await;
}

/// Sends many messages at one node, and checks that sockets at both nodes receive them.
async fn send_and_receive(near: &User<'_>, far: &User<'_>, group: &str, round: &str) {
    const COUNT: usize = 40;
    let mut sockets = [near.open_live(group).await, far.open_live(group).await];
    let mut sent = Vec::new();
    for number in 0..COUNT {
        let text = format!("{round}-{number}");
        assert_eq!(near.send_message(group, &text, &text).await.status, 201);
        sent.push(text);
    }
    for socket in &mut sockets {
        let received = socket.next_messages(COUNT).await;
        let received: Vec<_> = received.into_iter().map(|(_, text)| text).collect();
        assert_eq!(received, sent);
        socket.expect_no_events().await;
    }
}

/// The broker alone, without a log.
#[tokio::test]
async fn a_failed_cluster_master_affects_only_its_own_topics() {
    let mut cluster = RedisCluster::start().await;
    let (a, _at_a) = connected_node(&cluster.masters[1].url(), "x").await;
    let (b, mut at_b) = connected_node(&cluster.masters[2].url(), "x").await;
    let topics = topics_on_each_master(&cluster);
    for topic in &topics {
        b.subscribe(topic).wait(subscribe_deadline()).await;
    }
    let mut crosses = async |topic: &str, payload: &'static str| {
        let payload = Bytes::from_static(payload.as_bytes());
        a.publish(topic, payload.clone()).await.unwrap();
        // Notices of lost topics can arrive at any time.
        let received = loop {
            let received = next_payload(&mut at_b).await;
            if !received.1.is_empty() {
                break received;
            }
        };
        assert_eq!(received, (topic.to_owned(), payload));
    };
    for topic in &topics {
        crosses(topic, "1").await;
    }

    // This master has no replica.
    cluster.masters[2].kill();
    for broker in [&a, &b] {
        wait_until("the loss to be noticed", async || broker.is_disconnected()).await;
    }
    let rejected = a.publish(&topics[2], Bytes::from_static(b"2")).await;
    assert_eq!(rejected, Err(BrokerUnavailable));
    crosses(&topics[0], "3").await;
    crosses(&topics[1], "4").await;

    cluster.masters[2].start_process().await;
    for broker in [&a, &b] {
        with_timeout("the node", broker.wait_until_connected(TEST_TIMEOUT))
            .await
            .unwrap();
    }
    for topic in &topics {
        crosses(topic, "5").await;
    }

    // An operator starts a failover. The old master becomes the replica of the new one. It keeps its
    // connections and forwards publications until it stops.
    let mut sessions = b.reconnects().unwrap();
    sessions.mark_unchanged();
    cluster.replica.run_command("CLUSTER FAILOVER");
    with_timeout("the new master", sessions.changed())
        .await
        .unwrap();
    with_timeout("the new master", b.wait_until_connected(TEST_TIMEOUT))
        .await
        .unwrap();
    // The other broker notices later, and for a moment has no master that accepts its publications.
    let mut crosses_in_the_end = async |payload: &'static str| {
        let payload = Bytes::from_static(payload.as_bytes());
        wait_until("a master that takes it", async || {
            let taken = a.publish(&topics[0], payload.clone()).await;
            taken.is_ok()
        })
        .await;
        while next_payload(&mut at_b).await != (topics[0].clone(), payload.clone()) {}
    };
    crosses_in_the_end("6").await;
    cluster.masters[0].kill();
    crosses_in_the_end("7").await;
}

/// Returns a topic on each of the masters.
fn topics_on_each_master(cluster: &RedisCluster) -> [String; 3] {
    [0, 1, 2].map(|master| {
        (0..)
            .map(|number| format!("topic-{number}"))
            .find(|topic| cluster.master_and_slot_of(&format!("x:{topic}")).0 == master)
            .unwrap()
    })
}
