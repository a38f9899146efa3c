//! Writing to a socket in time, and saying why it ends.

use std::{future::Future, io, time::Duration};

use axum::{
    Error,
    body::Bytes,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use futures_util::SinkExt;
use tokio::{select, time::timeout};

use super::Ended;
use crate::channels::{
    Channels,
    frame::framed,
    hub::{Ending, Places},
    line::{Line, Put},
    protocol::{CloseReason, rich::Frame},
    transport::{self, PART, close, write_part},
};

/// Writes frames, as many as fit at once. They go past the library, which would keep a buffer for each
/// socket, where there is a line.
pub(super) async fn write(
    socket: &mut WebSocket,
    frames: Vec<Utf8Bytes>,
    places: &Places,
    channels: &Channels,
) -> Result<(), Ended> {
    let mut frames = frames.into_iter().peekable();
    while frames.peek().is_some() {
        // Of much, a part at a time: a peer that takes it slowly takes it.
        let Some(line) = places.line() else {
            let mut frames = frames.by_ref().map(Message::Text);
            let writing = write_part(socket, &mut frames);
            Box::pin(in_time(writing, &places.ending(), channels)).await?;
            continue;
        };
        let frames = framed(part(&mut frames));
        let put = line.put(frames.clone());
        if put != Put::Whole {
            let writing = put_after(put, socket, line, frames);
            Box::pin(in_time(writing, &places.ending(), channels)).await?;
        }
    }
    Ok(())
}

/// As many as are written before one flush.
fn part(frames: &mut impl Iterator<Item = Utf8Bytes>) -> impl Iterator<Item = Utf8Bytes> {
    let mut bytes = 0;
    std::iter::from_fn(move || {
        let frame = (bytes < PART).then(|| frames.next())??;
        bytes += frame.len();
        Some(frame)
    })
}

/// Waits until frames that were not put on a line at once are on their way.
async fn put_after(
    mut put: Put,
    socket: &mut WebSocket,
    line: &Line,
    frames: Bytes,
) -> Result<(), Error> {
    loop {
        match put {
            Put::Whole => return Ok(()),
            Put::Part => return socket.flush().await,
            // After what the library has begun to write.
            Put::Refused => socket.flush().await?,
            Put::Ended => return Err(Error::new(io::Error::from(io::ErrorKind::BrokenPipe))),
        }
        put = line.put(frames.clone());
    }
}

/// Waits until all that was written is on its way, past the task of the socket too.
pub(super) async fn flush(
    socket: &mut WebSocket,
    places: &Places,
    channels: &Channels,
) -> Result<(), Ended> {
    Box::pin(in_time(socket.flush(), &places.ending(), channels)).await
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
