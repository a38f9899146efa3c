//! A stream of Server-Sent Events (WHATWG HTML, section 9.2): a group's log for who only reads.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    http::header::{self, HeaderName},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::{StreamExt, stream};
use rand::Rng;
use tokio::{
    select,
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{LOG_READ_RETRY_DELAY, ResumePoint};
use crate::{
    channels::{
        Channels, Member,
        hub::{NextEvents, SocketScope, Subscription, Subscriptions},
        protocol::{
            CloseReason,
            rich::{Frame, ResetReason},
        },
    },
    limits::SocketPermit,
    models::sessions::ActiveSession,
};

/// Something is sent at least this often, so that whatever stands between does not take the stream
/// for dead.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A comment, without the empty line that ends an event: some parsers make an empty event of a block without
/// data.
const KEEP_ALIVE_COMMENT: Bytes = Bytes::from_static(b":\n");

/// Milliseconds after which a client comes back, one of these for each: not all at once.
const RETRY_MS: std::ops::Range<u64> = 500..5000;

/// Events that may wait for the client, beside the batch that is being told.
const EVENT_QUEUE_CAPACITY: usize = 16;

/// Keeps a proxy from gathering the stream up before it passes it on.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// In what life of the database the numbers mean something; for `epoch` when the client comes back.
const EPOCH_HEADER: HeaderName = HeaderName::from_static("salam-epoch");

/// What the stream of a client ended with, if it was not its own end.
type StreamResult = Result<(), CloseReason>;

/// Answers with the log of a member's group after an event, and all that comes.
pub(in crate::channels) fn serve_event_stream(
    channels: &Channels,
    member: Member,
    session: ActiveSession,
    entry: ResumePoint,
    seat: SocketPermit,
) -> Response {
    let (events, received) = mpsc::channel(EVENT_QUEUE_CAPACITY);
    // However much waits, there is a place for the last.
    let last = events.clone().try_reserve_owned();
    let here = channels.clone();
    channels.tasks.spawn(async move {
        let listening = Box::pin(run_stream(&here, &member, session, &entry, &events));
        if let Err(reason) = listening.await {
            let mut bye = named_event("bye", &Frame::Bye(reason.into()));
            if reason == CloseReason::EpochChanged {
                // What the client has got means nothing any more: it must not go on after it.
                bye = bye.id("");
            }
            if let Ok(last) = last {
                last.send(bye);
            }
        }
        drop(seat);
    });
    let events = stream::unfold(received, async |mut received| {
        let event: Event = received.recv().await?;
        Some((Ok::<_, Infallible>(event), received))
    });
    let epoch = [(EPOCH_HEADER, channels.hub.epoch().name.clone())];
    let response = Sse::new(events).into_response().map(with_keep_alive);
    let private = [(header::CACHE_CONTROL, "no-store")];
    (private, [NO_BUFFERING], epoch, response).into_response()
}

/// Returns a body that sends a comment whenever it would be silent for [`KEEP_ALIVE_INTERVAL`].
fn with_keep_alive(body: Body) -> Body {
    let next =
        async |mut body: BodyDataStream| match timeout(KEEP_ALIVE_INTERVAL, body.next()).await {
            Ok(part) => Some((part?, body)),
            Err(_) => Some((Ok(KEEP_ALIVE_COMMENT), body)),
        };
    Body::from_stream(stream::unfold(body.into_data_stream(), next))
}

/// The way to the client of a stream.
struct EventSender<'a> {
    queue: &'a mpsc::Sender<Event>,
    /// The time within which the client takes something.
    stall_timeout: Duration,
    /// The time after which the client reconnects, until it is sent with the first event.
    retry: Option<Duration>,
}

async fn run_stream(
    channels: &Channels,
    member: &Member,
    session: ActiveSession,
    entry: &ResumePoint,
    events: &mpsc::Sender<Event>,
) -> StreamResult {
    let peer = channels.new_socket_handle(&member.actor, SocketScope::EventsOnly, session, None);
    let mut places = Subscriptions::new(channels.hub.clone(), peer);
    places.join(std::slice::from_ref(member)).await;
    let (ending, expiry) = (places.close_signal(), places.session_expiry());
    let telling = async {
        if let Some(place) = places.get_mut(0) {
            let stall_timeout = channels.settings.channels.stall_timeout;
            let mut outlet = EventSender {
                queue: events,
                stall_timeout: Duration::from_secs(stall_timeout.into()),
                retry: Some(Duration::from_millis(rand::rng().random_range(RETRY_MS))),
            };
            let sync_at = resume(channels, member, entry, place, &mut outlet).await?;
            stream_events(member, place, sync_at, &mut outlet).await?;
        }
        Ok(())
    };
    select! {
        biased;
        reason = ending.wait() => Err(reason),
        () = events.closed() => Ok(()),
        reason = expiry.wait() => Err(reason),
        ended = telling => ended,
    }
}

/// Goes to where the client is. Gives the event up to which it is brought before it is live.
async fn resume(
    channels: &Channels,
    member: &Member,
    entry: &ResumePoint,
    place: &mut Subscription,
    outlet: &mut EventSender<'_>,
) -> Result<i64, CloseReason> {
    let head = place.room_last_seq().max(member.head);
    let after = entry.after.unwrap_or(0);
    let is_known = |epoch: &String| **epoch == channels.hub.epoch().name;
    let reset = if !entry.epoch.as_ref().is_none_or(is_known) {
        Some(ResetReason::Epoch)
    } else if after > head {
        Some(ResetReason::Ahead)
    } else {
        None
    };
    place.seek(if reset.is_some() { head } else { after });
    if let Some(reason) = reset {
        let group = &*member.group_name;
        let reset = Frame::Reset {
            group,
            reason,
            head,
        };
        outlet.send(named_event("reset", &reset)).await?;
    }
    Ok(head)
}

async fn stream_events(
    member: &Member,
    place: &mut Subscription,
    sync_at: i64,
    outlet: &mut EventSender<'_>,
) -> StreamResult {
    let mut sync_at = Some(sync_at);
    loop {
        match place.next_events().await {
            Err(error) => {
                let (user, group) = (member.actor.id, &member.group_name);
                tracing::warn!(%error, user, %group, "a stream cannot be told what it has missed; trying again");
                sleep(LOG_READ_RETRY_DELAY).await;
            }
            Ok(NextEvents::InLog) => {}
            Ok(NextEvents::None) => place.wait_for_events().await,
            Ok(NextEvents::Events(batch)) => {
                for told in &batch {
                    if place.is_removed_by(told) {
                        return Err(CloseReason::NotMember);
                    }
                    let event = Event::default().id(told.seq.to_string());
                    outlet.send(event.data(told.frame().as_str())).await?;
                }
            }
        }
        if let Some(head) = sync_at.take_if(|head| *head <= place.delivered_seq()) {
            let seq = place.delivered_seq().max(head);
            let group = &*member.group_name;
            let sync = named_event("sync", &Frame::Sync { group, seq });
            outlet.send(sync).await?;
        }
    }
}

impl EventSender<'_> {
    /// Sends an event. Waits for a client that is slow, but not for a client that takes nothing.
    async fn send(&mut self, event: Event) -> StreamResult {
        // In the block of an event: some parsers make an empty event of a block that has no data.
        let event = match self.retry.take() {
            Some(retry) => event.retry(retry),
            None => event,
        };
        match timeout(self.stall_timeout, self.queue.send(event)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(CloseReason::SlowConsumer),
        }
    }
}

fn named_event(name: &str, frame: &Frame<'_>) -> Event {
    Event::default().event(name).data(frame.encode().as_str())
}
