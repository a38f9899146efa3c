//! The proxy configurations of docs/deploying.md, with the real proxy in front of the real server.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Upgraded};
use serde_json::{Value, json};
use tokio::time::interval;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::support::{
    PROXY_HOST, Proxy, ProxyKind, RecordedOutput, Server, TestDatabase, TestResponse, free_port,
    skip_unless, with_timeout,
};

/// The change of the configuration that trusts only the proxy of this machine.
const TRUSTED_PROXIES: (&str, &str) = (
    "trusted_proxies: [127.0.0.0/8, \"::1\"]",
    "trusted_proxies: [127.0.0.1]",
);

/// The change of the configuration that accepts the host name of the documents.
const ALLOWED_HOSTS: (&str, &str) = ("allowed_hosts: []", "allowed_hosts: [chat.example]");

/// The connection limit of a client in this test.
const CONNECTION_LIMIT: usize = 8;

#[tokio::test]
async fn the_documented_nginx_configuration_works() {
    check_proxy(ProxyKind::Nginx).await;
}

#[tokio::test]
async fn the_documented_caddy_configuration_works() {
    check_proxy(ProxyKind::Caddy).await;
}

/// The number of sockets, which the proxy distributes over two nodes.
const SOCKETS: usize = 8;

/// The time between two sockets that a client opens to notice a restarted node.
const SOCKET_INTERVAL: Duration = Duration::from_millis(200);

/// The time between two messages while a node restarts.
const SEND_INTERVAL: Duration = Duration::from_millis(20);

#[tokio::test]
async fn nodes_behind_nginx_restart_without_a_failed_request() {
    restart_nodes_behind(ProxyKind::Nginx).await;
}

#[tokio::test]
async fn nodes_behind_caddy_restart_without_a_failed_request() {
    restart_nodes_behind(ProxyKind::Caddy).await;
}

/// Restarts one node after the other while a client sends messages. Only the sockets of the restarted node close.
async fn restart_nodes_behind(kind: ProxyKind) {
    skip_unless!(PostgreSQL);
    let database = TestDatabase::create().await;
    let changes = [
        TRUSTED_PROXIES,
        ALLOWED_HOSTS,
        ("sends_per_10s: 20", "sends_per_10s: 100000"),
        // Longer than the proxies need to notice that the other node is ready again.
        ("drain_delay: 5", "drain_delay: 4"),
    ];
    let ports = [(); 2].map(|()| free_port());
    let start = async |port| {
        let mut node = Server::start_in_production_on_port(&database, &changes, port);
        let output = node.record_standard_output();
        output.listen_address().await;
        (node, output)
    };
    let mut nodes = Vec::new();
    for port in ports {
        nodes.push(start(port).await.0);
    }
    let addresses = ports.map(|port| (Ipv4Addr::LOCALHOST, port).into());
    let proxy = Proxy::start_for_nodes(kind, addresses).await;
    let client = ProxiedClient::new(&proxy, Ipv4Addr::new(127, 0, 0, 2));
    let ann = client.register_and_start_chat().await;
    let offers = format!("chat.v1.json, bearer.{}", ann.access);
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let offers = [("sec-websocket-protocol", offers.as_str())];
        let mut socket = client.open_socket(&ann, &offers).await.unwrap();
        while !next_text(&mut socket).await.contains(r#""type":"sync""#) {}
        sockets.push(socket);
    }

    let path = format!("/api/groups/{}/messages/", ann.group);
    let mut sent = 0;
    for (index, port) in ports.into_iter().enumerate() {
        let stopping = nodes.remove(0);
        let stopped = tokio::spawn(stopping.stop());
        let mut pace = interval(SEND_INTERVAL);
        while !stopped.is_finished() {
            pace.tick().await;
            let text = format!("message {sent}");
            let response = client
                .post(&path, &ann.access, json!({ "text": text }))
                .await;
            assert_eq!(response.status, 201, "{response}");
            sent += 1;
        }
        assert!(stopped.await.unwrap().success());
        let (node, output) = start(port).await;
        nodes.push(node);
        if index == 0 {
            // The sockets of the other node have received every message.
            let mut open = Vec::new();
            for mut socket in sockets {
                if has_received(&mut socket, &format!("message {}", sent - 1)).await {
                    open.push(socket);
                }
            }
            assert!(
                (1..SOCKETS).contains(&open.len()),
                "{} are open",
                open.len()
            );
            sockets = open;
        }
        client.until_used_by_proxy(&ann, &offers, &output).await;
    }
    assert!(sent > 10, "{sent}");
}

/// Reads up to a message. Returns `false` if the server closes the socket before.
async fn has_received(socket: &mut ProxiedSocket, text: &str) -> bool {
    let mut messages = 0;
    while let Some(Ok(frame)) = with_timeout("a frame", socket.next()).await {
        let Message::Text(frame) = frame else {
            continue;
        };
        if frame.contains(r#""kind":"message.created""#) {
            assert!(frame.contains(&format!("message {messages}\"")), "{frame}");
            messages += 1;
        }
        if frame.contains(&format!("{text}\"")) {
            return true;
        }
    }
    false
}

async fn check_proxy(kind: ProxyKind) {
    let database = TestDatabase::create().await;
    // The public URL is not set: the proxy forwards host and scheme.
    let limit = format!("connections_per_address: {CONNECTION_LIMIT}");
    let changes = [
        TRUSTED_PROXIES,
        ALLOWED_HOSTS,
        ("connections_per_address: 1200", limit.as_str()),
    ];
    let mut server = Server::start_in_production(&database, "", &changes);
    let salam = server.listen_address().await;
    let here = Proxy::start(kind, salam).await;

    let remote = ProxiedClient::new(&here, Ipv4Addr::new(127, 0, 0, 2));
    let ann = remote.register_and_start_chat().await;
    remote.exchange_messages(&ann).await;
    remote.receive_stream_events(&ann).await;
    // The server sees the client's address, and not that of the proxy, which has no limit.
    let mut sockets = Vec::new();
    let rejected = loop {
        match remote.open_socket(&ann, &[("cookie", &ann.cookie)]).await {
            Ok(socket) => sockets.push(socket),
            Err(status) => break status,
        }
        assert!(sockets.len() <= CONNECTION_LIMIT);
    };
    assert_eq!(rejected, 429);
    let neighbour = ProxiedClient::new(&here, Ipv4Addr::LOCALHOST);
    let lie = neighbour
        .request(Method::GET, "/")
        .header("x-forwarded-for", "127.0.0.2");
    assert_eq!(TestResponse::from_request(lie).await.status, 200);
}

/// A client with its own address of this machine.
struct ProxiedClient {
    client: Client,
    base: String,
}

struct Account {
    access: String,
    cookie: String,
    group: String,
}

type ProxiedSocket = WebSocketStream<Upgraded>;

impl ProxiedClient {
    fn new(here: &Proxy, from: Ipv4Addr) -> Self {
        let authority = fs::read(here.certificates.ca_certificate()).unwrap();
        let certificate = reqwest::Certificate::from_pem(&authority).unwrap();
        let client = Client::builder()
            .local_address(IpAddr::V4(from))
            .add_root_certificate(certificate)
            .resolve(PROXY_HOST, (Ipv4Addr::LOCALHOST, here.port).into())
            .build()
            .unwrap();
        let base = here.url();
        Self { client, base }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    async fn post(&self, path: &str, access: &str, body: Value) -> TestResponse {
        let request = self.request(Method::POST, path).bearer_auth(access);
        TestResponse::from_request(request.json(&body)).await
    }

    /// Registers, logs in and starts a chat.
    async fn register_and_start_chat(&self) -> Account {
        let account = json!({"name": "Ann", "username": "ann", "password": "the staple of ann"});
        let registered = self.post("/api/register/", "", account.clone()).await;
        assert_eq!(registered.status, 201, "{registered}");
        assert_eq!(
            registered.header("strict-transport-security"),
            "max-age=31536000"
        );
        let response = self.post("/api/token/", "", account).await;
        let access = response.access_token();
        let cookie = response.header("set-cookie");
        assert!(cookie.contains("; Secure"), "{cookie}");
        let started = self
            .post("/api/start-chat/", &access, json!({}))
            .await
            .json();
        let group = started["group_name"].as_str().unwrap().to_owned();
        let url = format!("{}/ws/chat/{group}/", self.base.replace("https", "wss"));
        assert_eq!(started["websocket_url"], url);
        Account {
            cookie: format!("access={access}"),
            access,
            group,
        }
    }

    /// Opens sockets until the proxy gives one to a node that was restarted.
    async fn until_used_by_proxy(&self, user: &Account, offers: &str, output: &RecordedOutput) {
        let mut pace = interval(SOCKET_INTERVAL);
        let opening = async {
            while output.lines_with_message("socket opened").is_empty() {
                pace.tick().await;
                let offers = [("sec-websocket-protocol", offers)];
                // A proxy without a ready node answers 503.
                drop(self.open_socket(user, &offers).await);
            }
        };
        with_timeout("the proxy to use the restarted node", opening).await;
    }

    async fn open_socket(
        &self,
        user: &Account,
        headers: &[(&str, &str)],
    ) -> Result<ProxiedSocket, StatusCode> {
        let mut request = self
            .request(Method::GET, &format!("/ws/chat/{}/", user.group))
            .header("origin", &self.base)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = with_timeout("the handshake", request.send()).await.unwrap();
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(response.status());
        }
        let upgraded = response.upgrade().await.unwrap();
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
    }

    /// Sends by a base socket, and receives by a rich socket.
    async fn exchange_messages(&self, user: &Account) {
        let mut base = self
            .open_socket(user, &[("cookie", &user.cookie)])
            .await
            .unwrap();
        assert!(next_text(&mut base).await.contains("hi ann now is"));
        let offers = format!("chat.v1.json, bearer.{}", user.access);
        let offers = [("sec-websocket-protocol", offers.as_str())];
        let mut rich = self.open_socket(user, &offers).await.unwrap();
        while !next_text(&mut rich).await.contains(r#""type":"sync""#) {}
        let hello = Message::text(r#"{"message": "from base"}"#);
        base.send(hello).await.unwrap();
        assert!(next_text(&mut rich).await.contains("from base"));
    }

    /// The stream stays open, and each event arrives before the next one exists.
    async fn receive_stream_events(&self, user: &Account) {
        let path = format!("/api/groups/{}/events/", user.group);
        let request = self.request(Method::GET, &path).bearer_auth(&user.access);
        let request = request.header("accept", "text/event-stream");
        let mut stream = with_timeout("a stream", request.send()).await.unwrap();
        for text in ["once", "twice"] {
            let path = format!("/api/groups/{}/messages/", user.group);
            let sent = self
                .post(&path, &user.access, json!({ "text": text }))
                .await;
            assert_eq!(sent.status, 201, "{sent}");
            let mut received = String::new();
            while !received.contains(text) {
                let chunk = with_timeout(text, stream.chunk()).await.unwrap().unwrap();
                received += &String::from_utf8_lossy(&chunk);
            }
        }
    }
}

async fn next_text(socket: &mut ProxiedSocket) -> String {
    match with_timeout("a frame", socket.next()).await {
        Some(Ok(Message::Text(text))) => text.to_string(),
        other => panic!("a text was due, not {other:?}"),
    }
}
