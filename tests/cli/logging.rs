//! The log: its lines, and the data that must not appear in it.

use std::net::SocketAddr;

use reqwest::{Client, Method, RequestBuilder};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    GroupPath, RecordedOutput, RichSocket, Server, Socket, TestDatabase, TestResponse,
};

/// A text that all secret values contain.
const CANARY: &str = "cnry";

const JSON_TRACE_LOG: [(&str, &str); 2] = [
    ("  format: compact", "  format: json"),
    (
        r#"level: <%= get_env(name="LOG_LEVEL", default="info") %>"#,
        "level: trace",
    ),
];

/// A client that uses all of the API, with valid and invalid requests.
struct LoggedSession {
    address: SocketAddr,
    /// The secrets that the server issued.
    secrets: Vec<String>,
}

impl LoggedSession {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        Client::new()
            .request(method, format!("http://{}{path}", self.address))
            .header("user-agent", "cnry-agent")
            .header("x-secret", "cnry-header")
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> TestResponse {
        let request = self.request(Method::POST, path).bearer_auth(token);
        TestResponse::from_request(request.json(&body)).await
    }

    /// Returns the access token.
    async fn register_and_log_in(&mut self, username: &str) -> String {
        let account = json!({
            "name": "cnry-name", "username": username, "password": "cnry staple of batteries",
        });
        assert_eq!(
            self.post("/api/register/", "cnry", account.clone())
                .await
                .status,
            201
        );
        assert_eq!(
            self.post("/api/register/", "cnry", account.clone())
                .await
                .status,
            400
        );
        let tokens = self.post("/api/token/", "cnry", account).await.json();
        let access = tokens["access"].as_str().unwrap().to_owned();
        let refresh = tokens["refresh"].as_str().unwrap().to_owned();
        let bought = self
            .post(
                "/api/token/refresh/",
                "cnry",
                json!({"refresh": refresh, "rotate": true}),
            )
            .await
            .json();
        for token in [
            &tokens["access"],
            &tokens["refresh"],
            &bought["access"],
            &bought["refresh"],
        ] {
            let signature = token.as_str().unwrap().rsplit('.').next().unwrap();
            self.secrets.push(signature.to_owned());
        }
        access
    }

    async fn fail_to_authenticate(&self) {
        for (path, body) in [
            (
                "/api/register/",
                json!({"username": "cnry!", "name": "cnry", "password": "cnry"}),
            ),
            (
                "/api/token/",
                json!({"username": "cnry-nobody", "password": "cnry-wrong"}),
            ),
            (
                "/api/token/",
                json!({"username": "ann", "password": "cnry-wrong"}),
            ),
            (
                "/api/token/",
                json!({"username": ["cnry"], "password": null}),
            ),
            ("/api/token/refresh/", json!({"refresh": "cnry.cnry.cnry"})),
            ("/api/start-chat/", json!({"title": "cnry-title"})),
            ("/cnry-path/", json!({})),
            ("/api/me/?token=cnry-query", json!({})),
            ("/api/invites/cnry-code/accept/", json!({})),
        ] {
            self.post(path, "cnry.cnry.cnry", body)
                .await
                .expect_client_error();
        }
        for (name, value) in [
            ("authorization", "Basic cnry"),
            ("authorization", "cnry"),
            ("cookie", "access=cnry; other=cnry"),
        ] {
            let request = self
                .request(Method::GET, "/api/me/?after=cnry")
                .header(name, value);
            assert_eq!(TestResponse::from_request(request).await.status, 401);
        }
        for body in ["{\"cnry", "cnry", "[\"cnry\"]"] {
            let request = self
                .request(Method::POST, "/api/token/")
                .header("content-type", "application/json");
            TestResponse::from_request(request.body(body))
                .await
                .expect_client_error();
        }
        for (path, headers) in [
            ("/ws/chat/chat_00000000/", vec![("cookie", "access=cnry")]),
            (
                "/ws/chat/cnry/?token=cnry",
                vec![("origin", "https://other.example")],
            ),
            (
                "/ws/chat/chat_00000000/",
                vec![("sec-websocket-protocol", "bearer.cnry, cnry")],
            ),
            (
                "/ws/?token=cnry",
                vec![("sec-websocket-protocol", "bearer.cnry")],
            ),
        ] {
            assert!(
                Socket::with_headers(self.address, path, &headers)
                    .await
                    .is_err()
            );
        }
        for offers in ["chat.v1.json, bearer.cnry.cnry.cnry", "chat.v1.json"] {
            let headers = [("sec-websocket-protocol", offers)];
            let mut socket = Socket::with_headers(self.address, "/ws/?after=cnry", &headers)
                .await
                .unwrap();
            assert_eq!(socket.close_code().await, 4401);
        }
    }

    /// Returns the name of the group.
    async fn chat(&mut self, ann: &str, bob: &str) -> String {
        let body = json!({"title": "cnry-title"});
        let group = self.post("/api/start-chat/", ann, body).await.json();
        let group = group["group_name"].as_str().unwrap().to_owned();
        let invites = group.path("invites/");
        let code = self.post(&invites, ann, json!({})).await.json();
        let code = code["code"].as_str().unwrap().to_owned();
        let accept = format!("/api/invites/{code}/accept/");
        assert_eq!(self.post(&accept, bob, json!({})).await.status, 200);
        self.secrets.push(code);

        let cookie = format!("access={bob}; other=cnry");
        let mut base = Socket::connect(self.address, &group, &cookie)
            .await
            .unwrap();
        base.next_message().await;
        base.send(r#"{"message": "cnry-base"}"#).await;
        base.next_message().await;
        let mut rich = RichSocket::connect(self.address, &group, "after=0", ann).await;
        rich.until_sync().await;
        let (sent, _) = rich
            .request_collecting(json!({"type": "send", "cid": "cnry", "text": "cnry-rich"}))
            .await;
        for request in [
            json!({"type": "edit", "cid": "cnry2", "seq": sent["seq"], "text": "cnry-edit"}),
            json!({"type": "edit", "cid": "cnry3", "seq": 4711, "text": "cnry-edit"}),
            json!({"type": "send", "cid": "cnry", "text": "cnry-other"}),
            json!({"type": "auth", "token": "cnry.cnry.cnry"}),
            json!({"type": "auth", "token": ann}),
            json!({"type": "cnry", "text": "cnry"}),
        ] {
            rich.request_collecting(request).await;
        }
        rich.send_raw("cnry").await;
        base.send_frame(Message::binary(b"cnry".to_vec())).await;
        assert_eq!(base.close_code().await, 1003);
        let mut base = Socket::connect(self.address, &group, &cookie)
            .await
            .unwrap();
        base.send("cnry").await;
        assert_eq!(base.close_code().await, 1007);

        let messages = group.path("messages/");
        let sent = self
            .post(&messages, bob, json!({"text": "cnry-rest"}))
            .await
            .json();
        let message = format!("{messages}{}/", sent["seq"]);
        let edit = self.request(Method::PATCH, &message).bearer_auth(bob);
        let edited = TestResponse::from_request(edit.json(&json!({"text": "cnry-edit"}))).await;
        assert_eq!(edited.status, 200, "{edited}");
        group
    }
}

/// Runs a whole session with a server of its own. Returns its output and the group.
async fn run_session(environment: &[(&str, &str)]) -> (RecordedOutput, String) {
    let database = TestDatabase::create().await;
    let redis = "redis://cnry:cnry@127.0.0.1:1";
    let (server, log) = Server::start_recorded(&database, redis, &JSON_TRACE_LOG, |command| {
        command.envs(environment.iter().copied());
    });
    let mut session = LoggedSession {
        address: log.listen_address().await,
        secrets: Vec::new(),
    };
    let (ann, bob) = (
        session.register_and_log_in("ann").await,
        session.register_and_log_in("bob").await,
    );
    session.fail_to_authenticate().await;
    let group = session.chat(&ann, &bob).await;
    let named = session
        .request(Method::GET, &group.path("members/?cursor=cnry"))
        .header("x-request-id", "request-of-ann\t<&\"");
    let response = TestResponse::from_request(named.bearer_auth(&ann)).await;
    assert_eq!(response.header("x-request-id"), "request-of-ann");

    // These faults are logged once each.
    let db = sea_orm::Database::connect(&database.uri).await.unwrap();
    db.execute_unprepared("DROP TABLE invites").await.unwrap();
    let code = session.secrets.last().unwrap();
    let broken = session.request(Method::GET, &format!("/api/invites/{code}/"));
    assert_eq!(
        TestResponse::from_request(broken.bearer_auth(&bob))
            .await
            .status,
        503
    );
    db.close().await.unwrap();
    log.wait_for_line("database unavailable").await;
    server.stop().await;

    for line in log.lines() {
        assert!(!line.to_lowercase().contains(CANARY), "{line}");
        assert!(!line.contains("eyJ"), "a JWT: {line}");
        assert!(!line.contains("development-only"), "the secret: {line}");
        for given in &session.secrets {
            assert!(!line.contains(given), "{line}");
        }
    }
    (log, group)
}

/// Returns the span of a line that a request caused.
fn request_span(line: &Value) -> Option<&Value> {
    line.get("span")
        .filter(|span| span["request_id"].is_string())
}

#[tokio::test]
async fn no_secrets_are_logged_and_every_line_names_its_request() {
    let (log, group) = run_session(&[]).await;
    let lines: Vec<Value> = log
        .lines()
        .iter()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert!(
            line["node"].is_string() && line["version"].is_string(),
            "{line}"
        );
        assert!(line.get("spans").is_none(), "{line}");
    }
    let response = lines
        .iter()
        .filter(|line| line["fields"]["message"] == "request answered");
    for line in response.clone() {
        let request = request_span(line).unwrap();
        assert!(
            !request["request_id"].as_str().unwrap().is_empty(),
            "{line}"
        );
        assert!(
            request["route"].is_string() && request["method"].is_string(),
            "{line}"
        );
        assert!(
            line["fields"]["status"].is_u64() && line["fields"]["ms"].is_f64(),
            "{line}"
        );
    }
    let count = response.clone().count();
    assert!(count > 30, "{count}");
    let with = |key: &str, value: Value| {
        let mut lines = lines
            .iter()
            .filter(|line| request_span(line).is_some_and(|request| request[key] == value));
        lines
            .next()
            .unwrap_or_else(|| panic!("no line with {key} {value}"))
    };
    let named = request_span(with("request_id", json!("request-of-ann"))).unwrap();
    assert_eq!(named["user"], 1);
    assert_eq!(named["group"], group.as_str());
    assert_eq!(named["route"], "/api/groups/{group_name}/members");
    with("route", json!("/api/invites/{code}/accept"));
    // A socket outlives its request, so its lines name the user.
    let socket = lines
        .iter()
        .find(|line| line["fields"]["message"] == "rich socket opened");
    let fields = &socket.unwrap()["fields"];
    assert_eq!(
        (&fields["user"], &fields["group"]),
        (&json!(1), &json!(group))
    );
    let failed = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(request_span(failed).unwrap()["user"], 2);
}

#[tokio::test]
async fn libraries_log_no_secrets() {
    run_session(&[("RUST_LOG", "trace")]).await;
}

#[tokio::test]
async fn an_unread_log_does_not_block_the_server() {
    let database = TestDatabase::create().await;
    let mut server =
        Server::start_with_config(&database, "", &[(JSON_TRACE_LOG[1].0, JSON_TRACE_LOG[1].1)]);
    let (addresses, _unread) = server.read_addresses_and_output().await;
    let client = Client::new();
    // More lines than a pipe buffers.
    for _ in 0..1000 {
        let response =
            TestResponse::from_request(client.get(format!("{}api/me/", addresses[0]))).await;
        assert_eq!(response.status, 401);
    }
}
