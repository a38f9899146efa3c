//! Registering and logging in.

use insta::assert_snapshot;
use reqwest::Method;
use salam::models::users;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, PaginatorTrait};
use serde_json::json;

use crate::support::{Answer, TestApp, soon};

fn ann() -> serde_json::Value {
    json!({"name": "Ann Lee", "username": "ann", "password": "a staple of batteries"})
}

#[tokio::test]
async fn an_account_is_created() {
    let app = TestApp::start().await;
    assert_snapshot!(app.post("/api/register/", ann()).await, @r#"
    201 Created
    content-type: application/json

    {"id":1,"name":"Ann Lee","username":"ann"}
    "#);
}

#[tokio::test]
async fn every_script_can_register_and_is_answered_raw() {
    let app = TestApp::start().await;
    let account = json!({"name": "سلام جهان", "username": "مریم", "password": "گذرواژه‌ی خوب"});
    assert_snapshot!(app.post("/api/register/", account).await, @r#"
    201 Created
    content-type: application/json

    {"id":1,"name":"سلام جهان","username":"مریم"}
    "#);
}

#[tokio::test]
async fn a_taken_username_is_refused_in_any_letter_case() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann()).await;
    let mut again = ann();
    again["username"] = json!("ANN");
    let answer = app.post("/api/register/", again.clone()).await;
    assert_snapshot!(answer, @r#"
    400 Bad Request
    content-type: application/json

    {"error":"Username already used"}
    "#);
    // NFKC: full-width letters are the same name.
    again["username"] = json!("ａｎｎ");
    assert_eq!(app.post("/api/register/", again).await.body, answer.body);
}

#[tokio::test]
async fn all_faults_of_a_registration_are_named_at_once() {
    let app = TestApp::start().await;
    assert_snapshot!(app.post("/api/register/", json!({})).await, @r#"
    400 Bad Request
    content-type: application/json

    {"error":"name: This field is required.","errors":{"name":["This field is required."],"username":["This field is required."],"password":["This field is required."]}}
    "#);
    let faulty = json!({"name": " ", "username": "ann lee", "password": "password"});
    assert_snapshot!(app.post("/api/register/", faulty).await, @r#"
    400 Bad Request
    content-type: application/json

    {"error":"name: This field may not be blank.","errors":{"name":["This field may not be blank."],"username":["Enter a valid username: letters, digits and @ . + - _ only."]}}
    "#);
    let wrong_types = json!({"name": 1, "username": null, "password": ["x"]});
    assert_snapshot!(app.post("/api/register/", wrong_types).await, @r#"
    400 Bad Request
    content-type: application/json

    {"error":"name: Not a valid string.","errors":{"name":["Not a valid string."],"username":["This field may not be null."],"password":["Not a valid string."]}}
    "#);
}

#[tokio::test]
async fn a_registration_that_is_no_json_object_is_refused_by_its_own_key() {
    let app = TestApp::start().await;
    let answer = app
        .post_raw("/api/register/", "application/json", b"{".to_vec())
        .await;
    assert_snapshot!(answer, @r#"
    400 Bad Request
    content-type: application/json

    {"error":"The body is not valid JSON: EOF while parsing an object at line 1 column 1."}
    "#);
    assert_snapshot!(app.post("/api/register/", json!([])).await, @r#"
    400 Bad Request
    content-type: application/json

    {"error":"The body must be a JSON object."}
    "#);
}

#[tokio::test]
async fn a_login_gives_both_tokens_and_the_cookie() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann()).await;
    let answer = app.post("/api/token/", ann()).await;
    answer.access();
    assert_snapshot!(answer, @r#"
    200 OK
    content-type: application/json
    set-cookie: access=[access jwt]; HttpOnly; SameSite=Lax; Path=/; Max-Age=900

    {"access":"[access jwt]","refresh":"[refresh jwt]"}
    "#);
}

#[tokio::test]
async fn a_login_takes_the_username_in_any_letter_case() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann()).await;
    let mut login = ann();
    login["username"] = json!("Ann");
    assert_eq!(app.post("/api/token/", login).await.status, 200);
}

#[tokio::test]
async fn the_cookie_is_secure_where_the_public_url_is_https() {
    let app = TestApp::with(json!({"public_url": "https://chat.example"})).await;
    app.post("/api/register/", ann()).await;
    let answer = app.post("/api/token/", ann()).await;
    assert!(answer.header("set-cookie").contains("; Secure"), "{answer}");
}

#[tokio::test]
async fn a_proxy_that_ends_tls_makes_the_cookie_secure() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann()).await;
    let request = app
        .request(Method::POST, "/api/token/")
        .header("x-forwarded-proto", "https");
    let answer = Answer::to(request.json(&ann())).await;
    assert!(answer.header("set-cookie").contains("; Secure"), "{answer}");
}

#[tokio::test]
async fn unknown_wrong_and_inactive_look_alike() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann()).await;
    let unknown = app
        .post("/api/token/", json!({"username": "bob", "password": "x"}))
        .await;
    assert_snapshot!(unknown, @r#"
    401 Unauthorized
    content-type: application/json

    {"detail":"No active account found with the given credentials"}
    "#);
    let wrong = app
        .post("/api/token/", json!({"username": "ann", "password": "x"}))
        .await;
    assert_eq!(wrong.to_string(), unknown.to_string());

    let user = users::Entity::find()
        .one(&app.ctx.db)
        .await
        .unwrap()
        .unwrap();
    let mut user = user.into_active_model();
    user.is_active = Set(false);
    user.update(&app.ctx.db).await.unwrap();
    let inactive = app.post("/api/token/", ann()).await;
    assert_eq!(inactive.to_string(), unknown.to_string());
}

#[tokio::test]
async fn a_login_that_is_not_two_strings_names_the_fields() {
    let app = TestApp::start().await;
    assert_snapshot!(app.post("/api/token/", json!({"username": "ann"})).await, @r#"
    400 Bad Request
    content-type: application/json

    {"password":["This field is required."]}
    "#);
    assert_snapshot!(app.post("/api/token/", json!({"username": 1, "password": null})).await, @r#"
    400 Bad Request
    content-type: application/json

    {"username":["Not a valid string."],"password":["This field may not be null."]}
    "#);
    assert_snapshot!(app.post("/api/token/", json!("ann")).await, @r#"
    400 Bad Request
    content-type: application/json

    {"username":["The body must be a JSON object."],"password":["The body must be a JSON object."]}
    "#);
}

#[tokio::test]
async fn a_name_is_given_to_one_of_those_who_ask_at_once() {
    let app = TestApp::start().await;
    let requests = (0..8).map(|_| app.post("/api/register/", ann()));
    let answers = soon(
        "the registrations",
        futures_util::future::join_all(requests),
    )
    .await;
    let statuses: Vec<_> = answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 400).count(),
        7,
        "{statuses:?}"
    );
    assert_eq!(users::Entity::find().count(&app.ctx.db).await.unwrap(), 1);
}

#[tokio::test]
async fn forty_registrations_at_once_lose_nobody() {
    let app = TestApp::start().await;
    let requests = (0..40).map(|i| {
        let account = json!({
            "name": "x", "username": format!("user{i}"), "password": "a staple of batteries",
        });
        app.post("/api/register/", account)
    });
    let answers = soon(
        "the registrations",
        futures_util::future::join_all(requests),
    )
    .await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(users::Entity::find().count(&app.ctx.db).await.unwrap(), 40);
}
