//! A client that does what it is told to, and says what should come of it to the model.

use serde_json::{Value, json};

use super::{Message, Model, Step};
use crate::support::{RichSocket, TestApp, User};

pub struct Client<'a> {
    number: usize,
    user: User<'a>,
    nodes: [&'a TestApp; 2],
    at: usize,
    pub socket: RichSocket,
    /// What it was told, in order.
    pub log: Vec<Value>,
    last: Option<(Value, i64)>,
    sent: usize,
}

impl<'a> Client<'a> {
    pub async fn open(number: usize, user: User<'a>, nodes: [&'a TestApp; 2], group: &str) -> Self {
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

    pub async fn hear_until(&mut self, seq: usize) {
        while self.log.len() < seq {
            let frame = self.socket.frame().await;
            self.hear(frame);
        }
    }

    pub async fn take(&mut self, step: &Step, model: &mut Model, group: &str) {
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
                    edited: false,
                    reactions: Vec::new(),
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
                let index = index.index(model.messages.len());
                let head = model.log.len() as i64;
                let message = &mut model.messages[index];
                let seq = message.seq;
                let data = json!({"seq": seq, "text": format!("edited by {}", self.number)});
                let expected = match message {
                    message if message.author != self.number => Err("forbidden"),
                    message if message.deleted => Err("gone"),
                    // It has this text already.
                    message if message.edited => Ok(head),
                    message => {
                        message.edited = true;
                        Ok(model.push(self.number, "message.edited", data.clone()))
                    }
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
                    model.messages[index].reactions.clear();
                    Ok(model.push(self.number, "message.deleted", json!({"seq": seq})))
                };
                self.expect(json!({"type": "delete", "seq": seq}), expected)
                    .await;
            }
            Step::React { to, emoji, on } if !model.messages.is_empty() => {
                let index = to.index(model.messages.len());
                self.react(model, index, emoji, *on).await;
            }
            Step::Edit(_) | Step::Delete(_) | Step::React { .. } => {}
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

    async fn react(&mut self, model: &mut Model, index: usize, emoji: &'static str, on: bool) {
        let head = model.log.len() as i64;
        let message = &mut model.messages[index];
        let (seq, own) = (message.seq, (self.number, emoji));
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
            Ok(model.push(self.number, kind, json!({"seq": seq, "emoji": emoji})))
        };
        let request = json!({"type": "react", "seq": seq, "emoji": emoji, "on": on});
        self.expect(request, expected).await;
    }

    async fn expect(&mut self, request: Value, expected: Result<i64, &str>) {
        let reply = self.ask(request).await;
        match expected {
            Ok(seq) => assert_eq!(reply["seq"], seq, "{reply}"),
            Err(code) => assert_eq!(reply["code"], code, "{reply}"),
        }
    }
}
