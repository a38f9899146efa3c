{% set module_name = name | snake_case -%}
{% set struct_name = module_name | pascal_case -%}
to: "tests/workers/{{ module_name }}.rs"
skip_exists: true
injections:
- into: tests/workers/mod.rs
  append: true
  content: "mod {{ module_name }};"
---
//! The worker `{{ struct_name }}`.

use loco_rs::bgworker::BackgroundWorker;
use salam::workers::{{ module_name }}::{Worker, WorkerArgs};

use crate::support::TestApp;

#[tokio::test]
async fn {{ module_name }}_runs_also_for_missing_users() {
    let app = TestApp::start().await;
    app.user("ann").await;
    for user_id in [1, 2] {
        Worker::build(&app.ctx).perform(WorkerArgs { user_id }).await.unwrap();
        Worker::perform_later(&app.ctx, WorkerArgs { user_id }).await.unwrap();
    }
}
