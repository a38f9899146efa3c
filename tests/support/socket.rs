//! A base client over a real socket.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderMap, HeaderName, StatusCode},
        protocol::CloseFrame,
    },
};

use super::{asyncapi, with_timeout};

pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub async fn connect(
        address: SocketAddr,
        group: &str,
        cookie: &str,
    ) -> Result<Self, StatusCode> {
        Self::with_headers(
            address,
            &format!("/ws/chat/{group}/"),
            &[("cookie", cookie)],
        )
        .await
    }

    /// Opens a socket, or returns the status of the rejection.
    pub async fn with_headers(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, StatusCode> {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::handshake(stream, address, path, headers).await
    }

    /// Opens a socket with a small receive buffer, so that the server's writes soon block.
    pub async fn with_small_buffer(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(address).await.unwrap();
        Self::handshake(stream, address, path, headers)
            .await
            .unwrap()
    }

    pub(super) async fn handshake(
        stream: TcpStream,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, StatusCode> {
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .unwrap();
        let more: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        for (name, value) in &more {
            request.headers_mut().insert(name, value.clone());
        }
        match with_timeout("the handshake", client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => {
                let is_json = response.headers()["content-type"] == "application/json";
                assert!(is_json, "a rejection that is not JSON: {response:?}");
                Err(response.status())
            }
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.send_frame(Message::text(text.into())).await;
    }

    pub async fn send_frame(&mut self, message: Message) {
        with_timeout("a frame to be sent", self.0.send(message))
            .await
            .unwrap();
    }

    /// Sends a text. Ignores an error, since the server may have closed the socket.
    pub async fn try_send(&mut self, text: String) {
        let _ = with_timeout("a frame to be sent", self.0.send(Message::text(text))).await;
    }

    /// Returns the message of the next frame, or the code of a close frame.
    pub async fn next_message_or_close(&mut self) -> Result<String, u16> {
        match self.next_frame().await {
            Message::Text(text) => Ok(parse_chat_message(&text)),
            Message::Close(frame) => Err(frame.map_or(0, |frame| frame.code.into())),
            other => panic!("{other:?}"),
        }
    }

    /// Returns the next frame, of any type.
    pub async fn next_frame(&mut self) -> Message {
        with_timeout("a frame", self.0.next())
            .await
            .unwrap()
            .unwrap()
    }

    /// Returns the text of the next chat message. Its time is checked and replaced by `[clock]`.
    pub async fn next_message(&mut self) -> String {
        loop {
            match with_timeout("a frame", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return parse_chat_message(&text),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a chat message, not {other:?}"),
            }
        }
    }

    /// Returns the close code, after frames that may still arrive before it.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match with_timeout("a close frame", self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    // The library replies to the close frame when it is polled again.
                    while with_timeout("the end", self.0.next())
                        .await
                        .is_some_and(|end| end.is_ok())
                    {}
                    return frame.code.into();
                }
                Some(Ok(_)) => {}
                other => panic!("expected a close frame, not {other:?}"),
            }
        }
    }

    /// Sends a close frame. Returns the code of the reply, if one comes.
    pub async fn close(&mut self, code: u16) -> Option<u16> {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        with_timeout("the close frame to be sent", self.0.close(Some(frame)))
            .await
            .unwrap();
        loop {
            match with_timeout("a response", self.0.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                _ => return None,
            }
        }
    }

    /// Returns the close code of a server that closes while a frame is still being sent.
    pub async fn close_code_after_flood(self, text: String) -> u16 {
        let (mut sink, mut stream) = self.0.split();
        let flood = tokio::spawn(async move { sink.send(Message::text(text)).await });
        loop {
            match with_timeout("a close frame", stream.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    flood.abort();
                    return frame.code.into();
                }
                Some(Ok(_)) => {}
                other => panic!("expected a close frame, not {other:?}"),
            }
        }
    }

    /// Proves that no frame is on its way: the next frame is the reply to a new frame.
    pub async fn expect_no_frames(&mut self) {
        self.send("[]").await;
        assert_eq!(self.next_message().await, "now is [clock]");
    }
}

/// Returns the message of a base frame, which must have the two keys of the contract and no other.
fn parse_chat_message(text: &str) -> String {
    let frame: Value = serde_json::from_str(text).unwrap();
    asyncapi::assert_base_frame(&frame);
    super::response::redact_clock(frame["message"].as_str().unwrap())
}
