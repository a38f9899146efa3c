//! Users and origins that may not open a socket.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{GroupPath, Socket, TestApp};

#[tokio::test]
async fn a_base_socket_requires_membership_and_a_valid_access_cookie() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let stranger = app.user("bob").await;
    let open = async |cookie: &str, group: &str| {
        Socket::connect(app.address, group, cookie)
            .await
            .map(drop)
            .map_err(|s| s.as_u16())
    };
    let refresh = format!("access={}", ann.refresh);
    let broken = format!("{}x", ann.cookie());
    for cookie in ["", "access=", "access=x", "other=x", &refresh, &broken] {
        assert_eq!(open(cookie, &group).await, Err(401), "{cookie}");
    }
    assert_eq!(
        open(&stranger.cookie(), &group).await,
        Err(404),
        "a stranger"
    );
    for name in [
        "chat_00000000",
        "chat_",
        "other",
        "chat_%00",
        "chat_%FF",
        "..%2F",
    ] {
        assert_eq!(open(&ann.cookie(), name).await, Err(404), "{name}");
    }
    let among_others = format!("theme=dark; {}; lang=fa", ann.cookie());
    assert_eq!(open(&among_others, &group).await, Ok(()));
    let bearer = format!("Bearer {}", ann.access);
    let path = format!("/ws/chat/{group}/");
    let by_header = Socket::with_headers(app.address, &path, &[("authorization", &bearer)]).await;
    assert_eq!(
        by_header.map(drop).unwrap_err(),
        401,
        "base mode takes the cookie alone"
    );
}

/// The memberships are read in one query, and each handshake gets its own result.
#[tokio::test]
async fn concurrent_handshakes_admit_members_only() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let (anns, shared) = (ann.start_chat().await, ann.start_chat().await);
    ann.add_member(&bob, &shared).await;
    let left = ann.start_chat().await;
    ann.add_member(&bob, &left).await;
    let leaving = bob.delete(&left.path("members/bob/")).await;
    assert_eq!(leaving.status, 204);
    let nobodys = "chat_00000000".to_owned();
    let address = app.address;
    let groups = [&anns, &shared, &left, &nobodys];
    let handshakes = (0..48).map(|number| {
        let (user, group) = ([&ann, &bob][number % 2], groups[number / 2 % 4]);
        let cookie = user.cookie();
        async move {
            let opened = Socket::connect(address, group, &cookie).await;
            (number % 8, opened.map_err(|status| status.as_u16()).err())
        }
    });
    for (index, rejected) in join_all(handshakes).await {
        // Ann may enter her three groups, and bob the shared one.
        let comes_in = [0, 2, 3, 4].contains(&index);
        assert_eq!(rejected, (!comes_in).then_some(404), "{index}");
    }
}

#[tokio::test]
async fn a_request_without_upgrade_gets_426() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let path = format!("/ws/chat/{}/", ann.start_chat().await);
    let request = app
        .request(reqwest::Method::GET, &path)
        .header("cookie", ann.cookie());
    let response = crate::support::TestResponse::from_request(request).await;
    insta::assert_snapshot!(response, @r#"
    426 Upgrade Required
    content-type: application/json

    {"detail":"This is a WebSocket; send an upgrade request.","code":"invalid"}
    "#);
}

#[tokio::test]
async fn only_allowed_origins_open_sockets() {
    let app = TestApp::with_settings(json!({
        "public_url": "https://chat.example",
        "allowed_origins": ["https://app.example", "http://localhost:5173"],
    }))
    .await;
    let own = format!("http://{}", app.address);
    let another_port = "http://127.0.0.1:1".to_owned();
    let other_scheme = format!("https://{}", app.address);
    let with_slash = format!("{own}/");
    let with_user = format!("http://x@{}", app.address);
    let table = [
        (true, own.as_str()),
        (true, "https://chat.example"),
        (true, "https://app.example"),
        (true, "http://localhost:5173"),
        (true, other_scheme.as_str()),
        (false, "null"),
        (false, ""),
        (false, another_port.as_str()),
        (false, with_slash.as_str()),
        (false, with_user.as_str()),
        (false, "http://127.0.0.1"),
        (false, "http://chat.example"),
        (false, "https://chat.example:444"),
        (false, "https://chat.example.evil.example"),
        (false, "https://evil.example"),
        (false, "https://app.example/page"),
        (false, "https://APP.example"),
        (false, "http://localhost"),
        (false, "file://"),
        (false, "app.example"),
        (false, "https://app.example https://evil.example"),
    ];
    expect_origins(&app, &[], &table).await;
}

#[tokio::test]
async fn the_public_url_is_an_allowed_origin_in_its_scheme_only() {
    let app = TestApp::with_settings(json!({"public_url": "https://chat.example"})).await;
    // The host as a proxy with TLS forwards it, in any letter case.
    let through_proxy = [("host", "Chat.example")];
    expect_origins(
        &app,
        &through_proxy,
        &[
            (true, "https://chat.example"),
            (false, "http://chat.example"),
        ],
    )
    .await;
}

#[tokio::test]
async fn http_origins_are_rejected_behind_tls() {
    let app = TestApp::start().await;
    let through_proxy = [("host", "chat.example"), ("x-forwarded-proto", "https")];
    expect_origins(
        &app,
        &through_proxy,
        &[
            (true, "https://chat.example"),
            (false, "http://chat.example"),
            (false, "wss://chat.example"),
            (false, "ftp://chat.example"),
        ],
    )
    .await;
}

/// Opens a socket from each origin with these headers, and compares the results with the table.
async fn expect_origins(app: &TestApp, headers: &[(&str, &str)], table: &[(bool, &str)]) {
    let ann = app.user("ann").await;
    let path = format!("/ws/chat/{}/", ann.start_chat().await);
    let cookie = ann.cookie();
    for (allowed, origin) in table {
        let mut all = vec![("cookie", cookie.as_str()), ("origin", *origin)];
        all.extend(headers);
        let opened = Socket::with_headers(app.address, &path, &all)
            .await
            .map(drop);
        let expected = if *allowed { Ok(()) } else { Err(403) };
        assert_eq!(
            opened.map_err(|status| status.as_u16()),
            expected,
            "{origin}"
        );
    }
}
