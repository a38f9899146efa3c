//! A reader of Server-Sent Events.

use std::collections::VecDeque;

use reqwest::{Method, Response};
use serde_json::Value;

use super::{User, asyncapi, with_timeout};

pub struct EventStream {
    response: Response,
    buffer: String,
    lines: VecDeque<String>,
}

/// What a stream says: its name, if it has one, its id and its data.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEvent {
    pub name: Option<String>,
    pub id: Option<String>,
    pub data: Value,
}

impl EventStream {
    /// Opens the stream of a group's log, after the last event of another.
    pub async fn open(user: &User<'_>, group: &str, query: &str, last: Option<&str>) -> Self {
        let path = format!("/api/groups/{group}/events/?{query}");
        let mut request = user
            .app
            .request(Method::GET, &path)
            .bearer_auth(&user.access)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            buffer: String::new(),
            lines: VecDeque::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        let mut event = StreamEvent {
            name: None,
            id: None,
            data: Value::Null,
        };
        loop {
            let line = self.read_line().await?;
            match line.split_once(':') {
                // Some parsers make an empty event of it.
                None if event.data.is_null() => panic!("a block without data"),
                None => return Some(event),
                Some(("event", name)) => event.name = Some(name.trim().to_owned()),
                Some(("id", id)) => event.id = Some(id.trim().to_owned()),
                Some(("data", data)) => {
                    event.data = serde_json::from_str(data).unwrap();
                    asyncapi::assert_server_frame(&event.data);
                }
                Some(("retry" | "", _)) => {}
                Some(_) => panic!("{line}"),
            }
        }
    }

    /// The next event of the log, whose id is its number.
    /// Takes what it says until it is live.
    pub async fn until_sync(&mut self) {
        while self.next().await.unwrap().name.as_deref() != Some("sync") {}
    }

    pub async fn next_event(&mut self) -> Value {
        let event = self.next().await.unwrap();
        assert_eq!(event.name, None, "{event:?}");
        assert_eq!(event.id.unwrap(), event.data["seq"].to_string());
        event.data
    }

    /// The data of the next event, which has this name.
    pub async fn next_named(&mut self, name: &str) -> Value {
        let event = self.next().await.unwrap();
        assert_eq!((event.name.as_deref(), &event.id), (Some(name), &None));
        assert_eq!(event.data["type"], name);
        event.data
    }

    async fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let chunk = with_timeout("a part of the stream", self.response.chunk()).await;
            self.buffer += std::str::from_utf8(&chunk.unwrap()?).unwrap();
            while let Some((line, rest)) = self.buffer.split_once('\n') {
                self.lines.push_back(line.to_owned());
                self.buffer = rest.to_owned();
            }
        }
    }
}
