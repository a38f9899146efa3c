//! The lines of the log that explain an incident: starts, stops, sockets, and clients that were refused.

use std::net::SocketAddr;

use regex::Regex;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{
    GroupPath, RecordedOutput, RedisServer, RichSocket, Server, Socket, TestDatabase, TestResponse,
    skip_unless, wait_until,
};

const JSON_LOG: (&str, &str) = ("  format: compact", "  format: json");

/// An address that the proxy on this machine reports.
const CLIENT: &str = "203.0.113.7";

/// A running server with a log in JSON.
struct LoggedServer {
    server: Server,
    log: RecordedOutput,
    address: SocketAddr,
}

impl LoggedServer {
    async fn start(database: &TestDatabase, redis: &str, changes: &[(&str, &str)]) -> Self {
        Self::start_named(database, redis, changes, "").await
    }

    async fn start_named(
        database: &TestDatabase,
        redis: &str,
        changes: &[(&str, &str)],
        name: &str,
    ) -> Self {
        let changes = [&[JSON_LOG], changes].concat();
        let (server, log) = Server::start_recorded(database, redis, &changes, |command| {
            command.env("NODE_NAME", name);
        });
        let address = log.listen_address().await;
        Self {
            server,
            log,
            address,
        }
    }

    /// A request of the client behind the proxy.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        Client::new()
            .request(method, format!("http://{}{path}", self.address))
            .header("x-forwarded-for", CLIENT)
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> TestResponse {
        let request = self.request(Method::POST, path).bearer_auth(token);
        TestResponse::from_request(request.json(&body)).await
    }

    /// Registers a user. Returns the access token.
    async fn user(&self, username: &str) -> String {
        let account = json!({
            "name": username, "username": username, "password": "a staple of batteries",
        });
        let registered = self.post("/api/register/", "", account.clone()).await;
        assert_eq!(registered.status, 201, "{registered}");
        let tokens = self.post("/api/token/", "", account).await.json();
        tokens["access"].as_str().unwrap().to_owned()
    }

    /// Returns the name of a new group.
    async fn group(&self, token: &str) -> String {
        let group = self.post("/api/start-chat/", token, json!({})).await.json();
        group["group_name"].as_str().unwrap().to_owned()
    }

    async fn fail_login(&self, username: &str) {
        let body = json!({"username": username, "password": "a wrong password"});
        assert_eq!(self.post("/api/token/", "", body).await.status, 401);
    }
}

/// Returns the fields of a line, without the fixed phrase.
fn fields(line: &Value) -> Value {
    let mut fields = line["fields"].clone();
    fields.as_object_mut().unwrap().remove("message");
    fields
}

#[tokio::test]
async fn production_writes_only_json_to_standard_output() {
    let database = TestDatabase::create().await;
    let name = (
        "name=\"NODE_NAME\", default=\"\"",
        "name=\"SALAM_IS_NEVER_SET\", default=\"chat-\\\"1\\\"\"",
    );
    let mut server = Server::start_in_production(&database, "", &[name]);
    let log = server.record_standard_output();
    let address = log.listen_address().await;
    let pid = server.pid();
    reqwest::get(format!("http://{address}/api/me/"))
        .await
        .unwrap();
    assert!(server.stop().await.success());
    for line in log.lines() {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["node"], "chat-\"1\"", "{line}");
        assert_eq!(line["version"], env!("CARGO_PKG_VERSION"), "{line}");
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    let started = log.lines_with_message("started");
    let kind = crate::support::database_name();
    let expected = json!({"pid": pid, "database": kind, "redis": false});
    assert_eq!(fields(&started[0]), expected);
    let stopped = fields(&log.lines_with_message("stopped")[0]);
    assert_eq!(stopped["reason"], "signal");
    assert!(stopped["drain_seconds"].is_f64());
    assert_eq!(log.lines_with_message("request answered").len(), 1);
}

#[tokio::test]
async fn the_default_name_of_a_node_has_the_port() {
    let database = TestDatabase::create().await;
    let (mut server, log) = Server::start_recorded(&database, "", &[JSON_LOG], |_| {});
    log.listen_address().await;
    let line = log.lines_with_message("started").remove(0);
    let node = line["node"].as_str().unwrap();
    assert!(node.ends_with(&format!(":pid-{}", server.pid())), "{node}");
    server.kill();
}

#[tokio::test]
async fn each_socket_has_a_line_at_its_start_and_at_its_end() {
    let database = TestDatabase::create().await;
    let node = LoggedServer::start(&database, "", &[]).await;
    let ann = node.user("ann").await;
    let group = node.group(&ann).await;
    let cookie = format!("access={ann}");
    let headers = [("cookie", cookie.as_str()), ("x-forwarded-for", CLIENT)];
    let path = format!("/ws/chat/{group}/");

    let mut base = Socket::with_headers(node.address, &path, &headers)
        .await
        .unwrap();
    base.next_message().await;
    base.send("{}").await;
    base.next_message().await;
    base.close(4000).await;
    node.log.wait_for_messages("socket ended", 1).await;
    let mut base = Socket::with_headers(node.address, &path, &headers)
        .await
        .unwrap();
    base.send("not JSON").await;
    assert_eq!(base.close_code().await, 1007);
    node.log.wait_for_messages("socket ended", 2).await;
    let mut rich = RichSocket::connect(node.address, &group, "", &ann).await;
    rich.until_sync().await;
    drop(rich);
    node.log.wait_for_messages("socket ended", 3).await;
    let events = node
        .request(Method::GET, &group.path("events/"))
        .bearer_auth(&ann)
        .header("accept", "text/event-stream");
    let stream = events.send().await.unwrap();
    drop(stream);
    node.log.wait_for_messages("socket ended", 4).await;
    let mut many = RichSocket::connect_multi_group(node.address, &ann).await;
    assert_eq!(many.next_frame_of_any_type().await["type"], "hello");
    let LoggedServer { server, log, .. } = node;
    server.terminate();
    assert_eq!(many.bye_code().await, 1012);
    server.wait_for_exit().await;

    let opened: Vec<_> = log
        .lines_with_message("socket opened")
        .iter()
        .map(fields)
        .collect();
    let local = "127.0.0.1";
    let socket = |group: &str, mode: &str, client: &str| json!({"user": 1, "group": group, "mode": mode, "client": client});
    let expected = [
        socket(&group, "base", CLIENT),
        socket(&group, "base", CLIENT),
        socket(&group, "rich_group", local),
        socket(&group, "stream", CLIENT),
        socket("", "rich_groups", local),
    ];
    assert_eq!(opened, expected);
    let ended = log.lines_with_message("socket ended");
    for (end, socket) in ended.iter().map(fields).zip(expected) {
        assert!(end["ms"].is_u64(), "{end}");
        for key in ["user", "group", "mode", "client"] {
            assert_eq!(end[key], socket[key], "{end}");
        }
    }
    let ends = ended
        .iter()
        .map(fields)
        .map(|end| json!([end["frames_received"], end["code"], end["reason"]]));
    let ends: Vec<_> = ends.collect();
    assert_eq!(
        ends,
        [
            json!([2, 4000, "client"]),
            json!([1, 1007, "not JSON"]),
            json!([0, 1006, "lost"]),
            json!([null, null, "client"]),
            json!([0, 1012, "restart"]),
        ]
    );
}

/// The example of the standard.
const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn the_lines_of_a_request_have_the_trace_of_its_traceparent() {
    let database = TestDatabase::create().await;
    let node = LoggedServer::start(&database, "", &[]).await;
    let mut traces = Vec::new();
    for header in [Some(TRACE_PARENT), Some("00-not-valid-00"), None] {
        let request = node.request(Method::GET, "/api/me/");
        let request = match header {
            Some(header) => request.header("traceparent", header),
            None => request,
        };
        let response = TestResponse::from_request(request).await;
        let parent = response.header("traceparent");
        let [version, trace_id, span_id, flags] =
            <[_; 4]>::try_from(parent.split('-').collect::<Vec<_>>()).unwrap();
        assert_eq!(
            (version, trace_id.len(), span_id.len()),
            ("00", 32, 16),
            "{parent}"
        );
        assert_ne!(span_id, "00f067aa0ba902b7");
        assert_eq!(
            flags,
            if header == Some(TRACE_PARENT) {
                "01"
            } else {
                "02"
            }
        );
        traces.push(trace_id.to_owned());
    }
    assert_eq!(traces[0], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(traces[1] != traces[0] && traces[2] != traces[1]);
    let lines = node.log.wait_for_messages("request answered", 3).await;
    let logged: Vec<_> = lines.iter().map(|line| &line["span"]["trace_id"]).collect();
    assert_eq!(logged, traces.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stored_message_is_logged_without_its_text() {
    let database = TestDatabase::create().await;
    let debug = (
        r#"level: <%= get_env(name="LOG_LEVEL", default="info") %>"#,
        "level: debug",
    );
    let node = LoggedServer::start(&database, "", &[debug]).await;
    let ann = node.user("ann").await;
    let group = node.group(&ann).await;
    for body in [
        json!({"text": "secret", "cid": "1"}),
        json!({"text": "secret", "cid": "1"}),
    ] {
        node.post(&group.path("messages/"), &ann, body).await;
    }
    node.post(&group.path("messages/"), &ann, json!({"text": "secret"}))
        .await;
    let stored = node.log.wait_for_messages("message stored", 2).await;
    let stored: Vec<_> = stored.iter().map(fields).collect();
    assert_eq!(
        stored,
        [
            json!({"user": 1, "group": group, "seq": 1, "has_cid": true}),
            json!({"user": 1, "group": group, "seq": 2, "has_cid": false}),
        ]
    );
    assert!(node.log.lines().iter().all(|line| !line.contains("secret")));
}

/// Returns the pattern of the filter in docs/logs.md, with the pattern of an address in place of `<ADDR>`.
fn documented_filter() -> Regex {
    let page = include_str!("../../docs/logs.md");
    let pattern = page
        .lines()
        .find_map(|line| line.strip_prefix("failregex = "))
        .unwrap();
    Regex::new(&pattern.replace("<ADDR>", "(?P<client>[0-9a-fA-F.:]+)")).unwrap()
}

#[tokio::test]
async fn failed_logins_name_the_client_and_match_the_documented_filter() {
    let database = TestDatabase::create().await;
    let node = LoggedServer::start(&database, "", &[]).await;
    node.user("ann").await;
    node.fail_login("ann").await;
    node.fail_login("my own password").await;
    // The name tries to forge a line for another client.
    let forged = "\"}}\n{\"timestamp\":\"\",\"level\":\"WARN\",\"fields\":{\"message\":\"login failed\",\"client\":\"198.51.100.1\"";
    node.fail_login(forged).await;
    let failed = node.log.wait_for_messages("login failed", 3).await;
    let unknown = json!({"client": CLIENT, "reason": "unknown user"});
    let failures: Vec<_> = failed.iter().map(fields).collect();
    assert_eq!(
        failures,
        [
            json!({"client": CLIENT, "user": 1, "reason": "wrong password"}),
            unknown.clone(),
            unknown,
        ]
    );
    let filter = documented_filter();
    let mut banned = Vec::new();
    for line in node.log.lines() {
        assert!(
            !line.contains("my own password") && !line.contains("198.51"),
            "{line}"
        );
        for line in [line.clone(), format!("chat-1 salam-cli[71]: {line}")] {
            banned.extend(
                filter
                    .captures(&line)
                    .map(|found| found["client"].to_owned()),
            );
        }
    }
    assert_eq!(banned, [CLIENT; 6]);
}

#[tokio::test]
async fn refused_clients_are_logged_once_for_each_reason() {
    let database = TestDatabase::create().await;
    let changes = [
        ("logins_per_minute: 1000000", "logins_per_minute: 2"),
        ("allowed_hosts: []", "allowed_hosts: [chat.example]"),
    ];
    let node = LoggedServer::start(&database, "", &changes).await;
    let ann = node.user("ann").await;
    node.fail_login("ann").await;
    let login = json!({"username": "ann", "password": "a wrong password"});
    for _ in 0..2 {
        let limited = node.post("/api/token/", "", login.clone()).await;
        assert_eq!(limited.status, 429);
    }
    let cookie = format!("access={ann}");
    let foreign = [
        ("cookie", cookie.as_str()),
        ("origin", "https://other.example"),
        ("x-forwarded-for", CLIENT),
    ];
    let group = node.group(&ann).await;
    let path = format!("/ws/chat/{group}/");
    let refused = Socket::with_headers(node.address, &path, &foreign).await;
    assert_eq!(refused.err().unwrap(), 403);
    let anonymous = [("x-forwarded-for", CLIENT)];
    let refused = Socket::with_headers(node.address, &path, &anonymous).await;
    assert_eq!(refused.err().unwrap(), 401);
    let rich = [("sec-websocket-protocol", "chat.v1.json"), anonymous[0]];
    let mut closed = Socket::with_headers(node.address, "/ws/", &rich)
        .await
        .unwrap();
    assert_eq!(closed.close_code().await, 4401);
    let other_host = node
        .request(Method::GET, "/api/me/")
        .header("host", "other.example");
    assert_eq!(TestResponse::from_request(other_host).await.status, 421);

    let lines = node.log.wait_for_messages("client refused", 5).await;
    let refused: Vec<_> = lines
        .iter()
        .map(|line| json!([line["fields"]["status"], line["fields"]["reason"]]))
        .collect();
    assert_eq!(
        refused,
        [
            json!([429, "too many requests"]),
            json!([403, "foreign origin"]),
            json!([401, "handshake"]),
            json!([101, "unauthorized"]),
            json!([421, "unknown host"]),
        ]
    );
    for line in &lines {
        assert_eq!(line["fields"]["client"], CLIENT, "{line}");
        assert_eq!(line["fields"]["suppressed"], 0, "{line}");
    }
    for phrase in [
        "socket of a foreign origin refused: see public_url, allowed_origins and door.trusted_proxies",
        "request for an unknown host refused; if the host is yours, add it to PUBLIC_URL or settings.door.allowed_hosts",
    ] {
        let lines = node.log.lines_with_message(phrase);
        assert_eq!(lines[0]["fields"]["client"], CLIENT);
    }
}

#[tokio::test]
async fn a_planned_stop_differs_from_a_crash_on_the_other_nodes() {
    skip_unless!(PostgreSQL);
    let redis = RedisServer::start().await;
    let database = TestDatabase::create().await;
    let changes = [
        ("presence_lease: 15", "presence_lease: 2"),
        ("presence_grace: 10", "presence_grace: 0"),
    ];
    let url = redis.url();
    let here = LoggedServer::start_named(&database, &url, &changes, "here").await;
    here.log.wait_for_messages("Redis is connected", 1).await;
    let sees = async |what: &'static str, name: &'static str| {
        wait_until(what, async || {
            let lines = here.log.lines_with_message(what);
            lines.iter().any(|line| line["fields"]["node"] == name)
        })
        .await;
    };
    let (left, lost) = (
        "node left: its users move to other nodes",
        "node lost: its users go offline",
    );
    let planned = LoggedServer::start_named(&database, &url, &changes, "planned").await;
    sees("node joined", "planned").await;
    assert!(planned.server.stop().await.success());
    sees(left, "planned").await;

    let mut killed = LoggedServer::start_named(&database, &url, &changes, "killed").await;
    sees("node joined", "killed").await;
    killed.server.kill();
    sees(lost, "killed").await;
    let lines = here.log.lines_with_message(lost);
    assert!(
        lines.iter().all(|line| line["fields"]["node"] == "killed"),
        "{lines:?}"
    );
    assert_eq!(here.log.lines_with_message(left).len(), 1);
}
