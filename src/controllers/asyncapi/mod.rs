//! The AsyncAPI document of the sockets, generated from the types of the protocol.

mod conventions;
mod messages;

pub use conventions::apply_conventions as for_clients;

use serde_json::{Map, Value, json};

use self::messages::MessageSchemas;
use crate::channels::protocol::{
    CloseReason,
    codes::{ERROR_CODES, ErrorCode},
    rich::SUBPROTOCOL,
};

const DESCRIPTION: &str = "\
The WebSockets of Salam. A socket without a subprotocol is a base socket, which has one type of \
frame. A socket with the subprotocol `chat.v1.json` is a rich socket: it receives each event of a \
group's log once and in order, also after a lost connection. Each text frame contains one JSON \
object. Ignore unknown fields, unknown types of frames and unknown kinds of events.";

/// Returns the document of every frame of every socket.
#[must_use]
pub fn document() -> Value {
    let base = MessageSchemas::base();
    let rich = MessageSchemas::rich();
    let mut channels = Map::new();
    let mut operations = Map::new();
    for channel in [
        ChannelSpec {
            name: "base",
            address: "/ws/chat/{group}/",
            title: "A base socket of one group",
            description: "The socket of the base contract, which never changes. It requires the cookie \
                          `access`. Without a valid cookie, the server rejects the handshake.",
            subprotocol: None,
            is_resumable: false,
            messages: &base,
        },
        ChannelSpec {
            name: "group",
            address: "/ws/chat/{group}/",
            title: "A rich socket of one group",
            description: "The socket is subscribed to the group from the start. It receives the \
                          events after `after`, or only new events. If the credential or the group is \
                          invalid, the server sends `bye` and closes the socket.",
            subprotocol: Some(SUBPROTOCOL),
            is_resumable: true,
            messages: &rich,
        },
        ChannelSpec {
            name: "groups",
            address: "/ws/",
            title: "A rich socket of many groups",
            description: "After `hello`, the socket has no subscription: send `sub`. When you become a \
                          member of a group, the socket is subscribed to it and receives its frame \
                          `group`.",
            subprotocol: Some(SUBPROTOCOL),
            is_resumable: false,
            messages: &rich,
        },
    ] {
        channels.insert(channel.name.to_owned(), channel.to_json());
        operations.extend(channel.operations());
    }
    let messages: Map<String, Value> = base.into_iter().chain(rich).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Salam",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"this": {
            "host": "{host}",
            "protocol": "ws",
            "description": "This server. Use `wss` if the page uses https.",
            "variables": {"host": {"default": "127.0.0.1:8000", "description": "The host and the port."}},
        }},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "securitySchemes": security_schemes()},
        "x-error-codes": error_codes(),
        "x-close-codes": close_codes(),
    })
}

/// An address of sockets, and the messages of these sockets.
struct ChannelSpec<'a> {
    name: &'static str,
    address: &'static str,
    title: &'static str,
    description: &'static str,
    /// The subprotocol that a client offers to get this channel.
    subprotocol: Option<&'static str>,
    /// `true` if the address has parameters for the position in the log from which the socket continues.
    is_resumable: bool,
    messages: &'a MessageSchemas,
}

impl ChannelSpec<'_> {
    fn to_json(&self) -> Value {
        let names = self.messages.names();
        let messages: Map<String, Value> = names
            .map(|name| (name.to_owned(), make_ref("components/messages", name)))
            .collect();
        let parameters = if self.address.contains("{group}") {
            json!({"group": {
                "description": "The name of the group, as returned by start-chat.",
                "examples": ["chat_a1b2c3d4"],
            }})
        } else {
            json!({})
        };
        json!({
            "address": self.address,
            "title": self.title,
            "description": self.description,
            "parameters": parameters,
            "messages": messages,
            "bindings": {"ws": self.handshake_bindings()},
        })
    }

    fn handshake_bindings(&self) -> Value {
        let offer = self.subprotocol.map(|subprotocol| {
            let text = format!(
                "The list of subprotocols has `{subprotocol}`. It can also have \
                 `bearer.<access token>`."
            );
            let example = format!("{subprotocol}, bearer.eyJ0eXAi…");
            (
                "Sec-WebSocket-Protocol",
                json!({
                    "type": "string", "description": text, "examples": [example],
                }),
            )
        });
        let resume_params = self.is_resumable.then(|| {
            [
                (
                    "after",
                    json!({
                        "type": "integer", "minimum": 0, "examples": [41],
                        "description": "The `seq` of the last event that you have.",
                    }),
                ),
                (
                    "epoch",
                    json!({
                        "type": "string",
                        "description": "The `epoch` in which you received that event.",
                    }),
                ),
            ]
        });
        let object = |fields: Map<String, Value>| json!({"type": "object", "properties": fields});
        let named = |(name, schema): (&str, Value)| (name.to_owned(), schema);
        json!({
            "method": "GET",
            "headers": object(offer.into_iter().map(named).collect()),
            "query": object(resume_params.into_iter().flatten().map(named).collect()),
            "bindingVersion": "0.1.0",
        })
    }

    /// Returns the operations from the view of the server, as AsyncAPI requires: the server receives the messages of
    /// clients.
    fn operations(&self) -> [(String, Value); 2] {
        let channel = json!({"$ref": format!("#/channels/{}", self.name)});
        let section = format!("channels/{}/messages", self.name);
        let references = |names: Vec<&str>| -> Vec<Value> {
            let names = names.into_iter();
            names.map(|name| make_ref(&section, name)).collect()
        };
        let credentials = match self.subprotocol {
            Some(_) => ["subprotocol", "bearer", "cookie"].as_slice(),
            None => &["cookie"],
        };
        let credentials = credentials.iter();
        let security: Vec<_> = credentials
            .map(|name| make_ref("components/securitySchemes", name))
            .collect();
        let receive = json!({
            "action": "receive",
            "title": "Frames of the client",
            "channel": channel,
            "security": security,
            "messages": references(self.messages.client_names()),
            "reply": {"channel": channel, "messages": references(self.messages.reply_names())},
        });
        let send = json!({
            "action": "send",
            "title": "Frames of the server",
            "channel": channel,
            "security": security,
            "messages": references(self.messages.server_names()),
        });
        [
            (format!("{}.receive", self.name), receive),
            (format!("{}.send", self.name), send),
        ]
    }
}

/// Returns a reference to an entry in a section of the document.
fn make_ref(section: &str, name: &str) -> Value {
    json!({"$ref": format!("#/{section}/{name}")})
}

fn security_schemes() -> Value {
    json!({
        "subprotocol": {
            "type": "httpApiKey", "in": "header", "name": "Sec-WebSocket-Protocol",
            "description": "A rich socket offers `bearer.<access token>` as a second subprotocol. The \
                            server never selects or logs it.",
        },
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A rich socket can send the access token in the header `Authorization`.",
        },
        "cookie": {
            "type": "httpApiKey", "in": "cookie", "name": "access",
            "description": "The login sets the cookie. The server rejects it with a foreign `Origin`.",
        },
    })
}

fn error_codes() -> Vec<Value> {
    let describe = |error| {
        let ErrorCode {
            code,
            is_retryable,
            description,
        } = error;
        json!({"code": code, "retry": is_retryable, "description": description})
    };
    ERROR_CODES.into_iter().map(describe).collect()
}

fn close_codes() -> Vec<Value> {
    let mut codes: Vec<_> = CloseReason::ALL.into_iter().collect();
    codes.sort_by_key(|reason| reason.code());
    let describe = |reason: CloseReason| {
        json!({
            "code": reason.code(),
            "reason": reason.text(),
            "reconnect": reason.can_reconnect(),
            "description": reason.client_advice(),
        })
    };
    codes.into_iter().map(describe).collect()
}
