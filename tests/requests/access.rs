//! The access table: the status of every endpoint for every kind of user.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::support::{
    GroupPath, Socket, TestApp, TestResponse, User,
    openapi::{operations, request_example, unique_example},
};

/// The columns of the access table. `nobody` sends no token. From `member` on, all users have been members
/// of the group. `revoked` is still a member and uses a revoked session.
const ROLES: [&str; 8] = [
    "nobody",
    "stranger",
    "member",
    "admin",
    "owner",
    "ex-member",
    "banned",
    "revoked",
];

/// The roles for which a group must look like a group that does not exist.
const NON_MEMBERS: [&str; 3] = ["stranger", "ex-member", "banned"];

/// The seq of the message: five members joined, one got a role, and two left.
const MESSAGE_SEQ: &str = "9";

type Users<'a> = BTreeMap<&'static str, User<'a>>;

/// A fresh group, with a message of its owner and an invite.
struct AccessFixture {
    group: String,
    invite_code: String,
    invite_id: i64,
    /// The id of the item that the owner created, for endpoints of one item of a collection.
    item_id: Option<i64>,
}

async fn create_fixture(users: &Users<'_>) -> AccessFixture {
    let owner = &users["owner"];
    let group = owner.start_chat().await;
    for role in [
        "ex-member",
        "banned",
        "member",
        "admin",
        "logged in elsewhere",
    ] {
        owner.add_member(&users[role], &group).await;
    }
    let responses = [
        owner
            .patch(&group.path("members/admin/"), json!({"role": "admin"}))
            .await,
        users["ex-member"]
            .delete(&group.path("members/ex-member/"))
            .await,
        owner.delete(&group.path("members/banned/?ban=true")).await,
        owner.send_message(&group, "hi", "1").await,
        owner.post(&group.path("invites/"), json!({})).await,
    ];
    assert!(
        responses
            .iter()
            .all(|response| response.status.is_success())
    );
    let invite = responses[4].json();
    AccessFixture {
        group,
        invite_code: invite["code"].as_str().unwrap().to_owned(),
        invite_id: invite["id"].as_i64().unwrap(),
        item_id: None,
    }
}

/// The reviewed status of each endpoint for each of [`ROLES`].
const ENDPOINT_ACCESS: &[&str] = &[
    "401 200 200 200 200 200 200 401 GET /api/groups/",
    "401 404 403 403 204 404 404 401 DELETE /api/groups/{group_name}/",
    "401 404 200 200 200 404 404 401 GET /api/groups/{group_name}/",
    "401 404 403 200 200 404 404 401 PATCH /api/groups/{group_name}/",
    "401 404 403 200 200 404 404 401 GET /api/groups/{group_name}/bans/",
    "401 404 403 204 204 404 404 401 DELETE /api/groups/{group_name}/bans/{username}/",
    "401 404 200 200 200 404 404 401 GET /api/groups/{group_name}/events/",
    "401 404 403 200 200 404 404 401 GET /api/groups/{group_name}/invites/",
    "401 404 403 201 201 404 404 401 POST /api/groups/{group_name}/invites/",
    "401 404 403 204 204 404 404 401 DELETE /api/groups/{group_name}/invites/{id}/",
    "401 404 200 200 200 404 404 401 GET /api/groups/{group_name}/members/",
    "401 404 204 204 204 404 404 401 DELETE /api/groups/{group_name}/members/{username}/",
    "401 404 403 403 200 404 404 401 PATCH /api/groups/{group_name}/members/{username}/",
    "401 404 200 200 200 404 404 401 GET /api/groups/{group_name}/messages/",
    "401 404 201 201 201 404 404 401 POST /api/groups/{group_name}/messages/",
    "401 404 403 204 204 404 404 401 DELETE /api/groups/{group_name}/messages/{seq}/",
    "401 404 403 403 200 404 404 401 PATCH /api/groups/{group_name}/messages/{seq}/",
    "401 404 204 204 204 404 404 401 DELETE /api/groups/{group_name}/messages/{seq}/reactions/{emoji}/",
    "401 404 200 200 200 404 404 401 PUT /api/groups/{group_name}/messages/{seq}/reactions/{emoji}/",
    "401 404 200 200 200 404 404 401 PUT /api/groups/{group_name}/read/",
    "401 200 200 200 200 200 200 401 GET /api/invites/{code}/",
    "401 200 200 200 200 200 403 401 POST /api/invites/{code}/accept/",
    "401 204 204 204 204 204 204 401 POST /api/logout/",
    "401 200 200 200 200 200 200 401 GET /api/me/",
    "401 200 200 200 200 200 200 401 PUT /api/me/password/",
    "201 201 201 201 201 201 201 201 POST /api/register/",
    "401 204 204 204 204 204 204 401 DELETE /api/sessions/",
    "401 200 200 200 200 200 200 401 GET /api/sessions/",
    "401 204 204 204 204 204 204 401 DELETE /api/sessions/{id}/",
    "401 200 200 200 200 200 200 401 POST /api/start-chat/",
    "401 200 200 200 200 200 200 200 POST /api/token/",
    "401 200 200 200 200 200 200 401 POST /api/token/refresh/",
    "4401 101 101 101 101 101 101 4401 GET /ws/",
    "401 404 101 101 101 404 404 401 GET /ws/chat/{group_name}/",
    // access-inject (do not remove this comment: the generators write above it)
];

/// The rows come from the OpenAPI document, so a new endpoint is a row that nobody has reviewed.
#[tokio::test]
async fn every_endpoint_is_open_to_the_reviewed_roles() {
    let app = TestApp::start().await;
    assert_access(&app, |_| true, ENDPOINT_ACCESS).await;
}

/// Asserts the reviewed status of each of [`ROLES`], for all operations of the document with an accepted path.
/// Checks all cells, and then reports all faults.
pub async fn assert_access(app: &TestApp, is_included: impl Fn(&str) -> bool, reviewed: &[&str]) {
    let mut users = Users::new();
    for role in &ROLES[1..] {
        users.insert(role, app.user(role).await);
    }
    let logout = users["revoked"].post("/api/logout/", json!({})).await;
    assert_eq!(logout.status, 204);
    users.insert("logged in elsewhere", app.log_in("revoked").await);
    let document = app.get("/api-docs/openapi.json").await.json();
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    let mut fixture = create_fixture(&users).await;
    for (path, method, operation) in operations(&document).filter(|(path, ..)| is_included(path)) {
        let endpoint = Endpoint {
            app,
            method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
            path,
            body: &operation["requestBody"]["content"]["application/json"]["schema"],
            document: &document,
        };
        let mut row = Vec::new();
        for role in ROLES {
            let user = users.get(role);
            let substitute = endpoint.substitute_for(role).await;
            fixture.item_id = endpoint.create_item(&users["owner"], &fixture.group).await;
            let (status, fault) = endpoint
                .status_for(substitute.as_ref().or(user), &fixture)
                .await;
            let mut cell_faults = Vec::from_iter(fault);
            let is_open = (200..300).contains(&status);
            let needs_login = operation["security"] != json!([]);
            let is_logged_out = role == "nobody" || role == "revoked";
            if needs_login && is_logged_out && is_open {
                cell_faults.push(format!("{status} without a login"));
            }
            if path.starts_with("/api/groups/{") && NON_MEMBERS.contains(&role) {
                cell_faults.extend(endpoint.difference_to_unknown_group(user, &fixture).await);
            }
            let cell = format!("{} {path}, {role}", endpoint.method);
            faults.extend(cell_faults.iter().map(|fault| format!("{cell}: {fault}")));
            row.push(status);
            let is_of_group = path.contains("{group_name}") || path.contains("{code}");
            if is_open && is_of_group && endpoint.method != Method::GET {
                fixture = create_fixture(&users).await;
            }
        }
        rows.push((format!("{} {path}", endpoint.method), row));
    }
    faults.extend(differences(&rows, reviewed));
    assert!(faults.is_empty(), "review this:\n{}", faults.join("\n"));
}

/// Compares the rows with the reviewed table. Returns a line for each cell that differs, and for each row that
/// only one of them has.
fn differences(rows: &[(String, Vec<u16>)], reviewed: &[&str]) -> Vec<String> {
    let mut expected_rows = BTreeMap::new();
    let mut lines = Vec::new();
    for row in reviewed {
        let cells: Vec<&str> = row.splitn(ROLES.len() + 1, ' ').collect();
        let (endpoint, statuses) = cells.split_last().unwrap();
        if expected_rows.insert(*endpoint, statuses.to_vec()).is_some() {
            lines.push(format!("two rows: {endpoint}"));
        }
    }
    for (endpoint, statuses) in rows {
        let statuses: Vec<_> = statuses.iter().map(u16::to_string).collect();
        let Some(expected) = expected_rows.remove(endpoint.as_str()) else {
            lines.push(format!("no row: {} {endpoint}", statuses.join(" ")));
            continue;
        };
        for ((role, status), expected) in ROLES.iter().zip(&statuses).zip(expected) {
            if status != expected {
                lines.push(format!("{endpoint}, {role}: {status}, not {expected}"));
            }
        }
    }
    let unused = expected_rows.keys();
    lines.extend(unused.map(|endpoint| format!("a row without an endpoint: {endpoint}")));
    lines
}

/// An operation of the OpenAPI document.
struct Endpoint<'a> {
    app: &'a TestApp,
    method: Method,
    path: &'a str,
    /// The schema of the request body, or null.
    body: &'a Value,
    document: &'a Value,
}

impl<'a> Endpoint<'a> {
    /// Registers another user for a request that ends sessions, so that the role's user keeps the session.
    async fn substitute_for(&self, role: &str) -> Option<User<'a>> {
        let ends_sessions = ["/api/logout/", "/api/sessions/", "/api/me/password/"];
        let is_spent = self.method != Method::GET
            && ends_sessions.iter().any(|path| self.path.starts_with(path))
            && role != "nobody"
            && role != "revoked";
        if !is_spent {
            return None;
        }
        let name = format!("{role}.{}", Uuid::new_v4().simple());
        Some(self.app.user(&name).await)
    }

    /// Returns the status of the request, or the close code of a socket that closes at once; and the fault of
    /// an error body that has the wrong shape.
    async fn status_for(
        &self,
        user: Option<&User<'_>>,
        fixture: &AccessFixture,
    ) -> (u16, Option<String>) {
        let mut path = self.path_in(fixture);
        if path.starts_with("/api/sessions/{id}") {
            path = path.replace("{id}", &self.session_id_of(user).await);
        }
        if path.starts_with("/ws/") {
            return (self.open_socket(user, &path).await, None);
        }
        // A request that cannot be undone needs a confirmation.
        match (&self.method, self.path) {
            (&Method::DELETE, "/api/groups/{group_name}/") => {
                path += &format!("?confirm={}", fixture.group);
            }
            (&Method::DELETE, "/api/sessions/") => {
                path += &format!("?confirm={}", user.map_or("nobody", |user| &user.username));
            }
            _ => {}
        }
        let response = self.send_as(user, &path).await;
        let mut fault = None;
        if !response.status.is_success() {
            let body = response.json();
            // Errors of the base contract have `detail` alone.
            let is_contract = ["/api/token/", "/api/token/refresh/", "/api/start-chat/"];
            let has_code = body["code"].is_string() || is_contract.contains(&self.path);
            if !(body["detail"].is_string() && has_code) {
                fault = Some(format!("an error of the wrong shape: {response}"));
            }
        }
        (response.status.as_u16(), fault)
    }

    /// Compares the response with the response for a group that does not exist. Both must be the same 404.
    async fn difference_to_unknown_group(
        &self,
        user: Option<&User<'_>>,
        fixture: &AccessFixture,
    ) -> Option<String> {
        let path = self.path_in(fixture);
        let unknown_path = path.replace(&fixture.group, "chat_00000000");
        let response = self.send_as(user, &path).await;
        let unknown = self.send_as(user, &unknown_path).await;
        let is_same = (response.status, &response.body) == (unknown.status, &unknown.body);
        (response.status != 404 || !is_same)
            .then(|| format!("{response}\ndiffers from an unknown group: {unknown}"))
    }

    fn path_in(&self, fixture: &AccessFixture) -> String {
        self.path
            .replace("bans/{username}", "bans/banned")
            .replace("{username}", "member")
            .replace("{group_name}", &fixture.group)
            .replace("{seq}", MESSAGE_SEQ)
            .replace("{emoji}", "👍")
            .replace("{code}", &fixture.invite_code)
            .replace("invites/{id}", &format!("invites/{}", fixture.invite_id))
            .replace(
                "{id}",
                &fixture
                    .item_id
                    .map_or("{id}".to_owned(), |id| id.to_string()),
            )
    }

    /// Creates an item of a collection that the generators made, if the endpoint is of one item.
    async fn create_item(&self, owner: &User<'_>, group: &str) -> Option<i64> {
        let (all, _) = self.path.split_once("{id}/")?;
        self.document["paths"][all]["post"]["requestBody"].as_object()?;
        if all.ends_with("/invites/") {
            return None;
        }
        Some(owner.create_from_example(self.document, all, group).await)
    }

    /// Returns the id of a session of the user, or an id that does not exist.
    async fn session_id_of(&self, user: Option<&User<'_>>) -> String {
        let Some(user) = user else {
            return Uuid::nil().to_string();
        };
        let listed = user.get("/api/sessions/").await.json();
        let id = listed["results"][0]["id"].as_str();
        id.map_or_else(|| Uuid::nil().to_string(), ToOwned::to_owned)
    }

    async fn send_as(&self, user: Option<&User<'_>>, path: &str) -> TestResponse {
        let mut request = self.app.request(self.method.clone(), path);
        if let Some(user) = user {
            request = request.bearer_auth(&user.access);
        }
        if !self.body.is_null() {
            request = request.json(&self.body_for(user));
        }
        TestResponse::from_request(request).await
    }

    /// Returns the example of the document, with the fields that must belong to the user replaced.
    fn body_for(&self, user: Option<&User<'_>>) -> Value {
        let mut body = request_example(self.document, self.body);
        let username = user.map_or("nobody", |user| &user.username);
        match self.path {
            "/api/register/" => body["username"] = json!(format!("another.{username}")),
            "/api/token/" => {
                body["username"] = json!(username);
                body["password"] = json!(TestApp::password_of(username));
            }
            "/api/me/password/" => body["old"] = json!(TestApp::password_of(username)),
            "/api/token/refresh/" if user.is_some() => {
                body["refresh"] = json!(user.unwrap().refresh);
            }
            path if path.contains("/{id}/") || self.is_collection(path) => {
                body = unique_example(self.document, self.body);
            }
            _ => {}
        }
        body
    }

    /// `true` if the path is a collection whose items have paths of their own.
    fn is_collection(&self, path: &str) -> bool {
        self.document["paths"]
            .get(format!("{path}{{id}}/"))
            .is_some()
    }

    /// Opens a base socket, or a rich socket where there is no base socket. Returns 101 or the error.
    async fn open_socket(&self, user: Option<&User<'_>>, path: &str) -> u16 {
        let is_base = path.starts_with("/ws/chat/");
        let mut headers = Vec::new();
        let cookie = user.map(User::cookie).unwrap_or_default();
        headers.push(("cookie", cookie.as_str()));
        if !is_base {
            headers.push(("sec-websocket-protocol", "chat.v1.json"));
        }
        let mut socket = match Socket::with_headers(self.app.address, path, &headers).await {
            Ok(socket) => socket,
            Err(status) => return status.as_u16(),
        };
        let Message::Text(first) = socket.next_frame().await else {
            panic!("{path}: no greeting");
        };
        let first: Value = serde_json::from_str(&first).unwrap();
        match first["type"].as_str() {
            Some("bye") => socket.close_code().await,
            _ => 101,
        }
    }
}

#[tokio::test]
async fn the_api_rejects_cookie_authentication() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    for path in ["/api/me/", "/api/groups/", &group.path("messages/")] {
        let request = app
            .request(Method::GET, path)
            .header("cookie", ann.cookie());
        let response = TestResponse::from_request(request).await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["code"]),
            (401, &json!("unauthorized"))
        );
        assert_eq!(response.header("www-authenticate"), "Bearer");
    }
}
