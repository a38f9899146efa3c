//! One socket's life, in one task; and that of a stream.

mod base;
mod rich;
mod stream;
mod wire;

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use axum::{
    Error,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

pub use self::rich::Entry;
use self::wire::{fault, flush, in_time, write};
pub(super) use self::{base::Base, rich::Rich, stream::serve as stream, wire::refuse};
use super::{
    Channels, Member,
    heartbeat::{Beat, Heartbeat},
    hub::{Ending, News, Peer, Places, Subscription},
    protocol::{CloseReason, event::Told},
    transport::{answer_close, close},
};
use crate::limits::Pace;

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

/// What a socket says and understands: the base contract, or the rich protocol. Its places in groups
/// have numbers.
pub(super) trait Mode {
    /// Whether the peer may learn that it says too much, and be closed for it; else what it says is
    /// read more slowly, and nothing else.
    const ENDS_FLOODS: bool;

    /// The first frames, and where in its groups' logs the socket begins.
    fn greet(&mut self, places: &mut Places) -> Vec<Utf8Bytes>;

    /// Does what a frame of the peer asks for, and gives the reply.
    ///
    /// # Errors
    /// Why the socket must be closed instead.
    fn hear(
        &mut self,
        text: &str,
        places: &mut Places,
    ) -> impl Future<Output = Result<Vec<Utf8Bytes>, CloseReason>> + Send;

    /// Takes places in groups that the user has become a member of, and gives what is to be said of
    /// it.
    fn welcome(
        &mut self,
        groups: Vec<Arc<str>>,
        places: &mut Places,
    ) -> impl Future<Output = Vec<Utf8Bytes>> + Send;

    /// What the peer is shown of an event.
    fn show(&mut self, place: usize, told: &Told) -> Option<Utf8Bytes>;

    /// What the peer is shown once it was told all up to and with an event.
    fn shown_to(&mut self, place: usize, seq: i64) -> Option<Utf8Bytes>;

    /// Whether what the peer is to be shown next of a place is events as they are, and nothing else.
    fn may_be_told_at_once(&self, place: usize) -> bool;

    /// What the peer is shown when it has lost a place.
    ///
    /// # Errors
    /// With the reason, where the socket has no others and must be closed.
    fn lose(&mut self, place: usize, reason: CloseReason)
    -> Result<Option<Utf8Bytes>, CloseReason>;

    /// When to look after it again, at the latest.
    fn due(&self) -> Option<Instant>;

    /// Does what is due by the clock.
    fn look_after(&mut self);

    /// The last frame before the close.
    fn goodbye(&self, reason: CloseReason) -> Option<Utf8Bytes>;
}

/// What a connection waits for.
enum Event {
    Received(Option<Result<Message, Error>>),
    News,
    Tick,
}

/// Serves a socket, which begins as one of these members, until one side ends it.
pub(super) async fn run<M: Mode>(
    mut socket: Box<WebSocket>,
    peer: Arc<Peer>,
    members: Vec<Member>,
    channels: &Channels,
    mode: &mut M,
) {
    // An idle socket pays for all that its task may ever hold: what is rare is boxed, here and below,
    // and what is waited for is pinned, since a future that is moved is held twice.
    let mut places = Places::new(channels.hub.clone(), peer);
    Box::pin(places.join(&members)).await;
    drop(members);
    match converse(&mut socket, places, channels, mode).await {
        Ended::ByUs(reason) => Box::pin(close(socket, mode.goodbye(reason), reason)).await,
        Ended::ByPeer => Box::pin(answer_close(socket)).await,
        Ended::Broken => {}
    }
}

/// Takes the places with it when it ends: nobody waits in a group for a socket that only says
/// goodbye.
async fn converse<M: Mode>(
    socket: &mut WebSocket,
    mut places: Places,
    channels: &Channels,
    mode: &mut M,
) -> Ended {
    let settings = &channels.settings.channels;
    let mut heartbeat = Heartbeat::new(
        Duration::from_secs(settings.ping_every.into()),
        Duration::from_secs(settings.pong_timeout.into()),
    );
    let mut pace = Pace::new(channels.settings.limits.frames_per_second, Instant::now());
    let ending = places.ending();
    if let Some(reason) = ending.now() {
        // Meanwhile; what the greeting would say may not hold any more.
        return reason.into();
    }
    let greeting = mode.greet(&mut places);
    let mut written = write(socket, greeting, &ending, channels).await;
    while written.is_ok() {
        // Each time, and not by the clock alone, which a peer that never stops talking outshouts.
        mode.look_after();
        if places.session().left().is_zero() {
            // Whoever may have to go is told nothing meanwhile.
            places.be_busy(true);
            let looked = Box::pin(places.expiry().look()).await;
            places.be_busy(false);
            if let Err(reason) = looked {
                return reason.into();
            }
        }
        let due = heartbeat.due.min(Instant::now() + places.session().left());
        let due = mode.due().map_or(due, |earlier| due.min(earlier));
        let held_until = pace.held_until(Instant::now());
        let due = held_until.map_or(due, |until| due.min(until));
        // In order: what ends the socket, news of the peer, what is to be told, the clock.
        let event = select! {
            biased;
            reason = ending.reason() => return reason.into(),
            received = socket.recv(), if held_until.is_none() => Event::Received(received),
            () = places.news() => Event::News,
            () = sleep_until(due) => Event::Tick,
        };
        let is_tick = matches!(event, Event::Tick);
        written = match event {
            Event::Received(received) => {
                heartbeat.heard();
                pace.heard(Instant::now());
                let held_at_most = u64::from(channels.settings.limits.frames_held);
                if M::ENDS_FLOODS && pace.in_excess_for().as_secs() >= held_at_most {
                    return CloseReason::TooFast.into();
                }
                // What comes of it the peer hears after the reply.
                places.be_busy(true);
                let taken = {
                    let taking = pin!(take(received, socket, &mut places, channels, mode));
                    unless_over(taking, &ending).await
                };
                places.be_busy(false);
                taken
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
            let telling = pin!(tell(socket, &mut places, channels, mode));
            written = unless_over(telling, &ending).await;
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

/// Writes the next batch of what the socket is to be told: of the one place whose turn it is.
async fn tell<M: Mode>(
    socket: &mut WebSocket,
    places: &mut Places,
    channels: &Channels,
    mode: &mut M,
) -> Result<(), Ended> {
    let welcomes = places.take_welcomes();
    let mut frames = if welcomes.is_empty() {
        Vec::new()
    } else {
        Box::pin(mode.welcome(welcomes, places)).await
    };
    let user = places.session().user_id;
    let rung = places.take_rung();
    if let Some(number) = rung
        && let Some(place) = places.get_mut(number)
        && let Some(reason) = tell_of(place, number, mode, &mut frames, user).await
    {
        frames.extend(mode.lose(number, reason)?);
        places.leave(number);
    }
    write(socket, frames, &places.ending(), channels).await?;
    if places.has_rest() {
        flush(socket, &places.ending(), channels).await?;
    }
    if let Some(number) = rung.filter(|number| mode.may_be_told_at_once(*number))
        && let Some(place) = places.get_mut(number)
    {
        place.let_the_room_tell();
    }
    Ok(())
}

/// Gathers the next batch of what there is to be told of one place. Gives why it is lost, if it is.
async fn tell_of<M: Mode>(
    place: &mut Subscription,
    number: usize,
    mode: &mut M,
    frames: &mut Vec<Utf8Bytes>,
    user: i64,
) -> Option<CloseReason> {
    let lost = place.over();
    if lost.is_none() && place.is_resting() {
        return None;
    }
    let news = match lost {
        None => match place.next().await {
            Ok(news) => news,
            Err(error) => {
                tracing::warn!(%error, user, "a socket cannot be told what it has missed; trying again");
                place.rest(READ_AGAIN_AFTER);
                return None;
            }
        },
        // Of one that is lost, the end.
        Some(_) => place.next_kept(),
    };
    match news {
        // Last, and only to who is not behind.
        News::None if lost.is_none() => frames.extend(place.whispers()),
        News::None => {}
        News::InTheLog => place.ring(),
        News::Events(events) => {
            for told in &events {
                frames.extend(mode.show(number, told));
                if place.is_put_out_by(told) {
                    return Some(CloseReason::NotMember);
                }
            }
            place.ring();
        }
    }
    frames.extend(mode.shown_to(number, place.told()));
    lost
}

/// Does what a frame of the peer asks for.
async fn take<M: Mode>(
    received: Option<Result<Message, Error>>,
    socket: &mut WebSocket,
    places: &mut Places,
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
    let replies = mode.hear(&text, places).await?;
    write(socket, replies, &places.ending(), channels).await
}
