//! Messages in Redis that no node has published.

use axum::body::Bytes;
use proptest::prelude::*;
use salam::channels::protocol::{
    ephemeral::EncodedEphemeral,
    event::EncodedEvent,
    node_message::{CLUSTER_TOPIC, NodeMessage},
};
use salam::models::epochs;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{check_async_property, mutated_strategy, proptest_cases};
use crate::{
    channels::connected_node,
    support::{RedisServer, Socket, TestApp, with_timeout},
};

const JSON_LETTERS: &str = "{}[]\":,.-+eE0123456789truefalsn\\u \u{0}";

/// Returns the payloads that nodes publish about this group.
fn node_payloads(group: &str) -> Vec<String> {
    let event = json!({"type": "event", "group": group, "seq": 1, "at": "2026-01-01T00:00:00.000Z",
        "by": "ann", "kind": "message.created", "cid": null, "data": {"text": "hi"}});
    let messages = [
        json!({"type": "gone"}),
        json!({"type": "joined", "user": "ann", "group": group, "membership": 7}),
        json!({"type": "sessions", "user": "ann"}),
        json!({"type": "pulse", "node": "x", "name": "chat-1"}),
        json!({"type": "part", "node": "x"}),
        json!({"type": "who", "node": "x", "of": null, "groups": [group]}),
        json!({"type": "here", "node": "x", "users": ["ann", "bob"]}),
        json!({"type": "came", "node": "x", "user": "bob"}),
        json!({"type": "went", "node": "x", "user": "bob"}),
    ];
    let ephemeral = [
        json!({"type": "typing", "group": group, "user": "bob", "on": true}),
        json!({"type": "read", "group": group, "user": "bob", "seq": 1}),
        json!({"type": "presence", "group": group, "user": "bob", "state": "online"}),
        json!({"type": "presence", "group": group, "count": 3}),
    ];
    let events = format!("{event}{event}");
    let all = messages.into_iter().chain(ephemeral).chain([event]);
    all.map(|sent| sent.to_string()).chain([events]).collect()
}

fn payload_strategy(group: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let nearly = mutated_strategy(node_payloads(group), JSON_LETTERS).prop_map(String::into_bytes);
    prop_oneof![
        6 => nearly,
        1 => any::<String>().prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..300),
    ]
}

#[test]
fn node_messages_keep_their_names_on_the_wire() {
    let (node, user, group) = ("x".into(), "ann".into(), "chat_a1b2c3d4".into());
    let messages = [
        (NodeMessage::GroupDeleted, json!({"type": "gone"})),
        (
            NodeMessage::MemberAdded {
                user,
                group,
                membership_id: 7,
            },
            json!({"type": "joined", "user": "ann", "group": "chat_a1b2c3d4", "membership": 7}),
        ),
        (
            NodeMessage::SessionsChanged { user: "ann".into() },
            json!({"type": "sessions", "user": "ann"}),
        ),
        (
            NodeMessage::Heartbeat { node, name: None },
            json!({"type": "pulse", "node": "x"}),
        ),
        (
            NodeMessage::Heartbeat {
                node: "x".into(),
                name: Some("chat-1".into()),
            },
            json!({"type": "pulse", "node": "x", "name": "chat-1"}),
        ),
        (
            NodeMessage::NodeLeaving {
                node: "x".into(),
                name: None,
            },
            json!({"type": "part", "node": "x"}),
        ),
        (
            NodeMessage::PresenceQuery {
                node: "x".into(),
                recipient: Some("y".into()),
                groups: vec!["chat_a1b2c3d4".into()],
            },
            json!({"type": "who", "node": "x", "of": "y", "groups": ["chat_a1b2c3d4"]}),
        ),
        (
            NodeMessage::PresenceQuery {
                node: "x".into(),
                recipient: None,
                groups: vec![],
            },
            json!({"type": "who", "node": "x", "groups": []}),
        ),
        (
            NodeMessage::PresenceSnapshot {
                node: "x".into(),
                users: vec!["ann".into()],
            },
            json!({"type": "here", "node": "x", "users": ["ann"]}),
        ),
        (
            NodeMessage::UserOnline {
                node: "x".into(),
                user: "ann".into(),
            },
            json!({"type": "came", "node": "x", "user": "ann"}),
        ),
        (
            NodeMessage::UserOffline {
                node: "x".into(),
                user: "ann".into(),
            },
            json!({"type": "went", "node": "x", "user": "ann"}),
        ),
    ];
    for (message, wire) in messages {
        let encoded: Value = serde_json::from_slice(&message.encode()).unwrap();
        assert_eq!(encoded, wire);
        assert_eq!(
            NodeMessage::decode(wire.to_string().as_bytes()),
            Some(message)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(proptest_cases()))]

    #[test]
    fn any_payload_round_trips_or_is_rejected(payload in payload_strategy("chat_a1b2c3d4")) {
        let bytes = Bytes::from(payload.clone());
        if let Some(events) = EncodedEvent::decode_batch(&bytes) {
            let frames = events.iter().map(|event| event.frame().to_string());
            prop_assert!(frames.collect::<String>().as_bytes() == payload);
        }
        if let Some(ephemeral) = EncodedEphemeral::decode(bytes) {
            prop_assert!(ephemeral.frame().as_bytes() == payload);
        }
        if let Some(message) = NodeMessage::decode(&payload) {
            let encoded = message.encode();
            prop_assert_eq!(NodeMessage::decode(&encoded), Some(message));
        }
    }
}

/// Sockets receive the log once and in order, even if another node publishes arbitrary messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_payloads_do_not_break_the_event_order() {
    let redis = RedisServer::start().await;
    let settings = json!({"channels": {"redis_url": redis.url(), "sends_per_10s": 1_000_000}});
    let app = TestApp::with_settings(settings).await;
    app.until_redis_is_connected().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let path = format!("/ws/chat/{group}/");
    let offers = format!("chat.v1.json, bearer.{}", ann.access);
    let headers = [("sec-websocket-protocol", offers.as_str())];
    let socket = Socket::with_headers(app.address, &path, &headers).await;
    let mut socket = socket.unwrap();
    // The stranger has the key of the installation, and still breaks nothing.
    let (stranger, _inbox) = connected_node(&redis.url(), "salam-test").await;
    let epoch = epochs::Model::current(&app.ctx.db).await.unwrap();
    stranger.set_epoch(&epoch.name);

    let mut sent = 0;
    let topics = [group.clone(), CLUSTER_TOPIC.to_owned()];
    let payloads = (
        payload_strategy(&group),
        proptest::sample::select(topics.to_vec()),
    );
    check_async_property(payloads, async |(payload, topic)| {
        // The nodes trust valid messages: Redis is as trusted as the database.
        let events = EncodedEvent::decode_batch(&payload.clone().into());
        prop_assume!(events.is_none_or(|events| events.iter().all(|event| event.seq <= sent)));
        let published = stranger.publish(&topic, payload.into());
        with_timeout("Redis to accept it", published).await.unwrap();
        sent += 1;
        let response = ann
            .send_message(&group, &sent.to_string(), &sent.to_string())
            .await;
        prop_assert_eq!(response.status.as_u16(), 201);
        prop_assert_eq!(next_event(&mut socket).await, (sent, sent.to_string()));
        Ok(())
    });
    socket.close(1000).await;
}

/// Returns the seq and the text of the next event.
async fn next_event(socket: &mut Socket) -> (i64, String) {
    loop {
        match socket.next_frame().await {
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["type"] == "event" {
                    let text = frame["data"]["text"].as_str().unwrap().to_owned();
                    return (frame["seq"].as_i64().unwrap(), text);
                }
            }
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
