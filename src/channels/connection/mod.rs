//! One socket's life, in one task.

mod base;
mod rich;
mod typing;
mod wire;

use std::{future::Future, pin::pin, time::Duration};

use axum::{
    Error,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

pub use self::rich::Entry;
use self::wire::{answer_close, close, fault, in_time, write};
pub(super) use self::{base::Base, rich::Rich, wire::refuse};
use super::{
    Channels, Member,
    heartbeat::{Beat, Heartbeat},
    hub::{Ending, News, Subscription},
    protocol::{CloseReason, event::Told},
};

/// After this a log that could not be read is tried again.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long what a socket has asked for is waited for when the server stops.
const ANSWER_BEFORE_STOP: Duration = Duration::from_secs(2);

/// How a conversation ended.
enum Ended {
    /// The peer said goodbye.
    ByPeer,
    /// The connection broke, without a word.
    Broken,
    ByUs(CloseReason),
}

impl From<CloseReason> for Ended {
    fn from(reason: CloseReason) -> Self {
        Self::ByUs(reason)
    }
}

/// What a socket says and understands: the base contract, or the rich protocol.
pub(super) trait Mode {
    /// The first frames, and where in the log the socket begins.
    fn greet(&mut self, subscription: &mut Subscription) -> Vec<Utf8Bytes>;

    /// Does what a frame of the peer asks for, and gives the reply.
    ///
    /// # Errors
    /// Why the socket must be closed instead.
    fn hear(
        &mut self,
        text: &str,
        subscription: &mut Subscription,
    ) -> impl Future<Output = Result<Vec<Utf8Bytes>, CloseReason>> + Send;

    /// What the peer is shown of an event.
    fn show(&mut self, told: &Told) -> Option<Utf8Bytes>;

    /// What the peer is shown once it was told all up to and with an event.
    fn shown_to(&mut self, seq: i64) -> Option<Utf8Bytes>;

    /// Whether the peer is told what is in no log.
    const HEARS_WHISPERS: bool;

    /// When to look after it again, at the latest.
    fn due(&self) -> Option<Instant>;

    /// Does what is due by the clock.
    ///
    /// # Errors
    /// Why the socket must be closed.
    fn look_after(&mut self) -> Result<(), CloseReason>;

    /// The last frame before the close.
    fn goodbye(&self, reason: CloseReason) -> Option<Utf8Bytes>;
}

/// What a connection waits for.
enum Event {
    Received(Option<Result<Message, Error>>),
    News,
    Tick,
}

/// Serves a socket until one side ends it.
pub(super) async fn run<M: Mode>(
    mut socket: WebSocket,
    member: &Member,
    channels: &Channels,
    mut mode: M,
) {
    // An idle socket pays for all that its task may ever hold: what is rare is boxed, here and below,
    // and what is waited for is pinned, since a future that is moved is held twice.
    let subscription = Box::pin(channels.hub.join(member, M::HEARS_WHISPERS)).await;
    match converse(&mut socket, subscription, channels, &mut mode).await {
        Ended::ByUs(reason) => Box::pin(close(socket, mode.goodbye(reason), reason)).await,
        Ended::ByPeer => Box::pin(answer_close(socket)).await,
        Ended::Broken => {}
    }
}

/// Takes the subscription with it when it ends: nobody waits in a group for a socket that only says
/// goodbye.
async fn converse<M: Mode>(
    socket: &mut WebSocket,
    mut subscription: Subscription,
    channels: &Channels,
    mode: &mut M,
) -> Ended {
    let settings = &channels.settings.channels;
    let mut heartbeat = Heartbeat::new(
        Duration::from_secs(settings.ping_every.into()),
        Duration::from_secs(settings.pong_timeout.into()),
    );
    let ending = subscription.ending();
    if let Some(reason) = ending.now() {
        // Meanwhile; what the greeting would say may not hold any more.
        return reason.into();
    }
    let greeting = mode.greet(&mut subscription);
    let mut written = write(socket, greeting, &ending, channels).await;
    // Whether there may be more to take than was taken.
    let mut more = true;
    while written.is_ok() {
        // Each time, and not by the clock alone, which a peer that never stops talking outshouts.
        if let Err(reason) = mode.look_after() {
            return reason.into();
        }
        let due = mode
            .due()
            .map_or(heartbeat.due, |due| due.min(heartbeat.due));
        // In order: what ends the socket, news of the peer, what is to be told, the clock.
        let event = select! {
            biased;
            reason = ending.reason() => return reason.into(),
            received = socket.recv() => Event::Received(received),
            () = subscription.news(), if !more => Event::News,
            () = std::future::ready(()), if more => Event::News,
            () = sleep_until(due) => Event::Tick,
        };
        let is_tick = matches!(event, Event::Tick);
        written = match event {
            Event::Received(received) => {
                heartbeat.heard();
                let taking = pin!(take(received, socket, &mut subscription, channels, mode));
                unless_over(taking, &ending).await
            }
            Event::News => Ok(()),
            // It may be that of the mode, which the next round looks after.
            Event::Tick if heartbeat.due > Instant::now() => Ok(()),
            Event::Tick => match heartbeat.tick() {
                Beat::Rest => Ok(()),
                Beat::Ping => {
                    let ping = pin!(socket.send(Message::Ping(Default::default())));
                    in_time(ping, &ending, channels).await
                }
                Beat::Dead => Err(CloseReason::NoPong.into()),
            },
        };
        // After what it sent, too: a peer that never stops talking is told what there is.
        if written.is_ok() && !is_tick {
            let telling = pin!(tell(socket, &mut subscription, channels, mode));
            match unless_over(telling, &ending).await {
                Ok(there_may_be_more) => more = there_may_be_more,
                Err(ended) => return ended,
            }
        }
    }
    written.err().unwrap_or(Ended::Broken)
}

/// Does something for a socket, but not any longer once it must go. What it has asked for is done
/// all the same; while the server stops, its answer is waited for.
async fn unless_over<T>(
    doing: impl Future<Output = Result<T, Ended>>,
    ending: &Ending,
) -> Result<T, Ended> {
    let ended = async {
        let reason = ending.reason().await;
        if reason == CloseReason::Restart {
            sleep(ANSWER_BEFORE_STOP).await;
        }
        reason
    };
    select! {
        biased;
        done = doing => done,
        reason = ended => Err(reason.into()),
    }
}

/// Writes the next batch of what the socket is to be told. Says whether there may be more.
async fn tell<M: Mode>(
    socket: &mut WebSocket,
    subscription: &mut Subscription,
    channels: &Channels,
    mode: &mut M,
) -> Result<bool, Ended> {
    let news = match subscription.next().await {
        Ok(news) => news,
        Err(error) => {
            tracing::warn!(%error, "a socket cannot be told what it has missed; trying again");
            sleep(READ_AGAIN_AFTER).await;
            return Ok(true);
        }
    };
    let mut frames = Vec::new();
    let more = match news {
        News::None => {
            // Last, and only to who is not behind.
            frames.extend(subscription.whispers());
            false
        }
        News::InTheLog => true,
        News::Events(events) => {
            for told in &events {
                if subscription.is_put_out_by(told) {
                    return Err(CloseReason::NotMember.into());
                }
                frames.extend(mode.show(told));
            }
            true
        }
    };
    frames.extend(mode.shown_to(subscription.told()));
    write(socket, frames, &subscription.ending(), channels).await?;
    Ok(more)
}

/// Does what a frame of the peer asks for.
async fn take<M: Mode>(
    received: Option<Result<Message, Error>>,
    socket: &mut WebSocket,
    subscription: &mut Subscription,
    channels: &Channels,
    mode: &mut M,
) -> Result<(), Ended> {
    let text = match received {
        Some(Ok(Message::Text(text))) => text,
        Some(Ok(Message::Binary(_))) => return Err(CloseReason::Binary.into()),
        // Pings are answered by the library.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
        Some(Ok(Message::Close(_))) => return Err(Ended::ByPeer),
        Some(Err(error)) => return Err(fault(error)),
        None => return Err(Ended::Broken),
    };
    let replies = mode.hear(&text, subscription).await?;
    write(socket, replies, &subscription.ending(), channels).await
}
