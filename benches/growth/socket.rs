//! A rich socket that waits for one frame at a time.

use std::{net::TcpStream, time::Duration};

use salam_benches::Result;
use serde_json::Value;
use tungstenite::{
    Message, WebSocket,
    client::IntoClientRequest,
    http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
};

/// The longest wait for a frame.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// A rich socket with blocking reads.
pub struct BlockingSocket(WebSocket<TcpStream>);

impl BlockingSocket {
    /// Opens a socket.
    ///
    /// # Errors
    /// When the server refuses the socket.
    pub fn open(port: u16, path: &str, token: &str) -> Result<Self> {
        let mut request = format!("ws://127.0.0.1:{port}{path}").into_client_request()?;
        let offers = HeaderValue::from_str(&format!("chat.v1.json, bearer.{token}"))?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offers);
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(FRAME_TIMEOUT))?;
        let handshake = tungstenite::client(request, stream);
        let (socket, _) = handshake.map_err(|error| format!("{path}: {error}"))?;
        Ok(Self(socket))
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn send(&mut self, frame: &Value) -> Result<()> {
        Ok(self.0.send(Message::text(frame.to_string()))?)
    }

    /// Waits for a frame of a type. Returns the number of events before it.
    ///
    /// # Errors
    /// When the server sends an error, or when the connection is closed.
    pub fn read_until(&mut self, kind: &str) -> Result<usize> {
        let mut events = 0;
        loop {
            let Message::Text(text) = self.0.read()? else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text)?;
            match frame.get("type").and_then(Value::as_str) {
                Some(frame_type) if frame_type == kind => return Ok(events),
                Some("error" | "bye" | "reset") => return Err(text.as_str().into()),
                Some("event") => events += 1,
                _ => {}
            }
        }
    }
}
