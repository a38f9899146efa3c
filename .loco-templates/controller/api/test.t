{% set file_name = name | snake_case -%}
{% set plural = file_name | plural -%}
{% set words = file_name | replace(from="_", to=" ") -%}
to: tests/requests/{{ file_name }}.rs
skip_exists: true
injections:
- into: tests/requests/mod.rs
  after_last: "^mod "
  content: "mod {{ file_name }};"
---
//! Endpoints of {{ words }}.

use insta::assert_snapshot;
use reqwest::Method;

use crate::support::{TestApp, TestResponse, one_line};

/// All endpoints.
const ENDPOINTS: &[(Method, &str)] = &[
    (Method::GET, "/api/{{ plural }}/"),
{% for action in actions %}    (Method::{{ action.verb | upper }}, "/api/{{ plural }}/{{ action.name }}/"),
{% endfor %}];

#[tokio::test]
async fn {{ file_name }}_{% if auth %}requires_a_login{% else %}responds_to_all_clients{% endif %}() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for (method, path) in ENDPOINTS {
        let response = ann.request(method.clone(), path).await;
        insta::allow_duplicates! {
            assert_snapshot!(one_line(&response), @"204 No Content");
        }
        let response = TestResponse::from_request(app.request(method.clone(), path)).await;
        insta::allow_duplicates! {
            {% if auth %}assert_snapshot!(one_line(&response), @r#"401 Unauthorized {"detail":"Authentication credentials were not provided","code":"unauthorized"}"#);{% else %}assert_snapshot!(one_line(&response), @"204 No Content");{% endif %}
        }
    }
}
