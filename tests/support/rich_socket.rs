//! A rich client over a real socket.

use std::{collections::HashMap, net::SocketAddr};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Socket, asyncapi};

pub struct RichSocket {
    socket: Socket,
    group: String,
    next_id: i64,
    /// Requests without a reply so far, by `id`.
    pending_requests: HashMap<i64, Value>,
}

impl RichSocket {
    pub async fn connect(address: SocketAddr, group: &str, query: &str, token: &str) -> Self {
        let offers = format!("chat.v1.json, bearer.{token}");
        let headers = [("sec-websocket-protocol", offers.as_str())];
        Self::with_headers(address, group, query, &headers).await
    }

    pub async fn with_headers(
        address: SocketAddr,
        group: &str,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let path = format!("/ws/chat/{group}/?{query}");
        let socket = Socket::with_headers(address, &path, headers).await.unwrap();
        Self::from_socket(socket, group)
    }

    /// Opens a multi-group socket.
    pub async fn connect_multi_group(address: SocketAddr, token: &str) -> Self {
        let offers = format!("chat.v1.json, bearer.{token}");
        let headers = [("sec-websocket-protocol", offers.as_str())];
        let socket = Socket::with_headers(address, "/ws/", &headers).await;
        Self::from_socket(socket.unwrap(), "")
    }

    pub fn from_socket(socket: Socket, group: &str) -> Self {
        Self {
            socket,
            group: group.to_owned(),
            next_id: 1,
            pending_requests: HashMap::new(),
        }
    }

    pub async fn send_raw(&mut self, text: impl Into<String>) {
        let text = text.into();
        if let Ok(request) = serde_json::from_str::<Value>(&text)
            && let Some(id) = request["id"].as_i64()
        {
            self.pending_requests.insert(id, request);
        }
        self.socket.send(text).await;
    }

    pub async fn send_frame(&mut self, message: Message) {
        self.socket.send_frame(message).await;
    }

    /// Sends a request with the next id and the socket's group. Returns the id.
    pub async fn send_request(&mut self, mut request: Value) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = json!(id);
        if request.get("group").is_none() {
            request["group"] = json!(self.group);
        }
        self.send_raw(request.to_string()).await;
        id
    }

    /// Sends a request. Returns the reply, and the frames that came before it.
    pub async fn request_collecting(&mut self, request: Value) -> (Value, Vec<Value>) {
        let id = self.send_request(request).await;
        let mut before = Vec::new();
        loop {
            let frame = self.next_frame().await;
            if matches!(frame["type"].as_str(), Some("ok" | "error")) {
                assert_eq!(frame["id"], json!(id), "{frame}");
                return (frame, before);
            }
            before.push(frame);
        }
    }

    /// Sends a request. Returns the reply, which must be the next frame.
    pub async fn request(&mut self, request: Value) -> Value {
        let (reply, before) = self.request_collecting(request).await;
        assert_eq!(before, Vec::<Value>::new());
        reply
    }

    /// Sends a message. Reads the acknowledgement and the event, and returns the event.
    pub async fn send_message(&mut self, text: &str, cid: &str) -> Value {
        let ok = self
            .request(json!({"type": "send", "cid": cid, "text": text}))
            .await;
        assert_eq!(ok["type"], "ok", "{ok}");
        let event = self.next_event().await;
        assert_eq!(event["seq"], ok["seq"]);
        event
    }

    /// Returns the next frame that is not a presence frame. Presence frames can come at any time.
    pub async fn next_frame(&mut self) -> Value {
        loop {
            let frame = self.next_frame_of_any_type().await;
            if frame["type"] != "presence" {
                return frame;
            }
        }
    }

    /// Returns the next presence frame: a user and their state, or the number of online users.
    pub async fn next_presence(&mut self) -> String {
        loop {
            let frame = self.next_frame_of_any_type().await;
            match (&frame["user"], &frame["state"], &frame["count"]) {
                _ if frame["type"] != "presence" => {}
                (Value::String(user), Value::String(state), Value::Null) => {
                    return format!("{user} is {state}");
                }
                (Value::Null, Value::Null, count) => return format!("{count} are here"),
                _ => panic!("{frame}"),
            }
        }
    }

    /// Returns the next frame. The frame, and the request that an `ok` acknowledges, must match the
    /// document.
    pub async fn next_frame_of_any_type(&mut self) -> Value {
        loop {
            match self.socket.next_frame().await {
                Message::Text(text) => {
                    let frame = serde_json::from_str(&text).unwrap();
                    asyncapi::assert_server_frame(&frame);
                    let id = frame["id"].as_i64().unwrap_or_default();
                    if let Some(request) = self.pending_requests.remove(&id)
                        && frame["type"] == "ok"
                    {
                        asyncapi::assert_client_request(&request);
                    }
                    return frame;
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected a frame, not {other:?}"),
            }
        }
    }

    /// Returns the next frame, which must be an event.
    pub async fn next_event(&mut self) -> Value {
        let frame = self.next_frame().await;
        assert_eq!(frame["type"], "event", "{frame}");
        frame
    }

    /// Sends messages without waiting in between. Then reads their acknowledgements and events.
    pub async fn send_many(&mut self, count: usize) {
        for i in 0..count {
            self.send_request(json!({"type": "send", "text": i.to_string()}))
                .await;
        }
        for _ in 0..2 * count {
            self.next_frame().await;
        }
    }

    /// Returns the seqs and texts of the next frames, which must be messages.
    pub async fn next_messages(&mut self, count: usize) -> Vec<(i64, String)> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let event = self.next_event().await;
            assert_eq!(event["kind"], "message.created", "{event}");
            let text = event["data"]["text"].as_str().unwrap().to_owned();
            messages.push((event["seq"].as_i64().unwrap(), text));
        }
        messages
    }

    /// Subscribes to groups, live or after a seq.
    pub async fn subscribe(&mut self, groups: &[(&str, Option<i64>)]) -> Value {
        let groups: Vec<_> = groups
            .iter()
            .map(|(group, after)| json!({"group": group, "after": after}))
            .collect();
        self.request(json!({"type": "sub", "groups": groups})).await
    }

    /// Returns the frames up to `sync`.
    pub async fn until_sync(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.next_frame().await);
            if frames.last().unwrap()["type"] == "sync" {
                return frames;
            }
        }
    }

    /// Returns the `bye` and the close code, after frames that may still arrive before them.
    pub async fn bye(&mut self) -> (Value, u16) {
        loop {
            let frame = self.next_frame().await;
            if frame["type"] == "bye" {
                return (frame, self.socket.close_code().await);
            }
        }
    }

    /// Returns the close code, which must be the same in `bye` and in the close frame.
    pub async fn bye_code(&mut self) -> u16 {
        let (bye, code) = self.bye().await;
        assert_eq!(bye["code"], json!(code));
        code
    }

    /// Proves that no frame is on its way: the next frame is the reply to a new request.
    pub async fn expect_no_frames(&mut self) {
        self.request(json!({"type": "auth"})).await;
    }

    /// Reads the frames that are on their way, and proves that none of them is an event.
    pub async fn expect_no_events(&mut self) {
        let (_, before) = self.request_collecting(json!({"type": "auth"})).await;
        let is_event = |frame: &Value| frame["type"] == "event";
        assert!(!before.iter().any(is_event), "{before:?}");
    }
}
