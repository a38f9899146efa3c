//! The pages from which the cookie opens sockets (RFC 6455, section 10.2; cross-site WebSocket
//! hijacking). The cookie opens nothing else.

use reqwest::Method;
use serde_json::json;

use crate::support::{Socket, TestApp, User, with_timeout};

/// Returns the statuses of handshakes with the cookie: a base socket, a rich socket of one group, a
/// multi-group socket.
async fn handshake_statuses(user: &User<'_>, group: &str, headers: &[(&str, &str)]) -> [u16; 3] {
    let base = format!("/ws/chat/{group}/");
    let mut statuses = [0; 3];
    for (at, (path, offers)) in [
        (base.as_str(), None),
        (base.as_str(), Some("chat.v1.json")),
        ("/ws/", Some("chat.v1.json")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = user
            .app
            .request(Method::GET, path)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("cookie", user.cookie());
        if let Some(offers) = offers {
            request = request.header("sec-websocket-protocol", offers);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = with_timeout("a response", request.send()).await.unwrap();
        statuses[at] = response.status().as_u16();
    }
    statuses
}

/// The headers of a handshake, and its expected statuses.
type OriginCase<'a> = (Vec<(&'a str, &'a str)>, [u16; 3]);

const ACCEPTED: [u16; 3] = [101; 3];
const FORBIDDEN: [u16; 3] = [403; 3];

async fn assert_origin_cases(app: &TestApp, rows: &[OriginCase<'_>]) {
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut wrong = Vec::new();
    for (headers, expected) in rows {
        let statuses = handshake_statuses(&ann, &group, headers).await;
        if statuses != *expected {
            wrong.push((headers, statuses));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn foreign_origins_cannot_open_sockets_with_the_cookie() {
    let app = TestApp::start().await;
    let port = app.address.port();
    let own = format!("http://127.0.0.1:{port}");
    let with_tls = format!("https://127.0.0.1:{port}");
    let rejected = [
        "null".to_owned(),
        String::new(),
        " ".to_owned(),
        // Another port, another scheme.
        "http://127.0.0.1".to_owned(),
        format!("http://127.0.0.1:{}", port - 1),
        format!("ws://127.0.0.1:{port}"),
        format!("ftp://127.0.0.1:{port}"),
        // Another name for the same machine.
        format!("http://localhost:{port}"),
        format!("http://[::1]:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://127.0.0.2:{port}"),
        format!("http://127.1:{port}"),
        format!("http://2130706433:{port}"),
        format!("http://0x7f.0.0.1:{port}"),
        format!("http://127.0.0.1.:{port}"),
        // Suffixes, prefixes, and values that a lenient parser could read as the server's origin.
        format!("http://127.0.0.1.evil.example:{port}"),
        format!("http://evil.example/127.0.0.1:{port}"),
        format!("http://evil.example#127.0.0.1:{port}"),
        format!("http://evil.example?127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}@evil.example"),
        format!("http://ann@127.0.0.1:{port}"),
        format!("http://evil127.0.0.1:{port}"),
        format!("{own}0"),
        format!("{own}/"),
        format!("{own}/page"),
        format!("{own}?"),
        format!("{own}."),
        format!("{own} {own}"),
        format!("{own}, {own}"),
        format!("{own},null"),
        format!("HTTP://127.0.0.1:{port}"),
        format!("http:127.0.0.1:{port}"),
        format!("http:/127.0.0.1:{port}"),
        format!("//127.0.0.1:{port}"),
        format!("127.0.0.1:{port}"),
        format!("http:\\\\127.0.0.1:{port}"),
        format!("http://127.0.0.1:0{port}"),
        // Not a web page.
        "file://".to_owned(),
        "file:///srv/page.html".to_owned(),
        "about:blank".to_owned(),
        "data:".to_owned(),
        format!("blob:{own}"),
        "chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
        "moz-extension://00000000-0000-0000-0000-000000000000".to_owned(),
        "capacitor://localhost".to_owned(),
        "*".to_owned(),
    ];
    let mut rows: Vec<OriginCase<'_>> = vec![
        (vec![], ACCEPTED),
        (vec![("origin", own.as_str())], ACCEPTED),
        // A proxy that ends TLS and does not announce it. One port can only have one scheme.
        (vec![("origin", with_tls.as_str())], ACCEPTED),
        (
            vec![("origin", own.as_str()), ("origin", own.as_str())],
            FORBIDDEN,
        ),
        (
            vec![("origin", own.as_str()), ("origin", "https://evil.example")],
            FORBIDDEN,
        ),
        (
            vec![("origin", "https://evil.example"), ("origin", own.as_str())],
            FORBIDDEN,
        ),
        // A header of a proxy does not make a foreign page the server's own.
        (
            vec![
                ("origin", "http://evil.example"),
                ("x-forwarded-host", "evil.example"),
            ],
            FORBIDDEN,
        ),
        (
            vec![("origin", own.as_str()), ("x-forwarded-proto", "https")],
            FORBIDDEN,
        ),
    ];
    rows.extend(
        rejected
            .iter()
            .map(|origin| (vec![("origin", origin.as_str())], FORBIDDEN)),
    );
    assert!(rows.len() > 40);
    assert_origin_cases(&app, &rows).await;
}

#[tokio::test]
async fn the_public_url_and_allowed_origins_open_sockets() {
    let app = TestApp::with_settings(json!({
        "public_url": "https://chat.example",
        "allowed_origins": ["https://bücher.example", "https://app.example:8443", "http://[::1]:3000"],
    }))
    .await;
    let here = format!("http://{}", app.address);
    let rows: Vec<OriginCase<'_>> = vec![
        (vec![("origin", "https://chat.example")], ACCEPTED),
        (
            vec![("origin", "https://chat.example"), ("host", "chat.example")],
            ACCEPTED,
        ),
        // The server is still reachable by its address.
        (vec![("origin", &here)], ACCEPTED),
        (vec![("origin", "https://xn--bcher-kva.example")], ACCEPTED),
        (vec![("origin", "https://app.example:8443")], ACCEPTED),
        (vec![("origin", "http://[::1]:3000")], ACCEPTED),
        // Browsers never send these.
        (vec![("origin", "https://chat.example:443")], FORBIDDEN),
        (vec![("origin", "https://CHAT.example")], FORBIDDEN),
        (vec![("origin", "https://chat.example.")], FORBIDDEN),
        (vec![("origin", "https://bücher.example")], FORBIDDEN),
        (vec![("origin", "http://[0:0:0:0:0:0:0:1]:3000")], FORBIDDEN),
        // Plain pages, other ports and other names.
        (vec![("origin", "http://chat.example")], FORBIDDEN),
        (
            vec![("origin", "http://chat.example"), ("host", "chat.example")],
            FORBIDDEN,
        ),
        (vec![("origin", "https://chat.example:8000")], FORBIDDEN),
        (vec![("origin", "https://evil.chat.example")], FORBIDDEN),
        (vec![("origin", "https://evilchat.example")], FORBIDDEN),
        (
            vec![("origin", "https://chat.example.evil.example")],
            FORBIDDEN,
        ),
        (
            vec![("origin", "https://chat.example@evil.example")],
            FORBIDDEN,
        ),
        (vec![("origin", "https://сhat.example")], FORBIDDEN),
        (vec![("origin", "https://xn--hat-5cd.example")], FORBIDDEN),
        (vec![("origin", "https://app.example")], FORBIDDEN),
        (vec![("origin", "http://app.example:8443")], FORBIDDEN),
        (vec![("origin", "null")], FORBIDDEN),
    ];
    assert_origin_cases(&app, &rows).await;
}

#[tokio::test]
async fn any_origin_with_a_bearer_token_opens_a_rich_socket() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let offers = format!("chat.v1.json, bearer.{}", ann.access);
    for path in [format!("/ws/chat/{group}/"), "/ws/".to_owned()] {
        for origin in ["https://evil.example", "null"] {
            let headers = [
                ("sec-websocket-protocol", offers.as_str()),
                ("origin", origin),
            ];
            let opened = Socket::with_headers(app.address, &path, &headers).await;
            assert!(opened.is_ok(), "{path} {origin}");
        }
    }
}
