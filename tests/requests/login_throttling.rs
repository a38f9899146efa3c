//! Login throttling: password guessing is slowed down, and no user is locked out.

use futures_util::future::join_all;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    RedisCluster, RedisServer, TestApp, TestResponse, connected_nodes, connected_nodes_with,
    one_line, wait_until, with_timeout,
};

const KNOWN_NETWORK: &str = "192.0.2.1";
const OTHER_NETWORK: &str = "198.51.100.1";
const PASSWORD: &str = "the staple of ann";

/// Makes Redis count sixteen failures for every account, the last of them now.
const SET_LONG_WAIT: &str = "EVAL \"local now = redis.call('TIME')[1] * 1000 \
    for _, key in ipairs(redis.call('KEYS', '*login:{*}')) do \
    redis.call('HSET', key, 'failures', 16, 'at', now) end return 1\" 0";

async fn login_from(app: &TestApp, username: &str, password: &str, from: &str) -> TestResponse {
    let request = app
        .request(Method::POST, "/api/token/")
        .header("x-forwarded-for", from);
    TestResponse::from_request(request.json(&json!({"username": username, "password": password})))
        .await
}

/// Registers ann, who then logs in from her home address.
async fn register_ann(app: &TestApp) {
    let account = json!({"name": "Ann", "username": "ann", "password": PASSWORD});
    assert_eq!(app.post("/api/register/", account).await.status, 201);
    assert_eq!(
        login_from(app, "ann", PASSWORD, KNOWN_NETWORK).await.status,
        200
    );
}

/// Guesses passwords at the nodes in turn until the throttle rejects a guess. Returns the number of
/// guesses and the rejection.
async fn guess_until_throttled(
    nodes: &[&TestApp],
    username: &str,
    from: &str,
) -> (u32, TestResponse) {
    for guesses in 0.. {
        let node = nodes[guesses as usize % nodes.len()];
        let response = login_from(node, username, "wrong", from).await;
        if response.status != 401 {
            return (guesses, response);
        }
    }
    unreachable!()
}

/// Asserts that the first ten guesses are free. On a slow machine, the first waits may end before the
/// next guess.
fn assert_throttled_after_ten_failures((guesses, response): &(u32, TestResponse)) {
    assert!((10..14).contains(guesses), "{guesses} guesses");
    assert!(
        (1..=1 << (guesses - 10)).contains(&retry_after_seconds(response)),
        "{response}"
    );
}

fn retry_after_seconds(response: &TestResponse) -> u64 {
    assert_eq!(response.status, 429, "{response}");
    response.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn login_is_throttled_after_ten_failures() {
    let app = TestApp::start().await;
    register_ann(&app).await;
    // In any spelling of the name.
    for username in ["ann", "ANN", "ａｎｎ"] {
        assert_eq!(
            login_from(&app, username, "wrong", OTHER_NETWORK)
                .await
                .status,
            401
        );
    }
    let (guesses, rejected) = guess_until_throttled(&[&app], "Ann", OTHER_NETWORK).await;
    assert_throttled_after_ten_failures(&(guesses + 3, rejected));
    // After the wait, a login with the right password succeeds from any address, and resets the count.
    wait_until("the wait to be over", async || {
        login_from(&app, "ann", PASSWORD, OTHER_NETWORK)
            .await
            .status
            == 200
    })
    .await;
    assert_throttled_after_ten_failures(
        &guess_until_throttled(&[&app], "ann", OTHER_NETWORK).await,
    );
}

#[tokio::test]
async fn unknown_accounts_are_throttled_alike() {
    let app = TestApp::start().await;
    register_ann(&app).await;
    for username in ["ann", "nobody", "no\0body", ""] {
        let rejected = guess_until_throttled(&[&app], username, OTHER_NETWORK).await;
        assert_throttled_after_ten_failures(&rejected);
        // The length of the wait depends on how many guesses a slow machine makes.
        assert!(retry_after_seconds(&rejected.1) >= 1, "{}", rejected.1);
        insta::allow_duplicates! {
            assert_snapshot!(rejected.1.body, @r#"{"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
        }
    }
}

#[tokio::test]
async fn login_throttling_spares_the_known_network_of_the_owner() {
    let redis = RedisServer::start().await;
    let app = redis_app(&redis.url()).await;
    register_ann(&app).await;
    assert_eq!(
        login_from(&app, "ann", "wrong", OTHER_NETWORK).await.status,
        401
    );
    redis.run_command(SET_LONG_WAIT);
    let mut left = 60;
    for _ in 0..20 {
        // The right password is rejected during the wait too, and an attempt does not extend the wait.
        for password in ["wrong", PASSWORD] {
            let wait = retry_after_seconds(&login_from(&app, "ann", password, OTHER_NETWORK).await);
            assert!((30..=left).contains(&wait), "{wait} after {left}");
            left = wait;
        }
        assert_eq!(
            login_from(&app, "ann", PASSWORD, KNOWN_NETWORK)
                .await
                .status,
            200
        );
    }
    // Other users are not affected.
    assert_eq!(
        login_from(&app, "bob", "wrong", OTHER_NETWORK).await.status,
        401
    );
}

#[tokio::test]
async fn a_known_network_is_throttled_for_its_own_failures() {
    let app = TestApp::start().await;
    register_ann(&app).await;
    assert_throttled_after_ten_failures(
        &guess_until_throttled(&[&app], "ann", KNOWN_NETWORK).await,
    );
    assert_eq!(
        login_from(&app, "ann", "wrong", OTHER_NETWORK).await.status,
        401
    );
    wait_until("the wait to be over", async || {
        login_from(&app, "ann", PASSWORD, KNOWN_NETWORK)
            .await
            .status
            == 200
    })
    .await;
}

#[tokio::test]
async fn a_wrong_current_password_counts_as_a_failed_login() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let path = "/api/me/password/";
    let body = json!({"old": "wrong", "new": "another staple of ann"});
    let (mut guesses, mut response) = (0, ann.put(path, body.clone()).await);
    while response.status == 400 {
        (guesses, response) = (guesses + 1, ann.put(path, body.clone()).await);
    }
    assert_snapshot!(one_line(&response), @r#"429 Too Many Requests {"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
    assert_throttled_after_ten_failures(&(guesses, response));
}

#[tokio::test]
async fn concurrent_guesses_are_throttled_after_ten() {
    let redis = RedisServer::start().await;
    for app in [TestApp::start().await, redis_app(&redis.url()).await] {
        let guesses = (0..100).map(|_| login_from(&app, "ann", "wrong", OTHER_NETWORK));
        let responses = with_timeout("the responses", join_all(guesses)).await;
        let count = |status: u16| responses.iter().filter(|a| a.status == status).count();
        assert_eq!(count(401) + count(429), 100);
        assert!((10..14).contains(&count(401)), "{} guesses", count(401));
    }
}

async fn redis_app(redis: &str) -> TestApp {
    let app = TestApp::with_settings(json!({"channels": {"redis_url": redis}})).await;
    app.until_redis_is_connected().await;
    app
}

#[tokio::test]
async fn nodes_share_login_failures() {
    let server = RedisServer::start().await;
    let cluster = RedisCluster::start().await;
    for redis in [server.url(), cluster.url()] {
        let (here, there) = connected_nodes_with(json!({"redis_url": redis})).await;
        register_ann(&here).await;
        assert_throttled_after_ten_failures(
            &guess_until_throttled(&[&here, &there], "ann", OTHER_NETWORK).await,
        );
        // All nodes know the owner's network,
        assert_eq!(
            login_from(&there, "ann", PASSWORD, KNOWN_NETWORK)
                .await
                .status,
            200
        );
        // and that the password was right.
        wait_until("the wait to be over", async || {
            login_from(&there, "ann", PASSWORD, OTHER_NETWORK)
                .await
                .status
                == 200
        })
        .await;
        assert_throttled_after_ten_failures(
            &guess_until_throttled(&[&there, &here], "ann", "203.0.113.1").await,
        );
    }
    let keys = server.query("KEYS *");
    assert!(keys.contains("salam-test:login:{"), "{keys}");
    for clear in ["ann", KNOWN_NETWORK, OTHER_NETWORK] {
        assert!(!keys.contains(clear), "{clear}: {keys}");
    }
}

#[tokio::test]
async fn login_throttling_continues_when_redis_is_lost() {
    let (mut redis, here, there) = connected_nodes().await;
    register_ann(&here).await;
    assert_eq!(
        login_from(&here, "ann", "wrong", OTHER_NETWORK)
            .await
            .status,
        401
    );
    redis.run_command(SET_LONG_WAIT);
    for node in [&here, &there] {
        assert!(retry_after_seconds(&login_from(node, "ann", "wrong", OTHER_NETWORK).await) > 40);
    }
    redis.kill();
    // Both before and after the nodes notice the loss of Redis.
    for _ in 0..2 {
        for node in [&here, &there] {
            retry_after_seconds(&login_from(node, "ann", "wrong", OTHER_NETWORK).await);
            assert_eq!(
                login_from(node, "bob", "wrong", OTHER_NETWORK).await.status,
                401
            );
        }
        here.until_redis_is_lost().await;
        there.until_redis_is_lost().await;
    }
    assert_eq!(
        login_from(&here, "ann", PASSWORD, KNOWN_NETWORK)
            .await
            .status,
        200
    );
    // Each node now counts alone.
    for node in [&here, &there] {
        assert_throttled_after_ten_failures(
            &guess_until_throttled(&[node], "carol", OTHER_NETWORK).await,
        );
    }
}

#[tokio::test]
async fn an_unresponsive_redis_does_not_delay_logins() {
    let redis = RedisServer::start().await;
    let app = redis_app(&redis.url()).await;
    // For longer than any test runs.
    redis.run_command("CLIENT PAUSE 60000 ALL");
    register_ann(&app).await;
    assert_throttled_after_ten_failures(
        &guess_until_throttled(&[&app], "ann", OTHER_NETWORK).await,
    );
}
