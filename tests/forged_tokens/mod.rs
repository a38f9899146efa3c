//! Tokens that the server never issued, at every endpoint that accepts a token.

mod attacks;

use std::collections::BTreeSet;

use reqwest::{Method, header::HeaderValue};
use salam::models::users;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use self::attacks::{TokenForge, forged_tokens};
use crate::properties::mutations_strategy;
use crate::support::{RichSocket, Socket, TestApp, TestResponse, User};

/// The characters of a token, and characters that a lenient parser might accept.
const TOKEN_LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";

/// Starts an app in which a rich client may try this many tokens.
async fn start_app() -> TestApp {
    TestApp::with_settings(json!({"channels": {"sends_per_10s": 1_000_000}})).await
}

/// The endpoints that accept an access token, with an open rich socket for `auth`.
struct TokenEndpoints<'a> {
    app: &'a TestApp,
    group: String,
    socket: RichSocket,
}

impl<'a> TokenEndpoints<'a> {
    async fn open_for(user: &User<'a>) -> Self {
        let group = user.start_chat().await;
        Self {
            app: user.app,
            socket: user.open_live(&group).await,
            group,
        }
    }

    /// Asserts that all endpoints reject an access token, with the responses of the contract.
    async fn expect_rejected(&mut self, name: &str, token: &str) {
        // No client could send some of these tokens. HTTP removes white space around a field; in JSON it
        // belongs to the text.
        let header = format!("Bearer {token}");
        if HeaderValue::from_str(&header).is_ok() && token.trim() == token {
            self.expect_rejected_in_header(name, &header).await;
            if token.is_ascii() {
                self.expect_rejected_at_sockets(name, token).await;
            }
        }
        let (reply, _) = self
            .socket
            .request_collecting(json!({"type": "auth", "token": token}))
            .await;
        let code = reply["code"].as_str().unwrap_or("none");
        let expected = if name.starts_with("expired") {
            "token_expired"
        } else {
            "unauthorized"
        };
        assert_eq!(
            (code, &reply["type"]),
            (expected, &json!("error")),
            "{name}: {reply}"
        );
        assert_eq!(reply["field"], "token", "{name}: {reply}");
    }

    async fn expect_rejected_in_header(&self, name: &str, authorization: &str) {
        let request = self.app.request(Method::POST, "/api/start-chat/");
        let response =
            TestResponse::from_request(request.header("authorization", authorization)).await;
        assert_eq!(
            (response.status.as_u16(), response.body.as_str()),
            (
                401,
                r#"{"detail":"Authentication credentials were not provided"}"#
            ),
            "{name}"
        );
        assert_eq!(response.header("www-authenticate"), "Bearer", "{name}");
        let request = self.app.request(Method::GET, "/api/me/");
        let response =
            TestResponse::from_request(request.header("authorization", authorization)).await;
        assert_eq!(response.status, 401, "{name}");
        let code = response.json()["code"].clone();
        let challenge = response.header("www-authenticate");
        assert!(
            (code == "unauthorized" || code == "token_expired") && challenge.starts_with("Bearer"),
            "{name}: {response}"
        );
    }

    /// Base sockets, rich sockets of one group and of many, new and resumed.
    async fn expect_rejected_at_sockets(&self, name: &str, token: &str) {
        let base = format!("/ws/chat/{}/", self.group);
        let cookie = format!("access={token}");
        let headers = [("cookie", cookie.as_str())];
        let rejected = Socket::with_headers(self.app.address, &base, &headers).await;
        // The value of a cookie may be quoted (RFC 6265, section 4.1.1).
        let expected = (name != "in quotes").then_some(401);
        assert_eq!(
            rejected.err().map(|status| status.as_u16()),
            expected,
            "{name}"
        );
        let authorization = format!("Bearer {token}");
        let resumed = format!("{base}?after=0");
        for path in [&base, &resumed] {
            let headers = [
                ("sec-websocket-protocol", "chat.v1.json"),
                ("authorization", authorization.as_str()),
            ];
            self.expect_rejected_by_rich_socket(name, path, &headers)
                .await;
        }
        // The subprotocol header is a list, whose first entry may be valid.
        let is_one = !token.contains(',');
        for path in [resumed.as_str(), "/ws/"].into_iter().filter(|_| is_one) {
            let offers = format!("chat.v1.json, bearer.{token}");
            let headers = [("sec-websocket-protocol", offers.as_str())];
            self.expect_rejected_by_rich_socket(name, path, &headers)
                .await;
        }
        let log = format!("/api/groups/{}/events/?after=0", self.group);
        let request = self.app.request(Method::GET, &log);
        let request = request
            .header("authorization", &authorization)
            .header("accept", "text/event-stream");
        assert_eq!(
            TestResponse::from_request(request).await.status,
            401,
            "{name}"
        );
    }

    async fn expect_rejected_by_rich_socket(
        &self,
        name: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) {
        let mut socket = Socket::with_headers(self.app.address, path, headers)
            .await
            .unwrap_or_else(|status| panic!("{name}: {status}"));
        let Message::Text(bye) = socket.next_frame().await else {
            panic!("{name}: no bye");
        };
        let bye: Value = serde_json::from_str(&bye).unwrap();
        assert_eq!(
            (&bye["type"], &bye["code"]),
            (&json!("bye"), &json!(4401)),
            "{name}: {bye}"
        );
        assert_eq!(socket.close_code().await, 4401, "{name}");
    }
}

/// Asserts that a refresh token is rejected.
async fn expect_refresh_rejected(app: &TestApp, name: &str, token: &str) {
    let body = json!({"refresh": token, "rotate": true});
    let response = app.post("/api/token/refresh/", body).await;
    assert_eq!(
        (response.status.as_u16(), response.body.as_str()),
        (401, r#"{"detail":"Token is invalid or expired"}"#),
        "{name}"
    );
    assert!(!response.headers.contains_key("set-cookie"), "{name}");
}

#[tokio::test]
async fn forged_access_tokens_are_rejected_everywhere() {
    let app = start_app().await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let mut endpoints = TokenEndpoints::open_for(&ann).await;
    let tokens = forged_tokens(
        &TokenForge::from_token(&app, &ann.access),
        &ann.refresh,
        &bob.access,
    );
    let names: BTreeSet<_> = tokens.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), tokens.len(), "two of one name");
    assert!(tokens.len() >= 60, "only {}", tokens.len());
    for (name, token) in &tokens {
        endpoints.expect_rejected(name, token).await;
    }
    assert!(ann.is_logged_in().await, "and the good one is still good");
}

/// A token of a node whose clock is ten minutes ahead, or from before the clock was set back.
#[tokio::test]
async fn a_token_issued_in_the_future_is_valid() {
    let app = start_app().await;
    let ann = app.user("ann").await;
    let ahead = |token: &str| {
        let mint = TokenForge::from_token(&app, token);
        let mut claims = mint.claims.clone();
        for claim in ["iat", "exp"] {
            claims[claim] = json!(claims[claim].as_i64().unwrap() + 600);
        }
        mint.sign(&claims)
    };
    let (access, refresh) = (ahead(&ann.access), ahead(&ann.refresh));
    let ann = User {
        access,
        ..ann.on_node(&app)
    };
    assert!(ann.is_logged_in().await);
    let group = ann.start_chat().await;
    ann.connect_base(&group).await;
    ann.open_live(&group).await;
    let body = json!({"refresh": refresh, "rotate": true});
    assert_eq!(app.post("/api/token/refresh/", body).await.status, 200);
}

#[tokio::test]
async fn forged_refresh_tokens_are_rejected() {
    let app = start_app().await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let tokens = forged_tokens(
        &TokenForge::from_token(&app, &ann.refresh),
        &ann.access,
        &bob.refresh,
    );
    assert!(tokens.len() >= 60, "only {}", tokens.len());
    for (name, token) in &tokens {
        expect_refresh_rejected(&app, name, token).await;
    }
    let body = json!({"refresh": ann.refresh});
    assert_eq!(app.post("/api/token/refresh/", body).await.status, 200);
}

/// Tokens that were valid before, or that belong to another user.
#[tokio::test]
async fn tokens_end_with_their_session_or_user() {
    let app = start_app().await;
    let ann = app.user("ann").await;
    let mut endpoints = TokenEndpoints::open_for(&ann).await;
    let out = app.log_in("ann").await;
    assert_eq!(out.post("/api/logout/", json!({})).await.status, 204);
    let deactivated = app.user("gone").await;
    users::Entity::delete_by_id(2)
        .exec(&app.ctx.db)
        .await
        .unwrap();
    let inactive = app.user("inactive").await;
    let user = users::Entity::find_by_id(3).one(&app.ctx.db).await.unwrap();
    let mut user = user.unwrap().into_active_model();
    user.is_active = Set(false);
    user.update(&app.ctx.db).await.unwrap();
    let bob = app.user("bob").await;
    for (name, user) in [
        ("of a session that was logged out", &out),
        ("of a user who was deleted", &deactivated),
        ("of a user who is inactive", &inactive),
    ] {
        endpoints.expect_rejected(name, &user.access).await;
        expect_refresh_rejected(&app, name, &user.refresh).await;
    }
    // Signed by the server's key, and yet not issued to anybody.
    let claims = |token: &str| TokenForge::from_token(&app, token).claims;
    for (name, field, of) in [
        ("of bob's session, for ann", "sid", &bob),
        ("of ann's session, for bob", "user_id", &bob),
        (
            "of ann's session, for an unknown user",
            "user_id",
            &deactivated,
        ),
    ] {
        for (good, other) in [(&ann.access, &of.access), (&ann.refresh, &of.refresh)] {
            let mint = TokenForge::from_token(&app, good);
            let mut mixed = mint.claims.clone();
            mixed[field] = claims(other)[field].clone();
            let token = mint.sign(&mixed);
            if good == &ann.access {
                endpoints.expect_rejected(name, &token).await;
            } else {
                expect_refresh_rejected(&app, name, &token).await;
            }
        }
    }
    // The signature is not the reason of the rejection.
    let mint = TokenForge::from_token(&app, &ann.access);
    let own = User {
        access: mint.sign(&mint.claims),
        ..ann.clone()
    };
    assert!(own.is_logged_in().await);
}

/// A valid token in the wrong form.
#[tokio::test]
async fn a_valid_token_is_accepted_only_as_a_bearer_token() {
    let app = start_app().await;
    let ann = app.user("ann").await;
    let endpoints = TokenEndpoints::open_for(&ann).await;
    let good = &ann.access;
    for header in [
        format!("Basic {good}"),
        format!("Token {good}"),
        format!("JWT {good}"),
        format!("Bearer{good}"),
        format!("Bearer:{good}"),
        format!("Bearer,{good}"),
        format!("Bearer={good}"),
        format!("Bearer\t{good}"),
        format!("Bearer \"{good}\""),
        format!("Bearer token=\"{good}\""),
        format!("Bearer Bearer {good}"),
        format!("Bearer {good}, Bearer {good}"),
        format!("Bearer {good} {good}"),
        format!("Basic x, Bearer {good}"),
        format!("Negotiate x Bearer {good}"),
        good.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
    ] {
        endpoints.expect_rejected_in_header(&header, &header).await;
    }
    let bearer = format!("Bearer {good}");
    let two = [
        [bearer.as_str(), "Bearer x"],
        ["Bearer x", &bearer],
        [&bearer, &bearer],
    ];
    for [one, other] in two {
        let request = app.request(Method::GET, "/api/me/");
        let request = request.header("authorization", one);
        let response = TestResponse::from_request(request.header("authorization", other)).await;
        assert_eq!(response.status, 401, "which of two counts is undefined");
    }
    for (name, value) in [
        ("proxy-authorization", bearer.as_str()),
        ("x-authorization", &bearer),
        ("cookie", &ann.cookie()),
        ("x-access-token", good),
    ] {
        let request = app.request(Method::GET, "/api/me/").header(name, value);
        assert_eq!(
            TestResponse::from_request(request).await.status,
            401,
            "{name}"
        );
    }
    for query in ["access", "access_token", "token", "jwt"] {
        let response = app.get(&format!("/api/me/?{query}={good}")).await;
        assert_eq!(response.status, 401, "{query}");
    }
    // The scheme is case-insensitive, as the base contract states.
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let request = app.request(Method::GET, "/api/me/");
        let request = request.header("authorization", format!("{scheme} {good}"));
        assert_eq!(
            TestResponse::from_request(request).await.status,
            200,
            "{scheme}"
        );
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(crate::support::proptest_cases()))]

    /// A changed token is never valid.
    #[test]
    fn mutated_tokens_are_rejected(mutations in mutations_strategy(TOKEN_LETTERS)) {
        let (tokens, good) = attacks::tokens_without_app();
        let text = mutations.iter().fold(good.clone(), |text, mutation| mutation.apply(&text));
        let verified = tokens.verify(salam::tokens::TokenType::Access, &text);
        proptest::prop_assert_eq!(verified.is_ok(), text == good, "{}", text);
    }
}
