//! The opening handshake, as clients and proxies send it.

use insta::assert_snapshot;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{TestApp, with_timeout};

const WEBSOCKET_KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

/// Sends a handshake of these lines. Returns the head of the response.
async fn handshake_response(app: &TestApp, path: &str, lines: &[&str]) -> String {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", app.address);
    for line in lines {
        request += line;
        request += "\r\n";
    }
    request += "\r\n";
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = with_timeout("a response", stream.read_u8()).await.unwrap();
        head.push(byte);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

fn status(head: &str) -> u16 {
    head[9..12].parse().unwrap()
}

#[tokio::test]
async fn connection_and_upgrade_headers_may_be_lists() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let cookie = format!("cookie: {}", ann.cookie());
    let path = format!("/ws/chat/{group}/");
    for lists in [
        ["connection: upgrade", "upgrade: websocket", "x: y"],
        [
            "connection: keep-alive",
            "connection: Upgrade",
            "upgrade: websocket",
        ],
        [
            "Connection: keep-alive, Upgrade",
            "Upgrade: WebSocket",
            "x: y",
        ],
        ["connection: Upgrade , x", "upgrade: h2c, websocket", "x: y"],
        [
            "connection: upgrade",
            "upgrade: h2c",
            "upgrade:  websocket ",
        ],
    ] {
        let mut lines = lists.to_vec();
        lines.extend(["sec-websocket-version: 13", WEBSOCKET_KEY, &cookie]);
        let head = handshake_response(&app, &path, &lines).await;
        assert_eq!(status(&head), 101, "{lists:?}: {head}");
        // A multi-group socket with the same headers.
        let bearer = format!("authorization: Bearer {}", ann.access);
        lines.extend(["sec-websocket-protocol: chat.v1.json", &bearer]);
        let head = handshake_response(&app, "/ws/", &lines).await;
        assert_eq!(status(&head), 101, "{lists:?}: {head}");
    }
    for lists in [
        ["connection: keep-alive", "upgrade: websocket"],
        ["connection: upgraded", "upgrade: websocket"],
        ["connection: upgrade", "upgrade: websockets"],
        ["connection: upgrade", "x: y"],
    ] {
        let mut lines = lists.to_vec();
        lines.extend(["sec-websocket-version: 13", WEBSOCKET_KEY, &cookie]);
        let head = handshake_response(&app, &path, &lines).await;
        assert_eq!(status(&head), 426, "{lists:?}: {head}");
        for header in [
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
        ] {
            assert!(head.contains(header), "{lists:?}: {head}");
        }
    }
}

#[tokio::test]
async fn only_websocket_version_13_without_a_body_is_accepted() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let cookie = format!("cookie: {}", ann.cookie());
    let upgrade = [
        "connection: upgrade",
        "upgrade: websocket",
        WEBSOCKET_KEY,
        &cookie,
    ];
    let version = "sec-websocket-version: 13";
    for (more, expected) in [
        (&[version][..], 101),
        (&[version, "content-length: 0"], 101),
        (&[], 426),
        (&["sec-websocket-version: 8"], 426),
        (&[version, "sec-websocket-version: 8"], 426),
        (&["sec-websocket-version: 13, 8"], 426),
        (&[version, "content-length: 5"], 400),
        (&[version, "transfer-encoding: chunked"], 400),
    ] {
        let lines = [&upgrade[..], more].concat();
        let head = handshake_response(&app, &format!("/ws/chat/{group}/"), &lines).await;
        assert_eq!(status(&head), expected, "{more:?}: {head}");
    }
    // A rich socket gets the fault of its handshake, and no error about a missing cookie.
    let bearer = format!("authorization: Bearer {}", ann.access);
    let rich = ["sec-websocket-protocol: chat.v1.json", &bearer];
    for path in [format!("/ws/chat/{group}/"), "/ws/".to_owned()] {
        let head = handshake_response(
            &app,
            &path,
            &[&rich[..], &["connection: upgrade", version]].concat(),
        )
        .await;
        assert_eq!(status(&head), 426, "{path}: {head}");
    }
}

#[tokio::test]
async fn the_websocket_key_must_be_16_bytes_in_base64() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let cookie = format!("cookie: {}", ann.cookie());
    let path = format!("/ws/chat/{group}/");
    for keys in [
        &["sec-websocket-key: abc"][..],
        &["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ"],
        &["sec-websocket-key: dGhlIHNhbXBsZSBub25jZXM="],
        &["sec-websocket-key: dGhlIHNhbXBsZSBub25j!Q=="],
        &["sec-websocket-key:"],
        &[],
        &[WEBSOCKET_KEY, WEBSOCKET_KEY],
    ] {
        let mut lines = vec![
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            &cookie,
        ];
        lines.extend(keys);
        let head = handshake_response(&app, &path, &lines).await;
        assert_eq!(status(&head), 400, "{keys:?}: {head}");
    }
}

/// The credential is valid, so the error names the missing subprotocol.
#[tokio::test]
async fn a_multi_group_socket_requires_the_subprotocol() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let request = app
        .request(reqwest::Method::GET, "/ws/")
        .bearer_auth(&ann.access)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_snapshot!(crate::support::TestResponse::from_request(request).await, @r#"
    426 Upgrade Required
    content-type: application/json

    {"detail":"Offer the subprotocol chat.v1.json.","code":"invalid"}
    "#);
}
