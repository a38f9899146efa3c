//! `/ws/`: many groups on one socket.

use std::collections::HashMap;

use insta::assert_snapshot;
use salam::models::{
    chat_groups,
    memberships::{self, Role},
    users,
};
use serde_json::{Value, json};

use crate::support::{
    GroupPath, RedisServer, RichSocket, Socket, TestApp, User, connected_nodes, redact_frame,
    redact_frames, start_nodes,
};

#[tokio::test]
async fn a_multi_group_socket_receives_events_of_subscribed_groups() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let (first, second) = (ann.start_chat().await, ann.start_chat().await);
    let strangers = bob.start_chat().await;
    ann.send_message(&first, "one", "1").await;
    ann.send_message(&second, "two", "2").await;
    let mut socket = RichSocket::connect_multi_group(app.address, &ann.access).await;
    let hello = socket.next_frame().await;
    assert_eq!(hello["limits"]["groups"], 512);

    let named = |frames: &[Value]| {
        let frames = frames.iter().map(|frame| {
            let name = match frame["group"].as_str() {
                Some(group) if group == first => "[first]",
                Some(group) if group == second => "[second]",
                _ => "[stranger's]",
            };
            redact_frame(frame).replace("[group]", name) + "\n"
        });
        frames.collect::<String>()
    };
    let ok = socket
        .subscribe(&[(&first, Some(0)), (&strangers, None), (&second, None)])
        .await;
    let mut frames = vec![ok];
    frames.extend(socket.until_sync().await);
    frames.extend(socket.until_sync().await);
    for (group, text) in [(&second, "three"), (&first, "four")] {
        let send = json!({"type": "send", "group": group, "text": text});
        frames.push(socket.request(send).await);
        frames.push(socket.next_event().await);
    }
    assert_snapshot!(named(&frames), @r#"
    {"id":1,"refused":[{"code":"not_member","group":"[stranger's]"}],"type":"ok"}
    {"floor":0,"group":"[first]","head":1,"mode":"replay","online":["ann"],"read":1,"role":"owner","title":null,"type":"group","unread":0}
    {"floor":0,"group":"[second]","head":1,"mode":"live","online":["ann"],"read":1,"role":"owner","title":null,"type":"group","unread":0}
    {"at":"[now]","by":"ann","cid":"1","data":{"text":"one"},"group":"[first]","kind":"message.created","seq":1,"type":"event"}
    {"group":"[first]","seq":1,"type":"sync"}
    {"group":"[second]","seq":1,"type":"sync"}
    {"at":"[now]","id":2,"seq":2,"type":"ok"}
    {"at":"[now]","by":"ann","data":{"text":"three"},"group":"[second]","kind":"message.created","seq":2,"type":"event"}
    {"at":"[now]","id":3,"seq":2,"type":"ok"}
    {"at":"[now]","by":"ann","data":{"text":"four"},"group":"[first]","kind":"message.created","seq":2,"type":"event"}
    "#);

    // An unsubscribed group sends no events and accepts no messages.
    let unsub = json!({"type": "unsub", "groups": [&second, "chat_00000000"]});
    assert_eq!(socket.request(unsub).await["type"], "ok");
    ann.send_message(&second, "missed", "5").await;
    let send = json!({"type": "send", "group": &second, "text": "x"});
    assert_eq!(socket.request(send).await["code"], "not_member");
    ann.send_message(&first, "received", "6").await;
    assert_eq!(socket.next_event().await["data"]["text"], "received");
    // After a new subscription, the group sends events again.
    socket.subscribe(&[(&second, Some(2))]).await;
    let frames = socket.until_sync().await;
    assert_eq!(frames[1]["data"]["text"], "missed", "{frames:?}");
    let rejected = socket.subscribe(&[(&strangers, Some(0))]).await;
    assert_snapshot!(redact_frame(&rejected), @r#"{"code":"not_member","field":"groups","id":7,"message":"You are a member of none of these groups.","retry":false,"retry_after_ms":null,"type":"error"}"#);
}

#[tokio::test]
async fn a_subscribe_request_for_too_many_groups_is_rejected_as_a_whole() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_multi_group().await;
    let names: Vec<_> = (0..512).map(|i| format!("chat_{i:08x}")).collect();
    let groups = |count: usize| {
        let all = names.iter().take(count).chain([&group]);
        all.map(|name| json!({"group": name})).collect::<Vec<_>>()
    };
    let rejected = socket
        .request(json!({"type": "sub", "groups": groups(512)}))
        .await;
    assert_snapshot!(redact_frame(&rejected), @r#"{"code":"limit_exceeded","field":"groups","id":1,"message":"A socket can have at most `limits.groups` groups.","retry":false,"retry_after_ms":null,"type":"error"}"#);
    let ok = socket
        .request(json!({"type": "sub", "groups": groups(511)}))
        .await;
    assert_eq!(ok["refused"].as_array().unwrap().len(), 511);
    socket.until_sync().await;
    ann.send_message(&group, "hi", "1").await;
    socket.next_event().await;
}

/// A busy group waits for the other groups' turns.
#[tokio::test]
async fn a_busy_group_does_not_starve_other_groups() {
    const GROUPS: usize = 50;
    const MESSAGES: usize = 400;
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut groups = Vec::new();
    for _ in 0..GROUPS {
        groups.push(ann.start_chat().await);
    }
    let (busy, quiet) = groups.split_first().unwrap();
    let mut sender = ann.open_live(busy).await;
    sender.send_many(MESSAGES).await;
    for group in quiet {
        ann.send_message(group, "quiet", "1").await;
    }

    let mut socket = ann.open_multi_group().await;
    let all: Vec<_> = groups.iter().map(|group| (&**group, Some(0))).collect();
    socket.subscribe(&all).await;
    let mut synced = Vec::new();
    while synced.len() < GROUPS {
        let frame = socket.next_frame().await;
        if frame["type"] == "sync" {
            synced.push(frame["group"].clone());
        }
    }
    assert_eq!(synced.last().unwrap(), busy, "after all others");

    // Under full load, all events arrive, in order within each group.
    let load = sender.send_many(MESSAGES);
    let others = async {
        for group in quiet {
            ann.send_message(group, "meanwhile", "2").await;
        }
    };
    let received = async {
        let mut last: HashMap<String, usize> = HashMap::new();
        let mut due = MESSAGES + quiet.len();
        while due > 0 {
            let event = socket.next_event().await;
            let group = event["group"].as_str().unwrap().to_owned();
            let before = if group == *busy { MESSAGES } else { 1 };
            let last = last.entry(group).or_insert(before);
            assert_eq!(event["seq"], *last + 1);
            *last += 1;
            due -= 1;
        }
    };
    tokio::join!(load, others, received);
    socket.expect_no_frames().await;
}

/// Checks the frames of a multi-group socket when its user joins a group and is kicked.
async fn check_join_and_leave_frames(
    socket: &mut RichSocket,
    ann: &User<'_>,
    bob: &User<'_>,
    group: &str,
) {
    let mut frames = socket.until_sync().await;
    ann.send_message(group, "welcome", "1").await;
    frames.push(socket.next_event().await);
    let path = group.path("members/bob/");
    assert_eq!(ann.delete(&path).await.status, 204);
    frames.push(socket.next_event().await);
    frames.push(socket.next_frame().await);
    ann.send_message(group, "without him", "2").await;
    let send = json!({"type": "send", "group": group, "text": "x"});
    frames.push(socket.request(send).await);
    frames.push(socket.subscribe(&[(group, Some(0))]).await);
    assert_snapshot!(redact_frames(&frames), @r#"
    {"floor":0,"group":"[group]","head":1,"mode":"replay","online":["bob"],"read":1,"role":"member","title":null,"type":"group","unread":0}
    {"at":"[now]","by":"bob","data":{"name":"bob","role":"member","user":"bob"},"group":"[group]","kind":"member.joined","seq":1,"type":"event"}
    {"group":"[group]","seq":1,"type":"sync"}
    {"at":"[now]","by":"ann","cid":"1","data":{"text":"welcome"},"group":"[group]","kind":"message.created","seq":2,"type":"event"}
    {"at":"[now]","by":"ann","data":{"reason":"kicked","user":"bob"},"group":"[group]","kind":"member.left","seq":3,"type":"event"}
    {"code":"not_member","field":null,"group":"[group]","id":null,"message":"You are no longer a member of this group.","retry":false,"retry_after_ms":null,"type":"error"}
    {"code":"not_member","field":"group","id":1,"message":"This socket is not subscribed to this group.","retry":false,"retry_after_ms":null,"type":"error"}
    {"code":"not_member","field":"groups","id":2,"message":"You are a member of none of these groups.","retry":false,"retry_after_ms":null,"type":"error"}
    "#);
    assert_eq!(bob.send_message(group, "x", "3").await.status, 404);
}

#[tokio::test]
async fn joining_and_leaving_groups_needs_no_reconnect() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let bob = here.user("bob").await;
    let mut socket = bob.on_node(&there).open_multi_group().await;
    ann.add_member(&bob, &group).await;
    check_join_and_leave_frames(&mut socket, &ann, &bob, &group).await;

    // Bob joins again; a group that he starts appears too; and both disappear when they are deleted.
    ann.add_member(&bob, &group).await;
    assert_eq!(socket.until_sync().await[0]["group"], *group);
    let own = bob.start_chat().await;
    assert_eq!(socket.until_sync().await[0]["group"], *own);
    for (user, group) in [(&ann, &group), (&bob, &own)] {
        let path = format!("/api/groups/{group}/?confirm={group}");
        assert_eq!(user.delete(&path).await.status, 204);
        let error = socket.next_frame().await;
        assert_eq!(
            (&error["code"], &error["group"]),
            (&json!("gone"), &json!(group))
        );
    }
    socket.expect_no_frames().await;
}

#[tokio::test]
async fn joining_and_leaving_groups_works_without_redis() {
    let redis = RedisServer::not_running();
    let (here, there) = start_nodes(json!({"redis_url": redis.url()})).await;
    let (group, [ann]) = here.group_of(["ann"]).await;
    let bob = here.user("bob").await;
    let mut socket = bob.on_node(&there).open_multi_group().await;
    ann.add_member(&bob, &group).await;
    check_join_and_leave_frames(&mut socket, &ann, &bob, &group).await;
}

/// A group that existed when the socket opened does not appear, nor does an unsubscribed group. A new
/// membership without an announcement does.
#[tokio::test]
async fn only_new_memberships_appear_on_a_multi_group_socket() {
    let app = TestApp::with_settings(json!({"channels": {"sweep_every": 1}})).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    ann.start_chat().await;
    let mut socket = ann.open_multi_group().await;
    let unwanted = ann.start_chat().await;
    socket.until_sync().await;
    socket
        .request(json!({"type": "unsub", "groups": [&unwanted]}))
        .await;
    // The sweep that finds this membership checks the other memberships too.
    let unheard = bob.start_chat().await;
    let db = &app.ctx.db;
    let group = chat_groups::Model::find_by_name(db, &unheard).await;
    let ann = users::Model::find_by_username(db, "ann")
        .await
        .unwrap()
        .unwrap();
    memberships::Model::create(db, &group.unwrap().unwrap(), ann.id, Role::Member)
        .await
        .unwrap();
    assert_eq!(socket.until_sync().await[0]["group"], *unheard);
    socket.expect_no_frames().await;
}

#[tokio::test]
async fn a_multi_group_socket_requires_a_credential() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for token in ["", "x", &ann.refresh] {
        let mut socket = RichSocket::connect_multi_group(app.address, token).await;
        assert_eq!(socket.bye_code().await, 4401);
    }
    let cookie = ann.cookie();
    let foreign = [
        ("sec-websocket-protocol", "chat.v1.json"),
        ("cookie", &cookie),
        ("origin", "https://evil.example"),
    ];
    let rejected = Socket::with_headers(app.address, "/ws/", &foreign).await;
    assert_eq!(rejected.err().unwrap(), 403);
    // The cookie is accepted from the server's own page and without an origin, but not for a base
    // client.
    let [rich, cookie, _] = foreign;
    Socket::with_headers(app.address, "/ws/", &[rich, cookie])
        .await
        .unwrap();
    let base = Socket::with_headers(app.address, "/ws", &[cookie]).await;
    assert_eq!(base.err().unwrap(), 426);
}

/// A kick and a new membership in either order: the socket receives events from the new membership on.
#[tokio::test]
async fn a_member_added_again_receives_the_group_again() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let mut near = bob.open_multi_group().await;
    let mut far = bob.on_node(&there).open_multi_group().await;
    for socket in [&mut near, &mut far] {
        socket.subscribe(&[(&group, None)]).await;
        socket.until_sync().await;
    }
    for i in 0..10 {
        let path = group.path("members/bob/");
        assert_eq!(ann.delete(&path).await.status, 204);
        ann.add_member(&bob, &group).await;
        let sent = ann
            .send_message(&group, "welcome back", &i.to_string())
            .await
            .json();
        for socket in [&mut near, &mut far] {
            loop {
                let frame = socket.next_frame().await;
                if frame["type"] == "event" && frame["seq"] == sent["seq"] {
                    break;
                }
            }
        }
    }
}

/// The room and the sockets' own tasks write to many sockets at the same time. An unsubscribed socket receives nothing,
/// and a socket that subscribes again misses nothing and receives nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resubscribing_under_load_delivers_each_event_once() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut sockets = Vec::new();
    for _ in 0..300 {
        sockets.push(RichSocket::connect(app.address, &group, "", &ann.access).await);
    }
    let coming_and_going = async {
        let mut socket = RichSocket::connect_multi_group(app.address, &ann.access).await;
        assert_eq!(socket.next_frame().await["type"], "hello");
        let mut last = 0;
        for round in 0..90 {
            let sub = json!({"type": "sub", "groups": [{"group": &group, "after": last}]});
            assert_eq!(socket.request(sub).await["type"], "ok");
            let mut frames = socket.until_sync().await;
            for _ in 0..round % 3 {
                frames.push(socket.next_event().await);
            }
            let unsub = json!({"type": "unsub", "groups": [&group]});
            let (ok, before) = socket.request_collecting(unsub).await;
            assert_eq!(ok["type"], "ok");
            frames.extend(before);
            for event in frames.iter().filter(|frame| frame["type"] == "event") {
                last += 1;
                assert_eq!(event["seq"], last);
            }
            // No event arrives before this reply.
            assert_eq!(socket.request(json!({"type": "auth"})).await["type"], "ok");
        }
    };
    tokio::select! {
        () = send_continuously(&ann, &group) => {}
        () = coming_and_going => {}
    }
}

/// The log grows between the membership check and the entry into the room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_unread_count_matches_the_head_in_the_same_frame() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let coming_and_going = async {
        let mut socket = RichSocket::connect_multi_group(app.address, &ann.access).await;
        assert_eq!(socket.next_frame().await["type"], "hello");
        for _ in 0..60 {
            assert_eq!(socket.subscribe(&[(&group, None)]).await["type"], "ok");
            let frames = socket.until_sync().await;
            let about = frames.iter().find(|frame| frame["type"] == "group");
            let about = about.unwrap();
            let count_of = |field: &str| about[field].as_i64().unwrap();
            // All events except the first, bob's `member.joined`, are bob's messages.
            assert_eq!(count_of("unread"), count_of("head") - 1, "{about}");
            let unsub = json!({"type": "unsub", "groups": [&group]});
            assert_eq!(socket.request_collecting(unsub).await.0["type"], "ok");
        }
    };
    tokio::select! {
        () = send_continuously(&bob, &group) => {}
        () = coming_and_going => {}
    }
}

/// Sends messages without end.
async fn send_continuously(user: &User<'_>, group: &str) {
    let bursts = async |from: &str| {
        for number in 0.. {
            user.send_message(group, "a gust", &format!("{from}{number}"))
                .await;
        }
    };
    tokio::join!(bursts("n"), bursts("e"), bursts("s"), bursts("w"));
}
