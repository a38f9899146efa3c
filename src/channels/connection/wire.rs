//! Writes to a socket within the stall timeout.

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
    delivery::{CloseSignal, Subscriptions},
    protocol::{CloseReason, rich::Frame},
    socket_writer::{SocketWriter, WriteOutcome},
    text_frame::encode_text_frames,
    transport::{self, FLUSH_BYTES, close, write_batch},
};

/// Writes frames, as many at once as fit into one flush. Where the socket has a [`SocketWriter`], the frames bypass
/// the library of the WebSocket, which would keep a buffer for each socket.
pub(super) async fn write_frames<S>(
    socket: &mut WebSocket,
    frames: Vec<Utf8Bytes>,
    subscriptions: &Subscriptions<S>,
    channels: &Channels,
) -> Result<(), ConnectionEnd> {
    let mut frames = frames.into_iter().peekable();
    while frames.peek().is_some() {
        // Each part has its own timeout, so that a slow client can receive much data.
        let Some(writer) = subscriptions.socket_writer() else {
            let mut frames = frames.by_ref().map(Message::Text);
            let writing = write_batch(socket, &mut frames);
            let closing = subscriptions.close_signal();
            Box::pin(with_stall_timeout(writing, &closing, channels)).await?;
            continue;
        };
        let bytes = encode_text_frames(take_batch(&mut frames));
        let outcome = writer.try_write(bytes.clone());
        if outcome != WriteOutcome::Written {
            let writing = finish_write(outcome, socket, writer, bytes);
            let closing = subscriptions.close_signal();
            Box::pin(with_stall_timeout(writing, &closing, channels)).await?;
        }
    }
    Ok(())
}

/// Takes the frames that are written before one flush.
fn take_batch(frames: &mut impl Iterator<Item = Utf8Bytes>) -> impl Iterator<Item = Utf8Bytes> {
    let mut bytes = 0;
    std::iter::from_fn(move || {
        let frame = (bytes < FLUSH_BYTES).then(|| frames.next())??;
        bytes += frame.len();
        Some(frame)
    })
}

/// Waits until bytes that [`SocketWriter::try_write`] has not written at once are written.
async fn finish_write(
    mut outcome: WriteOutcome,
    socket: &mut WebSocket,
    writer: &SocketWriter,
    bytes: Bytes,
) -> Result<(), Error> {
    loop {
        match outcome {
            WriteOutcome::Written => return Ok(()),
            WriteOutcome::Partial => return socket.flush().await,
            // The library has begun a write, which goes first.
            WriteOutcome::Blocked => socket.flush().await?,
            WriteOutcome::Closed => {
                return Err(Error::new(io::Error::from(io::ErrorKind::BrokenPipe)));
            }
        }
        outcome = writer.try_write(bytes.clone());
    }
}

/// Waits until the operating system has taken all bytes, those of direct writes too.
pub(super) async fn flush<S>(
    socket: &mut WebSocket,
    subscriptions: &Subscriptions<S>,
    channels: &Channels,
) -> Result<(), ConnectionEnd> {
    let closing = subscriptions.close_signal();
    Box::pin(with_stall_timeout(socket.flush(), &closing, channels)).await
}

/// Waits for a write, until the stall timeout, and until the socket must close.
pub(super) async fn with_stall_timeout(
    writing: impl Future<Output = Result<(), Error>>,
    closing: &CloseSignal,
    channels: &Channels,
) -> Result<(), ConnectionEnd> {
    // A client that does not receive one batch of frames within this time is a slow consumer.
    let limit = Duration::from_secs(channels.settings.channels.stall_timeout.into());
    select! {
        biased;
        written = timeout(limit, writing) => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ConnectionEnd::ConnectionLost),
            Err(_) => Err(CloseReason::SlowConsumer.into()),
        },
        reason = closing.wait() => Err(reason.into()),
    }
}

/// The end of a connection by an error of reading.
pub(super) fn end_of_read_error(error: Error) -> ConnectionEnd {
    transport::close_reason_of_error(error)
        .map_or(ConnectionEnd::ConnectionLost, ConnectionEnd::ClosedByServer)
}

/// Opens a rich socket only to send the reason for which it closes: a browser cannot read the status of a rejected
/// handshake.
pub(in crate::channels) async fn reject(socket: Box<WebSocket>, reason: CloseReason) {
    let bye = Frame::Bye(reason.into()).encode();
    close(socket, Some(bye), reason).await;
}
