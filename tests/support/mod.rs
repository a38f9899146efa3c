//! Apps, people and servers for the tests. Everything goes through the doors that users take.

mod answer;
mod app;
mod browser;
mod cutter;
mod database;
pub mod document;
mod events;
mod pgbouncer;
mod redact;
mod redis;
mod rich;
pub mod schemas;
mod server;
mod socket;

pub use answer::{Answer, line};
pub use app::{TestApp, User};
pub use browser::{Browser, Look};
pub use cutter::{Cut, Cutter};
pub use database::TestDatabase;
pub use events::EventStream;
pub use pgbouncer::PgBouncer;
pub use redact::{all_shown, redact, shown};
pub use redis::{Certificates, RedisCluster, RedisServer, WatchedRedis};
pub use rich::RichSocket;
pub use server::{Recording, Server};
pub use socket::Socket;

use std::{future::Future, io::Write, time::Duration};

use salam::models::changes::{Change, What};
use tokio::time::{sleep, timeout};

/// What nobody in particular says in a group.
pub fn said(group_id: i64, text: &str) -> Change {
    Change {
        group_id,
        author: None,
        cid: None,
        what: What::Send {
            text: text.to_owned(),
            reply_to: None,
        },
    }
}

/// That these lines are those which somebody has reviewed, in whatever order.
pub fn assert_reviewed(lines: Vec<String>, reviewed: &[&str]) {
    let new = lines
        .iter()
        .filter(|line| !reviewed.contains(&line.as_str()));
    let gone = reviewed
        .iter()
        .filter(|line| lines.iter().all(|it| it != *line));
    let new: String = new.map(|line| format!("  + {line}\n")).collect();
    let gone: String = gone.map(|line| format!("  - {line}\n")).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "review this:\n{gone}{new}"
    );
    assert_eq!(lines.len(), reviewed.len(), "a line stands there twice");
}

/// Says that a test, or a part of it, did not run. The harness knows no skipping at run time.
pub fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How many cases a property is tried with: a few hundred, or `SALAM_CASES` of them.
pub fn cases() -> u32 {
    let asked = std::env::var("SALAM_CASES").ok();
    asked.map_or(300, |asked| asked.parse().unwrap())
}

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
