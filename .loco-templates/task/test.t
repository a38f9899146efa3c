{% set file_name = name | snake_case -%}
to: tests/tasks/{{ file_name }}.rs
skip_exists: true
injections:
- into: tests/tasks/mod.rs
  after_last: "^mod "
  content: "mod {{ file_name }};"
---
//! The task `{{ name }}`.

use insta::assert_snapshot;

use super::run_task;
use crate::support::TestApp;

#[tokio::test]
async fn {{ file_name }}_finds_the_user_or_names_the_missing_argument() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let (ok, output) = run_task(&app, "", "{{ name }}", &["username:ann"]).await;
    assert!(ok, "{output}");
    assert_snapshot!(output, @"{{ name }}: found ann");
    let (ok, output) = run_task(&app, "", "{{ name }}", &["username:bob"]).await;
    assert!(!ok);
    assert_snapshot!(output, @"error: {{ name }}: there is no user `bob`");
    let (ok, output) = run_task(&app, "", "{{ name }}", &[]).await;
    assert!(!ok);
    assert_snapshot!(output, @"error: {{ name }}: the argument `username` is missing; example: cargo loco task {{ name }} username:ann");
}
