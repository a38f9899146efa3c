//! Writing to a socket in time, and saying why it ends.

use std::{future::Future, io, time::Duration};

use axum::{
    Error,
    body::Bytes,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use futures_util::SinkExt;
use tokio::{select, time::timeout};

use super::ConnectionEnd;
use crate::channels::{
    Channels,
    hub::{CloseSignal, Subscriptions},
    protocol::{CloseReason, rich::Frame},
    socket_writer::{SocketWriter, WriteOutcome},
    text_frame::encode_text_frames,
    transport::{self, FLUSH_BYTES, close, write_batch},
};

/// Writes frames, as many as fit at once. They go past the library, which would keep a buffer for each
/// socket, where there is a line.
pub(super) async fn write_frames(
    socket: &mut WebSocket,
    frames: Vec<Utf8Bytes>,
    places: &Subscriptions,
    channels: &Channels,
) -> Result<(), ConnectionEnd> {
    let mut frames = frames.into_iter().peekable();
    while frames.peek().is_some() {
        // Of much, a part at a time: a peer that takes it slowly takes it.
        let Some(line) = places.socket_writer() else {
            let mut frames = frames.by_ref().map(Message::Text);
            let writing = write_batch(socket, &mut frames);
            Box::pin(with_stall_timeout(
                writing,
                &places.close_signal(),
                channels,
            ))
            .await?;
            continue;
        };
        let frames = encode_text_frames(take_batch(&mut frames));
        let put = line.try_write(frames.clone());
        if put != WriteOutcome::Written {
            let writing = finish_write(put, socket, line, frames);
            Box::pin(with_stall_timeout(
                writing,
                &places.close_signal(),
                channels,
            ))
            .await?;
        }
    }
    Ok(())
}

/// As many as are written before one flush.
fn take_batch(frames: &mut impl Iterator<Item = Utf8Bytes>) -> impl Iterator<Item = Utf8Bytes> {
    let mut bytes = 0;
    std::iter::from_fn(move || {
        let frame = (bytes < FLUSH_BYTES).then(|| frames.next())??;
        bytes += frame.len();
        Some(frame)
    })
}

/// Waits until frames that were not put on a line at once are on their way.
async fn finish_write(
    mut put: WriteOutcome,
    socket: &mut WebSocket,
    line: &SocketWriter,
    frames: Bytes,
) -> Result<(), Error> {
    loop {
        match put {
            WriteOutcome::Written => return Ok(()),
            WriteOutcome::Partial => return socket.flush().await,
            // After what the library has begun to write.
            WriteOutcome::Blocked => socket.flush().await?,
            WriteOutcome::Closed => {
                return Err(Error::new(io::Error::from(io::ErrorKind::BrokenPipe)));
            }
        }
        put = line.try_write(frames.clone());
    }
}

/// Waits until all that was written is on its way, past the task of the socket too.
pub(super) async fn flush(
    socket: &mut WebSocket,
    places: &Subscriptions,
    channels: &Channels,
) -> Result<(), ConnectionEnd> {
    Box::pin(with_stall_timeout(
        socket.flush(),
        &places.close_signal(),
        channels,
    ))
    .await
}

/// Waits for something, but not for a peer that takes nothing, and not for one that must go.
pub(super) async fn with_stall_timeout(
    writing: impl Future<Output = Result<(), Error>>,
    ending: &CloseSignal,
    channels: &Channels,
) -> Result<(), ConnectionEnd> {
    // A peer that does not take one batch of frames within this takes nothing.
    let limit = Duration::from_secs(channels.settings.channels.stall_timeout.into());
    select! {
        biased;
        written = timeout(limit, writing) => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ConnectionEnd::ConnectionLost),
            Err(_) => Err(CloseReason::SlowConsumer.into()),
        },
        reason = ending.wait() => Err(reason.into()),
    }
}

/// What to do about an error of reading.
pub(super) fn end_of_read_error(error: Error) -> ConnectionEnd {
    transport::close_reason_of_error(error)
        .map_or(ConnectionEnd::ConnectionLost, ConnectionEnd::ClosedByServer)
}

/// Lets a rich client in only to tell it why it must go: a browser cannot read the status of a
/// refused handshake.
pub(in crate::channels) async fn reject(socket: Box<WebSocket>, reason: CloseReason) {
    let bye = Frame::Bye(reason.into()).encode();
    close(socket, Some(bye), reason).await;
}
