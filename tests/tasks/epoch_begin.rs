//! `cargo loco task epoch:begin`.

use serde_json::json;

use super::run;
use crate::support::TestApp;

#[tokio::test]
async fn clients_are_told_to_start_anew() {
    let app = TestApp::with(json!({"channels": {"sweep_every": 1}})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let mut socket = ann.rich(&group, "").await;
    let ended = socket.until_sync().await[0]["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    let (ok, told) = run(&app, "", "epoch:begin", &[]).await;
    assert!(ok && told.contains(&format!("{ended} has ended")), "{told}");
    assert_eq!(socket.bye_code().await, 4501);
}
