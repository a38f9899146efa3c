//! Registration and login.

use insta::assert_snapshot;
use reqwest::Method;
use salam::models::users;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, PaginatorTrait};
use serde_json::json;

use crate::support::{TestApp, TestResponse, with_timeout};

fn ann_account() -> serde_json::Value {
    json!({"name": "Ann Lee", "username": "ann", "password": "a staple of batteries"})
}

#[tokio::test]
async fn registration_creates_an_account() {
    let app = TestApp::start().await;
    assert_snapshot!(app.post("/api/register/", ann_account()).await, @r#"
    201 Created
    content-type: application/json

    {"id":1,"name":"Ann Lee","username":"ann"}
    "#);
}

#[tokio::test]
async fn registration_accepts_every_script() {
    let app = TestApp::start().await;
    let account = json!({"name": "سلام جهان", "username": "مریم", "password": "گذرواژه‌ی خوب"});
    assert_snapshot!(app.post("/api/register/", account).await, @r#"
    201 Created
    content-type: application/json

    {"id":1,"name":"سلام جهان","username":"مریم"}
    "#);
}

#[tokio::test]
async fn a_taken_username_is_rejected_in_any_letter_case() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann_account()).await;
    let mut again = ann_account();
    again["username"] = json!("ANN");
    let response = app.post("/api/register/", again.clone()).await;
    assert_snapshot!(response, @r#"
    400 Bad Request
    content-type: application/json

    {"error":"Username already used"}
    "#);
    // By NFKC, full-width letters are the same name.
    again["username"] = json!("ａｎｎ");
    assert_eq!(app.post("/api/register/", again).await.body, response.body);
}

#[tokio::test]
async fn registration_reports_all_invalid_fields_at_once() {
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
async fn registration_errors_have_the_error_key() {
    let app = TestApp::start().await;
    let response = app
        .post_raw("/api/register/", "application/json", b"{".to_vec())
        .await;
    assert_snapshot!(response, @r#"
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
async fn login_returns_both_tokens_and_sets_the_cookie() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann_account()).await;
    let response = app.post("/api/token/", ann_account()).await;
    response.access_token();
    assert_snapshot!(response, @r#"
    200 OK
    content-type: application/json
    set-cookie: access=[access jwt]; HttpOnly; SameSite=Lax; Path=/; Max-Age=900

    {"access":"[access jwt]","refresh":"[refresh jwt]"}
    "#);
}

#[tokio::test]
async fn login_accepts_the_username_in_any_letter_case() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann_account()).await;
    let mut login = ann_account();
    login["username"] = json!("Ann");
    assert_eq!(app.post("/api/token/", login).await.status, 200);
}

#[tokio::test]
async fn the_cookie_is_secure_where_the_public_url_is_https() {
    let app = TestApp::with_settings(json!({"public_url": "https://chat.example"})).await;
    app.post("/api/register/", ann_account()).await;
    let response = app.post("/api/token/", ann_account()).await;
    assert!(
        response.header("set-cookie").contains("; Secure"),
        "{response}"
    );
}

#[tokio::test]
async fn the_cookie_is_secure_behind_a_tls_proxy() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann_account()).await;
    let request = app
        .request(Method::POST, "/api/token/")
        .header("x-forwarded-proto", "https");
    let response = TestResponse::from_request(request.json(&ann_account())).await;
    assert!(
        response.header("set-cookie").contains("; Secure"),
        "{response}"
    );
}

#[tokio::test]
async fn failed_logins_do_not_reveal_accounts() {
    let app = TestApp::start().await;
    app.post("/api/register/", ann_account()).await;
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
    let inactive = app.post("/api/token/", ann_account()).await;
    assert_eq!(inactive.to_string(), unknown.to_string());
}

#[tokio::test]
async fn login_errors_name_missing_or_invalid_fields() {
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
async fn concurrent_registrations_of_one_username_admit_one() {
    let app = TestApp::start().await;
    let requests = (0..8).map(|_| app.post("/api/register/", ann_account()));
    let responses = with_timeout(
        "the registrations",
        futures_util::future::join_all(requests),
    )
    .await;
    let statuses: Vec<_> = responses
        .iter()
        .map(|response| response.status.as_u16())
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
async fn forty_concurrent_registrations_succeed() {
    let app = TestApp::start().await;
    let requests = (0..40).map(|i| {
        let account = json!({
            "name": "x", "username": format!("user{i}"), "password": "a staple of batteries",
        });
        app.post("/api/register/", account)
    });
    let responses = with_timeout(
        "the registrations",
        futures_util::future::join_all(requests),
    )
    .await;
    assert!(responses.iter().all(|response| response.status == 201));
    assert_eq!(users::Entity::find().count(&app.ctx.db).await.unwrap(), 40);
}
