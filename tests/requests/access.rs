//! Every door, and everybody before it.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::support::{
    GroupPath, Socket, TestApp, TestResponse, User, assert_reviewed,
    openapi::{operations, request_example, unique_example},
};

/// Who stands before a door. All but the first two have been members of the group; the last is one,
/// by a session that has ended.
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

/// Those to whom a group must look like none.
const NON_MEMBERS: [&str; 3] = ["stranger", "ex-member", "banned"];

/// The number of the message in the scene: five joined, a role, two left.
const MESSAGE_SEQ: &str = "9";

type Users<'a> = BTreeMap<&'static str, User<'a>>;

/// A group that nobody has touched, with a message of the owner in it and an invite to it.
struct AccessScene {
    group: String,
    invite_code: String,
    invite_id: i64,
    /// The id of what the owner has made there, where the door is that of one thing of many.
    item_id: Option<i64>,
}

async fn create_scene(people: &Users<'_>) -> AccessScene {
    let owner = &people["owner"];
    let group = owner.start_chat().await;
    for role in [
        "ex-member",
        "banned",
        "member",
        "admin",
        "logged in elsewhere",
    ] {
        owner.add_member(&people[role], &group).await;
    }
    let members = group.path("members");
    let invites = group.path("invites/");
    let made = [
        owner
            .patch(&format!("{members}/admin/"), json!({"role": "admin"}))
            .await,
        people["ex-member"]
            .delete(&format!("{members}/ex-member/"))
            .await,
        owner.delete(&format!("{members}/banned/?ban=true")).await,
        owner.send_message(&group, "hi", "1").await,
        owner.post(&invites, json!({})).await,
    ];
    assert!(made.iter().all(|answer| answer.status.is_success()));
    let invite = made[4].json();
    AccessScene {
        group,
        invite_code: invite["code"].as_str().unwrap().to_owned(),
        invite_id: invite["id"].as_i64().unwrap(),
        item_id: None,
    }
}

/// What each of [`ROLES`] is answered at which door.
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

/// The table is made of the document, so a new door is a line that nobody has reviewed.
#[tokio::test]
async fn every_endpoint_is_open_to_the_reviewed_roles() {
    let app = TestApp::start().await;
    assert_access(&app, |_| true, ENDPOINT_ACCESS).await;
}

/// Asserts the reviewed status of each of [`ROLES`], for all operations of the document with an accepted path.
pub async fn assert_access(app: &TestApp, is_included: impl Fn(&str) -> bool, reviewed: &[&str]) {
    let mut people = Users::new();
    for role in &ROLES[1..] {
        people.insert(role, app.user(role).await);
    }
    assert_eq!(
        people["revoked"]
            .post("/api/logout/", json!({}))
            .await
            .status,
        204
    );
    people.insert("logged in elsewhere", app.log_in("revoked").await);
    let document = app.get("/api-docs/openapi.json").await.json();
    let mut table = Vec::new();
    let mut scene_now = create_scene(&people).await;
    for (path, method, operation) in operations(&document).filter(|(path, ..)| is_included(path)) {
        let door = Endpoint {
            app,
            method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
            path,
            body: &operation["requestBody"]["content"]["application/json"]["schema"],
            document: &document,
        };
        let mut row = Vec::new();
        for role in ROLES {
            let user = people.get(role);
            let double = door.stand_in_for(role).await;
            scene_now.item_id = door.create_item(&people["owner"], &scene_now.group).await;
            let status = door.status_for(double.as_ref().or(user), &scene_now).await;
            let is_open = (200..300).contains(&status);
            let needs_login = operation["security"] != json!([]);
            let is_out = role == "nobody" || role == "revoked";
            assert!(!(needs_login && is_out && is_open), "{path} {role}");
            if path.starts_with("/api/groups/{") && NON_MEMBERS.contains(&role) {
                door.expect_same_as_unknown_group(user, &scene_now).await;
            }
            row.push(status.to_string());
            let is_of_group = path.contains("{group_name}") || path.contains("{code}");
            if is_open && is_of_group && door.method != Method::GET {
                scene_now = create_scene(&people).await;
            }
        }
        table.push(format!("{} {} {path}", row.join(" "), door.method));
    }
    assert_reviewed(table, reviewed);
}

/// An operation of the document.
struct Endpoint<'a> {
    app: &'a TestApp,
    method: Method,
    path: &'a str,
    /// The schema of its body, if it takes one.
    body: &'a Value,
    document: &'a Value,
}

impl<'a> Endpoint<'a> {
    /// What ends sessions is asked for by somebody else of the same kind, whom nobody needs after it.
    async fn stand_in_for(&self, role: &str) -> Option<User<'a>> {
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

    /// What somebody is answered, a refusal being one as it should be. Of a socket that is closed
    /// at once, the code of the close.
    async fn status_for(&self, user: Option<&User<'_>>, scene: &AccessScene) -> u16 {
        let mut path = self.path_in(scene);
        if path.starts_with("/api/sessions/{id}") {
            path = path.replace("{id}", &self.session_id_of(user).await);
        }
        if path.starts_with("/ws/") {
            return self.open_socket(user, &path).await;
        }
        // An action that cannot be undone is confirmed.
        match (&self.method, self.path) {
            (&Method::DELETE, "/api/groups/{group_name}/") => {
                path += &format!("?confirm={}", scene.group);
            }
            (&Method::DELETE, "/api/sessions/") => {
                path += &format!("?confirm={}", user.map_or("nobody", |user| &user.username));
            }
            _ => {}
        }
        let answer = self.send_as(user, &path).await;
        if !answer.status.is_success() {
            let body = answer.json();
            // The base contract has no other key.
            let is_contract = ["/api/token/", "/api/token/refresh/", "/api/start-chat/"];
            let is_coded = body["code"].is_string() || is_contract.contains(&self.path);
            assert!(body["detail"].is_string() && is_coded, "{answer}");
        }
        answer.status.as_u16()
    }

    /// That somebody hears what is heard of a group that does not exist, to the letter.
    async fn expect_same_as_unknown_group(&self, user: Option<&User<'_>>, scene: &AccessScene) {
        let path = self.path_in(scene);
        let here = self.send_as(user, &path).await;
        let nowhere = path.replace(&scene.group, "chat_00000000");
        let nothing = self.send_as(user, &nowhere).await;
        assert_eq!(here.status, 404, "{path}: {here}");
        assert_eq!(
            (here.status, here.body),
            (nothing.status, nothing.body),
            "{path}"
        );
    }

    fn path_in(&self, scene: &AccessScene) -> String {
        self.path
            .replace("bans/{username}", "bans/banned")
            .replace("{username}", "member")
            .replace("{group_name}", &scene.group)
            .replace("{seq}", MESSAGE_SEQ)
            .replace("{emoji}", "👍")
            .replace("{code}", &scene.invite_code)
            .replace("invites/{id}", &format!("invites/{}", scene.invite_id))
            .replace(
                "{id}",
                &scene.item_id.map_or("{id}".to_owned(), |id| id.to_string()),
            )
    }

    /// One of what the generators have made an endpoint for.
    async fn create_item(&self, owner: &User<'_>, group: &str) -> Option<i64> {
        let (all, _) = self.path.split_once("{id}/")?;
        self.document["paths"][all]["post"]["requestBody"].as_object()?;
        if all.ends_with("/invites/") {
            return None;
        }
        Some(owner.create_from_example(self.document, all, group).await)
    }

    /// The id of a session of somebody, or of nobody.
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

    /// The example of the document, but for what must be of the asking person.
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

    /// Whether things of one kind are made there, of which each is at an address of its own.
    fn is_collection(&self, path: &str) -> bool {
        self.document["paths"]
            .get(format!("{path}{{id}}/"))
            .is_some()
    }

    /// Opens a socket: a base one where there can be one.
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
        let answer = TestResponse::from_request(request).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (401, &json!("unauthorized"))
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}
