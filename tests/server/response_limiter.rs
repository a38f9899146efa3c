//! Responses that nobody reads use limited memory: per user, per network, and in total.

use std::net::SocketAddr;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{GroupPath, TestApp, User, wait_until, with_timeout};

/// Requests a path, and reads nothing of the response.
async fn request_without_reading(
    address: SocketAddr,
    path: &str,
    user: &User<'_>,
    from: &str,
) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: {from}\r\n\
         authorization: Bearer {}\r\n\r\n",
        user.access
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Waits for the first bytes of a response. Returns its status.
async fn read_status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    with_timeout("a response", stream.read_exact(&mut line))
        .await
        .unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

/// Returns the rest of a response, or the error that ended it early.
async fn read_rest(mut stream: TcpStream) -> std::io::Result<usize> {
    let mut all = Vec::new();
    with_timeout("the end of a response", stream.read_to_end(&mut all)).await
}

async fn group_with_long_messages(app: &TestApp) -> (User<'_>, String) {
    let (group, [ann]) = app.group_of(["ann"]).await;
    let long = format!("{}x", "\u{1}".repeat(7999));
    for number in 0..7 {
        assert_eq!(
            ann.send_message(&group, &long, &number.to_string())
                .await
                .status,
            201
        );
    }
    (ann, group.path("messages/?limit=100"))
}

#[tokio::test]
async fn unread_responses_per_user_are_limited() {
    let app = TestApp::with_settings(json!({"door": {"answer_bytes": 8 * 1024 * 1024}})).await;
    let (ann, path) = group_with_long_messages(&app).await;
    let size = ann.get(&path).await.body.len();
    assert!((250_000..350_000).contains(&size), "{size}");
    // One eighth of the total.
    let fit = 1024 * 1024 / size;
    let mut unread = Vec::new();
    for number in 0..fit {
        // The limit holds for all addresses together.
        let from = format!("192.0.2.{number}");
        let mut stream = request_without_reading(app.address, &path, &ann, &from).await;
        assert_eq!(read_status(&mut stream).await, "200");
        unread.push(stream);
    }
    let mut rejected = request_without_reading(app.address, &path, &ann, "192.0.2.99").await;
    assert_eq!(read_status(&mut rejected).await, "429");
    // Small responses, responses to writes and responses to other users are sent.
    assert_eq!(ann.get("/api/me/").await.status, 200);
    let group = path.split('/').nth(3).unwrap();
    let written = ann
        .send_message(group, &format!("{}x", "\u{1}".repeat(7999)), "long")
        .await;
    assert_eq!(written.status, 201, "{written}");
    let path = format!("{path}&before=8");
    let bob = app.user("bob").await;
    ann.add_member(&bob, group).await;
    assert_eq!(bob.get(&path).await.body.len(), size);
    // A response that is read or abandoned makes room.
    let read = unread.pop().unwrap();
    assert!(read_rest(read).await.unwrap() >= size);
    wait_until("room for another", async || {
        ann.get(&path).await.status == 200
    })
    .await;
    drop(unread);
}

#[tokio::test]
async fn the_slowest_client_is_disconnected_when_response_memory_is_full() {
    let app = TestApp::with_settings(json!({"door": {"answer_bytes": 8 * 1024 * 1024}})).await;
    let (ann, path) = group_with_long_messages(&app).await;
    let group = path.split('/').nth(3).unwrap();
    let size = ann.get(&path).await.body.len();
    let mut unread = Vec::new();
    let mut users = Vec::new();
    for number in 0..12 {
        let user = app.user(&format!("user{number}")).await;
        ann.add_member(&user, group).await;
        users.push(user);
    }
    // More than the total, while each user and each network stays within its share.
    for (number, user) in users.iter().enumerate() {
        for _ in 0..1024 * 1024 / size {
            let mut stream =
                request_without_reading(app.address, &path, user, &format!("192.0.2.{number}"))
                    .await;
            assert_eq!(read_status(&mut stream).await, "200");
            unread.push(stream);
        }
    }
    let last = unread.pop().unwrap();
    assert!(
        read_rest(last).await.unwrap() >= size,
        "the newest is served"
    );
    let first = unread.remove(0);
    let ended = read_rest(first).await;
    assert!(
        ended.as_ref().map_or(true, |read| *read < size),
        "{ended:?}"
    );
    assert_eq!(ann.get(&path).await.status, 200);
}

#[tokio::test]
async fn embedded_files_are_shared_and_compressed() {
    let app = TestApp::start().await;
    for path in [
        "/swagger/swagger-ui-bundle.js",
        "/static/client/api.js",
        "/api-docs/openapi.json",
        "/api-docs/asyncapi.json",
    ] {
        let get = async |encoding: &str, tag: &str| {
            let request = app
                .request(reqwest::Method::GET, path)
                .header("accept-encoding", encoding)
                .header("if-none-match", tag);
            request.send().await.unwrap()
        };
        let plain = get("identity", "").await;
        assert_eq!(plain.headers().get("content-encoding"), None);
        let tag = plain.headers()["etag"].to_str().unwrap().to_owned();
        let plain = plain.bytes().await.unwrap();
        for encoding in ["gzip", "br;q=1.0, gzip;q=0.5", "*", "deflate, *;q=0.1"] {
            let compressed = get(encoding, "").await;
            assert_eq!(
                compressed.headers()["content-encoding"],
                "gzip",
                "{encoding}"
            );
            assert_eq!(compressed.headers()["etag"].to_str().unwrap(), tag);
            assert_eq!(compressed.headers()["vary"], "accept-encoding");
            assert!(compressed.bytes().await.unwrap().len() < plain.len() / 2);
        }
        for encoding in ["br", "gzip;q=0", "gzip;q=0.000, *"] {
            assert_eq!(
                get(encoding, "").await.headers().get("content-encoding"),
                None,
                "{encoding}"
            );
        }
        for tags in [tag.as_str(), "*", &format!("\"x\", {tag}")] {
            assert_eq!(get("gzip", tags).await.status(), 304, "{tags}");
        }
    }
}
