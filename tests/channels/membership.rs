//! Who is put out of a group is out of its sockets, on every node.

use serde_json::json;

use super::nodes::connected_nodes;
use crate::support::{RedisServer, Socket, TestApp, User};

/// Bob is in Ann's group by sockets of both modes on both nodes, and Ann listens.
async fn scene(way_out: impl AsyncFn(&User<'_>, &User<'_>, &str), code: u16, may_return: bool) {
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let (ann, bob) = (here.user("ann").await, here.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let mut anns = ann.live(&group).await;
    let mut base = Vec::new();
    let mut rich = Vec::new();
    for node in [&here, &there] {
        base.push(bob.at(node).open(&group).await);
        rich.push(bob.at(node).live(&group).await);
    }
    // Stuck: it reads nothing, so what it would write is never written.
    let _stuck = bob.with_small_buffer(&group).await;
    for i in 0..200 {
        ann.say(&group, &"x".repeat(8000), &i.to_string()).await;
    }

    way_out(&ann, &bob, &group).await;
    for socket in &mut base {
        assert_eq!(socket.close_code().await, code);
    }
    for socket in &mut rich {
        assert_eq!(socket.bye_code().await, code);
    }
    // He is a stranger now, at every door.
    for node in [&here, &there] {
        let bob = bob.at(node);
        for query in ["", "after=1", "after=150"] {
            assert_eq!(bob.rich(&group, query).await.bye_code().await, 4403);
        }
        let refused = Socket::connect(node.address, &group, &bob.cookie()).await;
        assert_eq!(refused.err().unwrap(), 404);
        assert_eq!(bob.say(&group, "still here", "1").await.status, 404);
        let log = bob.get(&format!("/api/groups/{group}/events/")).await;
        assert_eq!(log.status, 404);
    }
    if code == 4404 {
        assert_eq!(anns.bye_code().await, code);
        here.until_no_group_is_active().await;
        return;
    }
    for _ in 0..200 {
        anns.event().await;
    }
    let left = anns.event().await;
    assert_eq!(
        (&left["kind"], &left["data"]["user"]),
        (&json!("member.left"), &json!("bob"))
    );
    anns.expect_silence().await;

    let code = ann.invites(&group).await;
    let accept = format!("/api/invites/{code}/accept/");
    let answer = bob.post(&accept, json!({})).await;
    if may_return {
        assert_eq!(answer.status, 200, "{answer}");
        // What he did before does not put him out again.
        let mut socket = bob.rich(&group, "after=0").await;
        let frames = socket.until_sync().await;
        assert_eq!(frames.len(), 3 + 203, "all of it");
        socket.says("back", "2").await;
    } else {
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (403, &json!("banned"))
        );
        let lift = format!("/api/groups/{group}/bans/bob/");
        assert_eq!(ann.delete(&lift).await.status, 204);
        assert_eq!(bob.post(&accept, json!({})).await.status, 200);
    }
}

#[tokio::test]
async fn who_is_kicked_is_out_and_may_be_invited_again() {
    let kick = async |ann: &User<'_>, _: &User<'_>, group: &str| {
        let path = format!("/api/groups/{group}/members/bob/");
        assert_eq!(ann.delete(&path).await.status, 204);
    };
    scene(kick, 4403, true).await;
}

#[tokio::test]
async fn who_is_banned_is_out_until_the_ban_is_lifted() {
    let ban = async |ann: &User<'_>, _: &User<'_>, group: &str| {
        let path = format!("/api/groups/{group}/members/bob/?ban=true");
        assert_eq!(ann.delete(&path).await.status, 204);
    };
    scene(ban, 4403, false).await;
}

#[tokio::test]
async fn who_leaves_is_out_and_may_be_invited_again() {
    let leave = async |_: &User<'_>, bob: &User<'_>, group: &str| {
        let path = format!("/api/groups/{group}/members/bob/");
        assert_eq!(bob.delete(&path).await.status, 204);
    };
    scene(leave, 4403, true).await;
}

#[tokio::test]
async fn the_sockets_of_a_deleted_group_end() {
    let delete = async |ann: &User<'_>, _: &User<'_>, group: &str| {
        let path = format!("/api/groups/{group}/?confirm={group}");
        assert_eq!(ann.delete(&path).await.status, 204);
    };
    scene(delete, 4404, false).await;
}

/// Redis is away: the log tells it.
#[tokio::test]
async fn without_redis_a_kick_reaches_the_other_node_by_the_log() {
    let mut redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let (ann, bob) = (here.user("ann").await, here.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let mut socket = bob.at(&there).live(&group).await;
    redis.kill();
    there.until_redis_is_missed().await;
    ann.delete(&format!("/api/groups/{group}/members/bob/"))
        .await;
    assert_eq!(socket.bye_code().await, 4403);
}

/// What was on its way when its author was put out is not said.
#[tokio::test]
async fn nothing_is_said_after_ones_leaving() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let talking = (0..8).map(|i| {
        let (bob, group) = (&bob, &group);
        async move {
            for j in 0..25 {
                bob.say(group, "x", &format!("{i}/{j}")).await;
            }
        }
    });
    let kicking = async {
        let mut socket = ann.live(&group).await;
        socket.event().await;
        ann.delete(&format!("/api/groups/{group}/members/bob/"))
            .await;
    };
    tokio::join!(futures_util::future::join_all(talking), kicking);
    let log = ann
        .get(&format!("/api/groups/{group}/events/?limit=500"))
        .await
        .json();
    let last = log["results"].as_array().unwrap().last().unwrap();
    assert_eq!(last["kind"], "member.left", "{last}");
}

/// Handshakes that were let in just before their user was put out.
#[tokio::test]
async fn a_kick_catches_those_who_are_just_coming_in() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    // The room is there, and hears of the kick at once.
    let mut anns = ann.live(&group).await;
    for round in 0..20 {
        ann.brings_in(&bob, &group).await;
        let coming = (0..8).map(|i| {
            let (bob, group) = (&bob, &group);
            async move {
                for _ in 0..i * round {
                    tokio::task::yield_now().await;
                }
                let query = ["", "after=99999999", "after=0"][i % 3];
                bob.rich(group, query).await
            }
        });
        let path = format!("/api/groups/{group}/members/bob/");
        let (mut sockets, kicked) =
            tokio::join!(futures_util::future::join_all(coming), ann.delete(&path));
        assert_eq!(kicked.status, 204);
        for socket in &mut sockets {
            assert_eq!(socket.bye_code().await, 4403);
        }
        for kind in ["member.joined", "member.left"] {
            assert_eq!(anns.event().await["kind"], kind);
        }
    }
}

/// Whoever was put out does not come back by an invite of their own.
#[tokio::test]
async fn the_invites_of_who_is_put_out_end() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.start_chat().await;
    ann.brings_in(&bob, &group).await;
    let path = format!("/api/groups/{group}/members/bob/");
    ann.patch(&path, json!({"role": "admin"})).await;
    let code = bob.invites(&group).await;
    ann.delete(&path).await;
    let answer = bob
        .post(&format!("/api/invites/{code}/accept/"), json!({}))
        .await;
    assert_eq!(answer.status, 404, "{answer}");
}
