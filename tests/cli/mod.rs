//! The commands of the program, each in a process of its own.

pub mod command;
mod configuration;
mod disk_faults;
mod doctor;
mod doctor_outside;
mod generate;
mod health;
mod incidents;
mod logging;
mod overview;
mod production_settings;
mod seed;
mod shutdown;
mod start;
#[cfg(feature = "otlp")]
mod traces;

use crate::support::{Certificates, RedisServer, Server, TestDatabase, skip_unless};

#[tokio::test]
async fn start_migrates_serves_and_stops_on_sigterm() {
    let database = TestDatabase::create().await;
    let mut server = Server::start(&database);
    let addresses = server.read_addresses().await;
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    for url in &addresses {
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{url}");
    }
    // A server of development serves the website of the documents, which its folder here does not have.
    let book = reqwest::get(format!("{}docs/", addresses[0]))
        .await
        .unwrap();
    assert!(book.text().await.unwrap().contains("Run `bin/docs`"));
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn nodes_that_start_together_migrate_in_turn() {
    skip_unless!(PostgreSQL);
    let database = TestDatabase::create().await;
    let mut servers = [(); 4].map(|()| Server::start(&database));
    for server in &mut servers {
        assert_eq!(server.read_addresses().await.len(), 3);
    }
}

#[tokio::test]
async fn start_logs_an_untrusted_redis_certificate() {
    let database = TestDatabase::create().await;
    let redis = RedisServer::start_tls(&Certificates::generate()).await;
    let mut server = Server::start_with_config(&database, &redis.url(), &[]);
    let line = server.wait_for_line("Redis is out of reach").await;
    assert!(line.contains("UnknownIssuer"), "{line}");
    assert!(line.contains("REDIS_CA_FILE"), "{line}");
}
