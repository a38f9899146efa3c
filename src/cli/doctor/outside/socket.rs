//! A client of the deployment's sockets. Every wait has a timeout.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tungstenite::{
    Error, Message,
    client::IntoClientRequest,
    http::{HeaderName, HeaderValue, Response},
    protocol::{CloseFrame, WebSocketConfig},
};

use super::{
    connection::{Connection, Connector},
    text::{foreign, root_cause, text_of},
};

/// The subprotocol of rich sockets.
pub const RICH_PROTOCOL: &str = "chat.v1.json";

/// The largest message that is read. The server sends none that is as long.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// The reason why a socket did not open.
pub enum Refusal {
    /// The answer has another status than 101.
    Status(u16),
    /// The server did not answer, or the answer is not a handshake.
    Failed(String),
}

impl Refusal {
    /// Describes the refusal, as a part of a sentence.
    pub fn describe(&self) -> String {
        match self {
            Self::Status(status) => format!("the handshake was answered with {status}"),
            Self::Failed(text) => format!("the handshake failed: {text}"),
        }
    }
}

/// An open socket.
pub struct SocketClient {
    stream: WebSocketStream<Box<dyn Connection>>,
    limit: Duration,
}

impl SocketClient {
    /// Opens the socket of a path, with additional headers.
    ///
    /// # Errors
    /// When the server or the proxy does not open the socket.
    pub async fn open(
        connector: &Connector,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refusal> {
        let opening = Self::open_without_limit(connector, path, headers);
        let limit = connector.limit;
        timeout(limit, opening)
            .await
            .unwrap_or_else(|_| Err(Refusal::Failed(format!("no answer within {limit:?}"))))
    }

    async fn open_without_limit(
        connector: &Connector,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refusal> {
        let url = connector.target.socket_url_of(path);
        let mut request = url.into_client_request().map_err(Refusal::from)?;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value);
            let value = value.map_err(|error| Refusal::Failed(error.to_string()))?;
            let name = HeaderName::from_static(name);
            request.headers_mut().insert(name, value);
        }
        let connection = connector.open().await;
        let connection = connection.map_err(|error| Refusal::Failed(root_cause(&error)))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let (stream, _) = client_async_with_config(request, connection, Some(config))
            .await
            .map_err(Refusal::from)?;
        Ok(Self {
            stream,
            limit: connector.limit,
        })
    }

    /// Sends a frame of JSON.
    ///
    /// # Errors
    /// A text that describes why the frame could not be sent.
    pub async fn say(&mut self, frame: &Value) -> Result<(), String> {
        let limit = self.limit;
        match timeout(limit, self.stream.send(Message::text(frame.to_string()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the socket was lost: {}", root_cause(&error))),
            Err(_) => Err(format!("the socket took no data within {limit:?}")),
        }
    }

    /// Waits for the first frame of JSON that satisfies a condition, and ignores other frames.
    ///
    /// # Errors
    /// A text that describes why the frame did not arrive. `what` names the frame.
    pub async fn wait_for(
        &mut self,
        what: &str,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let deadline = Instant::now() + self.limit;
        loop {
            let message = timeout_at(deadline, self.next_message()).await;
            let message =
                message.map_err(|_| format!("no {what} arrived within {:?}", self.limit))??;
            let Message::Text(text) = message else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).unwrap_or_default();
            if is_wanted(&frame) {
                return Ok(frame);
            }
            if text_of(&frame, "type") == "bye" {
                return Err(describe_bye(&frame));
            }
        }
    }

    /// Reads until a time, and answers pings. Returns the number of pings.
    ///
    /// # Errors
    /// A text that describes why the socket ended before.
    pub async fn idle_until(&mut self, end: Instant) -> Result<usize, String> {
        let mut pings = 0;
        loop {
            match timeout_at(end, self.next_message()).await {
                Err(_) => return Ok(pings),
                Ok(message) => {
                    pings += usize::from(matches!(message?, Message::Ping(_)));
                }
            }
        }
    }

    async fn next_message(&mut self) -> Result<Message, String> {
        match self.stream.next().await {
            Some(Ok(Message::Close(frame))) => Err(describe_close(frame)),
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(format!("the socket was lost: {}", root_cause(&error))),
            None => Err("the socket was lost".to_owned()),
        }
    }
}

fn describe_bye(frame: &Value) -> String {
    let code = frame.get("code").map(Value::to_string).unwrap_or_default();
    format!(
        "the server closed the socket with {}: {}",
        foreign(&code),
        foreign(text_of(frame, "reason"))
    )
}

fn describe_close(frame: Option<CloseFrame>) -> String {
    match frame {
        Some(frame) => format!(
            "the socket was closed with {}: {}",
            u16::from(frame.code),
            foreign(&frame.reason)
        ),
        None => "the socket was closed".to_owned(),
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Http(response) => Self::from(&*response),
            error => Self::Failed(root_cause(&error)),
        }
    }
}

impl<T> From<&Response<T>> for Refusal {
    fn from(response: &Response<T>) -> Self {
        Self::Status(response.status().as_u16())
    }
}
