//! What a peer says in a row is heard together: what it asks to change is one transaction then, and
//! what it is answered one write.

use axum::{
    Error,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    ConnectionEnd, SocketProtocol,
    wire::{end_of_read_error, write_frames},
};
use crate::{
    channels::{Channels, hub::Subscriptions, protocol::CloseReason},
    limits::FrameRateLimiter,
};

/// Bytes of frames that are heard together, at most.
const MAX_RECEIVE_BYTES: usize = 64 * 1024;

/// What a peer has said by now.
pub(super) struct ReceivedFrames {
    texts: Vec<Utf8Bytes>,
    /// What came after them and is no text, if anything.
    non_text: Option<Option<Result<Message, Error>>>,
}

/// Takes what has come with a frame, for as long as it may be read.
pub(super) fn read_available<M: SocketProtocol>(
    first: Option<Result<Message, Error>>,
    socket: &mut WebSocket,
    pace: &mut FrameRateLimiter,
) -> ReceivedFrames {
    let (mut texts, mut bytes) = (Vec::new(), 0);
    let mut received = first;
    loop {
        match received {
            Some(Ok(Message::Text(text))) => {
                bytes += text.len();
                texts.push(text);
            }
            last => {
                let last = Some(last);
                return ReceivedFrames {
                    texts,
                    non_text: last,
                };
            }
        }
        let is_enough = texts.len() >= M::MAX_FRAMES_PER_BATCH || bytes >= MAX_RECEIVE_BYTES;
        let next = if is_enough || pace.throttled_until(Instant::now()).is_some() {
            None
        } else {
            socket.recv().now_or_never()
        };
        let Some(next) = next else {
            return ReceivedFrames {
                texts,
                non_text: None,
            };
        };
        pace.record_frame(Instant::now());
        received = next;
    }
}

/// Does what a peer has asked for, and gives the replies; or writes them, and says how it ends.
pub(super) async fn handle_frames<M: SocketProtocol>(
    said: ReceivedFrames,
    socket: &mut WebSocket,
    places: &mut Subscriptions,
    channels: &Channels,
    mode: &mut M,
) -> Result<Vec<Utf8Bytes>, ConnectionEnd> {
    let heard = mode.on_frames(&said.texts, places).await;
    let end = match (heard.close_reason, said.non_text) {
        (Some(reason), _) => reason.into(),
        // Pings are answered by the library.
        (None, None | Some(Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))))) => {
            return Ok(heard.replies);
        }
        (None, Some(Some(Ok(Message::Binary(_))))) => CloseReason::BinaryFrame.into(),
        (None, Some(Some(Ok(Message::Close(_))))) => ConnectionEnd::ClosedByPeer,
        (None, Some(Some(Err(error)))) => end_of_read_error(error),
        (None, Some(None)) => ConnectionEnd::ConnectionLost,
    };
    write_frames(socket, heard.replies, places, channels).await?;
    Err(end)
}
