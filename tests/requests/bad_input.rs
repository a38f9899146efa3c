//! Bad input: every request gets a client error in JSON, and no data is lost.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use insta::assert_snapshot;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use reqwest::Method;
use salam::models::users;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::support::{TestApp, TestResponse, with_timeout};

const JSON_TYPE: &str = "application/json";
const ENDPOINTS: [&str; 4] = [
    "/api/register/",
    "/api/token/",
    "/api/token/refresh/",
    "/api/start-chat/",
];

#[tokio::test]
async fn routing_errors_are_json() {
    let app = TestApp::start().await;
    assert_snapshot!(app.get("/nowhere/").await, @r#"
    404 Not Found
    content-type: application/json

    {"detail":"Not found.","code":"not_found"}
    "#);
    assert_snapshot!(app.get("/api/token/").await, @r#"
    405 Method Not Allowed
    allow: POST
    content-type: application/json

    {"detail":"Method not allowed; see the Allow header.","code":"invalid"}
    "#);
    assert_snapshot!(app.post("/swagger/", json!({})).await, @r#"
    405 Method Not Allowed
    allow: GET,HEAD
    content-type: application/json

    {"detail":"Method not allowed; see the Allow header.","code":"invalid"}
    "#);
    assert_snapshot!(app.post_raw("/api/token/", "text/plain", b"{}".to_vec()).await, @r#"
    415 Unsupported Media Type
    content-type: application/json

    {"detail":"Send the body as application/json.","code":"invalid"}
    "#);
    // RFC 9110, section 5.6.6, permits spaces before a parameter, and empty parameters.
    for content_type in [
        "application/json; charset=utf-8",
        "Application/JSON ; charset=\"utf-8\"",
        "application/json;;",
        "application/ld+json",
    ] {
        let response = app.post_raw("/api/token/", content_type, b"{}".to_vec());
        let fields = response.await.json();
        assert!(fields.get("username").is_some(), "{content_type}: {fields}");
    }
}

#[tokio::test]
async fn every_path_works_with_and_without_a_trailing_slash() {
    let app = TestApp::start().await;
    for path in ENDPOINTS {
        let with = app.post(path, json!({})).await;
        let without = app.post(path.trim_end_matches('/'), json!({})).await;
        assert_eq!(with.to_string(), without.to_string());
        assert!(with.status.is_client_error(), "{with}");
    }
    for path in [
        "/swagger/",
        "/api-docs/openapi.json/",
        "/_health/",
        "/nowhere/",
    ] {
        let with = app.get(path).await;
        let without = app.get(path.trim_end_matches('/')).await;
        assert_eq!((with.status, &with.body), (without.status, &without.body));
        assert!(!with.status.is_redirection(), "{with}");
    }
}

#[tokio::test]
async fn bodies_over_64_kib_are_rejected() {
    let app = TestApp::start().await;
    let sized = |size: usize| {
        let empty = json!({"username": "x", "password": ""}).to_string();
        let padding = "x".repeat(size - empty.len());
        json!({"username": "x", "password": padding})
            .to_string()
            .into_bytes()
    };
    assert_eq!(
        app.post_raw("/api/token/", JSON_TYPE, sized(65_536))
            .await
            .status,
        401
    );
    for path in ENDPOINTS {
        let ann;
        let mut request = app
            .request(Method::POST, path)
            .header("content-type", JSON_TYPE);
        if path == "/api/start-chat/" {
            ann = app.user("ann").await;
            request = request.bearer_auth(&ann.access);
        }
        let response = TestResponse::from_request(request.body(sized(65_537))).await;
        assert_eq!(response.status, 413, "{path}: {response}");
        let error = response.json();
        if path == "/api/register/" {
            assert_eq!(error["error"], "The body is too large.");
        } else {
            assert_eq!(error["code"], "too_large");
        }
    }
}

#[tokio::test]
async fn invalid_bodies_are_rejected_by_every_endpoint() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let fields = ["name", "username", "password", "refresh", "title"];
    let filled = |value: &str| {
        let pairs: Vec<_> = fields
            .iter()
            .map(|field| format!("\"{field}\":{value}"))
            .collect();
        format!("{{{}}}", pairs.join(",")).into_bytes()
    };
    let bodies: Vec<Vec<u8>> = vec![
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"x\"".to_vec(),
        b"{".to_vec(),
        b"{}x".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"username\":\"\xff\"}".to_vec(),
        deep(30_000).into_bytes(),
        filled("1e999"),
        filled("true"),
        filled(&deep(100)),
        filled(&deep(5_000)),
        filled("{\"a\":1}"),
        filled("\"\\ud800\""),
        filled("\"\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\""),
        filled(&format!("\"{}\"", "x".repeat(10_000))),
        filled(&format!("\"{}\"", "\u{202e}".repeat(200))),
    ];
    for path in ENDPOINTS {
        for body in &bodies {
            let request = app.request(Method::POST, path).bearer_auth(&ann.access);
            let response = TestResponse::from_request(
                request.header("content-type", JSON_TYPE).body(body.clone()),
            )
            .await;
            response.expect_client_error();
        }
    }
    assert_eq!(
        users::Entity::find().count(&app.ctx.db).await.unwrap(),
        1,
        "no user except ann"
    );
}

/// Generates JSON of some depth.
fn json_strategy() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let key = prop_oneof![
            Just("name".to_owned()),
            Just("username".to_owned()),
            Just("password".to_owned()),
            Just("refresh".to_owned()),
            any::<String>(),
        ];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((key, inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arbitrary_json_never_causes_a_server_error() {
    let app = TestApp::start().await;
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        TestRunner::new(ProptestConfig::with_cases(64))
            .run(&json_strategy(), |body| {
                for path in ENDPOINTS {
                    let response = handle.block_on(app.post(path, body.clone()));
                    // A generated registration may be valid.
                    if response.status != 201 {
                        response.expect_client_error();
                    }
                }
                Ok(())
            })
            .unwrap();
    });
}

#[tokio::test]
async fn an_incomplete_body_times_out() {
    let app = TestApp::with_config(|config| {
        config.server.middlewares.timeout_request =
            Some(serde_json::from_value(json!({"enable": true, "timeout": 200})).unwrap());
    })
    .await;
    let head = "POST /api/token/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    let response = raw_response(app.address, head.to_owned()).await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    assert!(response.ends_with(r#""code":"invalid"}"#), "{response}");
}

#[tokio::test]
async fn a_request_needs_exactly_one_host_header() {
    let app = TestApp::start().await;
    for (status, hosts) in [
        ("200", "host: x\r\n"),
        ("400", ""),
        ("400", "host: x\r\nhost: y\r\n"),
    ] {
        let head = format!("GET /_ping HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let response = raw_response(app.address, head).await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{hosts:?}: {response}"
        );
        assert!(
            response.contains("content-type: application/json"),
            "{response}"
        );
    }
}

#[tokio::test]
async fn endless_headers_time_out_and_too_many_are_rejected() {
    let app = TestApp::start().await;
    let many: String = (0..100).map(|i| format!("x-{i}: y\r\n")).collect();
    let rejected = raw_response(
        app.address,
        format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
    )
    .await;
    assert!(rejected.starts_with("HTTP/1.1 431 "), "{rejected}");
    let slow = raw_response(app.address, "GET / HTTP/1.1\r\nhost: x\r\n".to_owned()).await;
    assert!(!slow.contains("200 OK"), "{slow}");
}

/// Returns all bytes until the server closes.
async fn raw_response(address: SocketAddr, head: String) -> String {
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    });
    with_timeout("the end of a response", asking).await.unwrap()
}
