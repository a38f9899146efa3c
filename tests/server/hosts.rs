//! The host names that the server accepts.

use insta::assert_snapshot;
use serde_json::json;

use super::{raw_response, raw_status};
use crate::support::{Server, TestApp, TestDatabase};

/// Values that are not hosts.
const MALFORMED_HOSTS: [&str; 17] = [
    "",
    " ",
    "a@chat.example",
    "chat.example@evil.example",
    "chat.example:x",
    "chat.example:+80",
    "chat.example:65536",
    "chat.example:80:80",
    "chat.example..",
    "chat..example",
    ".chat.example",
    "chat.example/x",
    "chat example",
    "[::1",
    "::1",
    "[127.0.0.1]",
    "chät.example",
];

#[tokio::test]
async fn only_allowed_hosts_are_served() {
    let app = TestApp::with_settings(json!({
        "public_url": "https://salam.example:8443",
        "door": {"allowed_hosts": ["Chat.example.", "203.0.113.7", "[2001:db8::1]", "a_b.example"]},
    }))
    .await;
    let status =
        async |host: &str| raw_status(app.address, "/", &format!("host: {host}\r\n")).await;
    for host in [
        "salam.example",
        "salam.example:8443",
        "SALAM.example:1",
        "salam.example:",
        "chat.example",
        "CHAT.EXAMPLE.",
        "chat.example.:443",
        "203.0.113.7",
        "203.0.113.7:8000",
        "[2001:db8::1]",
        "[2001:DB8:0:0::1]:8000",
        "a_b.example",
        "localhost",
        "LocalHost.:3000",
        "127.0.0.1",
        "127.9.9.9:1",
        "[::1]:8000",
        "[::ffff:127.0.0.1]",
        "[::ffff:203.0.113.7]",
    ] {
        assert_eq!(status(host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "chat.example.evil.example",
        "www.chat.example",
        "example",
        "203.0.113.8",
        "203.0.113.07",
        "0x7f.1",
        "2130706433",
        "localhost.evil.example",
        "[2001:db8::2]",
        "10.0.0.1:8000",
    ] {
        assert_eq!(status(host).await, 421, "{host}");
    }
    for host in MALFORMED_HOSTS {
        assert_eq!(status(host).await, 400, "{host}");
    }
    assert_snapshot!(app.get("/").await.status, @"200 OK");
    let foreign = app
        .request(reqwest::Method::GET, "/api/groups/")
        .header("host", "evil.example");
    assert_snapshot!(crate::support::TestResponse::from_request(foreign).await, @r#"
    421 Misdirected Request
    content-type: application/json

    {"detail":"This server does not serve this host name.","code":"invalid"}
    "#);
}

/// An absolute request target sets the host, even if the header `Host` differs.
#[tokio::test]
async fn an_absolute_request_target_sets_the_host() {
    let app = TestApp::with_settings(json!({"door": {"allowed_hosts": ["chat.example"]}})).await;
    for (target, host, expected) in [
        ("http://chat.example/", "evil.example", 200),
        ("http://CHAT.example:80/", "chat.example", 200),
        ("http://evil.example/", "chat.example", 421),
        ("http://chat.example@evil.example/", "chat.example", 400),
        (
            "http://evil.example/?http://chat.example/",
            "chat.example",
            421,
        ),
    ] {
        let lines = format!("host: {host}\r\n");
        assert_eq!(
            raw_status(app.address, target, &lines).await,
            expected,
            "{target} {host}"
        );
    }
    let two = "host: chat.example\r\nhost: chat.example\r\n";
    assert_eq!(raw_status(app.address, "/", two).await, 400);
    assert_eq!(raw_status(app.address, "/", "").await, 400);
    assert_eq!(
        raw_status(app.address, "http://chat.example/", "").await,
        400
    );
    let old = raw_response(app.address, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 421 "), "{old}");
}

#[tokio::test]
async fn probes_accept_any_host() {
    let app = TestApp::with_settings(json!({"door": {"allowed_hosts": ["chat.example"]}})).await;
    for probe in ["/_ping", "/_health/", "/_readiness"] {
        assert_eq!(
            raw_status(app.address, probe, "host: 10.0.0.1:8000\r\n").await,
            200
        );
    }
    assert_eq!(
        raw_status(app.address, "/_pings", "host: 10.0.0.1\r\n").await,
        421
    );
}

#[tokio::test]
async fn outside_production_any_host_is_accepted_unless_some_are_listed() {
    let app = TestApp::with_settings(json!({"public_url": "https://salam.example"})).await;
    assert_eq!(
        raw_status(app.address, "/", "host: evil.example\r\n").await,
        200
    );
    for host in MALFORMED_HOSTS {
        let lines = format!("host: {host}\r\n");
        assert_eq!(raw_status(app.address, "/", &lines).await, 400, "{host}");
    }
}

#[tokio::test]
async fn production_accepts_its_public_host_and_localhost() {
    let database = TestDatabase::create().await;
    for (public_url, own) in [("https://salam.example", 200), ("", 421)] {
        let mut server = Server::start_in_production(&database, public_url, &[]);
        let address = server.listen_address().await;
        for (host, expected) in [
            ("salam.example", own),
            ("evil.example", 421),
            ("localhost", 200),
            ("127.0.0.1:8000", 200),
        ] {
            let status = raw_status(address, "/", &format!("host: {host}\r\n")).await;
            assert_eq!(status, expected, "{host} of {public_url:?}");
        }
    }
}
