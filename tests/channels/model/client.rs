//! A client that performs steps, and predicts the results by the model.

use serde_json::{Value, json};

use super::{ClientStep, Model, ModelMessage};
use crate::support::{RichSocket, TestApp, User};

pub struct ModelClient<'a> {
    index: usize,
    user: User<'a>,
    nodes: [&'a TestApp; 2],
    current_node: usize,
    pub socket: RichSocket,
    /// The received events, in order.
    pub received: Vec<Value>,
    last_send: Option<(Value, i64)>,
    sent_count: usize,
}

impl<'a> ModelClient<'a> {
    pub async fn open(number: usize, user: User<'a>, nodes: [&'a TestApp; 2], group: &str) -> Self {
        let socket = user
            .on_node(nodes[number])
            .open_rich(group, "after=0")
            .await;
        Self {
            index: number,
            user,
            nodes,
            current_node: number,
            socket,
            received: Vec::new(),
            last_send: None,
            sent_count: 0,
        }
    }

    fn record_frame(&mut self, frame: Value) {
        assert_ne!(frame["type"], "reset", "{frame}");
        if frame["type"] == "event" {
            assert_eq!(frame["seq"], self.received.len() + 1, "{frame}");
            self.received.push(frame);
        }
    }

    async fn request(&mut self, request: Value) -> Value {
        let (reply, before) = self.socket.request_collecting(request).await;
        before
            .into_iter()
            .for_each(|frame| self.record_frame(frame));
        reply
    }

    pub async fn receive_until(&mut self, seq: usize) {
        while self.received.len() < seq {
            let frame = self.socket.next_frame().await;
            self.record_frame(frame);
        }
    }

    pub async fn perform(&mut self, step: &ClientStep, model: &mut Model, group: &str) {
        match step {
            ClientStep::Send => {
                self.sent_count += 1;
                let text = format!("{}/{}", self.index, self.sent_count);
                let request = json!({"type": "send", "cid": text, "text": text});
                let ok = self.request(request.clone()).await;
                let seq = model.push(self.index, "message.created", json!({"text": text}));
                assert_eq!((&ok["seq"], ok.get("dup")), (&json!(seq), None), "{ok}");
                let author = self.index;
                model.messages.push(ModelMessage {
                    seq,
                    author,
                    deleted: false,
                    edited: false,
                    reactions: Vec::new(),
                });
                self.last_send = Some((request, seq));
            }
            ClientStep::Retry => {
                if let Some((request, seq)) = self.last_send.clone() {
                    let ok = self.request(request).await;
                    assert_eq!(
                        (&ok["seq"], &ok["dup"]),
                        (&json!(seq), &json!(true)),
                        "{ok}"
                    );
                }
            }
            ClientStep::Edit(index) if !model.messages.is_empty() => {
                let index = index.index(model.messages.len());
                let head = model.log.len() as i64;
                let message = &mut model.messages[index];
                let seq = message.seq;
                let data = json!({"seq": seq, "text": format!("edited by {}", self.index)});
                let expected = match message {
                    message if message.author != self.index => Err("forbidden"),
                    message if message.deleted => Err("gone"),
                    // The message has this text already.
                    message if message.edited => Ok(head),
                    message => {
                        message.edited = true;
                        Ok(model.push(self.index, "message.edited", data.clone()))
                    }
                };
                let mut request = data;
                request["type"] = json!("edit");
                self.expect(request, expected).await;
            }
            ClientStep::Delete(index) if !model.messages.is_empty() => {
                let index = index.index(model.messages.len());
                let (seq, author) = (model.messages[index].seq, model.messages[index].author);
                // The first client is the owner, who may delete the messages of others.
                let expected = if author != self.index && self.index != 0 {
                    Err("forbidden")
                } else if model.messages[index].deleted {
                    Err("gone")
                } else {
                    model.messages[index].deleted = true;
                    model.messages[index].reactions.clear();
                    Ok(model.push(self.index, "message.deleted", json!({"seq": seq})))
                };
                self.expect(json!({"type": "delete", "seq": seq}), expected)
                    .await;
            }
            ClientStep::React { to, emoji, on } if !model.messages.is_empty() => {
                let index = to.index(model.messages.len());
                self.react(model, index, emoji, *on).await;
            }
            ClientStep::Edit(_) | ClientStep::Delete(_) | ClientStep::React { .. } => {}
            ClientStep::Reconnect { elsewhere } => {
                self.current_node = (self.current_node + usize::from(*elsewhere)) % 2;
                let user = self.user.on_node(self.nodes[self.current_node]);
                let after = format!("after={}", self.received.len());
                self.socket = user.open_rich(group, &after).await;
            }
            ClientStep::Read(count) => {
                let due = (self.received.len() + count).min(model.log.len());
                self.receive_until(due).await;
            }
        }
    }

    async fn react(&mut self, model: &mut Model, index: usize, emoji: &'static str, on: bool) {
        let head = model.log.len() as i64;
        let message = &mut model.messages[index];
        let (seq, own) = (message.seq, (self.index, emoji));
        let expected = if message.deleted {
            Err("gone")
        } else if message.reactions.contains(&own) == on {
            Ok(head)
        } else {
            message.reactions.retain(|reaction| *reaction != own);
            message.reactions.extend(on.then_some(own));
            let kind = if on {
                "reaction.added"
            } else {
                "reaction.removed"
            };
            Ok(model.push(self.index, kind, json!({"seq": seq, "emoji": emoji})))
        };
        let request = json!({"type": "react", "seq": seq, "emoji": emoji, "on": on});
        self.expect(request, expected).await;
    }

    async fn expect(&mut self, request: Value, expected: Result<i64, &str>) {
        let reply = self.request(request).await;
        match expected {
            Ok(seq) => assert_eq!(reply["seq"], seq, "{reply}"),
            Err(code) => assert_eq!(reply["code"], code, "{reply}"),
        }
    }
}
