//! Two nodes, one database, and a cluster of Redis.

use axum::body::Bytes;
use futures_util::future::join_all;
use salam::channels::broker::Unavailable;
use serde_json::json;

use super::{
    broker::{connected, patience, received},
    nodes::{connected_nodes_with, posts_cross},
};
use crate::support::{PATIENCE, RedisCluster, TestApp, User, soon, until};

/// Nodes that find by no sweep what Redis loses, as long as it is there.
async fn nodes(cluster: &RedisCluster) -> (TestApp, TestApp) {
    let channels = json!({"redis_url": cluster.url(), "sweep_every": 3600});
    connected_nodes_with(channels).await
}

/// A group on each of the masters, and its slot.
async fn groups(cluster: &RedisCluster, user: &User<'_>) -> [(String, u16); 3] {
    let mut groups = [const { None }; 3];
    while groups.contains(&None) {
        let group = user.start_chat().await;
        let (master, slot) = cluster.slot(&format!("salam-test:{group}"));
        groups[master] = Some((group, slot));
    }
    groups.map(Option::unwrap)
}

#[tokio::test]
async fn messages_cross_by_each_node_of_a_cluster() {
    let cluster = RedisCluster::start().await;
    let (here, there) = nodes(&cluster).await;
    let ann = here.user("ann").await;
    for (group, _) in groups(&cluster, &ann).await {
        posts_cross(&ann, &there, &group).await;
    }
}

/// While all groups talk, a slot moves from node to node, and a node dies and its replica takes over.
#[tokio::test]
async fn a_cluster_that_changes_under_load_loses_nothing() {
    let mut cluster = RedisCluster::start().await;
    let (here, there) = nodes(&cluster).await;
    let ann = here.user("ann").await;
    let bob = ann.at(&there);
    let groups = groups(&cluster, &ann).await;
    let talk = async |round: &str| {
        let talks = groups
            .iter()
            .map(|(group, _)| talk(&ann, &bob, group, round));
        join_all(talks).await;
    };
    talk("before").await;

    let (_, moving) = groups[2];
    tokio::join!(talk("moving"), async { cluster.move_slot(moving, 2, 1) });
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    talk("moved").await;

    tokio::join!(talk("dying"), async {
        cluster.masters[0].kill();
        here.until_redis_is_missed().await;
        here.until_redis_is_connected().await;
        there.until_redis_is_connected().await;
    });
    talk("taken-over").await;
}

/// Says many things in a group at one node while sockets at both hear them.
async fn talk(near: &User<'_>, far: &User<'_>, group: &str, round: &str) {
    const COUNT: usize = 40;
    let mut sockets = [near.live(group).await, far.live(group).await];
    let mut said = Vec::new();
    for number in 0..COUNT {
        let text = format!("{round}-{number}");
        assert_eq!(near.say(group, &text, &text).await.status, 201);
        said.push(text);
    }
    for socket in &mut sockets {
        let heard = socket.messages(COUNT).await;
        let heard: Vec<_> = heard.into_iter().map(|(_, text)| text).collect();
        assert_eq!(heard, said);
        socket.until_silent().await;
    }
}

/// The broker alone, which knows no log.
#[tokio::test]
async fn what_becomes_of_one_node_is_nothing_to_the_others() {
    let mut cluster = RedisCluster::start().await;
    let (a, _at_a) = connected(&cluster.masters[1].url(), "x").await;
    let (b, mut at_b) = connected(&cluster.masters[2].url(), "x").await;
    let topics = topics(&cluster);
    for topic in &topics {
        b.subscribe(topic).wait(patience()).await;
    }
    let mut crosses = async |topic: &str, payload: &'static str| {
        let payload = Bytes::from_static(payload.as_bytes());
        a.publish(topic, payload.clone()).await.unwrap();
        // That others were lost is told at any time.
        let heard = loop {
            let heard = received(&mut at_b).await;
            if !heard.1.is_empty() {
                break heard;
            }
        };
        assert_eq!(heard, (topic.to_owned(), payload));
    };
    for topic in &topics {
        crosses(topic, "1").await;
    }

    // It has no replica.
    cluster.masters[2].kill();
    for broker in [&a, &b] {
        until("the loss to be noticed", async || broker.is_away()).await;
    }
    let refused = a.publish(&topics[2], Bytes::from_static(b"2")).await;
    assert_eq!(refused, Err(Unavailable));
    crosses(&topics[0], "3").await;
    crosses(&topics[1], "4").await;

    cluster.masters[2].run().await;
    for broker in [&a, &b] {
        soon("the node", broker.connected(PATIENCE)).await.unwrap();
    }
    for topic in &topics {
        crosses(topic, "5").await;
    }

    // An operator lets the replica take over. The old master stays as its replica, with all
    // connections, and carries what comes to it until it goes.
    let mut sessions = b.sessions().unwrap();
    sessions.mark_unchanged();
    cluster.replica.command("CLUSTER FAILOVER");
    soon("the new master", sessions.changed()).await.unwrap();
    soon("the new master", b.connected(PATIENCE)).await.unwrap();
    // The other finds out when it does, and has nobody to take a publication for a moment.
    let mut crosses_in_the_end = async |payload: &'static str| {
        let payload = Bytes::from_static(payload.as_bytes());
        until("a master that takes it", async || {
            let taken = a.publish(&topics[0], payload.clone()).await;
            taken.is_ok()
        })
        .await;
        while received(&mut at_b).await != (topics[0].clone(), payload.clone()) {}
    };
    crosses_in_the_end("6").await;
    cluster.masters[0].kill();
    crosses_in_the_end("7").await;
}

/// A topic on each of the masters.
fn topics(cluster: &RedisCluster) -> [String; 3] {
    [0, 1, 2].map(|master| {
        (0..)
            .map(|number| format!("topic-{number}"))
            .find(|topic| cluster.slot(&format!("x:{topic}")).0 == master)
            .unwrap()
    })
}
