//! The event loop of a socket.

use std::{future::Future, mem::take, pin::pin, sync::Arc, time::Duration};

use axum::{
    Error,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

use super::{
    ConnectionEnd, FrameResults, READ_RETRY_DELAY, SocketProtocol,
    receive::{handle_frames, read_available},
    wire::{flush, with_stall_timeout, write_frames},
};
use crate::{
    channels::{
        Channels,
        delivery::{
            CloseSignal, NextEvents, SocketHandle, SocketScope, Subscription, Subscriptions,
        },
        heartbeat::{Heartbeat, HeartbeatAction},
        protocol::{CloseReason, event::EncodedEvent},
        transport::{answer_close, close},
    },
    limits::{FrameRateLimiter, StartPermit},
    metrics::{EventOrigin, METRICS, WritePath},
};

/// The time that the reply to a running request may take when the server stops.
const SHUTDOWN_REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// The event that ends a wait of the loop.
enum Wakeup {
    Received(Option<Result<Message, Error>>),
    Ready,
    Timer,
}

/// Serves a socket until one side closes it.
pub(in crate::channels) async fn run<P: SocketProtocol>(
    mut socket: Box<WebSocket>,
    handle: Arc<SocketHandle>,
    start: StartPermit,
    channels: &Channels,
    protocol: &mut P,
) {
    handle.record.opened();
    // An idle socket pays for the largest state of its task. So all work but the wait is boxed.
    let subscriptions = Subscriptions::new(channels.hub.clone(), handle.clone());
    let end = run_event_loop(&mut socket, subscriptions, start, channels, protocol).await;
    handle.record.ended(&end);
    drop(handle);
    match end {
        ConnectionEnd::ClosedByServer(reason) => {
            Box::pin(close(socket, protocol.last_frame(reason), reason)).await
        }
        ConnectionEnd::ClosedByPeer(_) => Box::pin(answer_close(socket)).await,
        ConnectionEnd::ConnectionLost | ConnectionEnd::TaskFailed => {}
    }
}

/// Drops the subscriptions when it ends: a socket that only closes is no longer in its groups.
async fn run_event_loop<P: SocketProtocol>(
    socket: &mut WebSocket,
    mut subscriptions: Subscriptions<P::GroupState>,
    start: StartPermit,
    channels: &Channels,
    protocol: &mut P,
) -> ConnectionEnd {
    let greeting = Box::pin(protocol.on_open(&mut subscriptions)).await;
    // A client that does not read must not delay the start of others.
    drop(start);
    let settings = &channels.settings.channels;
    let mut heartbeat = Heartbeat::new(
        Duration::from_secs(settings.ping_every.into()),
        Duration::from_secs(settings.pong_timeout.into()),
    );
    let mut frame_rate =
        FrameRateLimiter::new(channels.settings.limits.frames_per_second, Instant::now());
    let close_signal = subscriptions.close_signal();
    if let Some(reason) = close_signal.close_reason() {
        // The greeting may be wrong by now.
        return reason.into();
    }
    let mut written = Box::pin(write_frames(socket, greeting, &subscriptions, channels)).await;
    let mut alarm = pin!(sleep_until(heartbeat.next_check));
    while written.is_ok() {
        if subscriptions.session().remaining().is_zero() {
            // The socket receives nothing during the check, because the socket may have to close.
            subscriptions.set_direct_write_paused(true);
            let checked = Box::pin(subscriptions.session_expiry().check()).await;
            subscriptions.set_direct_write_paused(false);
            if let Err(reason) = checked {
                return reason.into();
            }
        }
        // The timer work runs in each round. With the alarm alone, a client that never stops sending would delay the
        // work forever.
        let next_timer = protocol.on_timer(&mut subscriptions);
        let due = heartbeat
            .next_check
            .min(Instant::now() + subscriptions.session().remaining());
        let due = next_timer.map_or(due, |earlier| due.min(earlier));
        let throttled_until = frame_rate.throttled_until(Instant::now());
        let due = throttled_until.map_or(due, |until| due.min(until));
        // The alarm may fire too early, which costs less than to set it in each round.
        if due < alarm.deadline() || alarm.is_elapsed() {
            alarm.as_mut().reset(due);
        }
        // The order of precedence: a close, frames of the client, events, the clock.
        if let Some(reason) = close_signal.close_reason() {
            return reason.into();
        }
        let wakeup = select! {
            biased;
            received = socket.recv(), if throttled_until.is_none() => Wakeup::Received(received),
            () = subscriptions.wait_for_events_or_close() => Wakeup::Ready,
            () = &mut alarm => Wakeup::Timer,
        };
        let is_timer = matches!(wakeup, Wakeup::Timer);
        let woken_at = Instant::now();
        let results = match wakeup {
            Wakeup::Received(received) => {
                heartbeat.record_received();
                frame_rate.record_frame(woken_at);
                let flood_limit = u64::from(channels.settings.limits.frames_held);
                if P::CLOSES_ON_FLOOD && frame_rate.over_limit_for().as_secs() >= flood_limit {
                    return CloseReason::RateLimited.into();
                }
                // The client receives the reply before the events of its request.
                subscriptions.set_direct_write_paused(true);
                let frames = read_available::<P>(received, socket, &mut frame_rate);
                subscriptions.record().count_received(frames.count());
                let handling =
                    handle_frames(frames, socket, &mut subscriptions, channels, protocol);
                Box::pin(until_closed(handling, &close_signal)).await
            }
            Wakeup::Ready => Ok(FrameResults::default()),
            // The alarm of the protocol, which the next round handles.
            Wakeup::Timer if heartbeat.next_check > woken_at => Ok(FrameResults::default()),
            Wakeup::Timer => match heartbeat.tick() {
                HeartbeatAction::Wait => Ok(FrameResults::default()),
                HeartbeatAction::Ping => {
                    let ping = socket.send(Message::Ping(Default::default()));
                    let sent = Box::pin(with_stall_timeout(ping, &close_signal, channels)).await;
                    sent.map(|()| FrameResults::default())
                }
                HeartbeatAction::Close => Err(CloseReason::PongTimeout.into()),
            },
        };
        written = match results {
            // Events are also sent after frames, so that a client that never stops sending receives events.
            Ok(results) if !is_timer => {
                let replies = results.replies;
                let sending = send_ready(replies, socket, &mut subscriptions, channels, protocol);
                let sent = Box::pin(until_closed(sending, &close_signal)).await;
                if sent.is_ok() && results.command_replies > 0 {
                    let histogram = METRICS.ack_seconds.of(P::TRANSPORT);
                    histogram.observe_n(woken_at.elapsed(), results.command_replies.into());
                }
                sent
            }
            results => results.map(drop),
        };
    }
    written.err().unwrap_or(ConnectionEnd::ConnectionLost)
}

/// Runs work for a socket, and stops it when the socket must close. A command that was submitted is stored all the
/// same. When the server stops, the reply gets some time.
async fn until_closed<T>(
    work: impl Future<Output = Result<T, ConnectionEnd>>,
    close_signal: &CloseSignal,
) -> Result<T, ConnectionEnd> {
    let closed = async {
        let reason = close_signal.wait().await;
        if reason == CloseReason::ServerRestart {
            sleep(SHUTDOWN_REPLY_TIMEOUT).await;
        }
        reason
    };
    select! {
        biased;
        result = work => result,
        reason = closed => Err(reason.into()),
    }
}

/// Writes replies, and with them the next batch of the subscription whose turn it is.
async fn send_ready<P: SocketProtocol>(
    mut frames: Vec<Utf8Bytes>,
    socket: &mut WebSocket,
    subscriptions: &mut Subscriptions<P::GroupState>,
    channels: &Channels,
    protocol: &mut P,
) -> Result<(), ConnectionEnd> {
    let (new_groups, ready) = (
        subscriptions.take_new_groups(),
        subscriptions.next_ready_slot(),
    );
    let ready_subscription = ready.and_then(|slot| subscriptions.get_mut(slot));
    let needs_log = ready_subscription.is_some_and(|subscription| subscription.needs_log());
    if !new_groups.is_empty() || needs_log {
        // A reply does not wait for a read of the database.
        write_frames(socket, take(&mut frames), subscriptions, channels).await?;
    }
    if !new_groups.is_empty() {
        frames = Box::pin(protocol.on_groups_joined(new_groups, subscriptions)).await;
    }
    let replies = frames.len();
    let user = subscriptions.session().user_id;
    let scope = subscriptions.scope();
    let mut new_events = NewEvents::new(scope);
    if let Some(slot) = ready
        && let Some(subscription) = subscriptions.get_mut(slot)
        && let Some(reason) =
            collect_frames(subscription, protocol, &mut frames, &mut new_events, user).await
    {
        if subscriptions.scope() != SocketScope::ManyGroups {
            frames.truncate(replies);
            write_frames(socket, frames, subscriptions, channels).await?;
            return Err(reason.into());
        }
        if let Some(subscription) = subscriptions.take(slot) {
            frames.extend(protocol.on_subscription_lost(subscription, reason));
        }
    }
    write_frames(socket, frames, subscriptions, channels).await?;
    new_events.observe_writes();
    if subscriptions.has_pending_bytes() {
        flush(socket, subscriptions, channels).await?;
    }
    subscriptions.set_direct_write_paused(false);
    if let Some(subscription) = ready.and_then(|slot| subscriptions.get_mut(slot)) {
        subscription.allow_direct_write();
    }
    Ok(())
}

/// The new events of a write to a socket, for the metrics.
struct NewEvents {
    scope: SocketScope,
    /// The origin and the time of the commit of each event.
    events: Vec<(EventOrigin, std::time::Instant)>,
}

impl NewEvents {
    const fn new(scope: SocketScope) -> Self {
        Self {
            scope,
            events: Vec::new(),
        }
    }

    /// Adds the events whose frames the socket receives.
    fn extend(&mut self, events: &[Arc<EncodedEvent>]) {
        let received = events
            .iter()
            .filter(|event| self.scope.receives_frame_of(&event.effect));
        self.events
            .extend(received.map(|event| (event.origin, event.committed_at)));
    }

    /// Observes the delays of the events, after their write.
    fn observe_writes(self) {
        let writes = self.events.into_iter();
        METRICS.delivery_seconds.observe_writes(
            WritePath::Task,
            writes.map(|(origin, committed_at)| (origin, committed_at, 1)),
        );
    }
}

/// Adds the frames of the next events of a subscription, and the events to `new_events` unless the socket
/// replays them. Returns the reason, if the subscription is lost.
async fn collect_frames<P: SocketProtocol>(
    subscription: &mut Subscription<P::GroupState>,
    protocol: &mut P,
    frames: &mut Vec<Utf8Bytes>,
    new_events: &mut NewEvents,
    user: i64,
) -> Option<CloseReason> {
    let close_reason = subscription.close_reason();
    let next = match close_reason {
        // The last events of a lost subscription, as far as the buffer has them.
        Some(_) => subscription.next_buffered(),
        None if subscription.is_waiting_to_retry() => return None,
        None => match subscription.next_events().await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, user, "the log could not be read for a socket; trying again");
                subscription.retry_after(READ_RETRY_DELAY);
                return None;
            }
        },
    };
    let mut events = Vec::new();
    match next {
        // Ephemeral events come last: a socket that is behind receives none.
        NextEvents::None if close_reason.is_none() => {
            frames.extend(subscription.take_ephemeral_frames());
        }
        NextEvents::None => {}
        NextEvents::InLog => subscription.notify(),
        NextEvents::Events(batch) => events = batch,
    }
    if let Some(removed) = events
        .iter()
        .position(|event| subscription.is_removed_by(event))
    {
        // The event that ends the membership is the last one that the user receives.
        events.truncate(removed + 1);
        subscription.cancel_sync();
        protocol.encode(subscription, &events, frames);
        return Some(CloseReason::NotMember);
    }
    if !events.is_empty() {
        subscription.notify();
    }
    if subscription.is_live() {
        new_events.extend(&events);
    }
    protocol.encode(subscription, &events, frames);
    close_reason
}
