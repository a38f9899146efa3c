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
    protocol::{
        CloseReason,
        rich::{Bye, Frame},
    },
    socket_writer::{SocketWriter, WriteOutcome},
    text_frame::encode_text_frames,
    transport::{self, FLUSH_BYTES, close, write_batch},
};

/// Writes frames in batches of about [`FLUSH_BYTES`].
///
/// If the socket has a [`SocketWriter`], the frames bypass the WebSocket library, which would keep a buffer for each
/// socket.
pub(super) async fn write_frames<S>(
    socket: &mut WebSocket,
    frames: Vec<Utf8Bytes>,
    subscriptions: &Subscriptions<S>,
    channels: &Channels,
) -> Result<(), ConnectionEnd> {
    let mut frames = frames.into_iter().peekable();
    while frames.peek().is_some() {
        // Each batch has its own timeout, so that a slow client can receive many batches.
        let Some(writer) = subscriptions.socket_writer() else {
            let mut messages = frames.by_ref().map(Message::Text);
            let writing = write_batch(socket, &mut messages);
            let close_signal = subscriptions.close_signal();
            Box::pin(with_stall_timeout(writing, &close_signal, channels)).await?;
            continue;
        };
        let bytes = encode_text_frames(take_batch(&mut frames));
        let outcome = writer.try_write(bytes.clone());
        if outcome != WriteOutcome::Written {
            let writing = finish_write(outcome, socket, writer, bytes);
            let close_signal = subscriptions.close_signal();
            Box::pin(with_stall_timeout(writing, &close_signal, channels)).await?;
        }
    }
    Ok(())
}

/// Takes the next batch of frames: frames until they have [`FLUSH_BYTES`] or more.
fn take_batch(frames: &mut impl Iterator<Item = Utf8Bytes>) -> impl Iterator<Item = Utf8Bytes> {
    let mut batch_bytes = 0;
    std::iter::from_fn(move || {
        if batch_bytes >= FLUSH_BYTES {
            return None;
        }
        let frame = frames.next()?;
        batch_bytes += frame.len();
        Some(frame)
    })
}

/// Writes the bytes that [`SocketWriter::try_write`] could not write at once.
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
            // Other bytes must be written first: the rest of a write of the library, or of a direct write.
            WriteOutcome::Blocked => socket.flush().await?,
            WriteOutcome::Closed => {
                return Err(Error::new(io::Error::from(io::ErrorKind::BrokenPipe)));
            }
        }
        outcome = writer.try_write(bytes.clone());
    }
}

/// Waits until the operating system has taken all bytes, including the bytes of direct writes.
pub(super) async fn flush<S>(
    socket: &mut WebSocket,
    subscriptions: &Subscriptions<S>,
    channels: &Channels,
) -> Result<(), ConnectionEnd> {
    let close_signal = subscriptions.close_signal();
    Box::pin(with_stall_timeout(socket.flush(), &close_signal, channels)).await
}

/// Waits until a write ends, until the stall timeout expires, or until the socket must close, whichever is first.
pub(super) async fn with_stall_timeout(
    writing: impl Future<Output = Result<(), Error>>,
    close_signal: &CloseSignal,
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
        reason = close_signal.wait() => Err(reason.into()),
    }
}

/// Returns the end of the connection that an error of a read causes.
pub(super) fn end_after_read_error(error: Error) -> ConnectionEnd {
    transport::close_reason_of_error(error)
        .map_or(ConnectionEnd::ConnectionLost, ConnectionEnd::ClosedByServer)
}

/// Sends `bye` with a reason on a rich socket, and closes the socket.
///
/// The socket was opened only for this, because a browser cannot read the status of a rejected handshake.
pub(in crate::channels) async fn reject(socket: Box<WebSocket>, bye: Bye) {
    let reason = bye.close_reason;
    close(socket, Some(Frame::Bye(bye).encode()), reason).await;
}
