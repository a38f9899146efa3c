//! A client of Server-Sent Events.

use std::collections::VecDeque;

use reqwest::{Method, Response};
use serde_json::Value;

use super::{User, asyncapi, with_timeout};

pub struct EventStream {
    response: Response,
    buffer: String,
    lines: VecDeque<String>,
}

/// An event of a stream: its name, if it has one, its id and its data.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEvent {
    pub name: Option<String>,
    pub id: Option<String>,
    pub data: Value,
}

impl EventStream {
    /// Opens the stream of a group's log. `last` is the header `Last-Event-ID`.
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

    /// Returns the next event, or `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        let mut event = StreamEvent {
            name: None,
            id: None,
            data: Value::Null,
        };
        loop {
            let line = self.read_line().await?;
            match line.split_once(':') {
                // Some parsers read such a block as an empty event.
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

    /// Reads the events of the stream up to `sync`.
    pub async fn until_sync(&mut self) {
        while self.next().await.unwrap().name.as_deref() != Some("sync") {}
    }

    /// Returns the data of the next event of the log. Its id must be its seq.
    pub async fn next_event(&mut self) -> Value {
        let event = self.next().await.unwrap();
        assert_eq!(event.name, None, "{event:?}");
        assert_eq!(event.id.unwrap(), event.data["seq"].to_string());
        event.data
    }

    /// Returns the data of the next event, which must have this name.
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
