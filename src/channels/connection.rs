//! One socket's life, in one task.

use std::{future::Future, time::Duration};

use axum::{
    Error,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
};
use futures_util::SinkExt;
use tokio::{
    select,
    time::{sleep, sleep_until, timeout},
};
use tungstenite::error::CapacityError;

use super::{
    Channels, Member,
    heartbeat::{Beat, Heartbeat},
    hub::Subscription,
    protocol::{self, BaseRequest, CloseReason},
};

/// A peer that does not take a batch of frames within this is gone or as good as gone.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// How long a peer gets to answer our close, and we to answer its.
const LINGER: Duration = Duration::from_secs(2);

/// Frames written before a flush, at most.
const BATCH: usize = 64;

/// How a conversation ended.
enum Ended {
    /// The peer said goodbye.
    ByPeer,
    /// The connection broke, without a word.
    Broken,
    ByUs(CloseReason),
}

/// What a connection waits for.
enum Event {
    Received(Option<Result<Message, Error>>),
    /// `None` when the hub gave this listener up.
    Arrived(Option<Utf8Bytes>),
    Tick,
}

/// Serves a base socket until one side ends it.
pub(super) async fn run(mut socket: WebSocket, member: &Member, channels: &Channels) {
    let subscription = channels.hub.join(member).await;
    let ended = converse(&mut socket, subscription, member, channels).await;
    match ended {
        Ended::ByUs(reason) => close(socket, reason).await,
        Ended::ByPeer => answer_close(socket).await,
        Ended::Broken => {}
    }
}

/// Takes the subscription with it when it ends: nobody waits in a group for a socket that only says
/// goodbye.
async fn converse(
    socket: &mut WebSocket,
    mut subscription: Subscription,
    member: &Member,
    channels: &Channels,
) -> Ended {
    let settings = &channels.settings;
    let mut heartbeat = Heartbeat::new(
        Duration::from_secs(settings.channels.ping_every.into()),
        Duration::from_secs(settings.channels.pong_timeout.into()),
    );
    let mut draining = std::pin::pin!(channels.draining.cancelled());
    let greeting = protocol::greeting(&member.username, &settings.clock());
    let mut written = write(socket, [greeting], channels).await;
    while written.is_ok() {
        // In order: news of the peer counts before the clock does.
        let event = select! {
            biased;
            () = &mut draining => return Ended::ByUs(CloseReason::Restart),
            event = next_event(socket, &mut subscription) => event,
            () = sleep_until(heartbeat.due) => Event::Tick,
        };
        written = match event {
            Event::Received(received) => {
                heartbeat.heard();
                take(received, socket, &subscription, member, channels).await
            }
            Event::Arrived(None) => Err(Ended::ByUs(CloseReason::Slow)),
            Event::Arrived(Some(frame)) => {
                let more = std::iter::from_fn(|| subscription.frames.try_recv().ok());
                let batch = std::iter::once(frame).chain(more).take(BATCH);
                write(socket, batch, channels).await
            }
            Event::Tick => match heartbeat.tick() {
                Beat::Rest => Ok(()),
                Beat::Ping => {
                    let ping = Message::Ping(Default::default());
                    in_time(socket.send(ping), channels).await
                }
                Beat::Dead => Err(Ended::ByUs(CloseReason::NoPong)),
            },
        };
    }
    written.err().unwrap_or(Ended::Broken)
}

/// Does what a frame of the peer asks for.
async fn take(
    received: Option<Result<Message, Error>>,
    socket: &mut WebSocket,
    subscription: &Subscription,
    member: &Member,
    channels: &Channels,
) -> Result<(), Ended> {
    let text = match received {
        Some(Ok(Message::Text(text))) => text,
        Some(Ok(Message::Binary(_))) => return Err(Ended::ByUs(CloseReason::Binary)),
        // Pings are answered by the library.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
        Some(Ok(Message::Close(_))) => return Err(Ended::ByPeer),
        Some(Err(error)) => return Err(fault(error)),
        None => return Err(Ended::Broken),
    };
    let request = BaseRequest::parse(&text).ok_or(Ended::ByUs(CloseReason::NotJson))?;
    if let BaseRequest::Post(text) = request {
        let stored = channels.writer.post(member, &text, subscription.id).await;
        stored.map_err(|_| Ended::ByUs(CloseReason::NotStored))?;
    }
    write(
        socket,
        [protocol::answer(&channels.settings.clock())],
        channels,
    )
    .await
}

/// From the peer or from the group, whichever comes first; neither is always first.
async fn next_event(socket: &mut WebSocket, subscription: &mut Subscription) -> Event {
    select! {
        received = socket.recv() => Event::Received(received),
        frame = subscription.frames.recv() => Event::Arrived(frame),
    }
}

async fn write(
    socket: &mut WebSocket,
    frames: impl IntoIterator<Item = Utf8Bytes>,
    channels: &Channels,
) -> Result<(), Ended> {
    let writing = async {
        for frame in frames {
            socket.feed(Message::Text(frame)).await?;
        }
        socket.flush().await
    };
    in_time(writing, channels).await
}

/// Waits for a write, but not for a peer that takes nothing, and not while the server stops.
async fn in_time(
    writing: impl Future<Output = Result<(), Error>>,
    channels: &Channels,
) -> Result<(), Ended> {
    select! {
        biased;
        written = timeout(WRITE_WITHIN, writing) => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Broken),
            Err(_) => Err(Ended::ByUs(CloseReason::Slow)),
        },
        () = channels.draining.cancelled() => Err(Ended::ByUs(CloseReason::Restart)),
    }
}

/// What to do about an error of reading.
fn fault(error: Error) -> Ended {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. })) => {
            Ended::ByUs(CloseReason::TooBig)
        }
        Some(tungstenite::Error::Utf8(_)) => Ended::ByUs(CloseReason::NotJson),
        Some(tungstenite::Error::Protocol(_)) => Ended::ByUs(CloseReason::Protocol),
        _ => Ended::Broken,
    }
}

/// Says why, and gives the peer time to hear it: a connection that is dropped with unread bytes is
/// reset, and the reset may overtake the close frame.
async fn close(mut socket: WebSocket, reason: CloseReason) {
    let frame = CloseFrame {
        code: reason.code(),
        reason: reason.text().into(),
    };
    let goodbye = async {
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
    let _: Result<Result<(), Error>, _> = timeout(LINGER, goodbye).await;
}

/// The library has put an answer to the peer's close aside; it goes out with the next read.
async fn answer_close(mut socket: WebSocket) {
    // In vain if the peer did not wait for it.
    let _ = timeout(LINGER, socket.recv()).await;
}
