//! A Redis behind TLS.

use std::sync::Arc;

use serde_json::json;

use crate::support::{Certificates, RedisCluster, RedisServer, TestApp, TestDatabase};

#[tokio::test]
async fn messages_cross_by_a_redis_whose_certificate_is_trusted() {
    let certificates = Certificates::make();
    let redis = RedisServer::start_tls(&certificates).await;
    let cluster = RedisCluster::start_tls(&certificates).await;
    for url in [redis.url(), cluster.url()] {
        let database = Arc::new(TestDatabase::create().await);
        let settings = json!({"channels": {
            "redis_url": url,
            "redis_ca_file": certificates.authority(),
            "sweep_every": 3600,
        }});
        let here = TestApp::node(database.clone(), settings.clone()).await;
        let there = TestApp::node(database, settings).await;
        here.until_redis_is_connected().await;
        there.until_redis_is_connected().await;
        let ann = here.user("ann").await;
        let group = ann.start_chat().await;
        let mut far = ann.at(&there).live(&group).await;
        assert_eq!(ann.say(&group, "x", "1").await.status, 201);
        assert_eq!(far.event().await["data"]["text"], "x");
    }
}

/// The public authorities do not know ours; another authority of our own does not either.
#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let redis = RedisServer::start_tls(&Certificates::make()).await;
    let other = Certificates::make();
    for authority in [json!(""), json!(other.authority())] {
        let database = Arc::new(TestDatabase::create().await);
        let settings = json!({"channels": {
            "redis_url": redis.url(),
            "redis_ca_file": authority,
            "sweep_every": 1,
        }});
        let here = TestApp::node(database.clone(), settings.clone()).await;
        let there = TestApp::node(database, settings).await;
        let ann = here.user("ann").await;
        let group = ann.start_chat().await;
        let mut far = ann.at(&there).live(&group).await;
        assert_eq!(ann.say(&group, "x", "1").await.status, 201);
        assert_eq!(far.event().await["data"]["text"], "x", "by the log");
        here.until_redis_is_missed().await;
    }
}
