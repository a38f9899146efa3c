//! Test apps, users and servers. The tests use the public interfaces: HTTP, sockets and the command
//! line.

mod app;
pub mod asyncapi;
mod browser;
mod database;
mod event_stream;
mod nodes;
pub mod openapi;
mod pgbouncer;
mod postgres_proxy;
mod proxy;
mod redact;
mod redis;
mod response;
mod rich_socket;
mod server;
mod socket;

pub use app::{GroupPath, TestApp, User};
pub use browser::{Browser, Device};
pub use database::TestDatabase;
pub use event_stream::EventStream;
pub use nodes::{connected_nodes, connected_nodes_with, start_nodes};
pub use pgbouncer::PgBouncer;
pub use postgres_proxy::{CommitFault, FaultyPostgresProxy};
pub use proxy::{PROXY_HOST, Proxy, ProxyKind, free_port};
pub use redact::{redact_frame, redact_frames, redact_text};
pub use redis::{Certificates, RedisCluster, RedisServer, SentinelRedis};
pub use response::{TestResponse, one_line};
pub use rich_socket::RichSocket;
pub use server::{RecordedOutput, Server};
pub use socket::Socket;

use std::{fs::OpenOptions, future::Future, io::Write, time::Duration};

use salam::models::group_commands::{CommandKind, GroupCommand};
use tokio::time::{sleep, timeout};

/// Returns a `send` command without an actor.
pub fn message_without_actor(group_id: i64, text: &str) -> GroupCommand {
    GroupCommand {
        group_id,
        actor: None,
        cid: None,
        kind: CommandKind::Send {
            text: text.to_owned(),
            reply_to: None,
        },
    }
}

/// Asserts that the lines are the reviewed lines, in any order.
pub fn assert_reviewed(lines: Vec<String>, reviewed: &[&str]) {
    let new = lines
        .iter()
        .filter(|line| !reviewed.contains(&line.as_str()));
    let missing = reviewed
        .iter()
        .filter(|line| lines.iter().all(|it| it != *line));
    let new: String = new.map(|line| format!("  + {line}\n")).collect();
    let missing: String = missing.map(|line| format!("  - {line}\n")).collect();
    assert!(
        new.is_empty() && missing.is_empty(),
        "review this:\n{missing}{new}"
    );
    assert_eq!(lines.len(), reviewed.len(), "a line occurs twice");
}

/// Ends the test and reports it as skipped, unless the tests run on the given database:
/// `skip_unless!(PostgreSQL);`
///
/// The test harness cannot skip a test at run time, so a skipped test counts as passed. `bin/test`
/// lists the skipped tests after each run.
macro_rules! skip_unless {
    ($database:ident) => {
        let database = stringify!($database);
        if database != $crate::support::database_name() {
            let test = std::any::type_name_of_val(&|| {});
            return $crate::support::report_skipped(test, &format!("needs {database}"));
        }
    };
}
pub(crate) use skip_unless;

/// Returns the name of the database that the tests run on.
pub fn database_name() -> &'static str {
    match std::env::var("DATABASE_URL") {
        Ok(url) if url.starts_with("postgres") => "PostgreSQL",
        _ => "SQLite",
    }
}

/// Reports a skipped test on stderr, and in the file `SALAM_SKIPPED_TESTS`, which `bin/test` shows.
///
/// `test` is the type name of a closure in the test: `salam::cli::a_test::{{closure}}`.
pub fn report_skipped(test: &str, reason: &str) {
    let test = test.replace("::{{closure}}", "");
    let _ = writeln!(std::io::stderr(), "skipped: {reason}: {test}");
    let Ok(file) = std::env::var("SALAM_SKIPPED_TESTS") else {
        return;
    };
    let options = OpenOptions::new().append(true).create(true).clone();
    let mut file = options.open(file).unwrap();
    file.write_all(format!("{reason}: {test}\n").as_bytes())
        .unwrap();
}

/// The longest time that a test waits for one thing.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The number of cases of a property: a few hundred, or `SALAM_CASES`.
pub fn proptest_cases() -> u32 {
    let cases = std::env::var("SALAM_CASES").ok();
    cases.map_or(300, |cases| cases.parse().unwrap())
}

/// Returns the output of a future. Fails after [`TEST_TIMEOUT`].
pub async fn with_timeout<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(TEST_TIMEOUT, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out after {TEST_TIMEOUT:?} waiting for {what}"),
    }
}

/// Polls until a condition holds. Fails after [`TEST_TIMEOUT`].
pub async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    with_timeout(what, async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
