//! Who guesses at a password is made to wait, and nobody is kept out.

use std::sync::Arc;

use futures_util::future::join_all;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, RedisCluster, RedisServer, TestApp, TestDatabase, line, soon, until};

const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";
const PASSWORD: &str = "the staple of ann";

/// Has Redis count sixteen failures for every account, the last of them just now.
const LONG_WAIT: &str = "EVAL \"local now = redis.call('TIME')[1] * 1000 \
    for _, key in ipairs(redis.call('KEYS', '*login:{*}')) do \
    redis.call('HSET', key, 'failures', 16, 'at', now) end return 1\" 0";

async fn login(app: &TestApp, username: &str, password: &str, from: &str) -> Answer {
    let request = app
        .request(Method::POST, "/api/token/")
        .header("x-forwarded-for", from);
    Answer::to(request.json(&json!({"username": username, "password": password}))).await
}

/// Somebody who has logged in from home.
async fn ann(app: &TestApp) {
    let account = json!({"name": "Ann", "username": "ann", "password": PASSWORD});
    assert_eq!(app.post("/api/register/", account).await.status, 201);
    assert_eq!(login(app, "ann", PASSWORD, HOME).await.status, 200);
}

/// Guesses at one node after the other until it must wait. Gives how often that was, and the refusal.
async fn guess(nodes: &[&TestApp], username: &str, from: &str) -> (u32, Answer) {
    for guesses in 0.. {
        let node = nodes[guesses as usize % nodes.len()];
        let answer = login(node, username, "wrong", from).await;
        if answer.status != 401 {
            return (guesses, answer);
        }
    }
    unreachable!()
}

/// That the first ten were free. On a slow machine the first waits may be over before the next guess
/// comes.
fn assert_refused((guesses, answer): &(u32, Answer)) {
    assert!((10..14).contains(guesses), "{guesses} guesses");
    assert!(
        (1..=1 << (guesses - 10)).contains(&seconds(answer)),
        "{answer}"
    );
}

fn seconds(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 429, "{answer}");
    answer.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn after_ten_failures_the_next_attempt_must_wait() {
    let app = TestApp::start().await;
    ann(&app).await;
    // In whatever spelling.
    for username in ["ann", "ANN", "ａｎｎ"] {
        assert_eq!(login(&app, username, "wrong", ELSEWHERE).await.status, 401);
    }
    let (guesses, refused) = guess(&[&app], "Ann", ELSEWHERE).await;
    assert_refused(&(guesses + 3, refused));
    // Who knows the password comes in from anywhere once the time is over, and all begins anew.
    until("the wait to be over", async || {
        login(&app, "ann", PASSWORD, ELSEWHERE).await.status == 200
    })
    .await;
    assert_refused(&guess(&[&app], "ann", ELSEWHERE).await);
}

#[tokio::test]
async fn an_account_that_is_not_there_is_treated_alike() {
    let app = TestApp::start().await;
    ann(&app).await;
    for username in ["ann", "nobody", "no\0body", ""] {
        let refused = guess(&[&app], username, ELSEWHERE).await;
        assert_refused(&refused);
        // How long the wait is depends on how many guesses a slow machine takes.
        assert!(seconds(&refused.1) >= 1, "{}", refused.1);
        insta::allow_duplicates! {
            assert_snapshot!(refused.1.body, @r#"{"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
        }
    }
}

#[tokio::test]
async fn the_owner_waits_where_nobody_knows_them_alone() {
    let redis = RedisServer::start().await;
    let app = node(&redis.url()).await;
    ann(&app).await;
    assert_eq!(login(&app, "ann", "wrong", ELSEWHERE).await.status, 401);
    redis.command(LONG_WAIT);
    let mut left = 60;
    for _ in 0..20 {
        // The right password is no better here, and who must wait does not wait longer for asking.
        for password in ["wrong", PASSWORD] {
            let wait = seconds(&login(&app, "ann", password, ELSEWHERE).await);
            assert!((30..=left).contains(&wait), "{wait} after {left}");
            left = wait;
        }
        assert_eq!(login(&app, "ann", PASSWORD, HOME).await.status, 200);
    }
    // Others are not concerned.
    assert_eq!(login(&app, "bob", "wrong", ELSEWHERE).await.status, 401);
}

#[tokio::test]
async fn a_network_that_is_known_waits_for_its_own_failures() {
    let app = TestApp::start().await;
    ann(&app).await;
    assert_refused(&guess(&[&app], "ann", HOME).await);
    assert_eq!(login(&app, "ann", "wrong", ELSEWHERE).await.status, 401);
    until("the wait to be over", async || {
        login(&app, "ann", PASSWORD, HOME).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_wrong_old_password_is_a_failure_too() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let path = "/api/me/password/";
    let body = json!({"old": "wrong", "new": "another staple of ann"});
    let (mut guesses, mut answer) = (0, ann.put(path, body.clone()).await);
    while answer.status == 400 {
        (guesses, answer) = (guesses + 1, ann.put(path, body.clone()).await);
    }
    assert_snapshot!(line(&answer), @r#"429 Too Many Requests {"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
    assert_refused(&(guesses, answer));
}

#[tokio::test]
async fn a_hundred_guesses_at_once_are_ten() {
    let redis = RedisServer::start().await;
    for app in [TestApp::start().await, node(&redis.url()).await] {
        let guesses = (0..100).map(|_| login(&app, "ann", "wrong", ELSEWHERE));
        let answers = soon("the answers", join_all(guesses)).await;
        let count = |status: u16| answers.iter().filter(|a| a.status == status).count();
        assert_eq!(count(401) + count(429), 100);
        assert!((10..14).contains(&count(401)), "{} guesses", count(401));
    }
}

async fn node(redis: &str) -> TestApp {
    let app = TestApp::with(json!({"channels": {"redis_url": redis}})).await;
    app.until_redis_is_connected().await;
    app
}

async fn nodes(redis: &str) -> (TestApp, TestApp) {
    let database = Arc::new(TestDatabase::create().await);
    let settings = json!({"channels": {"redis_url": redis}});
    let here = TestApp::node(database.clone(), settings.clone()).await;
    let there = TestApp::node(database, settings).await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    (here, there)
}

#[tokio::test]
async fn nodes_count_together() {
    let server = RedisServer::start().await;
    let cluster = RedisCluster::start().await;
    for redis in [server.url(), cluster.url()] {
        let (here, there) = nodes(&redis).await;
        ann(&here).await;
        assert_refused(&guess(&[&here, &there], "ann", ELSEWHERE).await);
        // They know together where the owner comes from,
        assert_eq!(login(&there, "ann", PASSWORD, HOME).await.status, 200);
        // and that it was the right password.
        until("the wait to be over", async || {
            login(&there, "ann", PASSWORD, ELSEWHERE).await.status == 200
        })
        .await;
        assert_refused(&guess(&[&there, &here], "ann", "203.0.113.1").await);
    }
    let keys = server.ask("KEYS *");
    assert!(keys.contains("salam-test:login:{"), "{keys}");
    for clear in ["ann", HOME, ELSEWHERE] {
        assert!(!keys.contains(clear), "{clear}: {keys}");
    }
}

#[tokio::test]
async fn a_node_whose_redis_is_gone_goes_on_with_what_it_knows() {
    let mut redis = RedisServer::start().await;
    let (here, there) = nodes(&redis.url()).await;
    ann(&here).await;
    assert_eq!(login(&here, "ann", "wrong", ELSEWHERE).await.status, 401);
    redis.command(LONG_WAIT);
    for node in [&here, &there] {
        assert!(seconds(&login(node, "ann", "wrong", ELSEWHERE).await) > 40);
    }
    redis.kill();
    // Before the loss is noticed as after it.
    for _ in 0..2 {
        for node in [&here, &there] {
            seconds(&login(node, "ann", "wrong", ELSEWHERE).await);
            assert_eq!(login(node, "bob", "wrong", ELSEWHERE).await.status, 401);
        }
        here.until_redis_is_missed().await;
        there.until_redis_is_missed().await;
    }
    assert_eq!(login(&here, "ann", PASSWORD, HOME).await.status, 200);
    // Each counts alone now.
    for node in [&here, &there] {
        assert_refused(&guess(&[node], "carol", ELSEWHERE).await);
    }
}

#[tokio::test]
async fn a_redis_that_does_not_answer_keeps_nobody_waiting() {
    let redis = RedisServer::start().await;
    let app = node(&redis.url()).await;
    // For longer than any test waits.
    redis.command("CLIENT PAUSE 60000 ALL");
    ann(&app).await;
    assert_refused(&guess(&[&app], "ann", ELSEWHERE).await);
}
