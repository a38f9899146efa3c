//! Raw requests that no HTTP library would send.

use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{check_async_property, mutated_strategy};
use crate::support::{GroupPath, TestApp, User, with_timeout};

/// Sends these bytes. Returns the status of the response, or 0 if the connection ends without one.
async fn raw_status(app: &TestApp, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut response = Vec::new();
    let reading = async {
        while response.len() < 12
            && stream
                .read_buf(&mut response)
                .await
                .is_ok_and(|read| read > 0)
        {}
    };
    with_timeout("a response", reading).await;
    let status = response.get(9..12).map(String::from_utf8_lossy);
    status.map_or(0, |status| status.parse().unwrap())
}

fn raw_get(user: &User<'_>, path: &[u8], host: &[u8], more: &[u8]) -> Vec<u8> {
    let bearer = format!(
        "\r\nauthorization: Bearer {}\r\nconnection: close\r\n",
        user.access
    );
    let parts = [
        &b"GET "[..],
        path,
        b" HTTP/1.1\r\nhost: ",
        host,
        bearer.as_bytes(),
        more,
        b"\r\n",
    ];
    parts.concat()
}

/// Generates a part of a query, mostly of valid bytes.
fn query_part_strategy() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "limit",
        "cursor",
        "before",
        "after",
        "ban",
        "epoch",
        "0",
        "1",
        "-1",
        "true",
        "1e3",
        "+1",
        "9223372036854775807",
        "9223372036854775808",
        "%00",
        "%ff",
        "%",
        "%2",
        "%zz",
        "=",
        "&",
        "[]",
    ];
    prop_oneof![
        6 => select(names.to_vec()).prop_map(|name| name.as_bytes().to_vec()),
        2 => "[!-~]{0,8}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..8),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_query_gets_a_documented_status() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let host = app.address.to_string();
    let paths = ["", "members/", "messages/", "events/", "invites/", "bans/"]
        .map(|resource| group.path(resource));
    let paths = paths.into_iter().chain(["/api/groups/".to_owned()]);
    let query = vec((query_part_strategy(), query_part_strategy()), 0..4).prop_map(|pairs| {
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| [name, value].join(&b'='));
        pairs.collect::<Vec<_>>().join(&b'&')
    });
    check_async_property(
        (select(paths.collect::<Vec<_>>()), query),
        async |(path, query)| {
            let path = [path.as_bytes(), b"?", &query].concat();
            let status = raw_status(&app, &raw_get(&ann, &path, host.as_bytes(), b"")).await;
            // A byte that ends the line ends the request line.
            let is_known = matches!(status, 200 | 400 | 404 | 414) || status == 0;
            prop_assert!(is_known, "{} to {}", status, String::from_utf8_lossy(&path));
            Ok(())
        },
    );
    assert!(ann.is_logged_in().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_host_header_gets_a_documented_status() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let hosts = [
        "localhost",
        "127.0.0.1:8000",
        "[::1]:8000",
        "chat.example",
        "user@host",
        "a:b:c",
    ];
    let hosts = hosts.map(ToOwned::to_owned).to_vec();
    let host = prop_oneof![
        4 => mutated_strategy(hosts, "@:/[]?#%.,- \t\\0aZ").prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
    ];
    check_async_property(host, async |host| {
        let status = raw_status(&app, &raw_get(&ann, b"/api/me/", &host, b"")).await;
        // A line that ends early ends the headers, before the token.
        let is_known =
            matches!(status, 0 | 200 | 400 | 421 | 431) || status == 401 && host.contains(&b'\n');
        prop_assert!(
            is_known,
            "{} to {:?}",
            status,
            String::from_utf8_lossy(&host)
        );
        Ok(())
    });
    assert!(ann.is_logged_in().await);
}

/// A page opens a socket with the cookie only if its origin is the server's own, in the form that
/// browsers use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_own_origin_opens_a_socket_with_the_cookie() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let own = [
        format!("http://{}", app.address),
        format!("https://{}", app.address),
    ];
    let others = [
        "null",
        "http://127.0.0.1",
        "http://localhost",
        "file://",
        "https://chat.example",
    ];
    let mut origins = own.to_vec();
    origins.extend(others.map(ToOwned::to_owned));
    let origin = prop_oneof![
        4 => mutated_strategy(origins, "@:/[]?#%.,- \t\\0123456789aZhtps").prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
    ];
    let path = format!("/ws/chat/{group}/");
    check_async_property(origin, async |origin| {
        let handshake = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\norigin: ",
            app.address,
            ann.cookie()
        );
        let request = [handshake.as_bytes(), &origin, b"\r\n\r\n"].concat();
        let status = raw_status(&app, &request).await;
        let text = String::from_utf8_lossy(&origin);
        // HTTP removes white space around a field.
        let is_own = own.iter().any(|own| own == text.trim_matches([' ', '\t']));
        let is_line = !origin.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
        prop_assert!(
            !is_line || (status == 101) == is_own,
            "{} to {:?}",
            status,
            text
        );
        prop_assert!(
            matches!(status, 0 | 101 | 400 | 403),
            "{} to {:?}",
            status,
            text
        );
        Ok(())
    });
}
