//! The OpenAPI document describes the behaviour of the server.

use std::collections::BTreeSet;

use loco_rs::app::Hooks;
use reqwest::Method;
use salam::app::App;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestResponse, assert_reviewed,
    openapi::{OPENAPI_PATH, operations, request_example, resolve_schema},
};

/// Routes for people, or for the operator's machines, that are not part of the API.
const NON_API_ROUTES: [&str; 11] = [
    "/",
    "/playground",
    "/static/{*path}",
    "/api-docs",
    "/api-docs/asyncapi.json",
    "/swagger",
    "/swagger/{file}",
    OPENAPI_PATH,
    "/_ping",
    "/_health",
    "/_readiness",
];

#[tokio::test]
async fn swagger_ui_is_served_completely_from_the_binary() {
    let app = TestApp::start().await;
    let page = app.get("/swagger/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let links = page
        .body
        .split('"')
        .filter(|text| text.starts_with('/') && text.len() > 2);
    let mut count = 0;
    for link in links {
        assert_eq!(app.get(link).await.status, 200, "{link}");
        count += 1;
    }
    assert_eq!(count, 4, "{page}");
    assert!(
        !page.body.contains("//"),
        "nothing is loaded from elsewhere: {page}"
    );
    let initializer = app.get("/swagger/swagger-initializer.js").await;
    assert!(initializer.body.contains(OPENAPI_PATH));
    assert_eq!(app.get("/swagger/nothing.js").await.status, 404);
}

#[tokio::test]
async fn the_start_page_links_to_the_documents() {
    let app = TestApp::start().await;
    let page = app.get("/").await;
    assert_eq!(page.status, 200);
    let links = [
        "/swagger/",
        "/api-docs/",
        "/playground/",
        OPENAPI_PATH,
        "/api-docs/asyncapi.json",
    ];
    for link in links {
        assert!(page.body.contains(link), "{page}");
    }
}

#[tokio::test]
async fn every_route_is_documented_and_nothing_else() {
    let app = TestApp::start().await;
    let document = app.get(OPENAPI_PATH).await.json();
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let path = path.trim_end_matches('/');
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| (path.to_owned(), method.to_uppercase()))
        })
        .collect();
    let served: BTreeSet<(String, String)> = App::routes(&app.ctx)
        .collect()
        .iter()
        .filter(|route| !NON_API_ROUTES.contains(&route.uri.as_str()))
        .flat_map(|route| {
            let methods = route.actions.iter();
            methods
                .map(|method| (route.uri.clone(), method.to_string()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(documented, served);
}

#[tokio::test]
async fn operations_have_unique_ids_and_existing_schemas() {
    let app = TestApp::start().await;
    let document = app.get(OPENAPI_PATH).await.json();
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let id = operation.2["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} twice");
        assert!(operation.2["summary"].is_string(), "{id} has no summary");
    }
    assert_references_resolve(&document);
}

/// Asserts that every reference of a document resolves.
pub fn assert_references_resolve(document: &Value) {
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1) {
        let reference = reference.split('"').next().unwrap().trim_start_matches('#');
        assert!(
            document.pointer(reference).is_some(),
            "{reference} leads nowhere"
        );
    }
}

/// A client that sends the examples unchanged gets the documented responses.
#[tokio::test]
async fn the_documented_examples_work() {
    let app = TestApp::start().await;
    let document = app.get(OPENAPI_PATH).await.json();
    let ann = app.user("somebody").await;
    let mut refresh = ann.refresh.clone();
    for operation in ["register", "token", "token_refresh", "start_chat"] {
        let (path, method, described) = operations(&document)
            .find(|(_, _, o)| o["operationId"] == operation)
            .unwrap();
        let schema = &described["requestBody"]["content"]["application/json"]["schema"];
        let mut body = request_example(&document, schema);
        if operation == "token_refresh" {
            body["refresh"] = json!(refresh);
        }
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let mut request = app.request(method, path).json(&body);
        if described["security"] == json!([{"bearer": []}]) {
            request = request.bearer_auth(&ann.access);
        }
        let response = TestResponse::from_request(request).await;
        assert!(response.status.is_success(), "{operation}: {response}");
        let promise = &described["responses"][response.status.as_str()];
        let promised = resolve_schema(&document, &promise["content"]["application/json"]["schema"]);
        let keys = object_keys(&response.json());
        let required: BTreeSet<String> =
            serde_json::from_value(promised["required"].clone()).unwrap();
        assert!(
            keys.is_superset(&required),
            "{operation} lacks a key: {response}"
        );
        assert!(
            keys.is_subset(&object_keys(&promised["properties"])),
            "{operation}: {response}"
        );
        if let Some(token) = response.json()["refresh"].as_str() {
            refresh = token.to_owned();
        }
    }
}

/// The reviewed operations: summary, possible statuses and credentials.
#[rustfmt::skip]
const REVIEWED_OPERATIONS: &[&str] = &[
    "GET /api/groups/: List your groups, the last joined first. 200 400 401 429 503 bearer",
    "DELETE /api/groups/{group_name}/: Delete a group with all its messages. Requires the role owner. 204 400 401 403 404 413 415 429 503 bearer",
    "GET /api/groups/{group_name}/: Show a group. 200 400 401 404 429 503 bearer",
    "PATCH /api/groups/{group_name}/: Change the title of a group. Requires the role admin or owner. 200 400 401 403 404 413 415 429 503 bearer",
    "GET /api/groups/{group_name}/bans/: List the banned users of a group, the oldest ban first. Requires the role admin or owner. 200 400 401 403 404 429 503 bearer",
    "DELETE /api/groups/{group_name}/bans/{username}/: Remove a ban. The user can then join again by an invite. Requires the role admin or owner. 204 400 401 403 404 415 429 503 bearer",
    "GET /api/groups/{group_name}/events/: List the events of a group's log, in order. 200 400 401 404 429 503 bearer",
    "GET /api/groups/{group_name}/invites/: List the invites that can still be used. Requires the role admin or owner. 200 400 401 403 404 429 503 bearer",
    "POST /api/groups/{group_name}/invites/: Create an invite. Requires the role admin or owner. 201 400 401 403 404 413 415 429 503 bearer",
    "DELETE /api/groups/{group_name}/invites/{id}/: Revoke an invite. Requires the role admin or owner. 204 400 401 403 404 415 429 503 bearer",
    "GET /api/groups/{group_name}/members/: List the members of a group, the longest membership first. 200 400 401 404 429 503 bearer",
    "DELETE /api/groups/{group_name}/members/{username}/: Leave a group, or remove another member. 204 400 401 403 404 409 415 429 503 bearer",
    "PATCH /api/groups/{group_name}/members/{username}/: Change the role of a member. Requires the role owner. 200 400 401 403 404 409 413 415 429 503 bearer",
    "GET /api/groups/{group_name}/messages/: List the messages of a group, the newest first. 200 400 401 404 429 503 bearer",
    "POST /api/groups/{group_name}/messages/: Send a message. 200 201 400 401 404 409 410 413 415 429 503 bearer",
    "DELETE /api/groups/{group_name}/messages/{seq}/: Delete a message. Admins and the owner can delete any message, other members only their own. 204 400 401 403 404 409 410 415 429 503 bearer",
    "PATCH /api/groups/{group_name}/messages/{seq}/: Edit the text of your message. 200 400 401 403 404 409 410 413 415 429 503 bearer",
    "DELETE /api/groups/{group_name}/messages/{seq}/reactions/{emoji}/: Remove your reaction from a message. A repeated request changes nothing. 204 400 401 404 409 410 415 429 503 bearer",
    "PUT /api/groups/{group_name}/messages/{seq}/reactions/{emoji}/: Add your reaction to a message. A repeated request changes nothing. 200 400 401 404 409 410 415 429 503 bearer",
    "PUT /api/groups/{group_name}/read/: Set your read position in a group, for all your devices. The position never moves back. 200 400 401 404 413 415 429 503 bearer",
    "GET /api/invites/{code}/: Show the group that an invite is for. 200 400 401 404 429 503 bearer",
    "POST /api/invites/{code}/accept/: Join a group by an invite. 200 400 401 403 404 409 415 429 503 bearer",
    "POST /api/logout/: Log out. 204 401 415 429 503 bearer",
    "GET /api/me/: Show your account. 200 401 429 503 bearer",
    "PUT /api/me/password/: Change your password. All your other sessions end. 200 400 401 413 415 429 503 bearer",
    "POST /api/register/: Create an account. 201 400 413 415 429 503 no credentials",
    "DELETE /api/sessions/: End all your other sessions. Their sockets are closed with 4410. 204 400 401 413 415 429 503 bearer",
    "GET /api/sessions/: List your sessions, the last used first, at most 200. 200 401 429 503 bearer",
    "DELETE /api/sessions/{id}/: End one of your sessions. Its sockets are closed with 4410. 204 401 404 415 429 503 bearer",
    "POST /api/start-chat/: Create a chat group. You become its owner. 200 400 401 409 413 415 429 503 bearer",
    "POST /api/token/: Log in. 200 400 401 413 415 429 503 no credentials",
    "POST /api/token/refresh/: Get a new access token. 200 400 401 413 415 429 503 no credentials",
    "GET /ws/: Open a socket for many groups. 101 400 403 426 429 503 cookie,bearer",
    "GET /ws/chat/{group_name}/: Open a socket for one group. 101 400 401 403 404 426 429 503 cookie,bearer",
    // operations-inject (do not remove this comment: the generators write above it)
];

#[tokio::test]
async fn the_openapi_document_matches_the_review() {
    let app = TestApp::start().await;
    let document = app.get(OPENAPI_PATH).await.json();
    let mut summary = Vec::new();
    for (path, method, operation) in operations(&document) {
        let responses: Vec<_> = operation["responses"].as_object().unwrap().keys().collect();
        let responses: Vec<_> = responses.into_iter().map(String::as_str).collect();
        let security = match &operation["security"] {
            Value::Array(schemes) if schemes.is_empty() => "no credentials".to_owned(),
            schemes => schemes
                .to_string()
                .replace(['"', '[', ']', '{', '}', ':'], ""),
        };
        summary.push(format!(
            "{} {path}: {} {} {security}",
            method.to_uppercase(),
            operation["summary"].as_str().unwrap(),
            responses.join(" "),
        ));
    }
    assert_reviewed(summary, REVIEWED_OPERATIONS);
}

fn object_keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn only_servers_of_development_serve_the_book() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/docs/").await.status, 404);
}

#[tokio::test]
async fn api_docs_can_be_disabled() {
    let app = TestApp::with_settings(json!({"api_docs": false})).await;
    for path in [
        "/swagger/",
        "/swagger/swagger-ui.css",
        "/api-docs/",
        "/api-docs/openapi.json",
        "/api-docs/asyncapi.json",
    ] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
    assert_eq!(app.get("/").await.status, 200);
    app.user("ann").await.start_chat().await;
}
