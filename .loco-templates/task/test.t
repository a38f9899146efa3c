{% set file_name = name | snake_case -%}
to: tests/tasks/{{ file_name }}.rs
skip_exists: true
message: "Its tests are in tests/tasks/{{ file_name }}.rs."
injections:
- into: tests/tasks/mod.rs
  after_last: "^mod "
  content: "mod {{ file_name }};"
---
//! `cargo loco task {{ name }}`.

use insta::assert_snapshot;

use super::run_task;
use crate::support::TestApp;

#[tokio::test]
async fn it_finds_the_user_or_says_what_is_missing() {
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
