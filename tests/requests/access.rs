//! Every door of a group, and everybody before it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp, User};

/// How each of them is answered: nobody, a stranger, an ex-member, a banned one, a member, an admin
/// and the owner.
type Expected = [u16; 7];

const ALL: Expected = [401, 404, 404, 404, 200, 200, 200];
const KEEPERS: Expected = [401, 404, 404, 404, 403, 200, 200];

/// A group that nobody has touched, with a message of the owner in it.
struct Scene<'a> {
    group: String,
    people: [Option<User<'a>>; 7],
}

async fn scene<'a>(app: &'a TestApp, users: &[User<'a>; 6]) -> Scene<'a> {
    let [stranger, ex_member, banned, member, admin, owner] = users;
    let group = owner.start_chat().await;
    for user in [ex_member, banned, member, admin] {
        owner.brings_in(user, &group).await;
    }
    let members = format!("/api/groups/{group}/members");
    let out = [
        owner
            .patch(&format!("{members}/admin/"), json!({"role": "admin"}))
            .await,
        ex_member.delete(&format!("{members}/ex-member/")).await,
        owner.delete(&format!("{members}/banned/?ban=true")).await,
        owner.say(&group, "hi", "1").await,
    ];
    assert!(out.iter().all(|answer| answer.status.is_success()));
    let _ = app;
    let someone = |user: &User<'a>| Some(user.clone());
    Scene {
        group,
        people: [
            None,
            someone(stranger),
            someone(ex_member),
            someone(banned),
            someone(member),
            someone(admin),
            someone(owner),
        ],
    }
}

/// The number of the message in the scene: four joined, a role, two left.
const MESSAGE: i64 = 8;

#[tokio::test]
async fn every_door_opens_to_whom_it_should() {
    let app = TestApp::start().await;
    let users = [
        app.user("stranger").await,
        app.user("ex-member").await,
        app.user("banned").await,
        app.user("member").await,
        app.user("admin").await,
        app.user("owner").await,
    ];
    let text = || json!({"text": "x"});
    let created = [401, 404, 404, 404, 201, 201, 201];
    let own_only = [401, 404, 404, 404, 403, 403, 200];
    let doors: Vec<(Method, String, Value, Expected)> = vec![
        (Method::GET, String::new(), Value::Null, ALL),
        (Method::GET, "messages/".into(), Value::Null, ALL),
        (Method::GET, "events/".into(), Value::Null, ALL),
        (Method::GET, "members/".into(), Value::Null, ALL),
        (Method::PUT, "read/".into(), json!({"seq": 1}), ALL),
        (Method::POST, "messages/".into(), text(), created),
        (
            Method::PATCH,
            format!("messages/{MESSAGE}/"),
            text(),
            own_only,
        ),
        (
            Method::PUT,
            format!("messages/{MESSAGE}/reactions/👍/"),
            Value::Null,
            ALL,
        ),
        (
            Method::DELETE,
            format!("messages/{MESSAGE}/reactions/👍/"),
            Value::Null,
            [401, 404, 404, 404, 204, 204, 204],
        ),
        (Method::GET, "invites/".into(), Value::Null, KEEPERS),
        (
            Method::POST,
            "invites/".into(),
            json!({}),
            [401, 404, 404, 404, 403, 201, 201],
        ),
        (
            Method::DELETE,
            "invites/4711/".into(),
            Value::Null,
            [401, 404, 404, 404, 403, 404, 404],
        ),
        (Method::GET, "bans/".into(), Value::Null, KEEPERS),
        (Method::PATCH, String::new(), json!({"title": "x"}), KEEPERS),
        (
            Method::PATCH,
            "members/admin/".into(),
            json!({"role": "admin"}),
            own_only,
        ),
        (
            Method::DELETE,
            format!("messages/{MESSAGE}/"),
            Value::Null,
            [401, 404, 404, 404, 403, 204, 204],
        ),
        (
            Method::DELETE,
            "bans/banned/".into(),
            Value::Null,
            [401, 404, 404, 404, 403, 204, 204],
        ),
        (
            Method::DELETE,
            "members/member/".into(),
            Value::Null,
            [401, 404, 404, 404, 204, 204, 204],
        ),
        (
            Method::DELETE,
            String::new(),
            Value::Null,
            [401, 404, 404, 404, 403, 403, 204],
        ),
    ];
    for (method, door, body, expected) in &doors {
        let mut answered = Vec::new();
        let mut scene_of = scene(&app, &users).await;
        for index in 0..expected.len() {
            let user = &scene_of.people[index];
            let path = format!("/api/groups/{}/{door}", scene_of.group);
            let answer = ask(&app, user.as_ref(), method, &path, body).await;
            // Strangers hear what is heard of a group that does not exist, to the letter.
            if answer.status == 404 && index < 4 {
                let none = format!("/api/groups/chat_00000000/{door}");
                let nothing = ask(&app, user.as_ref(), method, &none, body).await;
                assert_eq!(
                    (nothing.status, nothing.body),
                    (answer.status, answer.body.clone())
                );
            }
            if !answer.status.is_success() {
                let body = answer.json();
                assert!(
                    body["detail"].is_string() && body["code"].is_string(),
                    "{answer}"
                );
            }
            answered.push(answer.status.as_u16());
            if answer.status.is_success() && *method != Method::GET {
                scene_of = scene(&app, &users).await;
            }
        }
        assert_eq!(answered, expected, "{method} {door}");
    }

    // No door is left out.
    let document = app.get("/api-docs/openapi.json").await.json();
    let mut described: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(door) = path.strip_prefix("/api/groups/{group_name}/") else {
            continue;
        };
        for method in item.as_object().unwrap().keys() {
            described.push(format!("{} {door}", method.to_uppercase()));
        }
    }
    let mut tried: Vec<String> = doors
        .iter()
        .map(|(method, door, ..)| {
            let door = door
                .replace(&format!("messages/{MESSAGE}"), "messages/{seq}")
                .replace("reactions/👍", "reactions/{emoji}")
                .replace("invites/4711", "invites/{id}")
                .replace("bans/banned", "bans/{username}")
                .replace("members/admin", "members/{username}")
                .replace("members/member", "members/{username}");
            format!("{method} {door}")
        })
        .collect();
    described.sort();
    tried.sort();
    assert_eq!(described, tried);
}

async fn ask(
    app: &TestApp,
    user: Option<&User<'_>>,
    method: &Method,
    path: &str,
    body: &Value,
) -> Answer {
    let mut request = app.request(method.clone(), path);
    if let Some(user) = user {
        // The cookie alone would not do.
        request = request.bearer_auth(&user.access);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    Answer::to(request).await
}

#[tokio::test]
async fn a_cookie_opens_no_door_of_the_api() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    for path in [
        "/api/me/",
        "/api/groups/",
        &format!("/api/groups/{group}/messages/"),
    ] {
        let request = app
            .request(Method::GET, path)
            .header("cookie", ann.cookie());
        let answer = Answer::to(request).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (401, &json!("unauthorized"))
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}
