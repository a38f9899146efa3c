{% set file_name = name | snake_case -%}
{% set plural = file_name | plural -%}
{% set words = file_name | replace(from="_", to=" ") -%}
{% if auth %}{% set security = "bearer" %}{% set codes = "204 401" %}{% set access = "401 204 204 204 204 204 204 401" -%}
{% else %}{% set security = "no credentials" %}{% set codes = "204" %}{% set access = "204 204 204 204 204 204 204 204" %}{% endif -%}
to: src/controllers/{{ file_name }}.rs
skip_exists: true
message: "The endpoints /api/{{ plural }}/ are new. {% if auth %}They need an access token.{% else %}Each client may call them; with `--auth`, they need an access token.{% endif %}"
injections:
- into: src/controllers/mod.rs
  after_last: "^pub mod "
  content: "pub mod {{ file_name }};"
- into: src/app.rs
  after: "AppRoutes::"
  content: "            .add_route(controllers::{{ file_name }}::routes())"
- into: src/controllers/openapi.rs
  before: "// openapi-inject"
  content: "        super::{{ file_name }}::index,{% for action in actions %}\n        super::{{ file_name }}::{{ action.name }},{% endfor %}"
- into: tests/requests/access.rs
  before: "// access-inject"
  content: "    \"{{ access }} GET /api/{{ plural }}/\",{% for action in actions %}\n    \"{{ access }} {{ action.verb | upper }} /api/{{ plural }}/{{ action.name }}/\",{% endfor %}"
- into: tests/requests/docs.rs
  before: "// operations-inject"
  content: "    \"GET /api/{{ plural }}/: Get {{ words }}. {{ codes }} {{ security }}\",{% for action in actions %}\n    \"{{ action.verb | upper }} /api/{{ plural }}/{{ action.name }}/: Run the action {{ action.name }} of {{ words }}. {{ codes }}{% if action.verb != 'get' %} 415{% endif %} {{ security }}\",{% endfor %}"
---
//! Endpoints of {{ words }}.

{% set_global others = false %}{% for action in actions %}{% if action.verb != "get" %}{% set_global others = true %}{% endif %}{% endfor %}use axum::{% if others %}{http::StatusCode, routing}{% else %}http::StatusCode{% endif %};
use loco_rs::{controller::Routes, prelude::get};
{% if auth %}use super::extractors::CurrentUser;
use crate::{errors::Result, views::errors::Unauthorized};
{% else %}use crate::errors::Result;
{% endif %}
/// Get {{ words }}.
#[utoipa::path(
    get, path = "/api/{{ plural }}/", operation_id = "index_{{ plural }}", tag = "{{ words }}",
{% if auth %}    security(("bearer" = [])),
{% endif %}    responses((status = 204, description = "Nothing to return yet."){% if auth %}, Unauthorized{% endif %}),
)]
pub async fn index({% if auth %}CurrentUser(_user): CurrentUser{% endif %}) -> Result<StatusCode> {
    Ok(StatusCode::NO_CONTENT)
}

{% for action in actions %}/// Run the action {{ action.name }} of {{ words }}.
#[utoipa::path(
    {{ action.verb }}, path = "/api/{{ plural }}/{{ action.name }}/", operation_id = "{{ action.name }}_{{ plural }}", tag = "{{ words }}",
{% if auth %}    security(("bearer" = [])),
{% endif %}    responses((status = 204, description = "Nothing to return yet."){% if auth %}, Unauthorized{% endif %}),
)]
pub async fn {{ action.name }}({% if auth %}CurrentUser(_user): CurrentUser{% endif %}) -> Result<StatusCode> {
    Ok(StatusCode::NO_CONTENT)
}

{% endfor %}pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/{{ plural }}")
        .add("/", get(index))
{% for action in actions %}        .add("/{{ action.name }}", {% if action.verb == "get" %}get{% else %}routing::{{ action.verb }}{% endif %}({{ action.name }}))
{% endfor %}}
