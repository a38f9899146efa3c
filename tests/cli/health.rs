//! `salam-cli health`, which containers run as their health check.

use serde_json::{Value, json};

use super::command::CommandRun;
use crate::support::{Server, TestDatabase};

#[tokio::test]
async fn health_asks_the_metrics_listener_of_the_node() {
    let database = TestDatabase::create().await;
    let (server, output) = Server::start_recorded(&database, "", &[], |command| {
        command.env("METRICS_BINDING", "127.0.0.1:0");
    });
    let line = output.wait_for_line("metrics listener started").await;
    let address = line.rsplit_once("address=").unwrap().1.trim().to_owned();
    let variables = [("METRICS_BINDING", &*address)];
    let run = CommandRun::run(&["health"], &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    let health: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(
        (&health["ok"], &health["peers"]),
        (&json!(true), &json!([]))
    );
    let quiet = CommandRun::run(&["health", "--quiet"], &variables).await;
    assert_eq!((quiet.code, &*quiet.output), (Some(0), ""));
    assert!(server.stop().await.success());
    let run = CommandRun::run(&["health"], &variables).await;
    assert_eq!(run.code, Some(1));
    assert!(run.output.contains("no answer from"), "{}", run.output);
}

#[tokio::test]
async fn health_asks_the_readiness_probe_without_a_metrics_listener() {
    let database = TestDatabase::create().await;
    let mut server = Server::start(&database);
    let port = server.listen_address().await.port().to_string();
    let run = CommandRun::run(&["health"], &[("PORT", &*port)]).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert!(
        run.output.contains(r#"{"ok":true,"state":"ok"}"#),
        "{}",
        run.output
    );
    let url = format!("http://127.0.0.1:{port}/no/such/path");
    let run = CommandRun::run(&["health", "--url", &url], &[]).await;
    assert_eq!(run.code, Some(1));
}

/// A person runs the command in a shell that lacks the secrets of the node.
#[tokio::test]
async fn health_needs_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("METRICS_BINDING", "127.0.0.1:1")];
    let args = ["health", "-e", "production"];
    let run = CommandRun::run_in(folder.path(), &args, &variables).await;
    assert_eq!(run.code, Some(1));
    assert!(run.output.contains("no answer from"), "{}", run.output);
}
