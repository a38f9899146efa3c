//! What a peer says in a row is heard together: what it asks to change is one transaction then, and
//! what it is answered one write.

use axum::{
    Error,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    Ended, Mode,
    wire::{fault, write},
};
use crate::{
    channels::{Channels, hub::Places, protocol::CloseReason},
    limits::Pace,
};

/// Bytes of frames that are heard together, at most.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// What a peer has said by now.
pub(super) struct Said {
    texts: Vec<Utf8Bytes>,
    /// What came after them and is no text, if anything.
    last: Option<Option<Result<Message, Error>>>,
}

/// Takes what has come with a frame, for as long as it may be read.
pub(super) fn gather<M: Mode>(
    first: Option<Result<Message, Error>>,
    socket: &mut WebSocket,
    pace: &mut Pace,
) -> Said {
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
                return Said { texts, last };
            }
        }
        let is_enough = texts.len() >= M::FRAMES_AT_ONCE || bytes >= BYTES_AT_ONCE;
        let next = if is_enough || pace.held_until(Instant::now()).is_some() {
            None
        } else {
            socket.recv().now_or_never()
        };
        let Some(next) = next else {
            return Said { texts, last: None };
        };
        pace.heard(Instant::now());
        received = next;
    }
}

/// Does what a peer has asked for, and gives the replies; or writes them, and says how it ends.
pub(super) async fn hear<M: Mode>(
    said: Said,
    socket: &mut WebSocket,
    places: &mut Places,
    channels: &Channels,
    mode: &mut M,
) -> Result<Vec<Utf8Bytes>, Ended> {
    let heard = mode.hear(&said.texts, places).await;
    let end = match (heard.end, said.last) {
        (Some(reason), _) => reason.into(),
        // Pings are answered by the library.
        (None, None | Some(Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))))) => {
            return Ok(heard.replies);
        }
        (None, Some(Some(Ok(Message::Binary(_))))) => CloseReason::Binary.into(),
        (None, Some(Some(Ok(Message::Close(_))))) => Ended::ByPeer,
        (None, Some(Some(Err(error)))) => fault(error),
        (None, Some(None)) => Ended::Broken,
    };
    write(socket, heard.replies, places, channels).await?;
    Err(end)
}
