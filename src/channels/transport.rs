//! A WebSocket as this server speaks it, whatever is said over it.
//!
//! Apart from the connections, so that the cases of the Autobahn suite can be let at exactly this
//! (see tests/channels/conformance.rs).

use std::time::Duration;

use axum::{
    Error,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
};
use futures_util::SinkExt;
use tokio::time::{sleep, timeout};
use tungstenite::error::CapacityError;

use super::protocol::CloseReason;

/// tungstenite fills the free part of this buffer with zeros on each read, and every idle socket
/// keeps one: small is fast and small is cheap. Most of what people type fits; the rest of a larger
/// frame has room made for it, once.
const READ_BUFFER: usize = 256;

/// Frames of a batch gather here and leave in one write; it grows with use alone.
const WRITE_BUFFER: usize = 16 * 1024;

/// More than this is never kept for a socket that takes nothing, where frames are no larger.
const MAX_WRITE_BUFFER: usize = 1024 * 1024;

/// How long a peer gets to answer our close, and we to answer its.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that are written before one flush, and in the time that a batch may take.
pub(super) const FLUSH_BYTES: usize = 64 * 1024;

/// What an upgrade may cost. `limit` is in bytes, of a message and of a frame.
pub fn with_limits(upgrade: WebSocketUpgrade, limit: usize) -> WebSocketUpgrade {
    // Or the largest frame could not be written at all.
    let max_write_buffer = MAX_WRITE_BUFFER.max(limit + 2 * WRITE_BUFFER);
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(max_write_buffer)
        .max_message_size(limit)
        .max_frame_size(limit)
}

/// Writes frames, as many as fit before one flush, and leaves the others where they are.
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

/// The fault of the peer that an error of reading is, if it is one: a connection may merely be
/// broken.
#[must_use]
pub fn close_reason_of_error(error: Error) -> Option<CloseReason> {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>()? {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Some(CloseReason::FrameTooBig)
        }
        tungstenite::Error::Utf8(_) => Some(CloseReason::InvalidJson),
        tungstenite::Error::Protocol(_) => Some(CloseReason::ProtocolError),
        _ => None,
    }
}

/// Says why, and gives the peer time to hear it: a connection that is dropped with unread bytes is
/// reset, and the reset may overtake the close frame.
pub async fn close(mut socket: Box<WebSocket>, goodbye: Option<Utf8Bytes>, reason: CloseReason) {
    let frame = CloseFrame {
        code: reason.code(),
        reason: reason.text().into(),
    };
    let parting = async {
        if let Some(goodbye) = goodbye {
            socket.feed(Message::Text(goodbye)).await?;
        }
        socket.send(Message::Close(Some(frame))).await?;
        loop {
            match socket.recv().await {
                // The peer has answered: RFC 6455, section 7.1.1, lets the server end it now.
                Some(Ok(Message::Close(_))) => return Ok(()),
                Some(Ok(_)) => {}
                // After a frame that was too big or broken nothing more can be read here, but the
                // peer still can.
                Some(Err(_)) | None => sleep(CLOSE_TIMEOUT).await,
            }
        }
    };
    // In vain if the peer is gone.
    let _: Result<Result<(), Error>, _> = timeout(CLOSE_TIMEOUT, parting).await;
}

/// The library has put an answer to the peer's close aside; it goes out with the next read.
pub async fn answer_close(mut socket: Box<WebSocket>) {
    // In vain if the peer did not wait for it.
    let _ = timeout(CLOSE_TIMEOUT, socket.recv()).await;
}
