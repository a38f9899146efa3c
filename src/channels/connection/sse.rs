//! An event stream (Server-Sent Events; WHATWG HTML, section 9.2): a group's log, for clients that only read.

use std::{convert::Infallible, slice, sync::Arc, time::Duration};

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

use super::{ConnectionEnd, READ_RETRY_DELAY, ResumePoint, resume::record_resume};
use crate::{
    channels::{
        Channels, Member, SocketAdmission,
        delivery::{NextEvents, SocketHandle, Subscription, Subscriptions},
        protocol::{CloseReason, rich::Frame},
        socket_record::SocketMode,
    },
    limits::StartPermit,
    metrics::{METRICS, WritePath},
    models::sessions::ActiveSession,
};

/// The longest time without a byte. Proxies take a silent stream for dead.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A comment, without the empty line that ends an event: some parsers make an empty event of a block without
/// data.
const KEEP_ALIVE_COMMENT: Bytes = Bytes::from_static(b":\n");

/// The range of the times, in milliseconds, after which clients reconnect. Each client gets another time, so that
/// they do not all reconnect at once.
const RETRY_MS: std::ops::Range<u64> = 500..5000;

/// The number of events that may wait for the client, in addition to the batch that is being sent.
const EVENT_QUEUE_CAPACITY: usize = 16;

/// Tells a proxy to pass on each event at once.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// The header with the epoch, which the client sends as `epoch` when it reconnects.
const EPOCH_HEADER: HeaderName = HeaderName::from_static("salam-epoch");

/// The end of a stream: the client's end, or the reason of the server.
type StreamResult = Result<(), CloseReason>;

/// Answers with the events of a member's group after an event, and then with all new events.
pub(in crate::channels) fn serve_event_stream(
    channels: &Channels,
    member: Member,
    session: ActiveSession,
    resume_point: ResumePoint,
    admission: SocketAdmission,
) -> Response {
    let (sender, receiver) = mpsc::channel(EVENT_QUEUE_CAPACITY);
    // The last event has a reserved place, so that a full queue accepts it.
    let last = sender.clone().try_reserve_owned();
    let task_channels = channels.clone();
    let group = Some(member.group_name.clone());
    let (permit, start, socket) =
        channels.open_handle(SocketMode::Stream, &member.actor, group, session, admission);
    channels.tasks.spawn(async move {
        socket.record.opened();
        let subscriber = socket.clone();
        let streaming = run_stream(
            &task_channels,
            &member,
            subscriber,
            start,
            &resume_point,
            &sender,
        );
        let streamed = Box::pin(streaming).await;
        let end = match streamed {
            Ok(()) => ConnectionEnd::ClosedByPeer(None),
            Err(reason) => ConnectionEnd::ClosedByServer(reason),
        };
        socket.record.ended(&end);
        if let Err(reason) = streamed {
            let mut bye = named_event("bye", &Frame::Bye(reason.into()));
            if reason == CloseReason::EpochChanged {
                // The client's last id means nothing in the new epoch, so the client must not resume after it.
                bye = bye.id("");
            }
            if let Ok(last) = last {
                last.send(bye);
            }
        }
        drop(permit);
    });
    let events = stream::unfold(receiver, async |mut receiver| {
        let event: Event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let epoch = [(EPOCH_HEADER, channels.hub.epoch.current().name.clone())];
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

/// The events for the client of a stream.
struct EventSender<'a> {
    queue: &'a mpsc::Sender<Event>,
    /// The time within which the client must receive an event.
    stall_timeout: Duration,
    /// The time after which the client reconnects, until it is sent with the first event.
    retry: Option<Duration>,
}

async fn run_stream(
    channels: &Channels,
    member: &Member,
    socket: Arc<SocketHandle>,
    start: StartPermit,
    resume_point: &ResumePoint,
    queue: &mpsc::Sender<Event>,
) -> StreamResult {
    let mut subscriptions = Subscriptions::new(channels.hub.clone(), socket);
    subscriptions.join(slice::from_ref(member), |_| ()).await;
    drop(start);
    let (close_signal, expiry) = (subscriptions.close_signal(), subscriptions.session_expiry());
    let streaming = async {
        if let Some(subscription) = subscriptions.iter_mut().next() {
            let stall_timeout = channels.settings.channels.stall_timeout;
            let mut events = EventSender {
                queue,
                stall_timeout: Duration::from_secs(stall_timeout.into()),
                retry: Some(Duration::from_millis(rand::rng().random_range(RETRY_MS))),
            };
            resume(channels, member, resume_point, subscription, &mut events).await?;
            stream_events(member, subscription, &mut events).await?;
        }
        Ok(())
    };
    select! {
        biased;
        reason = close_signal.wait() => Err(reason),
        () = queue.closed() => Ok(()),
        reason = expiry.wait() => Err(reason),
        ended = streaming => ended,
    }
}

/// Moves the subscription to the client's position. A position that cannot be replayed is reset to the head.
async fn resume(
    channels: &Channels,
    member: &Member,
    resume_point: &ResumePoint,
    subscription: &mut Subscription<()>,
    events: &mut EventSender<'_>,
) -> StreamResult {
    let head = subscription.room_last_seq().max(member.head);
    let after = resume_point.after.unwrap_or(0);
    // A stream may replay the whole log, because its client cannot load the history at the same time.
    let epoch = channels.hub.epoch.current();
    let reset = resume_point.reset_reason(after, head, &epoch.name, i64::MAX);
    record_resume("stream", reset, resume_point.after.is_some());
    subscription.resume(if reset.is_some() { head } else { after }, head);
    if let Some(reason) = reset {
        let group = &*member.group_name;
        let reset = Frame::Reset {
            group,
            reason,
            head,
        };
        events.send(named_event("reset", &reset)).await?;
    }
    Ok(())
}

async fn stream_events(
    member: &Member,
    subscription: &mut Subscription<()>,
    events: &mut EventSender<'_>,
) -> StreamResult {
    loop {
        let is_live = subscription.is_live();
        match subscription.next_events().await {
            Err(error) => {
                let (user, group) = (member.actor.id, &member.group_name);
                tracing::warn!(%error, user, %group, "the log could not be read for a stream; trying again");
                sleep(READ_RETRY_DELAY).await;
            }
            Ok(NextEvents::InLog) => {}
            Ok(NextEvents::None) => subscription.wait_for_events().await,
            Ok(NextEvents::Events(batch)) => {
                for event in &batch {
                    if subscription.is_removed_by(event) {
                        return Err(CloseReason::NotMember);
                    }
                    let id = event.seq.to_string();
                    let frame = Event::default().id(id).data(event.frame().as_str());
                    events.send(frame).await?;
                    if is_live {
                        let write = (event.origin, event.committed_at, 1);
                        METRICS
                            .delivery_seconds
                            .observe_writes(WritePath::Task, [write]);
                    }
                }
            }
        }
        if let Some(seq) = subscription.take_sync() {
            let group = &*member.group_name;
            let sync = named_event("sync", &Frame::Sync { group, seq });
            events.send(sync).await?;
        }
    }
}

impl EventSender<'_> {
    /// Sends an event, and waits until the client has room for it.
    ///
    /// # Errors
    /// When a client receives nothing within the stall timeout.
    async fn send(&mut self, event: Event) -> StreamResult {
        // `retry` is in the block of an event, because some parsers make an empty event of a block without data.
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
