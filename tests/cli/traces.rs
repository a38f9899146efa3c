//! The export of traces, in a build with the feature `otlp`.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{GroupPath, Server, TestDatabase, TestResponse, wait_until};

const JSON_LOG: (&str, &str) = ("  format: compact", "  format: json");

const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

type Exports = Arc<Mutex<Vec<Bytes>>>;

/// Starts a collector. Returns its URL and the requests that it receives.
async fn start_collector() -> (String, Exports) {
    let exports = Exports::default();
    let receive = async |State(exports): State<Exports>, body: Bytes| {
        exports.lock().unwrap().push(body);
    };
    let router = Router::new()
        .route("/v1/traces", post(receive))
        .with_state(exports.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, exports)
}

/// Returns the number of occurrences of these bytes in the exports.
fn count_bytes(exports: &Exports, bytes: &[u8]) -> usize {
    let exports = exports.lock().unwrap();
    let windows = exports
        .iter()
        .flat_map(|export| export.windows(bytes.len()));
    windows.filter(|window| *window == bytes).count()
}

#[tokio::test]
async fn the_spans_of_a_request_are_exported_in_its_trace() {
    let (collector, exports) = start_collector().await;
    let database = TestDatabase::create().await;
    // The level of the log does not change the export.
    let level = (
        r#"level: <%= get_env(name="LOG_LEVEL", default="info") %>"#,
        "level: error",
    );
    let (server, log) = Server::start_recorded(&database, "", &[JSON_LOG, level], |command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector);
        command.env("NODE_NAME", "traced-node");
    });
    let address = log.listen_address().await;
    let post = async |path: &str, token: &str, body: Value| {
        let request = Client::new()
            .request(Method::POST, format!("http://{address}{path}"))
            .header("traceparent", TRACE_PARENT)
            .header("tracestate", "vendor=state")
            .bearer_auth(token);
        TestResponse::from_request(request.json(&body)).await
    };
    let account = json!({
        "name": "ann", "username": "ann", "password": "a staple of batteries",
    });
    post("/api/register/", "", account.clone()).await;
    let tokens = post("/api/token/", "", account).await.json();
    let token = tokens["access"].as_str().unwrap();
    let group = post("/api/start-chat/", token, json!({})).await.json();
    let group = group["group_name"].as_str().unwrap();
    let sent = post(&group.path("messages/"), token, json!({"text": "a secret"})).await;
    assert_eq!(sent.status, 201, "{sent}");
    let own = sent.header("traceparent");
    assert!(
        own.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && own.ends_with("-01"),
        "{own}"
    );
    // The stop exports the spans that wait.
    assert!(server.stop().await.success());

    for text in [
        "POST /api/groups/{group_name}/messages",
        "commit",
        "deliver",
        "publish",
        "traced-node",
        "vendor=state",
        "http.response.status_code",
    ] {
        assert!(count_bytes(&exports, text.as_bytes()) > 0, "{text}");
    }
    let trace_id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
    // Four requests, and the commit, the delivery and the publication of two commands.
    assert!(count_bytes(&exports, &trace_id) >= 4 + 3);
    for secret in ["a secret", "staple", token] {
        assert_eq!(count_bytes(&exports, secret.as_bytes()), 0, "{secret}");
    }
    assert!(log.lines().iter().all(|line| !line.contains("otel.")));
}

#[tokio::test]
async fn a_collector_that_never_answers_does_not_stop_the_server() {
    // The system accepts the connections, and nothing reads them.
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", collector.local_addr().unwrap());
    let database = TestDatabase::create().await;
    let (server, log) = Server::start_recorded(&database, "", &[JSON_LOG], |command| {
        // A queue of a few spans is full at once.
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "4")
            .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2");
    });
    let address = log.listen_address().await;
    for _ in 0..100 {
        let request = Client::new().get(format!("http://{address}/api/me/"));
        assert_eq!(TestResponse::from_request(request).await.status, 401);
    }
    assert!(server.stop().await.success());
    assert!(!log.lines_with_message("stopped").is_empty());
}

#[tokio::test]
async fn an_unreachable_collector_is_logged() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:hidden@{}", unused.local_addr().unwrap());
    drop(unused);
    let database = TestDatabase::create().await;
    let (server, log) = Server::start_recorded(&database, "", &[JSON_LOG], |command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    });
    let address = log.listen_address().await;
    let request = Client::new().get(format!("http://{address}/api/me/"));
    assert_eq!(TestResponse::from_request(request).await.status, 401);
    assert!(server.stop().await.success());
    wait_until("the warning", async || {
        !log.lines_with_message("spans not exported").is_empty()
    })
    .await;
    assert!(log.lines().iter().all(|line| !line.contains("hidden")));
}
