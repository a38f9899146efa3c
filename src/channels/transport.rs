//! The WebSocket transport of this server, below the protocols of the sockets.
//!
//! It is separate from the connections, so that the Autobahn suite can test exactly this code (see
//! tests/channels/conformance.rs).

use std::time::Duration;

use axum::{
    Error,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
};
use futures_util::SinkExt;
use tokio::time::{sleep, timeout};
use tungstenite::error::{CapacityError, ProtocolError};

use super::protocol::CloseReason;

/// The size of the read buffer, in bytes.
///
/// tungstenite fills the free part of this buffer with zeros on each read, and every idle socket keeps a buffer. So a
/// small buffer is fast and cheap. Most messages fit. A larger frame makes the buffer grow once.
const READ_BUFFER: usize = 256;

/// The size of the write buffer, in bytes. It grows only with use. The frames of a batch leave it in one write.
const WRITE_BUFFER: usize = 16 * 1024;

/// The largest write buffer of a client that receives nothing, unless a frame is larger.
const MAX_WRITE_BUFFER: usize = 1024 * 1024;

/// The time for the client's answer to a close frame of the server, and for the server's answer to the client.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that are written before one flush, within the stall timeout.
pub(super) const FLUSH_BYTES: usize = 64 * 1024;

/// Sets the limits of a socket's memory. `limit` is the size of a message and of a frame, in bytes.
pub fn with_limits(upgrade: WebSocketUpgrade, limit: usize) -> WebSocketUpgrade {
    // A smaller buffer could not hold the largest frame.
    let max_write_buffer = MAX_WRITE_BUFFER.max(limit + 2 * WRITE_BUFFER);
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(max_write_buffer)
        .max_message_size(limit)
        .max_frame_size(limit)
}

/// Writes frames, as many as fit before one flush, and leaves the others in the iterator.
///
/// # Errors
/// When the connection is broken.
pub async fn write_batch(
    socket: &mut WebSocket,
    frames: &mut impl Iterator<Item = Message>,
) -> Result<(), Error> {
    let mut bytes = 0;
    while bytes < FLUSH_BYTES
        && let Some(frame) = frames.next()
    {
        bytes += match &frame {
            Message::Text(text) => text.len(),
            Message::Binary(data) => data.len(),
            _ => 0,
        };
        socket.feed(frame).await?;
    }
    socket.flush().await
}

/// Returns the close reason for an error of reading, if the client has caused it. `None` if the connection is lost.
#[must_use]
pub fn close_reason_of_error(error: Error) -> Option<CloseReason> {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>()? {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Some(CloseReason::FrameTooBig)
        }
        tungstenite::Error::Utf8(_) => Some(CloseReason::InvalidJson),
        // The connection ended without a close frame.
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some(CloseReason::ProtocolError),
        _ => None,
    }
}

/// Sends a close frame, and waits for the client's answer. A connection that is dropped with unread bytes is reset,
/// and the reset may overtake the close frame.
pub async fn close(mut socket: Box<WebSocket>, last_frame: Option<Utf8Bytes>, reason: CloseReason) {
    let frame = CloseFrame {
        code: reason.code(),
        reason: reason.text().into(),
    };
    let closing = async {
        if let Some(last_frame) = last_frame {
            socket.feed(Message::Text(last_frame)).await?;
        }
        socket.send(Message::Close(Some(frame))).await?;
        loop {
            match socket.recv().await {
                // After the client's answer, the server may end the connection (RFC 6455, section 7.1.1).
                Some(Ok(Message::Close(_))) => return Ok(()),
                Some(Ok(_)) => {}
                // After a frame that is too large or invalid, the server can read nothing, and the client still can.
                Some(Err(_)) | None => sleep(CLOSE_TIMEOUT).await,
            }
        }
    };
    // The client may have disconnected.
    let _: Result<Result<(), Error>, _> = timeout(CLOSE_TIMEOUT, closing).await;
}

/// Answers the client's close frame. The library keeps the answer, and sends it with the next read.
pub async fn answer_close(mut socket: Box<WebSocket>) {
    // The client may have disconnected without waiting.
    let _ = timeout(CLOSE_TIMEOUT, socket.recv()).await;
}
