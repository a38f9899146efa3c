//! The commands, as their user runs them.

mod command;
mod doctor;
mod faults;
mod generate;
mod logs;
mod overview;
mod production;
mod seed;
mod stops;

use crate::support::{Certificates, RedisServer, Server, TestDatabase, skip};

#[tokio::test]
async fn it_migrates_serves_says_where_and_stops_when_told() {
    let database = TestDatabase::create().await;
    let mut server = Server::start(&database);
    let told = server.addresses().await;
    assert_eq!(told.len(), 3, "{told:?}");
    for url in &told {
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{url}");
    }
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn nodes_that_start_together_migrate_one_after_the_other() {
    let database = TestDatabase::create().await;
    if database.uri.starts_with("sqlite:") {
        return skip("SQLite has one node");
    }
    let mut servers = [(); 4].map(|()| Server::start(&database));
    for server in &mut servers {
        assert_eq!(server.addresses().await.len(), 3);
    }
}

#[tokio::test]
async fn it_says_that_the_certificate_of_redis_is_not_trusted() {
    let database = TestDatabase::create().await;
    let redis = RedisServer::start_tls(&Certificates::make()).await;
    let mut server = Server::with(&database, &redis.url(), &[]);
    let line = server.line_with("Redis is out of reach").await;
    assert!(line.contains("UnknownIssuer"), "{line}");
    assert!(line.contains("REDIS_CA_FILE"), "{line}");
}
