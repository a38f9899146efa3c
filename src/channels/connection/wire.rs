//! Writing to a socket in time, and saying why it ends.

use std::{future::Future, iter, pin::pin, time::Duration};

use axum::{
    Error,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use tokio::{select, time::timeout};

use super::Ended;
use crate::channels::{
    Channels,
    hub::Ending,
    protocol::{CloseReason, rich::Frame},
    transport::{self, close, write_part},
};

/// Writes frames, as many as fit before one flush.
pub(super) async fn write(
    socket: &mut WebSocket,
    frames: Vec<Utf8Bytes>,
    ending: &Ending,
    channels: &Channels,
) -> Result<(), Ended> {
    let mut frames = frames.into_iter().map(Message::Text).peekable();
    while frames.peek().is_some() {
        // Of much, a part at a time: a peer that takes it slowly takes it.
        let writing = pin!(write_part(socket, &mut frames));
        in_time(writing, ending, channels).await?;
    }
    Ok(())
}

/// Waits until all that was written is on its way, past the task of the socket too.
pub(super) async fn flush(
    socket: &mut WebSocket,
    ending: &Ending,
    channels: &Channels,
) -> Result<(), Ended> {
    let mut nothing = iter::empty();
    let flushing = pin!(write_part(socket, &mut nothing));
    in_time(flushing, ending, channels).await
}

/// Waits for something, but not for a peer that takes nothing, and not for one that must go.
pub(super) async fn in_time(
    writing: impl Future<Output = Result<(), Error>>,
    ending: &Ending,
    channels: &Channels,
) -> Result<(), Ended> {
    // A peer that does not take one batch of frames within this takes nothing.
    let limit = Duration::from_secs(channels.settings.channels.stall_timeout.into());
    select! {
        biased;
        written = timeout(limit, writing) => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Broken),
            Err(_) => Err(CloseReason::Slow.into()),
        },
        reason = ending.reason() => Err(reason.into()),
    }
}

/// What to do about an error of reading.
pub(super) fn fault(error: Error) -> Ended {
    transport::fault(error).map_or(Ended::Broken, Ended::ByUs)
}

/// Lets a rich client in only to tell it why it must go: a browser cannot read the status of a
/// refused handshake.
pub(in crate::channels) async fn refuse(socket: Box<WebSocket>, reason: CloseReason) {
    let bye = Frame::Bye(reason.into()).encode();
    close(socket, Some(bye), reason).await;
}
