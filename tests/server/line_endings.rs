//! Line feeds without a carriage return, which proxies and servers may interpret differently.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use super::{raw_response, send_and_read_all};
use crate::support::{GroupPath, TestApp, with_timeout};

/// Returns the status lines of all responses.
fn statuses(responses: &str) -> Vec<&str> {
    let lines = responses.split("HTTP/1.1 ").skip(1);
    lines.map(|response| &response[..3]).collect()
}

#[tokio::test]
async fn bare_line_feeds_in_requests_are_rejected() {
    let app = TestApp::start().await;
    let get = "GET /_ping HTTP/1.1\r\nhost: x\r\n";
    let body = r#"{"refresh":"x"}"#;
    let post = format!(
        "POST /api/token/refresh/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let chunked = "POST /api/token/refresh/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n";
    for (rejected, request) in [
        (1, "GET /_ping HTTP/1.1\nhost: x\n\n".to_owned()),
        (1, "GET /_ping HTTP/1.1\r\nhost: x\n\r\n".to_owned()),
        (1, format!("{get}\n")),
        (1, format!("{get}a: b\nc: d\r\n\r\n")),
        // After a request, after a body, and after chunks.
        (2, format!("{get}\r\nGET /_ping HTTP/1.1\nhost: x\r\n\r\n")),
        (2, format!("{post}GET /_ping HTTP/1.1\nhost: x\r\n\r\n")),
        (
            2,
            format!("{chunked}f\r\n{body}\r\n0\r\n\r\nGET /_ping HTTP/1.1\nhost: x\r\n\r\n"),
        ),
        (1, format!("{chunked}f\n{body}\r\n0\r\n\r\n")),
        (1, format!("{chunked}f;a=b\n\r\n{body}\r\n0\r\n\r\n")),
        (
            1,
            format!("{chunked}f\r\n{body}\r\n0\r\na: b\nc: d\r\n\r\n"),
        ),
        // hyper ignores a length after `Transfer-Encoding`.
        (1, {
            let chunked = chunked.replace("\r\n\r\n", "\r\ncontent-length: x\r\n\r\n");
            format!("{chunked}f\r\n{body}\r\n0\r\na: b\nc: d\r\n\r\n")
        }),
        // A line that is too long.
        (1, {
            let zeros = "0".repeat(16 * 1024);
            format!("{chunked}{zeros}f\r\n{body}\r\n0\r\n\r\n")
        }),
    ] {
        let responses = raw_response(app.address, &request).await;
        let statuses = statuses(&responses);
        assert_eq!(statuses.len(), rejected, "{request:?}: {responses}");
        assert_eq!(statuses.last(), Some(&"400"), "{request:?}: {responses}");
    }
}

/// An event stream is not a socket: more requests can follow it on the same connection.
#[tokio::test]
async fn bare_line_feeds_after_an_event_stream_are_rejected() {
    let app = TestApp::start().await;
    let (group, [ann, bob, eve]) = app.group_of(["ann", "bob", "eve"]).await;
    let bare = "GET /_ping HTTP/1.1\nhost: x\r\n\r\n";
    let upgrade = "GET /_ping HTTP/1.1\r\nhost: x\r\nupgrade: x\r\n\r\n";
    for (user, line, requests, expected) in [
        (&bob, "upgrade: x\r\n", bare.to_owned(), &["400"][..]),
        (&eve, "", format!("{upgrade}{bare}"), &["200", "400"][..]),
    ] {
        let mut connection = TcpStream::connect(app.address).await.unwrap();
        let head = format!(
            "GET {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             accept: text/event-stream\r\n{line}\r\n",
            group.path("events/"),
            user.access
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let stream = read_until(&mut connection, "event: sync").await;
        assert_eq!(statuses(&stream), ["200"], "{stream}");
        // A kick ends the stream, but not the connection.
        let membership = group.path(&format!("members/{}/", user.username));
        assert_eq!(ann.delete(&membership).await.status, 204);
        let responses = send_and_read_all(connection, &requests).await;
        assert_eq!(statuses(&responses), expected, "{responses}");
    }
}

/// Reads until the response contains a text. Returns the part of the response that was read.
async fn read_until(connection: &mut TcpStream, text: &str) -> String {
    let mut response = String::new();
    while !response.contains(text) {
        let mut bytes = [0; 4096];
        let reading = connection.read(&mut bytes);
        let count = with_timeout("a part of a response", reading).await.unwrap();
        assert!(count > 0, "the server closed the connection: {response}");
        response += std::str::from_utf8(&bytes[..count]).unwrap();
    }
    response
}

#[tokio::test]
async fn line_feeds_in_bodies_and_frames_are_accepted() {
    let app = TestApp::start().await;
    let body = "{\n\"refresh\"\n:\n\"x\"\n}\n";
    let close = "connection: close\r\n";
    let head = "POST /api/token/refresh/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let length = format!("content-length: {}\r\n\r\n", body.len());
    let plain = format!("{head}{length}{body}{head}{close}{length}{body}");
    let chunks = format!(
        "transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n{:x};name=value\r\n{}\r\n0\r\ntrailer: x\r\n\r\n",
        body.len() - 1,
        &body[1..]
    );
    let chunked = format!("\r\n{head}{chunks}{head}{close}{chunks}");
    for request in [&plain, &chunked] {
        let responses = raw_response(app.address, request).await;
        assert_eq!(statuses(&responses), ["401", "401"], "{responses}");
        // The same, byte by byte.
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (last, rest) = request.as_bytes().split_last().unwrap();
        for byte in rest {
            stream.write_all(std::slice::from_ref(byte)).await.unwrap();
        }
        let last = char::from(*last).to_string();
        let responses = send_and_read_all(stream, &last).await;
        assert_eq!(statuses(&responses), ["401", "401"], "{responses}");
    }
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_base(&group).await;
    socket.send("{\n\"message\"\n:\n\"x\"\n}").await;
    assert_eq!(socket.next_message().await, "now is [clock]");
    socket.send_frame(Message::Ping(b"\n\n\n"[..].into())).await;
    assert!(matches!(socket.next_frame().await, Message::Pong(_)));
}
