//! The broker's contract, the same over both ways.

use std::time::Duration;

use axum::body::Bytes;
use loco_rs::{app::Hooks, environment::Environment};
use salam::{
    app::App,
    channels::broker::{Broker, Bus, Inbox, Unavailable},
    settings::Settings,
    supervisor::Supervisor,
};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::support::{RedisCluster, RedisServer, soon};

pub type Node = (Broker, Inbox);

/// Returns the time until which a subscription is waited for.
pub fn patience() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// A node of the tests' installation, but for the secret.
pub async fn node_with_secret(url: &str, secret: &str) -> Node {
    let mut config = App::load_config(&Environment::Test).await.unwrap();
    let settings = config.settings.as_mut().unwrap();
    settings["channels"]["redis_url"] = json!(url);
    settings["tokens"]["secret"] = json!(secret);
    let settings = Settings::load(&config, &Environment::Test).unwrap();
    let node = Broker::open(&settings, &Supervisor::default());
    node.0.connected(Duration::from_secs(5)).await.unwrap();
    node
}

pub(super) async fn redis_node(url: &str, prefix: &str) -> Node {
    let mut config = App::load_config(&Environment::Test).await.unwrap();
    let channels = &mut config.settings.as_mut().unwrap()["channels"];
    channels["redis_url"] = json!(url);
    channels["topic_prefix"] = json!(prefix);
    let settings = Settings::load(&config, &Environment::Test).unwrap();
    Broker::open(&settings, &Supervisor::default())
}

pub async fn connected(url: &str, prefix: &str) -> Node {
    let node = redis_node(url, prefix).await;
    node.0.connected(Duration::from_secs(5)).await.unwrap();
    node
}

pub(super) async fn received(inbox: &mut Inbox) -> (String, Bytes) {
    soon("a payload", inbox.recv()).await.unwrap()
}

/// What every broker keeps, told over three nodes.
async fn contract([(a, mut at_a), (b, mut at_b), (c, mut at_c)]: [Node; 3]) {
    a.subscribe("one").wait(patience()).await;
    b.subscribe("one").wait(patience()).await;
    c.subscribe("two").wait(patience()).await;

    // It reaches other subscribers of the topic, byte for byte, and nobody else.
    let payload = Bytes::from_static(b"\x00\xff\r\n*1");
    a.publish("one", payload.clone()).await.unwrap();
    assert_eq!(received(&mut at_b).await, ("one".to_owned(), payload));
    a.publish("two", Bytes::from_static(b"2")).await.unwrap();
    assert_eq!(received(&mut at_c).await.1, "2");

    // The order of one publisher is kept, whether it waits or not.
    for i in 0..499 {
        drop(b.publish("one", Bytes::from(i.to_string())));
    }
    b.publish("one", Bytes::from_static(b"499")).await.unwrap();
    for i in 0..500 {
        assert_eq!(
            received(&mut at_a).await,
            ("one".to_owned(), Bytes::from(i.to_string()))
        );
    }

    // Nothing comes after the topic was dropped, nor anything twice after it was taken up again.
    b.unsubscribe("one");
    b.subscribe("two").wait(patience()).await;
    a.publish("one", Bytes::from_static(b"missed"))
        .await
        .unwrap();
    a.publish("two", Bytes::from_static(b"3")).await.unwrap();
    assert_eq!(received(&mut at_b).await.1, "3");
    b.subscribe("one").wait(patience()).await;
    b.subscribe("one").wait(patience()).await;
    a.publish("one", Bytes::from_static(b"4")).await.unwrap();
    a.publish("one", Bytes::from_static(b"5")).await.unwrap();
    assert_eq!(received(&mut at_b).await.1, "4");
    assert_eq!(received(&mut at_b).await.1, "5");

    // The publisher never heard itself, and all is said.
    assert_eq!(received(&mut at_c).await.1, "3");
    for inbox in [&mut at_a, &mut at_b, &mut at_c] {
        assert!(inbox.try_recv().is_err());
    }
}

#[tokio::test]
async fn the_local_broker_keeps_the_contract() {
    let bus = Bus::default();
    contract([
        Broker::local(&bus),
        Broker::local(&bus),
        Broker::local(&bus),
    ])
    .await;
}

#[tokio::test]
async fn the_redis_broker_keeps_the_contract() {
    let server = RedisServer::start().await;
    contract([
        connected(&server.url(), "x").await,
        connected(&server.url(), "x").await,
        connected(&server.url(), "x").await,
    ])
    .await;
}

#[tokio::test]
async fn a_redis_cluster_keeps_the_contract() {
    let cluster = RedisCluster::start().await;
    // By any node of it; one that is not there does no harm.
    let absent = RedisServer::absent().url().replace("redis://", "");
    let urls = [
        cluster.masters[0].url(),
        cluster.replica.url(),
        format!("{},{absent}", cluster.url()),
    ];
    contract([
        connected(&urls[0], "x").await,
        connected(&urls[1], "x").await,
        connected(&urls[2], "x").await,
    ])
    .await;
}

#[tokio::test]
async fn installations_on_one_redis_do_not_hear_each_other() {
    let server = RedisServer::start().await;
    let (here, mut inbox) = connected(&server.url(), "here").await;
    let (there, _) = connected(&server.url(), "there").await;
    let (neighbour, _) = connected(&server.url(), "here").await;
    here.subscribe("one").wait(patience()).await;
    there
        .publish("one", Bytes::from_static(b"foreign"))
        .await
        .unwrap();
    neighbour
        .publish("one", Bytes::from_static(b"own"))
        .await
        .unwrap();
    assert_eq!(received(&mut inbox).await.1, "own");
}

#[tokio::test]
async fn a_redis_that_comes_late_or_comes_back_is_found() {
    let mut server = RedisServer::absent();
    let (a, _at_a) = redis_node(&server.url(), "x").await;
    let (b, mut at_b) = redis_node(&server.url(), "x").await;
    // Not there: nothing waits for it, and who publishes is told.
    soon("the subscription", b.subscribe("one").wait(patience())).await;
    let refused = soon("a refusal", a.publish("one", Bytes::from_static(b"0"))).await;
    assert_eq!(refused, Err(Unavailable));

    for round in ["1", "2", "3"] {
        server.run().await;
        a.connected(Duration::from_secs(10)).await.unwrap();
        b.connected(Duration::from_secs(10)).await.unwrap();
        a.publish("one", Bytes::from_static(round.as_bytes()))
            .await
            .unwrap();
        // That "0" was lost is told as soon as it can be, to whoever is there by then.
        let mut heard = received(&mut at_b).await.1;
        if round == "1" && heard.is_empty() {
            heard = received(&mut at_b).await.1;
        }
        assert_eq!(heard, round);
        server.kill();
        crate::support::until("the loss to be noticed", async || {
            a.connected(Duration::ZERO).await.is_err() && b.connected(Duration::ZERO).await.is_err()
        })
        .await;
    }
    assert!(
        timeout(Duration::ZERO, at_b.recv()).await.is_err(),
        "nothing came twice"
    );
}

#[tokio::test]
async fn a_single_process_has_no_way_to_others() {
    let (broker, _inbox) = Broker::local(&Bus::default());
    assert_eq!(broker.connected(Duration::ZERO).await, Err(Unavailable));
}
