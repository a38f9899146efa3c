//! Deleted texts are removed from the SQLite file and its WAL.

use std::fs;

use serde_json::json;

use crate::support::{Server, TestDatabase, skip_unless, wait_until};

/// A text that occurs nowhere else.
const DELETED_TEXT: &str = "quokka-juniper-palindrome";

fn count_deleted_text(file: &std::path::Path) -> usize {
    let bytes = fs::read(file).unwrap_or_default();
    let found = bytes.windows(DELETED_TEXT.len());
    found
        .filter(|window| *window == DELETED_TEXT.as_bytes())
        .count()
}

/// PostgreSQL keeps deleted rows until it vacuums: docs/security.md.
#[tokio::test]
async fn deleted_texts_leave_the_sqlite_files() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    let log = file.with_file_name(format!(
        "{}-wal",
        file.file_name().unwrap().to_string_lossy()
    ));
    let mut server = Server::start(&database);
    let base = format!("http://{}", server.listen_address().await);
    let client = reqwest::Client::new();
    let post = async |path: &str, token: &str, body: serde_json::Value| {
        let request = client.post(format!("{base}{path}")).bearer_auth(token);
        let response = request.json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {response:?}");
        response.json::<serde_json::Value>().await.unwrap()
    };
    let account = json!({"name": "Ann", "username": "ann", "password": "the staple of ann"});
    post("/api/register/", "", account.clone()).await;
    let token = post("/api/token/", "", account).await["access"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut paths = Vec::new();
    let group = post("/api/start-chat/", &token, json!({})).await["group_name"].clone();
    let messages = format!("/api/groups/{}/messages/", group.as_str().unwrap());
    // Among other messages, so that pages are filled, split and merged.
    for number in 0..60 {
        let text = format!("{DELETED_TEXT} {number} {}", "x".repeat(number * 37 % 900));
        let sent = post(&messages, &token, json!({ "text": text })).await;
        paths.push(format!("{base}{messages}{}/", sent["seq"]));
        let text = "y".repeat(number * 61 % 1500 + 1);
        post(&messages, &token, json!({ "text": text })).await;
    }
    assert!(count_deleted_text(file) + count_deleted_text(&log) >= 60);
    for (number, path) in paths.iter().enumerate() {
        let changed = if number % 2 == 0 {
            client.delete(path)
        } else {
            client.patch(path).json(&json!({"text": "edited away"}))
        };
        let changed = changed.bearer_auth(&token).send().await.unwrap();
        assert!(changed.status().is_success(), "{changed:?}");
    }
    wait_until("the text to disappear from both files", async || {
        count_deleted_text(file) + count_deleted_text(&log) == 0
    })
    .await;
    assert!(server.stop().await.success());
    assert_eq!(count_deleted_text(file) + count_deleted_text(&log), 0);
}
