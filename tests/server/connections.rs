//! The limits of connections, and the timeouts of slow ones.

use std::{net::SocketAddr, time::Duration};

use insta::assert_snapshot;
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};

use super::{raw_response, raw_status, send_and_read_all};
use crate::support::{Socket, TestApp, wait_until};

const PING_REQUEST: &str = "GET /_ping HTTP/1.1\r\nhost: x\r\n\r\n";

/// Waits until the server has noticed that a connection closed.
async fn until_a_connection_is_free(app: &TestApp, lines: &str) {
    wait_until("a free connection", async || {
        raw_status(app.address, "/_ping", lines).await == 200
    })
    .await;
}

/// Returns a response without values that differ from run to run.
fn redact_response(response: &str) -> String {
    let lines = response.lines().filter(|line| !line.starts_with("date: "));
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

#[tokio::test]
async fn connections_per_client_are_limited() {
    let limits = json!({"trusted_proxies": [], "connections_per_address": 2});
    let app = TestApp::with_settings(json!({ "door": limits })).await;
    let first = TcpStream::connect(app.address).await.unwrap();
    let _second = TcpStream::connect(app.address).await.unwrap();
    assert_snapshot!(redact_response(&raw_response(app.address, PING_REQUEST).await), @r#"
    HTTP/1.1 429 Too Many Requests
    content-type: application/json
    retry-after: 10
    x-content-type-options: nosniff
    content-security-policy: default-src 'none'; frame-ancestors 'none'
    x-frame-options: DENY
    referrer-policy: same-origin
    cross-origin-resource-policy: same-origin
    cross-origin-opener-policy: same-origin
    permissions-policy: camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()
    cache-control: no-store
    connection: close
    content-length: 64

    {"detail":"Too many requests; slow down.","code":"rate_limited"}
    "#);
    drop(first);
    until_a_connection_is_free(&app, "host: x\r\n").await;
}

#[tokio::test]
async fn open_sockets_count_as_connections() {
    let app = TestApp::with_settings(json!({"door": {"connections_per_address": 2}})).await;
    let ann = app.user("ann").await;
    let path = format!("/ws/chat/{}/", ann.start_chat().await);
    let cookie = ann.cookie();
    // As a proxy on this machine forwards them.
    let open = async |client: &str| {
        let headers = [("cookie", cookie.as_str()), ("x-forwarded-for", client)];
        Socket::with_headers(app.address, &path, &headers)
            .await
            .map_err(|status| status.as_u16())
    };
    let first = open("203.0.113.7").await.unwrap();
    let _second = open("203.0.113.7").await.unwrap();
    assert_eq!(open("203.0.113.7").await.map(drop), Err(429));
    assert_eq!(open("1.1.1.1, 203.0.113.7").await.map(drop), Err(429));
    // Other clients are not affected, and a /64 counts as one client.
    let _third = open("203.0.113.8").await.unwrap();
    let _fourth = open("2001:db8::1").await.unwrap();
    let _fifth = open("2001:db8::2").await.unwrap();
    assert_eq!(open("2001:db8::3").await.map(drop), Err(429));
    assert_eq!(open("2001:db8:0:1::3").await.map(drop), Ok(()));
    let lines = "host: x\r\nx-forwarded-for: 203.0.113.7\r\n";
    assert_eq!(raw_status(app.address, "/_ping", lines).await, 429);
    // The proxy itself has no limit.
    for _ in 0..5 {
        assert_eq!(raw_status(app.address, "/_ping", "host: x\r\n").await, 200);
    }
    drop(first);
    until_a_connection_is_free(&app, lines).await;
}

/// An open connection of the proxy counts for the client of its last request.
#[tokio::test]
async fn a_proxy_connection_counts_for_its_last_client() {
    let app = TestApp::with_settings(json!({"door": {"connections_per_address": 1}})).await;
    let mut connections = Vec::new();
    for client in ["203.0.113.7", "203.0.113.8"] {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        let head = format!("GET /_ping HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {client}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        connections.push(stream);
    }
    let request = async |client: &str| {
        let lines = format!("host: x\r\nx-forwarded-for: {client}\r\n");
        raw_status(app.address, "/_ping", &lines).await
    };
    wait_until("the first requests", async || {
        request("203.0.113.7").await == 429 && request("203.0.113.8").await == 429
    })
    .await;
    let mut first = connections.remove(0);
    let lines = "GET /_ping HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.9\r\n\r\n";
    first.write_all(lines.as_bytes()).await.unwrap();
    wait_until("the next request", async || {
        request("203.0.113.9").await == 429
    })
    .await;
    assert_eq!(request("203.0.113.7").await, 200);
}

#[tokio::test]
async fn total_connections_are_limited() {
    let app = TestApp::with_settings(json!({"door": {"max_connections": 2}})).await;
    let first = TcpStream::connect(app.address).await.unwrap();
    let _second = TcpStream::connect(app.address).await.unwrap();
    assert_snapshot!(redact_response(&raw_response(app.address, PING_REQUEST).await), @r#"
    HTTP/1.1 503 Service Unavailable
    content-type: application/json
    retry-after: 1
    x-content-type-options: nosniff
    content-security-policy: default-src 'none'; frame-ancestors 'none'
    x-frame-options: DENY
    referrer-policy: same-origin
    cross-origin-resource-policy: same-origin
    cross-origin-opener-policy: same-origin
    permissions-policy: camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()
    cache-control: no-store
    connection: close
    content-length: 74

    {"detail":"Temporarily unavailable; try again soon.","code":"unavailable"}
    "#);
    // The accept loop goes on, for any number of connections and whether or not the test waits for them.
    let mut more = Vec::new();
    for _ in 0..200 {
        more.push(TcpStream::connect(app.address).await.unwrap());
    }
    drop((first, more));
    until_a_connection_is_free(&app, "host: x\r\n").await;
}

/// Sends a request, and reads nothing of the response until the server gives up.
async fn request_without_reading(address: SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = "GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    wait_until("the connection to be cut", async || {
        stream
            .try_write(b" ")
            .is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
    })
    .await;
}

#[tokio::test]
async fn slow_clients_are_timed_out() {
    let app = TestApp::start().await;
    let drip = async |head: &str, drop: &str| {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // Bytes arrive all the time, but too slowly.
        while stream.write_all(drop.as_bytes()).await.is_ok() {
            let mut response = [0; 4096];
            tokio::time::sleep(Duration::from_millis(100)).await;
            match stream.try_read(&mut response) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(size) => return String::from_utf8_lossy(&response[..size]).into_owned(),
                // The last byte arrived while the server closed the connection.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        String::new()
    };
    let body = "POST /api/token/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 60000\r\n\r\n{\"username\": \"";
    let chunked = "POST /api/start-chat/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n";
    let slow = async {
        tokio::join!(
            drip("GET / HTTP/1.1\r\nhost: x\r\nx-many: ", "x"),
            drip(body, "x"),
            drip(chunked, "1\r\nx\r\n"),
            request_without_reading(app.address),
        )
    };
    let (headers, body, unread, ()) =
        crate::support::with_timeout("the slow to be cut", slow).await;
    assert_eq!(headers, "");
    assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
    assert!(
        body.ends_with(r#"{"detail":"The request took too long.","code":"invalid"}"#),
        "{body}"
    );
    // The server does not wait for a body that it does not read.
    assert!(unread.starts_with("HTTP/1.1 401 "), "{unread}");
    let next = TcpStream::connect(app.address).await.unwrap();
    let close = "GET /_ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(
        send_and_read_all(next, close)
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
}
