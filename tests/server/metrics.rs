//! The metrics listener: the metrics, and the health of a node in detail.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use salam::controllers::metrics;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{
    EventStream, RedisServer, Server, TestApp, TestDatabase, connected_nodes_with, skip_unless,
    wait_until,
};

/// Returns the status and the body of a page of the metrics listener.
async fn page(app: &TestApp, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = metrics::router(app.channels()).oneshot(request).await;
    let response = response.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn health(app: &TestApp) -> (u16, Value) {
    let (status, body) = page(app, "/health").await;
    (status, serde_json::from_str(&body).unwrap())
}

/// The values of a scrape, by the names with their labels.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    async fn of(app: &TestApp) -> Self {
        let (status, text) = page(app, "/metrics").await;
        assert_eq!(status, 200);
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self(values.collect())
    }

    /// The value of a series, or 0 if it does not exist.
    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The sum of all series of a metric.
    fn sum(&self, metric: &str) -> f64 {
        let of_metric = |(name, _): &(&String, &f64)| name.split('{').next() == Some(metric);
        self.0
            .iter()
            .filter(of_metric)
            .map(|(_, value)| value)
            .sum()
    }
}

/// Waits until a series has a value.
async fn until_series_is(app: &TestApp, name: &str, expected: f64) {
    wait_until(&format!("{name} {expected}"), async || {
        Scrape::of(app).await.get(name) == expected
    })
    .await;
}

#[tokio::test]
async fn metrics_count_commands_and_deliveries() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let mut rich = ann.open_live(&group).await;
    let mut base = bob.open_base(&group).await;
    let mut stream = EventStream::open(&bob, &group, "after=1", None).await;
    stream.next_named("sync").await;
    let before = Scrape::of(&app).await;
    rich.send_message("one", "1").await;
    ann.send_message(&group, "one", "1").await;
    base.send(json!({"message": "two"}).to_string()).await;
    base.next_message().await;
    ann.send_message(&group, "three", "3").await;
    for _ in 0..3 {
        stream.next_event().await;
    }
    assert_eq!(
        app.post(
            "/api/token/",
            json!({"username": "ann", "password": "wrong"})
        )
        .await
        .status,
        401
    );
    // A write is observed just after it.
    wait_until("all deliveries to be observed", async || {
        let now = Scrape::of(&app).await;
        let count = "salam_delivery_seconds_count";
        // Three messages to three clients. The reply to a post of a base socket stands for its own message.
        now.sum(count) - before.sum(count) == 9.0
    })
    .await;
    let now = Scrape::of(&app).await;
    let change = |name: &str| now.get(name) - before.get(name);
    for (name, expected) in [
        (r#"salam_commands_total{kind="send",result="stored"}"#, 3.0),
        (
            r#"salam_commands_total{kind="send",result="duplicate"}"#,
            1.0,
        ),
        (r#"salam_ack_seconds_count{transport="rich"}"#, 1.0),
        (r#"salam_ack_seconds_count{transport="base"}"#, 1.0),
        (r#"salam_ack_seconds_count{transport="http"}"#, 2.0),
        (r#"salam_logins_total{result="failed"}"#, 1.0),
        (r#"salam_gaps_found_total"#, 0.0),
        (r#"salam_gaps_repaired_total"#, 0.0),
    ] {
        assert_eq!(change(name), expected, "{name}");
    }
    assert!(change("salam_commit_seconds_count") >= 3.0);
    assert_eq!(
        now.sum("salam_delivery_seconds_count"),
        now.get(r#"salam_delivery_seconds_count{origin="local",path="direct"}"#)
            + now.get(r#"salam_delivery_seconds_count{origin="local",path="task"}"#)
    );
    for mode in ["base", "rich_group", "stream"] {
        assert_eq!(
            now.get(&format!("salam_sockets{{mode=\"{mode}\"}}")),
            1.0,
            "{mode}"
        );
    }
    assert_eq!(now.get("salam_subscriptions"), 3.0);
    assert_eq!(now.get("salam_active_groups"), 1.0);
    assert_eq!(now.get("salam_slowest_socket_lag_events"), 0.0);
}

#[tokio::test]
async fn metrics_count_resumes_resets_and_rate_limits() {
    let app = TestApp::with_settings(json!({
        "channels": {"replay_limit": 2, "sends_per_10s": 6},
    }))
    .await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    for cid in ["1", "2", "3"] {
        ann.send_message(&group, "hi", cid).await;
    }
    for query in ["after=0", "after=2", "after=9", "after=2&epoch=x", ""] {
        ann.open_rich(&group, query).await.next_frame().await;
    }
    while ann.send_message(&group, "hi", "4").await.status != 429 {}
    let scrape = Scrape::of(&app).await;
    for (name, expected) in [
        (r#"salam_resumes_total{mode="rich",result="reset"}"#, 3.0),
        (r#"salam_resumes_total{mode="rich",result="replay"}"#, 1.0),
        (r#"salam_resumes_total{mode="rich",result="live"}"#, 1.0),
        (r#"salam_resets_total{reason="too_far"}"#, 1.0),
        (r#"salam_resets_total{reason="ahead"}"#, 1.0),
        (r#"salam_resets_total{reason="epoch"}"#, 1.0),
        (r#"salam_rate_limited_total{limit="sends"}"#, 1.0),
    ] {
        assert_eq!(scrape.get(name), expected, "{name}");
    }
}

#[tokio::test]
async fn no_label_names_a_user_or_a_group() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.open_live(&group).await.send_message("hi", "1").await;
    ann.get("/api/no/such/path").await;
    let (_, text) = page(&app, "/metrics").await;
    for name in ["\"ann\"", &*group, "/api/no/such/path"] {
        assert!(!text.contains(name), "{name}");
    }
}

#[tokio::test]
async fn the_api_has_no_metrics_and_no_detailed_health() {
    let app = TestApp::start().await;
    for path in ["/metrics", "/health"] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_listener_serves_metrics_beside_the_api() {
    let database = TestDatabase::create().await;
    let (_server, output) = Server::start_recorded(&database, "", &[], |command| {
        command.env("METRICS_BINDING", "127.0.0.1:0");
        command.env("NODE_NAME", "chat-1");
    });
    let line = output.wait_for_line("metrics listener started").await;
    let address = line.rsplit_once("address=").unwrap().1.to_owned();
    let url = |path: &str| format!("http://{}{path}", address.trim());
    let response = reqwest::get(url("/metrics")).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = response.text().await.unwrap();
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    insta::assert_snapshot!("metric_names", names.join("\n"));
    let mut health: Value = reqwest::get(url("/health"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(health["node"]["name"], "chat-1");
    assert_eq!(
        (health["ok"].take(), health["state"].take()),
        (json!(true), json!("ok"))
    );
    let missing = reqwest::get(url("/api/")).await.unwrap();
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn a_taken_address_of_the_metrics_does_not_stop_the_server() {
    let database = TestDatabase::create().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_server, output) = Server::start_recorded(&database, "", &[], |command| {
        command.env("METRICS_BINDING", &address);
    });
    output.wait_for_line("Salam is ready").await;
    let line = output.wait_for_line("metrics listener not started").await;
    assert!(line.contains("ERROR") && line.contains(&address), "{line}");
}

/// Two nodes on one Redis, with a canary each second.
async fn nodes_with_canaries() -> (RedisServer, TestApp, TestApp) {
    let redis = RedisServer::start().await;
    let database = Arc::new(TestDatabase::create().await);
    let settings = |name: &str| {
        json!({
            "node_name": name,
            "channels": {"redis_url": redis.url()},
            "metrics": {"canary_every": 1},
        })
    };
    let here = TestApp::start_node(database.clone(), settings("here")).await;
    let there = TestApp::start_node(database, settings("there")).await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    until_state_is(&here, "ok", &[]).await;
    (redis, here, there)
}

/// Waits until a node is in a state with these reasons, and its probe agrees.
async fn until_state_is(app: &TestApp, state: &str, reasons: &[&str]) {
    wait_until(&format!("{state} {reasons:?}"), async || {
        let (_, health) = health(app).await;
        health["state"] == state && health["reasons"] == json!(reasons)
    })
    .await;
    let readiness = app.get("/_readiness").await;
    assert_eq!(readiness.json()["state"], state);
    let expected = if matches!(state, "ok" | "degraded") {
        200
    } else {
        503
    };
    assert_eq!(readiness.status, expected);
}

/// Waits until a node has the canary of another node.
async fn until_peer_is(app: &TestApp, name: &str, state: &str) {
    wait_until(&format!("{name} to be {state}"), async || {
        let (_, health) = health(app).await;
        let peers = health["peers"].as_array().unwrap();
        peers
            .iter()
            .any(|peer| peer["name"] == name && peer["state"] == state)
    })
    .await;
}

#[tokio::test]
async fn each_node_measures_the_canaries_of_all_nodes() {
    let (_redis, here, there) = nodes_with_canaries().await;
    until_peer_is(&here, "there", "ok").await;
    until_peer_is(&there, "here", "ok").await;
    wait_until("canaries of both nodes", async || {
        let scrape = Scrape::of(&here).await;
        let age = |node| {
            scrape
                .0
                .get(&format!("salam_canary_age_seconds{{node=\"{node}\"}}"))
        };
        age("here").is_some() && age("there").is_some()
    })
    .await;
    let (_, health) = health(&here).await;
    assert_eq!(health["redis"]["is_connected"], true);
    // A node that stops in order is not missed.
    there.stop().await;
    wait_until("the peer to be forgotten", async || {
        Scrape::of(&here).await.get("salam_presence_peers") == 0.0
    })
    .await;
    until_state_is(&here, "ok", &[]).await;
}

#[tokio::test]
async fn a_deaf_redis_degrades_the_node_and_loses_nothing() {
    let (redis, here, _there) = nodes_with_canaries().await;
    // All connections stay open, and nothing is published.
    redis.run_command("ACL SETUSER default -publish");
    until_state_is(&here, "degraded", &["redis_deaf"]).await;
    until_series_is(&here, r#"salam_fault{reason="redis_deaf"}"#, 1.0).await;
    assert_eq!(Scrape::of(&here).await.get("salam_ready"), 1.0);
    redis.run_command("ACL SETUSER default +publish");
    until_state_is(&here, "ok", &[]).await;
}

#[tokio::test]
async fn a_lost_redis_degrades_the_node() {
    let (mut redis, here, _there) = nodes_with_canaries().await;
    redis.kill();
    until_state_is(&here, "degraded", &["redis_unreachable"]).await;
    redis.start_process().await;
    until_state_is(&here, "ok", &[]).await;
}

#[tokio::test]
async fn gaps_are_counted_with_their_repair() {
    skip_unless!(PostgreSQL);
    let redis = RedisServer::start().await;
    let (here, there) =
        connected_nodes_with(json!({"redis_url": redis.url(), "sweep_every": 1})).await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let mut far = ann.on_node(&there).open_live(&group).await;
    redis.run_command("ACL SETUSER default -publish");
    ann.send_message(&group, "lost by Redis", "1").await;
    far.next_event().await;
    let scrape = Scrape::of(&there).await;
    assert!(scrape.get("salam_gaps_repaired_total") >= 1.0);
    assert!(scrape.get("salam_gap_events_total") >= 1.0);
    assert!(scrape.sum("salam_redis_publish_failures_total") >= 1.0);
}

#[tokio::test]
async fn every_metric_is_documented_with_its_type() {
    let mut redis = RedisServer::start().await;
    let settings = json!({
        "channels": {"redis_url": redis.url(), "sends_per_10s": 1},
        "metrics": {"canary_every": 1},
    });
    let database = Arc::new(TestDatabase::create().await);
    let app = TestApp::start_node(database, settings).await;
    app.until_redis_is_connected().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    // Each metric has a series after a message, a refusal, the end of a socket, and a fault.
    while ann.send_message(&group, "hi", "1").await.status != 429 {}
    socket.next_event().await;
    ann.post("/api/logout/", json!({})).await;
    assert_eq!(socket.bye_code().await, 4410);
    until_series_is(
        &app,
        r#"salam_sockets_closed_total{mode="rich_group",code="4410"}"#,
        1.0,
    )
    .await;
    let revocations = Scrape::of(&app).await;
    assert_eq!(revocations.get("salam_revocation_seconds_count"), 1.0);
    redis.kill();
    until_state_is(&app, "degraded", &["redis_unreachable"]).await;
    let (_, text) = page(&app, "/metrics").await;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types: BTreeMap<_, _> = types.filter_map(|line| line.split_once(' ')).collect();
    let rows = include_str!("../../docs/metrics.md").lines();
    let rows = rows.filter_map(|line| {
        let mut cells = line.split(" | ");
        let name = cells.next()?.strip_prefix("| `")?.strip_suffix('`')?;
        let is_metric = name.starts_with("salam_") || name.starts_with("process_");
        Some((name, cells.next()?)).filter(|_| is_metric)
    });
    assert_eq!(types, rows.collect());
}
