//! One socket's life, in one task; and that of a stream.

mod base;
mod receive;
mod rich;
mod sse;
mod wire;

use std::{future::Future, mem::take, pin::pin, sync::Arc, time::Duration};

use axum::{
    Error,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

pub use self::rich::ResumePoint;
pub(super) use self::{
    base::BasicProtocol, rich::RichProtocol, sse::serve_event_stream as stream, wire::reject,
};
use self::{
    receive::{handle_frames, read_available},
    wire::{flush, with_stall_timeout, write_frames},
};
use super::{
    Channels, Member,
    heartbeat::{Heartbeat, HeartbeatAction},
    hub::{CloseSignal, NextEvents, SocketHandle, Subscription, Subscriptions},
    protocol::{CloseReason, event::EncodedEvent},
    transport::{answer_close, close},
};
use crate::limits::FrameRateLimiter;

/// After this a log that could not be read is tried again.
const LOG_READ_RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long what a socket has asked for is waited for when the server stops.
const SHUTDOWN_REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// How a conversation ended.
enum ConnectionEnd {
    /// The peer said goodbye.
    ClosedByPeer,
    /// The connection broke, without a word.
    ConnectionLost,
    ClosedByServer(CloseReason),
}

impl From<CloseReason> for ConnectionEnd {
    fn from(reason: CloseReason) -> Self {
        Self::ClosedByServer(reason)
    }
}

/// What has come of frames of the peer.
#[derive(Default)]
pub(super) struct FrameResults {
    pub replies: Vec<Utf8Bytes>,
    /// Why the socket must be closed after these.
    pub close_reason: Option<CloseReason>,
}

/// What a socket says and understands: the base contract, or the rich protocol. Its places in groups
/// have numbers.
pub(super) trait SocketProtocol {
    /// Whether the peer may learn that it says too much, and be closed for it; else what it says is
    /// read more slowly, and nothing else.
    const CLOSES_ON_FLOOD: bool;

    /// Frames that are heard together, at most.
    const MAX_FRAMES_PER_BATCH: usize;

    /// The first frames, and where in its groups' logs the socket begins.
    fn on_open(&mut self, places: &mut Subscriptions) -> Vec<Utf8Bytes>;

    /// Does what frames of the peer ask for, in their order, and gives the replies. Changes that come
    /// one after the other are made together.
    fn on_frames(
        &mut self,
        texts: &[Utf8Bytes],
        places: &mut Subscriptions,
    ) -> impl Future<Output = FrameResults> + Send;

    /// Takes places in groups that the user has become a member of, and gives what is to be said of
    /// it.
    fn on_groups_joined(
        &mut self,
        groups: Vec<Arc<str>>,
        places: &mut Subscriptions,
    ) -> impl Future<Output = Vec<Utf8Bytes>> + Send;

    /// What the peer is shown of an event.
    fn event_frame(&mut self, place: usize, told: &EncodedEvent) -> Option<Utf8Bytes>;

    /// What the peer is shown once it was told all up to and with an event.
    fn on_delivered(&mut self, place: usize, seq: i64) -> Option<Utf8Bytes>;

    /// Whether what the peer is to be shown next of a place is events as they are, and nothing else.
    fn can_write_direct(&self, place: usize) -> bool;

    /// Whether it must see itself what comes next: until then nothing is written past the socket's task.
    fn needs_filtering(&self) -> bool;

    /// What the peer is shown when it has lost a place.
    ///
    /// # Errors
    /// With the reason, where the socket has no others and must be closed.
    fn on_subscription_lost(
        &mut self,
        place: usize,
        reason: CloseReason,
    ) -> Result<Option<Utf8Bytes>, CloseReason>;

    /// When to look after it again, at the latest.
    fn next_timer(&self) -> Option<Instant>;

    /// Does what is due by the clock.
    fn on_timer(&mut self);

    /// The last frame before the close.
    fn bye_frame(&self, reason: CloseReason) -> Option<Utf8Bytes>;
}

/// What a connection waits for.
enum Wakeup {
    Received(Option<Result<Message, Error>>),
    Ready,
    Timer,
}

/// Serves a socket, which begins as one of these members, until one side ends it.
pub(super) async fn run<M: SocketProtocol>(
    mut socket: Box<WebSocket>,
    peer: Arc<SocketHandle>,
    members: Vec<Member>,
    channels: &Channels,
    mode: &mut M,
) {
    // An idle socket pays for all that its task may ever hold: whatever it does but wait is boxed.
    let mut places = Subscriptions::new(channels.hub.clone(), peer);
    Box::pin(places.join(&members)).await;
    drop(members);
    match run_event_loop(&mut socket, places, channels, mode).await {
        ConnectionEnd::ClosedByServer(reason) => {
            Box::pin(close(socket, mode.bye_frame(reason), reason)).await
        }
        ConnectionEnd::ClosedByPeer => Box::pin(answer_close(socket)).await,
        ConnectionEnd::ConnectionLost => {}
    }
}

/// Takes the places with it when it ends: nobody waits in a group for a socket that only says
/// goodbye.
async fn run_event_loop<M: SocketProtocol>(
    socket: &mut WebSocket,
    mut places: Subscriptions,
    channels: &Channels,
    mode: &mut M,
) -> ConnectionEnd {
    let settings = &channels.settings.channels;
    let mut heartbeat = Heartbeat::new(
        Duration::from_secs(settings.ping_every.into()),
        Duration::from_secs(settings.pong_timeout.into()),
    );
    let mut pace =
        FrameRateLimiter::new(channels.settings.limits.frames_per_second, Instant::now());
    let ending = places.close_signal();
    if let Some(reason) = ending.close_reason() {
        // Meanwhile; what the greeting would say may not hold any more.
        return reason.into();
    }
    let greeting = mode.on_open(&mut places);
    let mut written = Box::pin(write_frames(socket, greeting, &places, channels)).await;
    let mut alarm = pin!(sleep_until(heartbeat.next_check));
    while written.is_ok() {
        // Each time, and not by the clock alone, which a peer that never stops talking outshouts.
        mode.on_timer();
        if places.session().remaining().is_zero() {
            // Whoever may have to go is told nothing meanwhile.
            places.set_direct_write_paused(true);
            let looked = Box::pin(places.session_expiry().check()).await;
            places.set_direct_write_paused(mode.needs_filtering());
            if let Err(reason) = looked {
                return reason.into();
            }
        }
        let due = heartbeat
            .next_check
            .min(Instant::now() + places.session().remaining());
        let due = mode.next_timer().map_or(due, |earlier| due.min(earlier));
        let held_until = pace.throttled_until(Instant::now());
        let due = held_until.map_or(due, |until| due.min(until));
        // It may go off too early, for nothing, and seldom does: set each time it would cost more.
        if due < alarm.deadline() || alarm.is_elapsed() {
            alarm.as_mut().reset(due);
        }
        // In order: what ends the socket, news of the peer, what is to be told, the clock.
        if let Some(reason) = ending.close_reason() {
            return reason.into();
        }
        let event = select! {
            biased;
            received = socket.recv(), if held_until.is_none() => Wakeup::Received(received),
            () = places.wait_for_events_or_close() => Wakeup::Ready,
            () = &mut alarm => Wakeup::Timer,
        };
        let is_tick = matches!(event, Wakeup::Timer);
        let done = match event {
            Wakeup::Received(received) => {
                heartbeat.record_received();
                pace.record_frame(Instant::now());
                let held_at_most = u64::from(channels.settings.limits.frames_held);
                if M::CLOSES_ON_FLOOD && pace.over_limit_for().as_secs() >= held_at_most {
                    return CloseReason::RateLimited.into();
                }
                // What comes of it the peer hears after the reply.
                places.set_direct_write_paused(true);
                let heard = read_available::<M>(received, socket, &mut pace);
                let hearing = handle_frames(heard, socket, &mut places, channels, mode);
                Box::pin(until_closed(hearing, &ending)).await
            }
            Wakeup::Ready => Ok(Vec::new()),
            // It may be that of the mode, which the next round looks after.
            Wakeup::Timer if heartbeat.next_check > Instant::now() => Ok(Vec::new()),
            Wakeup::Timer => match heartbeat.tick() {
                HeartbeatAction::Wait => Ok(Vec::new()),
                HeartbeatAction::Ping => {
                    let ping = socket.send(Message::Ping(Default::default()));
                    let pinged = Box::pin(with_stall_timeout(ping, &ending, channels)).await;
                    pinged.map(|()| Vec::new())
                }
                HeartbeatAction::Close => Err(CloseReason::PongTimeout.into()),
            },
        };
        written = match done {
            // After what it sent, too: a peer that never stops talking is told what there is.
            Ok(replies) if !is_tick => {
                let telling = send_ready(replies, socket, &mut places, channels, mode);
                Box::pin(until_closed(telling, &ending)).await
            }
            done => done.map(drop),
        };
    }
    written.err().unwrap_or(ConnectionEnd::ConnectionLost)
}

/// Does something for a socket, but not any longer once it must go. What it has asked for is done
/// all the same; while the server stops, its answer is waited for.
async fn until_closed<T>(
    doing: impl Future<Output = Result<T, ConnectionEnd>>,
    ending: &CloseSignal,
) -> Result<T, ConnectionEnd> {
    let ended = async {
        let reason = ending.wait().await;
        if reason == CloseReason::ServerRestart {
            sleep(SHUTDOWN_REPLY_TIMEOUT).await;
        }
        reason
    };
    select! {
        biased;
        done = doing => done,
        reason = ended => Err(reason.into()),
    }
}

/// Writes replies, and with them the next batch of what the socket is to be told: of the one place
/// whose turn it is.
async fn send_ready<M: SocketProtocol>(
    mut frames: Vec<Utf8Bytes>,
    socket: &mut WebSocket,
    places: &mut Subscriptions,
    channels: &Channels,
    mode: &mut M,
) -> Result<(), ConnectionEnd> {
    let (welcomes, rung) = (places.take_new_groups(), places.next_ready_slot());
    let is_behind = rung.and_then(|number| Some(places.get_mut(number)?.needs_log()));
    if !welcomes.is_empty() || is_behind == Some(true) {
        // Nobody waits for a reply until the database has been read.
        write_frames(socket, take(&mut frames), places, channels).await?;
    }
    if !welcomes.is_empty() {
        frames = Box::pin(mode.on_groups_joined(welcomes, places)).await;
    }
    let replies = frames.len();
    let user = places.session().user_id;
    if let Some(number) = rung
        && let Some(place) = places.get_mut(number)
        && let Some(reason) = collect_slot_frames(place, number, mode, &mut frames, user).await
    {
        match mode.on_subscription_lost(number, reason) {
            Ok(loss) => frames.extend(loss),
            Err(reason) => {
                frames.truncate(replies);
                write_frames(socket, frames, places, channels).await?;
                return Err(reason.into());
            }
        }
        places.leave(number);
    }
    write_frames(socket, frames, places, channels).await?;
    if places.has_pending_bytes() {
        flush(socket, places, channels).await?;
    }
    places.set_direct_write_paused(mode.needs_filtering());
    if let Some(number) = rung.filter(|number| mode.can_write_direct(*number))
        && let Some(place) = places.get_mut(number)
    {
        place.enable_direct_write();
    }
    Ok(())
}

/// Gathers the next batch of what there is to be told of one place. Gives why it is lost, if it is.
async fn collect_slot_frames<M: SocketProtocol>(
    place: &mut Subscription,
    number: usize,
    mode: &mut M,
    frames: &mut Vec<Utf8Bytes>,
    user: i64,
) -> Option<CloseReason> {
    let lost = place.close_reason();
    if lost.is_none() && place.is_waiting_to_retry() {
        return None;
    }
    let news = match lost {
        None => match place.next_events().await {
            Ok(news) => news,
            Err(error) => {
                tracing::warn!(%error, user, "a socket cannot be told what it has missed; trying again");
                place.retry_after(LOG_READ_RETRY_DELAY);
                return None;
            }
        },
        // Of one that is lost, the end.
        Some(_) => place.next_buffered(),
    };
    match news {
        // Last, and only to who is not behind.
        NextEvents::None if lost.is_none() => frames.extend(place.take_ephemeral_frames()),
        NextEvents::None => {}
        NextEvents::InLog => place.notify(),
        NextEvents::Events(events) => {
            for told in &events {
                frames.extend(mode.event_frame(number, told));
                if place.is_removed_by(told) {
                    return Some(CloseReason::NotMember);
                }
            }
            place.notify();
        }
    }
    frames.extend(mode.on_delivered(number, place.delivered_seq()));
    lost
}
