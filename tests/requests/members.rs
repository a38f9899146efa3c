//! Members, roles and removal.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{GroupPath, TestApp, User, one_line};

/// Creates a group: ann is the owner, bob an admin, cat and dan are members.
async fn group_of_four<'a>(app: &'a TestApp) -> ([User<'a>; 4], String) {
    let users = [
        app.user("ann").await,
        app.user("bob").await,
        app.user("cat").await,
        app.user("dan").await,
    ];
    let group = users[0].start_chat().await;
    for user in &users[1..] {
        users[0].add_member(user, &group).await;
    }
    let path = group.path("members/bob/");
    let response = users[0].patch(&path, json!({"role": "admin"})).await;
    assert_eq!(response.status, 200, "{response}");
    (users, group)
}

#[tokio::test]
async fn roles_determine_who_may_change_roles() {
    let app = TestApp::start().await;
    let ([ann, bob, cat, _dan], group) = group_of_four(&app).await;
    let member = |name: &str| format!("/api/groups/{group}/members/{name}/");
    let mut responses = one_line(&cat.get(&group.path("members/")).await);
    let mut socket = cat.open_live(&group).await;
    for (actor, user, name, role) in [
        ("cat", &cat, "cat", "admin"),
        ("cat", &cat, "bob", "member"),
        ("bob", &bob, "cat", "admin"),
        ("bob", &bob, "bob", "owner"),
        ("ann", &ann, "nobody", "admin"),
        ("ann", &ann, "cat", "king"),
        ("ann", &ann, "ann", "member"),
        ("ann", &ann, "bob", "admin"),
        ("ann", &ann, "BOB", "member"),
        ("ann", &ann, "cat", "owner"),
        ("ann", &ann, "ann", "owner"),
        ("cat", &cat, "ann", "owner"),
    ] {
        let response = one_line(&user.patch(&member(name), json!({"role": role})).await);
        responses += &format!("{actor} makes {name} {role}: {response}");
    }
    assert_snapshot!(responses, @r#"
    200 OK {"results":[{"username":"ann","name":"ann","role":"owner","active":true,"joined_at":"[now]"},{"username":"bob","name":"bob","role":"admin","active":true,"joined_at":"[now]"},{"username":"cat","name":"cat","role":"member","active":true,"joined_at":"[now]"},{"username":"dan","name":"dan","role":"member","active":true,"joined_at":"[now]"}],"next":null}
    cat makes cat admin: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    cat makes bob member: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    bob makes cat admin: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    bob makes bob owner: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    ann makes nobody admin: 404 Not Found {"detail":"Not found.","code":"not_found"}
    ann makes cat king: 400 Bad Request {"detail":"One of owner, admin, member.","code":"invalid","field":"role"}
    ann makes ann member: 409 Conflict {"detail":"Make another member the owner first.","code":"conflict"}
    ann makes bob admin: 200 OK {"username":"bob","name":"bob","role":"admin","active":true,"joined_at":"[now]"}
    ann makes BOB member: 200 OK {"username":"bob","name":"bob","role":"member","active":true,"joined_at":"[now]"}
    ann makes cat owner: 200 OK {"username":"cat","name":"cat","role":"owner","active":true,"joined_at":"[now]"}
    ann makes ann owner: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    cat makes ann owner: 200 OK {"username":"ann","name":"ann","role":"owner","active":true,"joined_at":"[now]"}
    "#);
    let mut events = String::new();
    for _ in 0..5 {
        let event = socket.next_event().await;
        events += &format!("{} {} {}\n", event["by"], event["kind"], event["data"]);
    }
    assert_snapshot!(events, @r#"
    "ann" "member.role" {"role":"member","user":"bob"}
    "ann" "member.role" {"role":"owner","user":"cat"}
    "ann" "member.role" {"role":"admin","user":"ann"}
    "cat" "member.role" {"role":"owner","user":"ann"}
    "cat" "member.role" {"role":"admin","user":"cat"}
    "#);
    socket.expect_no_frames().await;
    let members = ann.get(&group.path("members/")).await.json();
    let owners = members["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["role"] == "owner");
    assert_eq!(owners.count(), 1);
}

#[tokio::test]
async fn roles_determine_who_may_kick_and_ban() {
    let app = TestApp::start().await;
    let ([ann, bob, cat, dan], group) = group_of_four(&app).await;
    let mut responses = String::new();
    for (actor, user, path) in [
        ("cat", &cat, "members/dan/"),
        ("cat", &cat, "members/dan/?ban=true"),
        ("bob", &bob, "members/ann/"),
        ("bob", &bob, "members/bob/?ban=true"),
        ("bob", &bob, "members/nobody/"),
        ("bob", &bob, "members/nobody/?ban=1"),
        ("bob", &bob, "members/dan/?ban=perhaps"),
        ("ann", &ann, "members/ann/"),
        ("bob", &bob, "members/dan/"),
        // Dan is no longer a member, and can still be banned.
        ("bob", &bob, "members/dan/"),
        ("bob", &bob, "members/dan/?ban=true"),
        ("bob", &bob, "members/dan/?ban=true"),
        ("dan", &dan, "members/dan/"),
        ("ann", &ann, "members/bob/?ban=true"),
        ("cat", &cat, "members/Cat/"),
    ] {
        let response = one_line(&user.delete(&format!("/api/groups/{group}/{path}")).await);
        responses += &format!("{actor} {path}: {response}");
    }
    responses += &one_line(&ann.get(&group.path("bans/")).await);
    for name in ["dan", "dan", "cat", "nobody"] {
        responses += &one_line(
            &ann.delete(&format!("/api/groups/{group}/bans/{name}/"))
                .await,
        );
    }
    responses += &one_line(&ann.get(&group.path("members/")).await);
    assert_snapshot!(responses, @r#"
    cat members/dan/: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    cat members/dan/?ban=true: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    bob members/ann/: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    bob members/bob/?ban=true: 403 Forbidden {"detail":"You may not do this.","code":"forbidden"}
    bob members/nobody/: 404 Not Found {"detail":"Not found.","code":"not_found"}
    bob members/nobody/?ban=1: 404 Not Found {"detail":"Not found.","code":"not_found"}
    bob members/dan/?ban=perhaps: 400 Bad Request {"detail":"This must be true or false (or 1 or 0).","code":"invalid","field":"ban"}
    ann members/ann/: 409 Conflict {"detail":"Make another member the owner first, or delete the group.","code":"conflict"}
    bob members/dan/: 204 No Content 
    bob members/dan/: 404 Not Found {"detail":"Not found.","code":"not_found"}
    bob members/dan/?ban=true: 204 No Content 
    bob members/dan/?ban=true: 204 No Content 
    dan members/dan/: 404 Not Found {"detail":"Not found.","code":"not_found"}
    ann members/bob/?ban=true: 204 No Content 
    cat members/Cat/: 204 No Content 
    200 OK {"results":[{"username":"dan","name":"dan","banned_by":"bob","banned_at":"[now]"},{"username":"bob","name":"bob","banned_by":"ann","banned_at":"[now]"}],"next":null}
    204 No Content 
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    404 Not Found {"detail":"Not found.","code":"not_found"}
    200 OK {"results":[{"username":"ann","name":"ann","role":"owner","active":true,"joined_at":"[now]"}],"next":null}
    "#);
}
