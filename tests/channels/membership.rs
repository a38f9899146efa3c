//! A removed member is disconnected on every node.

use serde_json::json;

use crate::support::{GroupPath, Socket, TestApp, User, connected_nodes};

/// Checks that bob loses his sockets of both modes on both nodes, while ann receives the event.
async fn check_removal(
    remove: impl AsyncFn(&User<'_>, &User<'_>, &str),
    code: u16,
    may_return: bool,
) {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let mut anns = ann.open_live(&group).await;
    let mut base = Vec::new();
    let mut rich = Vec::new();
    for node in [&here, &there] {
        base.push(bob.on_node(node).open_base(&group).await);
        rich.push(bob.on_node(node).open_live(&group).await);
    }
    // This socket reads nothing, so the server's writes to it stall.
    let _stuck = bob.open_base_with_small_buffer(&group).await;
    for i in 0..200 {
        ann.send_message(&group, &"x".repeat(8000), &i.to_string())
            .await;
    }

    remove(&ann, &bob, &group).await;
    for socket in &mut base {
        assert_eq!(socket.close_code().await, code);
    }
    for socket in &mut rich {
        assert_eq!(socket.bye_code().await, code);
    }
    // Bob is now a stranger to the group for every endpoint.
    for node in [&here, &there] {
        let bob = bob.on_node(node);
        for query in ["", "after=1", "after=150"] {
            assert_eq!(bob.open_rich(&group, query).await.bye_code().await, 4403);
        }
        let rejected = Socket::connect(node.address, &group, &bob.cookie()).await;
        assert_eq!(rejected.err().unwrap(), 404);
        assert_eq!(
            bob.send_message(&group, "still here", "1").await.status,
            404
        );
        let log = bob.get(&group.path("events/")).await;
        assert_eq!(log.status, 404);
    }
    if code == 4404 {
        assert_eq!(anns.bye_code().await, code);
        here.until_no_group_is_active().await;
        return;
    }
    for _ in 0..200 {
        anns.next_event().await;
    }
    let left = anns.next_event().await;
    assert_eq!(
        (&left["kind"], &left["data"]["user"]),
        (&json!("member.left"), &json!("bob"))
    );
    anns.expect_no_frames().await;

    let code = ann.create_invite(&group).await;
    let accept = format!("/api/invites/{code}/accept/");
    let response = bob.post(&accept, json!({})).await;
    if may_return {
        assert_eq!(response.status, 200, "{response}");
        // The replay of his earlier removal does not disconnect him again.
        let mut socket = bob.open_rich(&group, "after=0").await;
        let frames = socket.until_sync().await;
        assert_eq!(frames.len(), 3 + 203, "all of it");
        socket.send_message("back", "2").await;
    } else {
        assert_eq!(
            (response.status.as_u16(), &response.json()["code"]),
            (403, &json!("banned"))
        );
        let lift = group.path("bans/bob/");
        assert_eq!(ann.delete(&lift).await.status, 204);
        assert_eq!(bob.post(&accept, json!({})).await.status, 200);
    }
}

#[tokio::test]
async fn a_kicked_member_is_disconnected_and_may_rejoin() {
    let kick = async |ann: &User<'_>, _: &User<'_>, group: &str| {
        let path = group.path("members/bob/");
        assert_eq!(ann.delete(&path).await.status, 204);
    };
    check_removal(kick, 4403, true).await;
}

#[tokio::test]
async fn a_banned_member_cannot_rejoin_until_unbanned() {
    let ban = async |ann: &User<'_>, _: &User<'_>, group: &str| {
        let path = group.path("members/bob/?ban=true");
        assert_eq!(ann.delete(&path).await.status, 204);
    };
    check_removal(ban, 4403, false).await;
}

#[tokio::test]
async fn a_member_who_leaves_is_disconnected_and_may_rejoin() {
    let leave = async |_: &User<'_>, bob: &User<'_>, group: &str| {
        let path = group.path("members/bob/");
        assert_eq!(bob.delete(&path).await.status, 204);
    };
    check_removal(leave, 4403, true).await;
}

#[tokio::test]
async fn deleting_a_group_closes_its_sockets() {
    let delete = async |ann: &User<'_>, _: &User<'_>, group: &str| {
        let path = format!("/api/groups/{group}/?confirm={group}");
        assert_eq!(ann.delete(&path).await.status, 204);
    };
    check_removal(delete, 4404, false).await;
}

/// Redis is not running, so the other node finds the kick in the log.
#[tokio::test]
async fn a_kick_reaches_the_other_node_without_redis() {
    let (mut redis, here, there) = connected_nodes().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let mut socket = bob.on_node(&there).open_live(&group).await;
    redis.kill();
    there.until_redis_is_lost().await;
    ann.delete(&group.path("members/bob/")).await;
    assert_eq!(socket.bye_code().await, 4403);
}

/// A message that is sent during the kick is not stored after it.
#[tokio::test]
async fn no_events_of_a_member_after_leave() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let sending = (0..8).map(|i| {
        let (bob, group) = (&bob, &group);
        async move {
            for j in 0..25 {
                bob.send_message(group, "x", &format!("{i}/{j}")).await;
            }
        }
    });
    let kicking = async {
        let mut socket = ann.open_live(&group).await;
        socket.next_event().await;
        ann.delete(&group.path("members/bob/")).await;
    };
    tokio::join!(futures_util::future::join_all(sending), kicking);
    let log = ann.get(&group.path("events/?limit=500")).await.json();
    let last = log["results"].as_array().unwrap().last().unwrap();
    assert_eq!(last["kind"], "member.left", "{last}");
}

/// Handshakes that were accepted just before the kick.
#[tokio::test]
async fn a_kick_closes_sockets_that_are_still_connecting() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let bob = app.user("bob").await;
    // The room exists, and receives the kick at once.
    let mut anns = ann.open_live(&group).await;
    for round in 0..20 {
        ann.add_member(&bob, &group).await;
        let connecting = (0..8).map(|i| {
            let (bob, group) = (&bob, &group);
            async move {
                for _ in 0..i * round {
                    tokio::task::yield_now().await;
                }
                let query = ["", "after=99999999", "after=0"][i % 3];
                bob.open_rich(group, query).await
            }
        });
        let path = group.path("members/bob/");
        let (mut sockets, kicked) = tokio::join!(
            futures_util::future::join_all(connecting),
            ann.delete(&path)
        );
        assert_eq!(kicked.status, 204);
        for socket in &mut sockets {
            assert_eq!(socket.bye_code().await, 4403);
        }
        for kind in ["member.joined", "member.left"] {
            assert_eq!(anns.next_event().await["kind"], kind);
        }
    }
}

/// A kicked member cannot return by an invite of their own.
#[tokio::test]
async fn invites_of_a_kicked_member_are_revoked() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let path = group.path("members/bob/");
    ann.patch(&path, json!({"role": "admin"})).await;
    let code = bob.create_invite(&group).await;
    ann.delete(&path).await;
    let response = bob
        .post(&format!("/api/invites/{code}/accept/"), json!({}))
        .await;
    assert_eq!(response.status, 404, "{response}");
}
