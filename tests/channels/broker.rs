//! The contract of the broker, for the local broker and for Redis.

use std::{fs, time::Duration};

use axum::body::Bytes;
use loco_rs::{app::Hooks, environment::Environment};
use salam::{
    app::App,
    channels::broker::{Broker, BrokerUnavailable, Inbox, LocalBus},
    settings::Settings,
    supervisor::Supervisor,
};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::time::{Instant, timeout};

use crate::support::{RedisCluster, RedisServer, with_timeout};

pub type BrokerNode = (Broker, Inbox);

/// Returns the deadline for a subscription.
pub fn subscribe_deadline() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// Starts a broker of the tests' installation with another secret.
pub async fn node_with_secret(url: &str, secret: &str) -> BrokerNode {
    let mut config = App::load_config(&Environment::Test).await.unwrap();
    let settings = config.settings.as_mut().unwrap();
    settings["channels"]["redis_url"] = json!(url);
    settings["tokens"]["secret"] = json!(secret);
    let settings = Settings::load(&config, &Environment::Test).unwrap();
    let node = Broker::open(&settings, &Supervisor::default());
    node.0
        .wait_until_connected(Duration::from_secs(5))
        .await
        .unwrap();
    node
}

pub(super) async fn redis_node(url: &str, prefix: &str) -> BrokerNode {
    let mut config = App::load_config(&Environment::Test).await.unwrap();
    let channels = &mut config.settings.as_mut().unwrap()["channels"];
    channels["redis_url"] = json!(url);
    channels["topic_prefix"] = json!(prefix);
    let settings = Settings::load(&config, &Environment::Test).unwrap();
    Broker::open(&settings, &Supervisor::default())
}

pub async fn connected_node(url: &str, prefix: &str) -> BrokerNode {
    let node = redis_node(url, prefix).await;
    node.0
        .wait_until_connected(Duration::from_secs(5))
        .await
        .unwrap();
    node
}

#[tokio::test]
async fn connections_to_redis_have_the_name_of_the_node() {
    let redis = RedisServer::start().await;
    let _node = connected_node(&redis.url(), "salam").await;
    let clients = redis.query("CLIENT LIST");
    let named = clients
        .lines()
        .filter(|client| client.contains(" name=salam/") && client.contains(":8001 "));
    assert!(named.count() >= 1, "{clients}");

    // An account may lack the right to set the name.
    redis.run_command("ACL SETUSER default -client|setname");
    let _unnamed = connected_node(&redis.url(), "salam").await;
}

pub(super) async fn next_payload(inbox: &mut Inbox) -> (String, Bytes) {
    with_timeout("a payload", inbox.recv()).await.unwrap()
}

/// Checks the promises of every broker, with three nodes.
async fn check_broker_contract([(a, mut at_a), (b, mut at_b), (c, mut at_c)]: [BrokerNode; 3]) {
    a.subscribe("one").wait(subscribe_deadline()).await;
    b.subscribe("one").wait(subscribe_deadline()).await;
    c.subscribe("two").wait(subscribe_deadline()).await;

    // A payload reaches the other subscribers of its topic, unchanged, and nobody else.
    let payload = Bytes::from_static(b"\x00\xff\r\n*1");
    a.publish("one", payload.clone()).await.unwrap();
    assert_eq!(next_payload(&mut at_b).await, ("one".to_owned(), payload));
    a.publish("two", Bytes::from_static(b"2")).await.unwrap();
    assert_eq!(next_payload(&mut at_c).await.1, "2");

    // The payloads of one publisher arrive in order, with and without awaiting each one.
    for i in 0..499 {
        drop(b.publish("one", Bytes::from(i.to_string())));
    }
    b.publish("one", Bytes::from_static(b"499")).await.unwrap();
    for i in 0..500 {
        assert_eq!(
            next_payload(&mut at_a).await,
            ("one".to_owned(), Bytes::from(i.to_string()))
        );
    }

    // No payload arrives after `unsubscribe`, and none arrives twice after a new subscription.
    b.unsubscribe("one");
    b.subscribe("two").wait(subscribe_deadline()).await;
    a.publish("one", Bytes::from_static(b"missed"))
        .await
        .unwrap();
    a.publish("two", Bytes::from_static(b"3")).await.unwrap();
    assert_eq!(next_payload(&mut at_b).await.1, "3");
    b.subscribe("one").wait(subscribe_deadline()).await;
    b.subscribe("one").wait(subscribe_deadline()).await;
    a.publish("one", Bytes::from_static(b"4")).await.unwrap();
    a.publish("one", Bytes::from_static(b"5")).await.unwrap();
    assert_eq!(next_payload(&mut at_b).await.1, "4");
    assert_eq!(next_payload(&mut at_b).await.1, "5");

    // The publisher does not receive its own payloads, and no payload is left.
    assert_eq!(next_payload(&mut at_c).await.1, "3");
    for inbox in [&mut at_a, &mut at_b, &mut at_c] {
        assert!(inbox.try_recv().is_err());
    }
}

#[tokio::test]
async fn the_local_broker_satisfies_the_broker_contract() {
    let bus = LocalBus::default();
    check_broker_contract([
        Broker::local(&bus),
        Broker::local(&bus),
        Broker::local(&bus),
    ])
    .await;
}

/// A node that was dropped loses nothing.
#[test]
fn the_local_broker_logs_full_inboxes_but_not_dropped_inboxes() {
    const INBOX_CAPACITY: usize = 1024;

    let log = NamedTempFile::new().unwrap();
    let logged = || fs::read_to_string(log.path()).unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.reopen().unwrap())
        .finish();
    let bus = LocalBus::default();
    let (here, _inbox) = Broker::local(&bus);
    let (dropped, dropped_inbox) = Broker::local(&bus);
    let (slow, _unread_inbox) = Broker::local(&bus);
    dropped.subscribe("dropped");
    slow.subscribe("slow");
    drop((dropped, dropped_inbox));
    let publish = |topic| drop(here.publish(topic, Bytes::from_static(b"x")));
    tracing::subscriber::with_default(subscriber, || {
        publish("dropped");
        for _ in 0..INBOX_CAPACITY {
            publish("slow");
        }
        assert_eq!(logged(), "");
        publish("slow");
    });
    let logged = logged();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    assert!(logged.contains("inbox of a node is full"), "{logged}");
}

#[tokio::test]
async fn the_redis_broker_satisfies_the_broker_contract() {
    let server = RedisServer::start().await;
    check_broker_contract([
        connected_node(&server.url(), "x").await,
        connected_node(&server.url(), "x").await,
        connected_node(&server.url(), "x").await,
    ])
    .await;
}

#[tokio::test]
async fn a_redis_cluster_satisfies_the_broker_contract() {
    let cluster = RedisCluster::start().await;
    // Any node of the cluster is enough. An unreachable node in the list does no harm.
    let absent = RedisServer::not_running().url().replace("redis://", "");
    let urls = [
        cluster.masters[0].url(),
        cluster.replica.url(),
        format!("{},{absent}", cluster.url()),
    ];
    check_broker_contract([
        connected_node(&urls[0], "x").await,
        connected_node(&urls[1], "x").await,
        connected_node(&urls[2], "x").await,
    ])
    .await;
}

#[tokio::test]
async fn installations_with_different_topic_prefixes_are_isolated() {
    let server = RedisServer::start().await;
    let (here, mut inbox) = connected_node(&server.url(), "here").await;
    let (there, _) = connected_node(&server.url(), "there").await;
    let (neighbour, _) = connected_node(&server.url(), "here").await;
    here.subscribe("one").wait(subscribe_deadline()).await;
    there
        .publish("one", Bytes::from_static(b"foreign"))
        .await
        .unwrap();
    neighbour
        .publish("one", Bytes::from_static(b"own"))
        .await
        .unwrap();
    assert_eq!(next_payload(&mut inbox).await.1, "own");
}

#[tokio::test]
async fn the_broker_reconnects_when_redis_starts_or_restarts() {
    let mut server = RedisServer::not_running();
    let (a, _at_a) = redis_node(&server.url(), "x").await;
    let (b, mut at_b) = redis_node(&server.url(), "x").await;
    // Redis is not running: nothing waits for it, and the publisher gets an error.
    with_timeout(
        "the subscription",
        b.subscribe("one").wait(subscribe_deadline()),
    )
    .await;
    let rejected = with_timeout("a refusal", a.publish("one", Bytes::from_static(b"0"))).await;
    assert_eq!(rejected, Err(BrokerUnavailable));

    for round in ["1", "2", "3"] {
        server.start_process().await;
        a.wait_until_connected(Duration::from_secs(10))
            .await
            .unwrap();
        b.wait_until_connected(Duration::from_secs(10))
            .await
            .unwrap();
        a.publish("one", Bytes::from_static(round.as_bytes()))
            .await
            .unwrap();
        // The subscribers learn about the lost "0" as soon as Redis is back.
        let mut received = next_payload(&mut at_b).await.1;
        if round == "1" && received.is_empty() {
            received = next_payload(&mut at_b).await.1;
        }
        assert_eq!(received, round);
        server.kill();
        crate::support::wait_until("the loss to be noticed", async || {
            a.wait_until_connected(Duration::ZERO).await.is_err()
                && b.wait_until_connected(Duration::ZERO).await.is_err()
        })
        .await;
    }
    assert!(
        timeout(Duration::ZERO, at_b.recv()).await.is_err(),
        "nothing came twice"
    );
}

#[tokio::test]
async fn the_local_broker_reports_itself_unavailable() {
    let (broker, _inbox) = Broker::local(&LocalBus::default());
    assert_eq!(
        broker.wait_until_connected(Duration::ZERO).await,
        Err(BrokerUnavailable)
    );
}
