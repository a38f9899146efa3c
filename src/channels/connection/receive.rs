//! The frames of a client that arrive together are handled together: their commands are stored in one transaction,
//! and their replies leave in one write.

use axum::{
    Error,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    ConnectionEnd, FrameResults, SocketProtocol,
    wire::{end_after_read_error, write_frames},
};
use crate::{
    channels::{Channels, delivery::Subscriptions, protocol::CloseReason},
    limits::FrameRateLimiter,
};

/// Bytes of frames that are handled together, at most.
const MAX_RECEIVE_BYTES: usize = 64 * 1024;

/// The frames that a client has sent so far.
pub(super) struct ReceivedFrames {
    texts: Vec<Utf8Bytes>,
    /// The message after the texts that is not a text. `Some(None)` is the end of the connection.
    non_text: Option<Option<Result<Message, Error>>>,
}

impl ReceivedFrames {
    /// The number of frames.
    pub fn count(&self) -> usize {
        self.texts.len() + usize::from(matches!(&self.non_text, Some(Some(Ok(_)))))
    }
}

/// Takes the frames that have arrived with the first one, as far as the rate limit admits.
pub(super) fn read_available<P: SocketProtocol>(
    first: Option<Result<Message, Error>>,
    socket: &mut WebSocket,
    frame_rate: &mut FrameRateLimiter,
) -> ReceivedFrames {
    let (mut texts, mut bytes) = (Vec::new(), 0);
    let mut received = first;
    loop {
        match received {
            Some(Ok(Message::Text(text))) => {
                bytes += text.len();
                texts.push(text);
            }
            other => {
                let non_text = Some(other);
                return ReceivedFrames { texts, non_text };
            }
        }
        let is_full = texts.len() >= P::MAX_FRAMES_PER_BATCH || bytes >= MAX_RECEIVE_BYTES;
        let next = if is_full || frame_rate.throttled_until(Instant::now()).is_some() {
            None
        } else {
            socket.recv().now_or_never()
        };
        let Some(next) = next else {
            let non_text = None;
            return ReceivedFrames { texts, non_text };
        };
        frame_rate.record_frame(Instant::now());
        received = next;
    }
}

/// Handles frames, and returns the results with the replies. Where the frames end the connection, writes the replies
/// and returns the end.
pub(super) async fn handle_frames<P: SocketProtocol>(
    frames: ReceivedFrames,
    socket: &mut WebSocket,
    subscriptions: &mut Subscriptions<P::GroupState>,
    channels: &Channels,
    protocol: &mut P,
) -> Result<FrameResults, ConnectionEnd> {
    let results = protocol.on_frames(&frames.texts, subscriptions).await;
    let end = match (results.close_reason, frames.non_text) {
        (Some(reason), _) => reason.into(),
        // The library answers pings.
        (None, None | Some(Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))))) => {
            return Ok(results);
        }
        (None, Some(Some(Ok(Message::Binary(_))))) => CloseReason::BinaryFrame.into(),
        (None, Some(Some(Ok(Message::Close(frame))))) => {
            ConnectionEnd::ClosedByPeer(frame.map(|frame| frame.code))
        }
        (None, Some(Some(Err(error)))) => end_after_read_error(error),
        (None, Some(None)) => ConnectionEnd::ConnectionLost,
    };
    write_frames(socket, results.replies, subscriptions, channels).await?;
    Err(end)
}
