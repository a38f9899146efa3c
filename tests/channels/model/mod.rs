//! A property test: after any steps of two clients on two nodes, all of them have the same log, and it
//! is the log that a simple model predicts.

mod client;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use self::client::ModelClient;
use crate::support::{GroupPath, TestApp, User, connected_nodes};

/// A step of one of the clients.
#[derive(Debug, Clone)]
enum ClientStep {
    Send,
    /// Repeats the last send, with the same cid.
    Retry,
    /// Edits one of the messages so far, of any author.
    Edit(prop::sample::Index),
    Delete(prop::sample::Index),
    /// Adds a reaction to a message, or removes it.
    React {
        to: prop::sample::Index,
        emoji: &'static str,
        on: bool,
    },
    /// Disconnects, and resumes on the other node or on the same node.
    Reconnect {
        elsewhere: bool,
    },
    /// Reads up to this many events.
    Read(usize),
}

fn step_strategy() -> impl Strategy<Value = ClientStep> {
    prop_oneof![
        4 => Just(ClientStep::Send),
        1 => Just(ClientStep::Retry),
        2 => any::<prop::sample::Index>().prop_map(ClientStep::Edit),
        1 => any::<prop::sample::Index>().prop_map(ClientStep::Delete),
        3 => (any::<prop::sample::Index>(), prop::sample::select(&["👍", "❤️", "🔥"]), any::<bool>())
            .prop_map(|(to, emoji, on)| ClientStep::React { to, emoji, on }),
        2 => any::<bool>().prop_map(|elsewhere| ClientStep::Reconnect { elsewhere }),
        2 => (1_usize..5).prop_map(ClientStep::Read),
    ]
}

/// A message in the model.
struct ModelMessage {
    seq: i64,
    author: usize,
    deleted: bool,
    edited: bool,
    /// The author and emoji of each reaction, in order.
    reactions: Vec<(usize, &'static str)>,
}

impl ModelMessage {
    /// Returns the reactions as the history shows them to a client.
    fn reactions_for(&self, viewer: usize) -> Value {
        let mut seen: Vec<(&str, Vec<usize>)> = Vec::new();
        for (author, emoji) in &self.reactions {
            match seen.iter_mut().find(|(known, _)| known == emoji) {
                Some((_, by)) => by.push(*author),
                None => seen.push((emoji, vec![*author])),
            }
        }
        seen.into_iter()
            .map(|(emoji, by)| {
                let names: Vec<_> = by.iter().map(|author| ["ann", "bob"][*author]).collect();
                json!({
                    "emoji": emoji, "count": by.len(), "mine": by.contains(&viewer), "by": names,
                })
            })
            .collect()
    }
}

/// The expected log: author, kind and data of each event.
#[derive(Default)]
struct Model {
    log: Vec<(usize, &'static str, Value)>,
    messages: Vec<ModelMessage>,
}

impl Model {
    fn push(&mut self, author: usize, kind: &'static str, data: Value) -> i64 {
        self.log.push((author, kind, data));
        self.log.len() as i64
    }
}

/// Returns the index of the event with this seq.
fn index_of(seq: i64) -> usize {
    usize::try_from(seq).unwrap() - 1
}

/// `true` if an event is the expected event, unchanged or with the text of a deleted message removed.
fn matches_model(event: &Value, model: &Model, names: [&str; 2]) -> bool {
    let seq = event["seq"].as_i64().unwrap();
    let (author, kind, data) = &model.log[index_of(seq)];
    let target = data["seq"].as_i64().unwrap_or(seq);
    let is_deleted = model
        .messages
        .iter()
        .any(|message| message.seq == target && message.deleted);
    let is_erased =
        is_deleted && event["data"]["deleted"] == true && event["data"]["text"].is_null();
    let is_altered = is_replaced_text(event, model, seq) || is_erased;
    event["by"] == names[*author]
        && event["kind"] == *kind
        && (event["data"] == *data || is_altered)
}

/// `true` if the log has replaced the text: of a message by the text of its last edit, and of an edit by
/// nothing where another edit follows.
fn is_replaced_text(event: &Value, model: &Model, seq: i64) -> bool {
    let data = &event["data"];
    let edits = |target: i64| {
        let edits = model.log.iter().filter(move |(_, kind, data)| {
            *kind == "message.edited" && data["seq"].as_i64() == Some(target)
        });
        edits
            .map(|(_, _, data)| data["text"].clone())
            .collect::<Vec<_>>()
    };
    match event["kind"].as_str() {
        Some("message.created") => data["edited"] == true && edits(seq).contains(&data["text"]),
        Some("message.edited") => {
            let target = data["seq"].as_i64().unwrap();
            data["replaced"] == true && data["text"] == "" && edits(target).len() > 1
        }
        _ => false,
    }
}

async fn run_steps(
    here: &TestApp,
    there: &TestApp,
    users: [User<'_>; 2],
    steps: &[(bool, ClientStep)],
) {
    let [ann, bob] = &users;
    let group = ann.start_chat().await;
    let code = ann.create_invite(&group).await;
    let joined = bob
        .post(&format!("/api/invites/{code}/accept/"), json!({}))
        .await;
    assert_eq!(joined.status, 200, "{joined}");
    let mut model = Model::default();
    let data = json!({"user": "bob", "name": "bob", "role": "member"});
    model.push(1, "member.joined", data);
    let nodes = [here, there];
    let mut clients = [
        ModelClient::open(0, ann.clone(), nodes, &group).await,
        ModelClient::open(1, bob.clone(), nodes, &group).await,
    ];
    for (second, step) in steps {
        clients[usize::from(*second)]
            .perform(step, &mut model, &group)
            .await;
    }
    for client in &mut clients {
        client.receive_until(model.log.len()).await;
        client.socket.expect_no_events().await;
        for event in &client.received {
            assert!(matches_model(event, &model, ["ann", "bob"]), "{event}");
        }
    }
    // The history shows the reactions of the model.
    for (number, user) in users.iter().enumerate() {
        let path = group.path("messages/?limit=100");
        let history = user.get(&path).await.json();
        let history_message = history["results"].as_array().unwrap().iter().rev();
        for (history_message, message) in history_message.zip(&model.messages) {
            assert_eq!(
                history_message["reactions"],
                message.reactions_for(number),
                "{history_message}"
            );
        }
    }
    // A new reader gets the stored events, without the texts of deleted messages.
    let log = ann.get(&group.path("events/?limit=500")).await.json();
    let log = log["results"].as_array().unwrap().clone();
    assert_eq!(log.len(), model.log.len());
    for message in model.messages.iter().filter(|message| message.deleted) {
        let event = &log[index_of(message.seq)];
        assert_eq!(event["data"], json!({"text": null, "deleted": true}));
    }
    assert!(
        log.iter()
            .all(|event| matches_model(event, &model, ["ann", "bob"]))
    );
    for client in &clients {
        // The received events differ from the stored events only in texts that were removed since.
        for (received, stored) in client.received.iter().zip(&log) {
            assert!(
                received == stored
                    || stored["data"]["deleted"] == true
                    || stored["data"]["edited"] == true
                    || stored["data"]["replaced"] == true,
                "{received} {stored}"
            );
        }
    }
}

#[test]
fn two_clients_on_two_nodes_agree_with_the_model() {
    const CASES: u32 = 40;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (redis, here, there) = runtime.block_on(connected_nodes());
    let users = runtime.block_on(async { [here.user("ann").await, here.user("bob").await] });
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        // A real server would have to start again for each shrinking step. The failing steps are printed
        // as they are.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    });
    let steps = vec((any::<bool>(), step_strategy()), 1..60);
    runner
        .run(&steps, |steps| {
            runtime.block_on(run_steps(&here, &there, users.clone(), &steps));
            Ok(())
        })
        .unwrap();
    // Databases and servers must end within the runtime in which they started.
    runtime.block_on(async move {
        drop((here, there));
        drop(redis);
    });
}
