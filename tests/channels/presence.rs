//! Presence: on all nodes, for any number of sockets, and until the last socket closes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use proptest::prelude::*;
use salam::{
    channels::presence::{Presence, PresenceChange},
    models::{
        chat_groups,
        memberships::{self, Role},
        users,
    },
};
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use serde_json::{Value, json};

use crate::support::{
    GroupPath, RedisServer, RichSocket, Server, TestApp, TestDatabase, User, connected_nodes,
    skip_unless, wait_until,
};

/// Returns the `online` list of a socket that opens now.
async fn online_members(user: &User<'_>, group: &str) -> Value {
    user.open_live_with_group_frame(group).await.1["online"].take()
}

#[tokio::test]
async fn presence_counts_a_user_once_and_survives_a_reload() {
    let app = TestApp::with_settings(json!({"channels": {"presence_grace": 2}})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let (mut anns, about) = ann.open_live_with_group_frame(&group).await;
    assert_eq!(about["online"], json!(["ann"]));

    // A base socket counts too, but receives no presence.
    let mut base = bob.open_base(&group).await;
    assert_eq!(anns.next_presence().await, "bob is online");
    let (rich, about) = bob.open_live_with_group_frame(&group).await;
    assert_eq!(about["online"], json!(["ann", "bob"]));
    base.expect_no_frames().await;
    drop((base, rich));
    wait_until("both sockets to close", async || {
        app.channels().counts_for_tests().subscribers == 1
    })
    .await;
    let again = bob.open_live(&group).await;
    // If bob had gone offline, the frame would arrive before carol's.
    let carol = app.user("carol").await;
    ann.add_member(&carol, &group).await;
    let carols = carol.open_live(&group).await;
    assert_eq!(anns.next_presence().await, "carol is online");
    drop(again);
    assert_eq!(anns.next_presence().await, "bob is offline");
    drop(carols);
    assert_eq!(anns.next_presence().await, "carol is offline");
    assert_eq!(online_members(&ann, &group).await, json!(["ann"]));
    drop(anns);
    app.until_no_group_is_active().await;
}

#[tokio::test]
async fn a_kicked_member_goes_offline_at_once() {
    let app = TestApp::with_settings(json!({"channels": {"presence_grace": 600}})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let mut anns = ann.open_live(&group).await;
    let mut bobs = bob.open_live(&group).await;
    assert_eq!(anns.next_presence().await, "bob is online");
    let path = group.path("members/bob/");
    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(anns.next_presence().await, "bob is offline");
    assert_eq!(bobs.bye_code().await, 4403);
    ann.add_member(&bob, &group).await;
    let _back = bob.open_live(&group).await;
    assert_eq!(anns.next_presence().await, "bob is online");
}

#[tokio::test]
async fn presence_spans_all_nodes() {
    let (_redis, here, there) = connected_nodes().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let (mut anns, _) = ann.open_live_with_group_frame(&group).await;
    let (mut far, about) = bob.on_node(&there).open_live_with_group_frame(&group).await;
    assert_eq!(about["online"], json!(["ann", "bob"]));
    assert_eq!(anns.next_presence().await, "bob is online");
    // Sockets on two nodes count as one user.
    let (near, about) = bob.open_live_with_group_frame(&group).await;
    assert_eq!(about["online"], json!(["ann", "bob"]));
    drop(far);
    wait_until("bob's first socket to close", async || {
        there.channels().counts_for_tests().active_groups == 0
    })
    .await;
    far = bob.on_node(&there).open_live(&group).await;
    drop(near);
    wait_until("bob's second socket to close", async || {
        here.channels().counts_for_tests().subscribers == 1
    })
    .await;
    assert_eq!(online_members(&ann, &group).await, json!(["ann", "bob"]));
    drop(far);
    assert_eq!(anns.next_presence().await, "bob is offline");

    // A node that stops takes its users offline.
    let _far = bob.on_node(&there).open_live(&group).await;
    assert_eq!(anns.next_presence().await, "bob is online");
    there.stop().await;
    assert_eq!(anns.next_presence().await, "bob is offline");
}

#[tokio::test]
async fn presence_recovers_after_a_redis_outage() {
    let (mut redis, here, there) = connected_nodes().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let mut anns = ann.open_live(&group).await;
    redis.kill();
    here.until_redis_is_lost().await;
    there.until_redis_is_lost().await;
    // No node announces this in time.
    let bobs = bob.on_node(&there).open_live(&group).await;
    redis.start_process().await;
    here.until_redis_is_connected().await;
    there.until_redis_is_connected().await;
    assert_eq!(anns.next_presence().await, "bob is online");
    let (_, about) = ann.on_node(&there).open_live_with_group_frame(&group).await;
    assert_eq!(about["online"], json!(["ann", "bob"]));

    redis.kill();
    here.until_redis_is_lost().await;
    there.until_redis_is_lost().await;
    drop(bobs);
    redis.start_process().await;
    assert_eq!(anns.next_presence().await, "bob is offline");
}

/// The users of a killed node go offline when its lease ends.
#[tokio::test]
async fn users_of_a_killed_node_go_offline() {
    skip_unless!(PostgreSQL);
    let redis = RedisServer::start().await;
    let database = Arc::new(TestDatabase::create().await);
    let lease = ("presence_lease: 15", "presence_lease: 3");
    let mut server = Server::start_with_config(&database, &redis.url(), &[lease]);
    let url = server.read_addresses().await.remove(0);
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let channels = json!({
        "redis_url": redis.url(), "topic_prefix": "salam", "presence_lease": 3,
    });
    let here = TestApp::start_node(database, json!({ "channels": channels })).await;
    here.until_redis_is_connected().await;
    let (group, [ann, bob]) = here.group_of(["ann", "bob"]).await;
    let mut anns = ann.open_live(&group).await;
    let far = RichSocket::connect(address.parse().unwrap(), &group, "", &bob.access).await;
    assert_eq!(anns.next_presence().await, "bob is online");
    server.kill();
    drop(far);
    assert_eq!(anns.next_presence().await, "bob is offline");
    assert_eq!(online_members(&ann, &group).await, json!(["ann"]));
}

/// A large group sends the number of online members only.
#[tokio::test]
async fn a_large_group_reports_only_the_online_count() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let db = &app.ctx.db;
    let found = chat_groups::Model::find_by_name(db, &group).await.unwrap();
    let found = found.unwrap();
    for i in 0..199 {
        let user = users::ActiveModel {
            username: Set(format!("user{i}")),
            name: Set("one of many".to_owned()),
            username_key: Set(format!("user{i}")),
            password_hash: Set("no node knows it".to_owned()),
            is_active: Set(true),
            created_at: Set(found.created_at),
            ..Default::default()
        };
        let user = user.insert(db).await.unwrap();
        memberships::Model::create(db, &found, user.id, Role::Member)
            .await
            .unwrap();
    }
    let (mut anns, about) = ann.open_live_with_group_frame(&group).await;
    assert_eq!(
        (&about["online"], &about["online_count"]),
        (&Value::Null, &json!(1))
    );
    let bobs = bob.open_live(&group).await;
    let mut presence = anns.next_presence().await;
    if presence == "1 are here" {
        presence = anns.next_presence().await;
    }
    assert_eq!(presence, "2 are here");
    drop(bobs);
    assert_eq!(anns.next_presence().await, "1 are here");
}

#[derive(Debug, Clone)]
enum PresenceStep {
    Enter(usize, usize),
    Leave(usize, usize),
    /// Users who went offline do not return in time.
    Expire(usize),
    Remove(usize),
    NodeSnapshot(usize, Vec<usize>),
    NodeOnline(usize, usize),
    NodeOffline(usize, usize),
    NodeLost(usize),
}

fn step_strategy() -> impl Strategy<Value = PresenceStep> {
    let (user, socket, node) = (0..3_usize, 0..3_usize, 0..2_usize);
    prop_oneof![
        (user.clone(), socket.clone()).prop_map(|(user, socket)| PresenceStep::Enter(user, socket)),
        (user.clone(), socket).prop_map(|(user, socket)| PresenceStep::Leave(user, socket)),
        user.clone().prop_map(PresenceStep::Expire),
        user.clone().prop_map(PresenceStep::Remove),
        (node.clone(), prop::collection::vec(user.clone(), 0..3))
            .prop_map(|(node, users)| PresenceStep::NodeSnapshot(node, users)),
        (node.clone(), user.clone()).prop_map(|(node, user)| PresenceStep::NodeOnline(node, user)),
        (node.clone(), user).prop_map(|(node, user)| PresenceStep::NodeOffline(node, user)),
        node.prop_map(PresenceStep::NodeLost),
    ]
}

proptest! {
    /// A client that applies all changes knows who is online, and receives no change twice.
    #[test]
    fn presence_changes_match_the_actual_state(steps in prop::collection::vec(step_strategy(), 0..60)) {
        let names: Vec<Arc<str>> = ["ann", "bob", "carol"].map(Into::into).into();
        let nodes: Vec<Arc<str>> = ["a", "b"].map(Into::into).into();
        let mut presence = Presence::default();
        let mut told = BTreeSet::new();
        // The actual state: sockets, users who went offline with their times, and users of other nodes.
        let mut sockets: HashMap<usize, HashSet<usize>> = HashMap::new();
        let mut offline: HashMap<usize, Instant> = HashMap::new();
        let mut elsewhere = [HashSet::new(), HashSet::new()];
        for step in steps {
            let changes: Vec<PresenceChange> = match step {
                PresenceStep::Enter(user, socket) => {
                    if !sockets.entry(user).or_default().insert(socket) {
                        continue;
                    }
                    offline.remove(&user);
                    presence.add_socket(&names[user], socket).0.into_iter().collect()
                }
                PresenceStep::Leave(user, socket) => {
                    let now = Instant::now();
                    let held = sockets.get_mut(&user);
                    let was_there = held.is_some_and(|held| held.remove(&socket));
                    let is_last = presence.remove_socket(&names[user], socket, now);
                    let none_is_left = sockets.get(&user).is_none_or(HashSet::is_empty);
                    prop_assert_eq!(is_last, was_there && none_is_left);
                    if is_last {
                        offline.insert(user, now);
                    }
                    Vec::new()
                }
                PresenceStep::Expire(user) => {
                    let Some(at) = offline.remove(&user) else { continue };
                    sockets.remove(&user);
                    presence.expire_user(&names[user], at).unwrap().into_iter().collect()
                }
                PresenceStep::Remove(user) => {
                    sockets.remove(&user);
                    offline.remove(&user);
                    presence.remove_user(&names[user]).flatten().into_iter().collect()
                }
                PresenceStep::NodeSnapshot(node, users) => {
                    elsewhere[node] = users.iter().copied().collect();
                    let users = users.iter().map(|user| names[*user].clone()).collect();
                    presence.apply_snapshot(&nodes[node], users)
                }
                PresenceStep::NodeOnline(node, user) => {
                    elsewhere[node].insert(user);
                    presence.set_online(&nodes[node], &names[user]).into_iter().collect()
                }
                PresenceStep::NodeOffline(node, user) => {
                    elsewhere[node].remove(&user);
                    presence.set_offline(&nodes[node], &names[user]).into_iter().collect()
                }
                PresenceStep::NodeLost(node) => {
                    elsewhere[node].clear();
                    presence.remove_node(&nodes[node])
                }
            };
            for change in changes {
                if change.is_online {
                    prop_assert!(told.insert(change.user), "told twice");
                } else {
                    prop_assert!(told.remove(&change.user), "told twice");
                }
            }
            let here = sockets.iter().filter(|(_, held)| !held.is_empty()).map(|(user, _)| user);
            let there: BTreeSet<&str> = here
                .chain(offline.keys())
                .chain(elsewhere.iter().flatten())
                .map(|user| &*names[*user])
                .collect();
            prop_assert_eq!(&presence.online_users(), &there);
            prop_assert_eq!(presence.online_count(), there.len());
            prop_assert_eq!(&told.iter().map(|user| &**user).collect::<BTreeSet<_>>(), &there);
        }
    }
}
