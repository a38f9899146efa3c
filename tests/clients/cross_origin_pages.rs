//! A real browser, on pages of other ports and other names of the same machine. For SameSite cookies
//! they are the same site, so the browser sends the cookie.

use axum::{Router, response::Html, routing::get};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Browser, TestApp};

/// Tries all sockets and requests, and returns the results.
const TRY_WITH_COOKIE: &str = r#"
const [server, group] = ARGS;
const socket = (path, offers) => new Promise((resolve) => {
    const socket = new WebSocket(server.replace("http", "ws") + path, offers);
    let opened = "";
    socket.onmessage = (event) => { opened = JSON.parse(event.data).type; socket.close(); };
    socket.onclose = () => resolve(opened);
    socket.onerror = () => resolve(opened);
});
const ask = async (method, path, body) => {
    try {
        const headers = body === undefined ? {} : { "content-type": "text/plain" };
        const answer = await fetch(server + path, { method, credentials: "include", headers, body });
        return answer.status;
    } catch {
        return "unreadable";
    }
};
return Promise.all([
    socket(`/ws/chat/${group}/`, []),
    socket(`/ws/chat/${group}/`, ["chat.v1.json"]),
    socket("/ws/", ["chat.v1.json"]),
    ask("GET", "/api/me/"),
    ask("POST", "/api/start-chat/", "{}"),
]);
"#;

/// The results where the browser sends the cookie: to another port of the same host. No socket opens,
/// and no response is readable.
const WITH_COOKIE: [&str; 5] = ["", "", "", "unreadable", "unreadable"];

/// The results where the browser does not send the cookie: a rich socket opens only for its `bye`.
const WITHOUT_COOKIE: [&str; 5] = ["", "bye", "bye", "unreadable", "unreadable"];

/// Serves an empty page on a port of its own.
pub async fn serve_foreign_page() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = Router::new().route("/", get(async || Html("<title>x</title>")));
    tokio::spawn(async { axum::serve(listener, page).await });
    port
}

/// Returns the results of a page at this address with the cookie of its visitor.
async fn try_with_cookie_from(browser: &Browser, page: &str, server: &str, group: &str) -> Value {
    browser.open(page).await;
    let script = TRY_WITH_COOKIE.replace("ARGS", &json!([server, group]).to_string());
    browser.run(&script).await
}

#[tokio::test]
async fn the_cookie_works_from_same_origin_pages_only() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let port = app.address.port();
    let other = serve_foreign_page().await;
    let browser = Browser::start().await;
    for host in ["127.0.0.1", "localhost"] {
        // The server listens on this address only, and a browser tries it for either name.
        let server = format!("http://{host}:{port}");
        browser.open(&format!("{server}/")).await;
        let login = r#"return fetch("/api/token/", {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ username: "ann", password: "the staple of ann" }),
        }).then((answer) => answer.status);"#;
        assert_eq!(browser.run(login).await, 200);

        let own = try_with_cookie_from(&browser, &format!("{server}/"), &server, &group).await;
        assert_eq!(
            own,
            json!(["chat_message", "hello", "hello", 401, 401]),
            "{host}"
        );
        for page in ["127.0.0.1", "localhost"] {
            let url = format!("http://{page}:{other}/");
            let foreign = try_with_cookie_from(&browser, &url, &server, &group).await;
            let expected = if page == host {
                &WITH_COOKIE
            } else {
                &WITHOUT_COOKIE
            };
            assert_eq!(foreign, json!(expected), "{url} to {server}");
        }
    }
    // Another name of the server is another origin too, and its policy allows connections to its own
    // name only.
    let server = format!("http://127.0.0.1:{port}");
    let page = format!("http://localhost:{port}/");
    let foreign = try_with_cookie_from(&browser, &page, &server, &group).await;
    assert_eq!(foreign, json!(WITH_COOKIE));
    browser.close().await;

    // The requests without a readable response had no effect either.
    let groups = ann.get("/api/groups/").await.json();
    assert_eq!(groups["results"].as_array().unwrap().len(), 1);
}
