//! Writing to a socket, and parting with it.

use std::{future::Future, pin::pin, time::Duration};

use axum::{
    Error,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
};
use futures_util::SinkExt;
use tokio::{
    select,
    time::{sleep, timeout},
};
use tungstenite::error::CapacityError;

use super::Ended;
use crate::channels::{
    Channels,
    hub::Ending,
    protocol::{CloseReason, rich::Frame},
};

/// How long a peer gets to answer our close, and we to answer its.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are written before one flush, and in the time that a batch may take.
const PART: usize = 64 * 1024;

/// Writes frames, as many as fit before one flush.
pub(super) async fn write(
    socket: &mut WebSocket,
    frames: Vec<Utf8Bytes>,
    ending: &Ending,
    channels: &Channels,
) -> Result<(), Ended> {
    let mut frames = frames.into_iter().peekable();
    while frames.peek().is_some() {
        // Of much, a part at a time: a peer that takes it slowly takes it.
        let mut bytes = 0;
        let writing = pin!(async {
            while bytes < PART
                && let Some(frame) = frames.next()
            {
                bytes += frame.len();
                socket.feed(Message::Text(frame)).await?;
            }
            socket.flush().await
        });
        in_time(writing, ending, channels).await?;
    }
    Ok(())
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
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. })) => {
            CloseReason::TooBig.into()
        }
        Some(tungstenite::Error::Utf8(_)) => CloseReason::NotJson.into(),
        Some(tungstenite::Error::Protocol(_)) => CloseReason::Protocol.into(),
        _ => Ended::Broken,
    }
}

/// Lets a rich client in only to tell it why it must go: a browser cannot read the status of a
/// refused handshake.
pub(in crate::channels) async fn refuse(socket: Box<WebSocket>, reason: CloseReason) {
    let bye = Frame::Bye(reason.into()).encode();
    close(socket, Some(bye), reason).await;
}

/// Says why, and gives the peer time to hear it: a connection that is dropped with unread bytes is
/// reset, and the reset may overtake the close frame.
pub(in crate::channels) async fn close(
    mut socket: Box<WebSocket>,
    goodbye: Option<Utf8Bytes>,
    reason: CloseReason,
) {
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
                Some(Err(_)) | None => sleep(LINGER).await,
            }
        }
    };
    // In vain if the peer is gone.
    let _: Result<Result<(), Error>, _> = timeout(LINGER, parting).await;
}

/// The library has put an answer to the peer's close aside; it goes out with the next read.
pub(super) async fn answer_close(mut socket: Box<WebSocket>) {
    // In vain if the peer did not wait for it.
    let _ = timeout(LINGER, socket.recv()).await;
}
