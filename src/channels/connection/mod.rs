//! One socket's life, in one task; and that of a stream.

mod base;
mod hearing;
mod rich;
mod stream;
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

pub use self::rich::Entry;
pub(super) use self::{base::Base, rich::Rich, stream::serve as stream, wire::refuse};
use self::{
    hearing::{gather, hear},
    wire::{flush, in_time, write},
};
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

/// What has come of frames of the peer.
#[derive(Default)]
pub(super) struct Heard {
    pub replies: Vec<Utf8Bytes>,
    /// Why the socket must be closed after these.
    pub end: Option<CloseReason>,
}

/// What a socket says and understands: the base contract, or the rich protocol. Its places in groups
/// have numbers.
pub(super) trait Mode {
    /// Whether the peer may learn that it says too much, and be closed for it; else what it says is
    /// read more slowly, and nothing else.
    const ENDS_FLOODS: bool;

    /// Frames that are heard together, at most.
    const FRAMES_AT_ONCE: usize;

    /// The first frames, and where in its groups' logs the socket begins.
    fn greet(&mut self, places: &mut Places) -> Vec<Utf8Bytes>;

    /// Does what frames of the peer ask for, in their order, and gives the replies. Changes that come
    /// one after the other are made together.
    fn hear(
        &mut self,
        texts: &[Utf8Bytes],
        places: &mut Places,
    ) -> impl Future<Output = Heard> + Send;

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

    /// Whether it must see itself what comes next: until then nothing is written past the socket's task.
    fn must_see(&self) -> bool;

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
    // An idle socket pays for all that its task may ever hold: whatever it does but wait is boxed.
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
    let mut written = Box::pin(write(socket, greeting, &places, channels)).await;
    let mut alarm = pin!(sleep_until(heartbeat.due));
    while written.is_ok() {
        // Each time, and not by the clock alone, which a peer that never stops talking outshouts.
        mode.look_after();
        if places.session().left().is_zero() {
            // Whoever may have to go is told nothing meanwhile.
            places.be_busy(true);
            let looked = Box::pin(places.expiry().look()).await;
            places.be_busy(mode.must_see());
            if let Err(reason) = looked {
                return reason.into();
            }
        }
        let due = heartbeat.due.min(Instant::now() + places.session().left());
        let due = mode.due().map_or(due, |earlier| due.min(earlier));
        let held_until = pace.held_until(Instant::now());
        let due = held_until.map_or(due, |until| due.min(until));
        // It may go off too early, for nothing, and seldom does: set each time it would cost more.
        if due < alarm.deadline() || alarm.is_elapsed() {
            alarm.as_mut().reset(due);
        }
        // In order: what ends the socket, news of the peer, what is to be told, the clock.
        if let Some(reason) = ending.now() {
            return reason.into();
        }
        let event = select! {
            biased;
            received = socket.recv(), if held_until.is_none() => Event::Received(received),
            () = places.news() => Event::News,
            () = &mut alarm => Event::Tick,
        };
        let is_tick = matches!(event, Event::Tick);
        let done = match event {
            Event::Received(received) => {
                heartbeat.heard();
                pace.heard(Instant::now());
                let held_at_most = u64::from(channels.settings.limits.frames_held);
                if M::ENDS_FLOODS && pace.in_excess_for().as_secs() >= held_at_most {
                    return CloseReason::TooFast.into();
                }
                // What comes of it the peer hears after the reply.
                places.be_busy(true);
                let heard = gather::<M>(received, socket, &mut pace);
                let hearing = hear(heard, socket, &mut places, channels, mode);
                Box::pin(unless_over(hearing, &ending)).await
            }
            Event::News => Ok(Vec::new()),
            // It may be that of the mode, which the next round looks after.
            Event::Tick if heartbeat.due > Instant::now() => Ok(Vec::new()),
            Event::Tick => match heartbeat.tick() {
                Beat::Rest => Ok(Vec::new()),
                Beat::Ping => {
                    let ping = socket.send(Message::Ping(Default::default()));
                    let pinged = Box::pin(in_time(ping, &ending, channels)).await;
                    pinged.map(|()| Vec::new())
                }
                Beat::Dead => Err(CloseReason::NoPong.into()),
            },
        };
        written = match done {
            // After what it sent, too: a peer that never stops talking is told what there is.
            Ok(replies) if !is_tick => {
                let telling = tell(replies, socket, &mut places, channels, mode);
                Box::pin(unless_over(telling, &ending)).await
            }
            done => done.map(drop),
        };
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

/// Writes replies, and with them the next batch of what the socket is to be told: of the one place
/// whose turn it is.
async fn tell<M: Mode>(
    mut frames: Vec<Utf8Bytes>,
    socket: &mut WebSocket,
    places: &mut Places,
    channels: &Channels,
    mode: &mut M,
) -> Result<(), Ended> {
    let (welcomes, rung) = (places.take_welcomes(), places.take_rung());
    let is_behind = rung.and_then(|number| Some(places.get_mut(number)?.is_behind()));
    if !welcomes.is_empty() || is_behind == Some(true) {
        // Nobody waits for a reply until the database has been read.
        write(socket, take(&mut frames), places, channels).await?;
    }
    if !welcomes.is_empty() {
        frames = Box::pin(mode.welcome(welcomes, places)).await;
    }
    let replies = frames.len();
    let user = places.session().user_id;
    if let Some(number) = rung
        && let Some(place) = places.get_mut(number)
        && let Some(reason) = tell_of(place, number, mode, &mut frames, user).await
    {
        match mode.lose(number, reason) {
            Ok(loss) => frames.extend(loss),
            Err(reason) => {
                frames.truncate(replies);
                write(socket, frames, places, channels).await?;
                return Err(reason.into());
            }
        }
        places.leave(number);
    }
    write(socket, frames, places, channels).await?;
    if places.has_rest() {
        flush(socket, places, channels).await?;
    }
    places.be_busy(mode.must_see());
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
