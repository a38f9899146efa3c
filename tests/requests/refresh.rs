//! The exchange of refresh tokens for access tokens.

use insta::assert_snapshot;
use jsonwebtoken::{Algorithm, EncodingKey, Header, dangerous::insecure_decode, encode};
use salam::models::{sessions, users};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;

/// The secret of config/test.yaml.
const TEST_SECRET: &str = "development-only-secret-of-the-tests";

const ALG_NONE_HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0";

#[tokio::test]
async fn a_refresh_token_can_be_exchanged_repeatedly() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let first = app
        .post("/api/token/refresh/", json!({"refresh": ann.refresh}))
        .await;
    let access = first.access_token();
    assert_snapshot!(first, @r#"
    200 OK
    content-type: application/json
    set-cookie: access=[access jwt]; HttpOnly; SameSite=Lax; Path=/; Max-Age=900

    {"access":"[access jwt]"}
    "#);

    let second = app
        .post("/api/token/refresh/", json!({"refresh": ann.refresh}))
        .await;
    assert_eq!(second.to_string(), first.to_string());
    assert_ne!(second.json()["access"], first.json()["access"]);

    let renewed = crate::support::User {
        access,
        ..ann.on_node(&app)
    };
    renewed.start_chat().await;
}

#[tokio::test]
async fn rotate_returns_a_new_refresh_token() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let rotate = async |value: Value| {
        let body = json!({"refresh": ann.refresh, "rotate": value});
        app.post("/api/token/refresh/", body).await
    };
    let response = rotate(json!(true)).await;
    assert_snapshot!(response, @r#"
    200 OK
    content-type: application/json
    set-cookie: access=[access jwt]; HttpOnly; SameSite=Lax; Path=/; Max-Age=900

    {"access":"[access jwt]","refresh":"[refresh jwt]"}
    "#);
    let refresh = response.json()["refresh"].clone();
    assert_ne!(refresh, json!(ann.refresh));
    assert_eq!(
        app.post("/api/token/refresh/", json!({"refresh": refresh}))
            .await
            .status,
        200
    );
    for value in [json!(false), json!(null), json!("true"), json!(1)] {
        let response = rotate(value).await;
        assert_eq!(response.status, 200, "{response}");
        assert_eq!(response.json()["refresh"], Value::Null, "{response}");
    }
}

#[tokio::test]
async fn only_a_valid_refresh_token_is_accepted() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    app.user("bob").await;
    let rejected = app
        .post("/api/token/refresh/", json!({"refresh": "garbage"}))
        .await;
    assert_snapshot!(rejected, @r#"
    401 Unauthorized
    content-type: application/json

    {"detail":"Token is invalid or expired"}
    "#);

    let now = chrono::Utc::now().timestamp();
    let good = insecure_decode::<Value>(&ann.refresh).unwrap().claims;
    let with = |changes: Value| {
        let mut claims = good.clone();
        for (key, value) in changes.as_object().unwrap() {
            claims[key] = value.clone();
        }
        sign_token(&claims, Algorithm::HS256, TEST_SECRET)
    };
    let accepted = app
        .post("/api/token/refresh/", json!({"refresh": with(json!({}))}))
        .await;
    assert_eq!(accepted.status, 200, "the table's premise: {accepted}");

    let (head, tail) = ann.refresh.rsplit_once('.').unwrap();
    let (_, claims) = head.split_once('.').unwrap();
    let tampered = format!("{}A.{tail}", &head[..head.len() - 1]);
    let table = [
        ("empty", String::new()),
        ("an access token", ann.access.clone()),
        ("tampered", tampered),
        ("unsigned", format!("{head}.")),
        ("alg none", format!("{ALG_NONE_HEADER}.{claims}.")),
        (
            "alg none, signed",
            format!("{ALG_NONE_HEADER}.{claims}.{tail}"),
        ),
        (
            "another algorithm",
            sign_token(&good, Algorithm::HS512, TEST_SECRET),
        ),
        (
            "another secret",
            sign_token(&good, Algorithm::HS256, "somebody else's secret"),
        ),
        ("expired", with(json!({"exp": now - 2}))),
        ("expiring now", with(json!({"exp": now}))),
        ("no expiry", with(json!({"exp": null}))),
        ("another issuer", with(json!({"iss": "other"}))),
        ("another audience", with(json!({"aud": "other"}))),
        ("another type", with(json!({"token_type": "access"}))),
        ("an unknown type", with(json!({"token_type": "other"}))),
        ("nobody", with(json!({"user_id": "4711"}))),
        ("another's", with(json!({"user_id": "2"}))),
        ("no session", with(json!({"sid": Uuid::new_v4()}))),
        ("longer than its lifetime", with(json!({"iat": 0}))),
        ("over before it begins", with(json!({"iat": i64::MAX}))),
        ("no number", with(json!({"user_id": "ann"}))),
    ];
    for (what, token) in table {
        let response = app
            .post("/api/token/refresh/", json!({"refresh": token}))
            .await;
        assert_eq!(response.to_string(), rejected.to_string(), "{what}");
    }
    for body in [json!({}), json!({"refresh": null}), json!({"refresh": 5})] {
        let response = app.post("/api/token/refresh/", body.clone()).await;
        assert_eq!(response.to_string(), rejected.to_string(), "{body}");
    }
}

#[tokio::test]
async fn an_inactive_user_cannot_refresh() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut row = users::Entity::find()
        .one(&app.ctx.db)
        .await
        .unwrap()
        .unwrap()
        .into_active_model();
    row.is_active = Set(false);
    row.update(&app.ctx.db).await.unwrap();
    let response = app
        .post("/api/token/refresh/", json!({"refresh": ann.refresh}))
        .await;
    assert_eq!(response.status, 401, "{response}");
    assert_eq!(ann.post("/api/start-chat/", json!({})).await.status, 401);
}

#[tokio::test]
async fn an_access_token_expires_after_its_lifetime() {
    let app = TestApp::with_settings(json!({"tokens": {"access_lifetime": 1}})).await;
    let ann = app.user("ann").await;
    crate::support::wait_until("the token to expire", async || {
        ann.post("/api/start-chat/", json!({})).await.status == 401
    })
    .await;
    let response = app
        .post("/api/token/refresh/", json!({"refresh": ann.refresh}))
        .await;
    assert_eq!(response.status, 200, "{response}");
    assert!(
        response.header("set-cookie").contains("Max-Age=1"),
        "{response}"
    );
}

fn sign_token(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    encode(
        &Header::new(algorithm),
        claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .unwrap()
}

/// Two tabs that rotate one token at the same time get the same successor, and both can go on at any
/// later time.
#[tokio::test]
async fn concurrent_rotations_get_one_successor() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let rotate = async |refresh: &str| {
        let body = json!({"refresh": refresh, "rotate": true});
        let response = app.post("/api/token/refresh/", body).await;
        assert_eq!(response.status, 200, "{response}");
        response.json()["refresh"].as_str().unwrap().to_owned()
    };
    let (one, other, third) = tokio::join!(
        rotate(&ann.refresh),
        rotate(&ann.refresh),
        rotate(&ann.refresh)
    );
    assert_eq!(one, other);
    assert_eq!(one, third);
    assert_eq!(rotate(&ann.refresh).await, one, "a moment later, too");
    let next = rotate(&one).await;
    assert_ne!(next, one);
    assert_eq!(rotate(&ann.refresh).await, next, "the newest one");
    // Much later than the grace period: the test moves the first use back by a minute.
    let session = sessions::Entity::find().one(&app.ctx.db).await.unwrap();
    let mut session = session.unwrap().into_active_model();
    let minute = chrono::Duration::minutes(1);
    for at in [&mut session.rotated_at, &mut session.successor_at] {
        let earlier = at.take().unwrap().map(|at| at - minute);
        *at = Set(earlier);
    }
    session.update(&app.ctx.db).await.unwrap();
    rotate(&one).await;
    rotate(&one).await;
    let body = json!({"refresh": ann.refresh, "rotate": true});
    let copy = app.post("/api/token/refresh/", body).await;
    assert_eq!(copy.status, 401, "a copy ends the session");
    let body = json!({"refresh": one});
    assert_eq!(app.post("/api/token/refresh/", body).await.status, 401);
}
