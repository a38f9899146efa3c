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

use super::{Entry, READ_AGAIN_AFTER};
use crate::{
    channels::{
        Channels, Member,
        hub::{News, Places, Scope, Subscription},
        protocol::{
            CloseReason,
            rich::{Frame, ResetReason},
        },
    },
    limits::Seat,
    models::sessions::Live,
};

/// Something is sent at least this often, so that whatever stands between does not take the stream
/// for dead.
const BEAT: Duration = Duration::from_secs(15);

/// A comment, without the empty line that ends an event: some parsers make an empty event of a block without
/// data.
const COMMENT: Bytes = Bytes::from_static(b":\n");

/// Milliseconds after which a client comes back, one of these for each: not all at once.
const RETRY: std::ops::Range<u64> = 500..5000;

/// Events that may wait for the client, beside the batch that is being told.
const WAITING: usize = 16;

/// Keeps a proxy from gathering the stream up before it passes it on.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// In what life of the database the numbers mean something; for `epoch` when the client comes back.
const EPOCH: HeaderName = HeaderName::from_static("salam-epoch");

/// What the stream of a client ended with, if it was not its own end.
type Ended = Result<(), CloseReason>;

/// Answers with the log of a member's group after an event, and all that comes.
pub(in crate::channels) fn serve(
    channels: &Channels,
    member: Member,
    session: Live,
    entry: Entry,
    seat: Seat,
) -> Response {
    let (events, received) = mpsc::channel(WAITING);
    // However much waits, there is a place for the last.
    let last = events.clone().try_reserve_owned();
    let here = channels.clone();
    channels.sockets.spawn(async move {
        let listening = Box::pin(tell(&here, &member, session, &entry, &events));
        if let Err(reason) = listening.await {
            let mut bye = named("bye", &Frame::Bye(reason.into()));
            if reason == CloseReason::SubscribeAgain {
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
    let epoch = [(EPOCH, channels.hub.epoch().name.clone())];
    let response = Sse::new(events).into_response().map(kept_alive);
    let private = [(header::CACHE_CONTROL, "no-store")];
    (private, [UNBUFFERED], epoch, response).into_response()
}

/// Returns a body that sends a comment whenever it would be silent for [`BEAT`].
fn kept_alive(body: Body) -> Body {
    let next = async |mut body: BodyDataStream| match timeout(BEAT, body.next()).await {
        Ok(part) => Some((part?, body)),
        Err(_) => Some((Ok(COMMENT), body)),
    };
    Body::from_stream(stream::unfold(body.into_data_stream(), next))
}

/// The way to the client of a stream.
struct Outlet<'a> {
    events: &'a mpsc::Sender<Event>,
    /// The time within which the client takes something.
    limit: Duration,
    /// The time after which the client reconnects, until it is sent with the first event.
    retry: Option<Duration>,
}

async fn tell(
    channels: &Channels,
    member: &Member,
    session: Live,
    entry: &Entry,
    events: &mpsc::Sender<Event>,
) -> Ended {
    let peer = channels.peer(&member.author, Scope::Log, session, None);
    let mut places = Places::new(channels.hub.clone(), peer);
    places.join(std::slice::from_ref(member)).await;
    let (ending, expiry) = (places.ending(), places.expiry());
    let telling = async {
        if let Some(place) = places.get_mut(0) {
            let stall_timeout = channels.settings.channels.stall_timeout;
            let mut outlet = Outlet {
                events,
                limit: Duration::from_secs(stall_timeout.into()),
                retry: Some(Duration::from_millis(rand::rng().random_range(RETRY))),
            };
            let sync_at = begin(channels, member, entry, place, &mut outlet).await?;
            follow(member, place, sync_at, &mut outlet).await?;
        }
        Ok(())
    };
    select! {
        biased;
        reason = ending.reason() => Err(reason),
        () = events.closed() => Ok(()),
        reason = expiry.reason() => Err(reason),
        ended = telling => ended,
    }
}

/// Goes to where the client is. Gives the event up to which it is brought before it is live.
async fn begin(
    channels: &Channels,
    member: &Member,
    entry: &Entry,
    place: &mut Subscription,
    outlet: &mut Outlet<'_>,
) -> Result<i64, CloseReason> {
    let head = place.last().max(member.head);
    let after = entry.after.unwrap_or(0);
    let is_known = |epoch: &String| **epoch == channels.hub.epoch().name;
    let reset = if !entry.epoch.as_ref().is_none_or(is_known) {
        Some(ResetReason::Epoch)
    } else if after > head {
        Some(ResetReason::Ahead)
    } else {
        None
    };
    place.go_to(if reset.is_some() { head } else { after });
    if let Some(reason) = reset {
        let group = &*member.group;
        let reset = Frame::Reset {
            group,
            reason,
            head,
        };
        outlet.send(named("reset", &reset)).await?;
    }
    Ok(head)
}

async fn follow(
    member: &Member,
    place: &mut Subscription,
    sync_at: i64,
    outlet: &mut Outlet<'_>,
) -> Ended {
    let mut sync_at = Some(sync_at);
    loop {
        match place.next().await {
            Err(error) => {
                let (user, group) = (member.author.id, &member.group);
                tracing::warn!(%error, user, %group, "a stream cannot be told what it has missed; trying again");
                sleep(READ_AGAIN_AFTER).await;
            }
            Ok(News::InTheLog) => {}
            Ok(News::None) => place.news().await,
            Ok(News::Events(batch)) => {
                for told in &batch {
                    if place.is_put_out_by(told) {
                        return Err(CloseReason::NotMember);
                    }
                    let event = Event::default().id(told.seq.to_string());
                    outlet.send(event.data(told.frame().as_str())).await?;
                }
            }
        }
        if let Some(head) = sync_at.take_if(|head| *head <= place.told()) {
            let seq = place.told().max(head);
            let group = &*member.group;
            let sync = named("sync", &Frame::Sync { group, seq });
            outlet.send(sync).await?;
        }
    }
}

impl Outlet<'_> {
    /// Sends an event. Waits for a client that is slow, but not for a client that takes nothing.
    async fn send(&mut self, event: Event) -> Ended {
        // In the block of an event: some parsers make an empty event of a block that has no data.
        let event = match self.retry.take() {
            Some(retry) => event.retry(retry),
            None => event,
        };
        match timeout(self.limit, self.events.send(event)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(CloseReason::Slow),
        }
    }
}

fn named(name: &str, frame: &Frame<'_>) -> Event {
    Event::default().event(name).data(frame.encode().as_str())
}
