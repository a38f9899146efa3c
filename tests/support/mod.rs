//! Apps, people and servers for the tests. Everything goes through the doors that users take.

mod answer;
mod app;
mod database;
mod redis;
mod socket;

pub use answer::Answer;
pub use app::{TestApp, User};
pub use database::TestDatabase;
pub use redis::RedisServer;
pub use socket::Socket;

use std::{future::Future, time::Duration};

use tokio::time::{sleep, timeout};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a future gives, if it does so in time.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Waits until something holds that cannot be waited for otherwise.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
