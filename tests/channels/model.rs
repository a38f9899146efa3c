//! Whatever two clients on two nodes do, in whatever order, everybody ends with the same log, and
//! it is the one that a simple model predicts.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use super::nodes::connected_nodes;
use crate::support::{RedisServer, RichSocket, TestApp, User};

/// What one of the clients does.
#[derive(Debug, Clone)]
enum Step {
    Send,
    /// The last thing again, with the same cid.
    Again,
    /// Edits or deletes one of the messages so far, of whomever.
    Edit(prop::sample::Index),
    Delete(prop::sample::Index),
    /// Loses the socket, and resumes on the other node or the same.
    Drop {
        elsewhere: bool,
    },
    /// Reads what has come so far.
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        1 => Just(Step::Again),
        2 => any::<prop::sample::Index>().prop_map(Step::Edit),
        1 => any::<prop::sample::Index>().prop_map(Step::Delete),
        2 => any::<bool>().prop_map(|elsewhere| Step::Drop { elsewhere }),
        2 => (1_usize..5).prop_map(Step::Read),
    ]
}

/// A message of the model.
struct Message {
    seq: i64,
    author: usize,
    deleted: bool,
}

/// The log as it should be: author, kind and data of each event.
#[derive(Default)]
struct Model {
    log: Vec<(usize, &'static str, Value)>,
    messages: Vec<Message>,
}

impl Model {
    fn push(&mut self, author: usize, kind: &'static str, data: Value) -> i64 {
        self.log.push((author, kind, data));
        self.log.len() as i64
    }
}

struct Client<'a> {
    number: usize,
    user: User<'a>,
    nodes: [&'a TestApp; 2],
    at: usize,
    socket: RichSocket,
    /// What it was told, in order.
    log: Vec<Value>,
    last: Option<(Value, i64)>,
    sent: usize,
}

impl<'a> Client<'a> {
    async fn open(number: usize, user: User<'a>, nodes: [&'a TestApp; 2], group: &str) -> Self {
        let socket = user.at(nodes[number]).rich(group, "after=0").await;
        Self {
            number,
            user,
            nodes,
            at: number,
            socket,
            log: Vec::new(),
            last: None,
            sent: 0,
        }
    }

    fn hear(&mut self, frame: Value) {
        assert_ne!(frame["type"], "reset", "{frame}");
        if frame["type"] == "event" {
            assert_eq!(frame["seq"], self.log.len() + 1, "{frame}");
            self.log.push(frame);
        }
    }

    async fn ask(&mut self, request: Value) -> Value {
        let (reply, before) = self.socket.reply_to(request).await;
        before.into_iter().for_each(|frame| self.hear(frame));
        reply
    }

    async fn hear_until(&mut self, seq: usize) {
        while self.log.len() < seq {
            let frame = self.socket.frame().await;
            self.hear(frame);
        }
    }

    async fn take(&mut self, step: &Step, model: &mut Model, group: &str) {
        match step {
            Step::Send => {
                self.sent += 1;
                let text = format!("{}/{}", self.number, self.sent);
                let request = json!({"type": "send", "cid": text, "text": text});
                let ok = self.ask(request.clone()).await;
                let seq = model.push(self.number, "message.created", json!({"text": text}));
                assert_eq!((&ok["seq"], ok.get("dup")), (&json!(seq), None), "{ok}");
                let author = self.number;
                model.messages.push(Message {
                    seq,
                    author,
                    deleted: false,
                });
                self.last = Some((request, seq));
            }
            Step::Again => {
                if let Some((request, seq)) = self.last.clone() {
                    let ok = self.ask(request).await;
                    assert_eq!(
                        (&ok["seq"], &ok["dup"]),
                        (&json!(seq), &json!(true)),
                        "{ok}"
                    );
                }
            }
            Step::Edit(index) if !model.messages.is_empty() => {
                let message = &model.messages[index.index(model.messages.len())];
                let seq = message.seq;
                let data = json!({"seq": seq, "text": format!("edited by {}", self.number)});
                let expected = match message {
                    message if message.author != self.number => Err("forbidden"),
                    message if message.deleted => Err("gone"),
                    _ => Ok(model.push(self.number, "message.edited", data.clone())),
                };
                let mut request = data;
                request["type"] = json!("edit");
                self.expect(request, expected).await;
            }
            Step::Delete(index) if !model.messages.is_empty() => {
                let index = index.index(model.messages.len());
                let (seq, author) = (model.messages[index].seq, model.messages[index].author);
                // The first client is the owner, who may delete what others said.
                let expected = if author != self.number && self.number != 0 {
                    Err("forbidden")
                } else if model.messages[index].deleted {
                    Err("gone")
                } else {
                    model.messages[index].deleted = true;
                    Ok(model.push(self.number, "message.deleted", json!({"seq": seq})))
                };
                self.expect(json!({"type": "delete", "seq": seq}), expected)
                    .await;
            }
            Step::Edit(_) | Step::Delete(_) => {}
            Step::Drop { elsewhere } => {
                self.at = (self.at + usize::from(*elsewhere)) % 2;
                let user = self.user.at(self.nodes[self.at]);
                let after = format!("after={}", self.log.len());
                self.socket = user.rich(group, &after).await;
            }
            Step::Read(count) => {
                let due = (self.log.len() + count).min(model.log.len());
                self.hear_until(due).await;
            }
        }
    }

    async fn expect(&mut self, request: Value, expected: Result<i64, &str>) {
        let reply = self.ask(request).await;
        match expected {
            Ok(seq) => assert_eq!(reply["seq"], seq, "{reply}"),
            Err(code) => assert_eq!(reply["code"], code, "{reply}"),
        }
    }
}

/// Where the event of a number stands in a list of all.
fn place(seq: i64) -> usize {
    usize::try_from(seq).unwrap() - 1
}

/// Whether an event is what the model says, as it was or as it is since its message was deleted.
fn agrees(event: &Value, model: &Model, names: [&str; 2]) -> bool {
    let seq = event["seq"].as_i64().unwrap();
    let (author, kind, data) = &model.log[place(seq)];
    let target = data["seq"].as_i64().unwrap_or(seq);
    let is_deleted = model
        .messages
        .iter()
        .any(|message| message.seq == target && message.deleted);
    let is_erased =
        is_deleted && event["data"]["deleted"] == true && event["data"]["text"].is_null();
    event["by"] == names[*author] && event["kind"] == *kind && (event["data"] == *data || is_erased)
}

async fn play(here: &TestApp, there: &TestApp, users: [User<'_>; 2], steps: &[(bool, Step)]) {
    let [ann, bob] = &users;
    let group = ann.start_chat().await;
    let code = ann.invites(&group).await;
    let joined = bob
        .post(&format!("/api/invites/{code}/accept/"), json!({}))
        .await;
    assert_eq!(joined.status, 200, "{joined}");
    let mut model = Model::default();
    let data = json!({"user": "bob", "name": "bob", "role": "member"});
    model.push(1, "member.joined", data);
    let nodes = [here, there];
    let mut clients = [
        Client::open(0, ann.clone(), nodes, &group).await,
        Client::open(1, bob.clone(), nodes, &group).await,
    ];
    for (second, step) in steps {
        clients[usize::from(*second)]
            .take(step, &mut model, &group)
            .await;
    }
    for client in &mut clients {
        client.hear_until(model.log.len()).await;
        client.socket.until_silent().await;
        for event in &client.log {
            assert!(agrees(event, &model, ["ann", "bob"]), "{event}");
        }
    }
    // What a newcomer is told is what is stored, and has nothing left of what was deleted.
    let log = ann
        .get(&format!("/api/groups/{group}/events/?limit=500"))
        .await
        .json();
    let log = log["results"].as_array().unwrap().clone();
    assert_eq!(log.len(), model.log.len());
    for message in model.messages.iter().filter(|message| message.deleted) {
        let event = &log[place(message.seq)];
        assert_eq!(event["data"], json!({"text": null, "deleted": true}));
    }
    assert!(
        log.iter()
            .all(|event| agrees(event, &model, ["ann", "bob"]))
    );
    for client in &clients {
        // Whatever each was told differs by the texts that went since, and by nothing else.
        for (told, stored) in client.log.iter().zip(&log) {
            assert!(
                told == stored || stored["data"]["deleted"] == true,
                "{told} {stored}"
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
    let redis = runtime.block_on(RedisServer::start());
    let (here, there) = runtime.block_on(connected_nodes(&redis));
    let users = runtime.block_on(async { [here.user("ann").await, here.user("bob").await] });
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        // A real server has a state that shrinking would have to begin anew each time; the steps
        // that failed are printed as they are.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    });
    let steps = vec((any::<bool>(), step()), 1..60);
    runner
        .run(&steps, |steps| {
            runtime.block_on(play(&here, &there, users.clone(), &steps));
            Ok(())
        })
        .unwrap();
    // Databases and servers end within the runtime that they began in.
    runtime.block_on(async move {
        drop((here, there));
        drop(redis);
    });
}
