//! A Redis with TLS.

use serde_json::json;

use crate::support::{Certificates, RedisCluster, RedisServer, connected_nodes_with, start_nodes};

#[tokio::test]
async fn nodes_connect_to_a_redis_with_a_trusted_certificate() {
    let certificates = Certificates::generate();
    let redis = RedisServer::start_tls(&certificates).await;
    let cluster = RedisCluster::start_tls(&certificates).await;
    for url in [redis.url(), cluster.url()] {
        let channels = json!({
            "redis_url": url,
            "redis_ca_file": certificates.ca_certificate(),
            "sweep_every": 3600,
        });
        let (here, there) = connected_nodes_with(channels).await;
        let (group, [ann]) = here.group_of(["ann"]).await;
        let mut far = ann.on_node(&there).open_live(&group).await;
        assert_eq!(ann.send_message(&group, "x", "1").await.status, 201);
        assert_eq!(far.next_event().await["data"]["text"], "x");
    }
}

/// Neither the public authorities nor another private authority signed the certificate.
#[tokio::test]
async fn a_redis_with_an_untrusted_certificate_is_refused() {
    let redis = RedisServer::start_tls(&Certificates::generate()).await;
    let other = Certificates::generate();
    for authority in [json!(""), json!(other.ca_certificate())] {
        let channels = json!({
            "redis_url": redis.url(),
            "redis_ca_file": authority,
            "sweep_every": 1,
        });
        let (here, there) = start_nodes(channels).await;
        let (group, [ann]) = here.group_of(["ann"]).await;
        let mut far = ann.on_node(&there).open_live(&group).await;
        assert_eq!(ann.send_message(&group, "x", "1").await.status, 201);
        assert_eq!(far.next_event().await["data"]["text"], "x", "by the log");
        here.until_redis_is_lost().await;
    }
}
