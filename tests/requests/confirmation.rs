//! Requests that cannot be undone need a confirmation by name, and no unusual path leads to them.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;
use url::Url;

use crate::support::{GroupPath, TestApp, TestResponse, User, one_line};

/// Sends a DELETE with a JSON body.
async fn delete_with_body(user: &User<'_>, path: &str, body: serde_json::Value) -> TestResponse {
    let request = user.app.request(Method::DELETE, path);
    TestResponse::from_request(request.bearer_auth(&user.access).json(&body)).await
}

#[tokio::test]
async fn deleting_a_group_requires_its_name() {
    let app = TestApp::start().await;
    let [ann, bob, stranger] = [
        app.user("ann").await,
        app.user("bob").await,
        app.user("stranger").await,
    ];
    let (group, other) = (ann.start_chat().await, ann.start_chat().await);
    ann.add_member(&bob, &group).await;
    let path = group.path("");
    let mut responses = String::new();
    for query in [
        "",
        "?confirm=",
        "?confirm=true",
        &format!("?confirm={other}"),
    ] {
        responses +=
            &one_line(&ann.delete(&format!("{path}{query}")).await).replace(&group, "[group]");
    }
    responses += &one_line(&delete_with_body(&ann, &path, json!({"confirm": other})).await);
    responses += &one_line(&delete_with_body(&ann, &path, json!({"confirm": 1})).await);
    assert_snapshot!(responses, @r#"
    400 Bad Request {"detail":"This cannot be undone. Add ?confirm=<group> to confirm it.","code":"invalid","field":"confirm"}
    400 Bad Request {"detail":"This cannot be undone. Add ?confirm=<group> to confirm it.","code":"invalid","field":"confirm"}
    400 Bad Request {"detail":"This cannot be undone. Add ?confirm=<group> to confirm it.","code":"invalid","field":"confirm"}
    400 Bad Request {"detail":"This cannot be undone. Add ?confirm=<group> to confirm it.","code":"invalid","field":"confirm"}
    400 Bad Request {"detail":"This cannot be undone. Add ?confirm=<group> to confirm it.","code":"invalid","field":"confirm"}
    400 Bad Request {"detail":"Not a valid string.","code":"invalid","field":"confirm"}
    "#);
    let confirmed = format!("{path}?confirm={group}");
    assert_eq!(stranger.delete(&confirmed).await.status, 404);
    assert_eq!(bob.delete(&confirmed).await.status, 403);
    assert_eq!(
        bob.delete(&path).await.status,
        403,
        "whether confirmed or not"
    );
    assert_eq!(ann.get(&path).await.status, 200, "nothing was deleted");
    assert_eq!(ann.delete(&confirmed).await.status, 204);
    assert_eq!(ann.get(&path).await.status, 404);
    let (path, body) = (other.path(""), json!({"confirm": other}));
    assert_eq!(delete_with_body(&ann, &path, body).await.status, 204);
}

#[tokio::test]
async fn ending_other_sessions_requires_the_username() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let phone = app.log_in("ann").await;
    let path = "/api/sessions/";
    for query in ["", "?confirm=bob", "?confirm=*"] {
        let response = ann.delete(&format!("{path}{query}")).await;
        assert_eq!(response.status, 400, "{response}");
    }
    assert!(phone.is_logged_in().await);
    assert_eq!(ann.delete("/api/sessions/?confirm=ANN").await.status, 204);
    assert!(ann.is_logged_in().await && !phone.is_logged_in().await);
    let phone = app.log_in("ann").await;
    assert_eq!(
        delete_with_body(&ann, path, json!({"confirm": "ann"}))
            .await
            .status,
        204
    );
    assert!(!phone.is_logged_in().await);
}

/// Clients resolve dot segments before they send a path (RFC 3986, section 5.2.4).
#[tokio::test]
async fn dot_segments_never_delete_anything() {
    let app = TestApp::start().await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let phone = app.log_in("ann").await;
    let group = ann.start_chat().await;
    ann.add_member(&bob, &group).await;
    let mut tried = 0;
    for name in [
        ".",
        "..",
        "%2e",
        "%2E%2e",
        ".%2e",
        "%2e%2e/..",
        "..%2f",
        "bob/..",
        "//",
        "\\..",
        "",
    ] {
        for of in ["members", "bans", "messages", "invites"] {
            for query in ["", "?ban=true"] {
                let path = format!("/api/groups/{group}/{of}/{name}/{query}");
                let path = path.replace('\\', "/");
                let url = Url::parse(&app.url(&path)).unwrap();
                let response = ann.delete(&url[url::Position::BeforePath..]).await;
                assert!(response.status.is_client_error(), "{path}: {response}");
                tried += 1;
            }
        }
        let url = Url::parse(&app.url(&format!("/api/sessions/{name}/"))).unwrap();
        let response = ann.delete(&url[url::Position::BeforePath..]).await;
        assert!(response.status.is_client_error(), "{url}: {response}");
    }
    assert_eq!(tried, 88);
    assert_eq!(bob.get(&group.path("")).await.status, 200);
    assert!(phone.is_logged_in().await);
}
