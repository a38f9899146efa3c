//! The cookie `access` among other cookies, as browsers and other clients send them.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{TestApp, User, with_timeout};

/// Sends the handshake of a base socket with these raw cookie lines. Returns the status.
async fn handshake_status(app: &TestApp, group: &str, lines: &[&[u8]]) -> u16 {
    let mut request = format!(
        "GET /ws/chat/{group}/ HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        app.address
    )
    .into_bytes();
    for line in lines {
        request.extend([b"cookie: ", *line, b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut line = [0; 12];
    with_timeout("a response", stream.read_exact(&mut line))
        .await
        .unwrap();
    std::str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn cookies_of_other_apps_do_not_break_authentication() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let own = ann.cookie();
    let own = own.as_bytes();
    let with = |before: &[u8], after: &[u8]| [before, own, after].concat();
    for line in [
        own.to_vec(),
        with(b"theme=d\xc3\xa4rk; ", b""),
        with(b"x=\xff\xfe\x80; ", b"; y=\xf0"),
        with(b"", b";"),
        with(b";;; ;", b" ; ;"),
        with(b"no-value; =; ", b"; access2=x; Access=x; accessx"),
        with(b"a=\"b; ", b""),
        [
            b"$Version=1; access=\"",
            ann.access.as_bytes(),
            b"\"; $Path=\"/\"",
        ]
        .concat(),
        [b"access = ", ann.access.as_bytes(), b" ; x=y"].concat(),
        // An invalid cookie that another host has set locks nobody out.
        with(b"access=garbage; ", b"; access="),
        with(b"access=; access=\xff; ", b""),
        with("access=garbage; ".repeat(100).as_bytes(), b""),
    ] {
        let shown = String::from_utf8_lossy(&line).replace(&ann.access, "<token>");
        assert_eq!(
            handshake_status(&app, &group, &[&line]).await,
            101,
            "{shown}"
        );
    }
    assert_eq!(
        handshake_status(&app, &group, &[b"x=y", own, b"z=\xff"]).await,
        101
    );
    assert_eq!(handshake_status(&app, &group, &[b"x=\xff"]).await, 401);
    assert_eq!(
        handshake_status(&app, &group, &[b"access=%65yJ"]).await,
        401
    );
}

#[tokio::test]
async fn access_cookies_of_two_users_are_rejected() {
    let app = TestApp::start().await;
    let [ann, eve]: [User<'_>; 2] = [app.user("ann").await, app.user("eve").await];
    let group = ann.start_chat().await;
    ann.add_member(&eve, &group).await;
    let again = app.log_in("ann").await;
    let both = |one: &User<'_>, other: &User<'_>| format!("{}; {}", one.cookie(), other.cookie());
    // A page of a neighbouring host may have set either cookie.
    assert_eq!(
        handshake_status(&app, &group, &[both(&ann, &eve).as_bytes()]).await,
        401
    );
    assert_eq!(
        handshake_status(&app, &group, &[both(&eve, &ann).as_bytes()]).await,
        401
    );
    assert_eq!(
        handshake_status(
            &app,
            &group,
            &[ann.cookie().as_bytes(), eve.cookie().as_bytes()]
        )
        .await,
        401
    );
    // Two cookies of one user are accepted, even if one of the sessions has ended.
    assert_eq!(
        handshake_status(&app, &group, &[both(&again, &ann).as_bytes()]).await,
        101
    );
    again.post("/api/logout/", serde_json::json!({})).await;
    assert_eq!(
        handshake_status(&app, &group, &[both(&again, &ann).as_bytes()]).await,
        101
    );
    assert_eq!(
        handshake_status(&app, &group, &[again.cookie().as_bytes()]).await,
        401
    );
}
