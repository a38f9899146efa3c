//! `cargo loco task epoch:begin`.

use serde_json::json;

use super::run_task;
use crate::support::TestApp;

#[tokio::test]
async fn epoch_begin_makes_clients_start_over() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 1}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_rich(&group, "").await;
    let ended = socket.until_sync().await[0]["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    let (ok, output) = run_task(&app, "", "epoch:begin", &[]).await;
    assert!(
        ok && output.contains(&format!("{ended} has ended")),
        "{output}"
    );
    assert_eq!(socket.bye_code().await, 4501);
}
