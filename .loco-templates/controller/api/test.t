{% set file_name = name | snake_case -%}
{% set plural = file_name | plural -%}
{% set words = file_name | replace(from="_", to=" ") -%}
to: tests/requests/{{ file_name }}.rs
skip_exists: true
message: "Its tests are in tests/requests/{{ file_name }}.rs."
injections:
- into: tests/requests/mod.rs
  after_last: "^mod "
  content: "mod {{ file_name }};"
---
//! {{ words | capitalize }}.

use insta::assert_snapshot;
use reqwest::Method;

use crate::support::{TestApp, TestResponse, one_line};

/// Every endpoint.
const DOORS: &[(Method, &str)] = &[
    (Method::GET, "/api/{{ plural }}/"),
{% for action in actions %}    (Method::{{ action.verb | upper }}, "/api/{{ plural }}/{{ action.name }}/"),
{% endfor %}];

#[tokio::test]
async fn {{ file_name }}_answer_{% if auth %}whoever_is_logged_in{% else %}everybody{% endif %}() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for (method, path) in DOORS {
        let answer = ann.request(method.clone(), path).await;
        insta::allow_duplicates! {
            assert_snapshot!(one_line(&answer), @"204 No Content");
        }
        let answer = TestResponse::from_request(app.request(method.clone(), path)).await;
        insta::allow_duplicates! {
            {% if auth %}assert_snapshot!(one_line(&answer), @r#"401 Unauthorized {"detail":"Authentication credentials were not provided","code":"unauthorized"}"#);{% else %}assert_snapshot!(one_line(&answer), @"204 No Content");{% endif %}
        }
    }
}
