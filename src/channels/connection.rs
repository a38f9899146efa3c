//! One socket's life, in one task.

use std::time::Duration;

use axum::{
    Error,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
};
use futures_util::SinkExt;
use tokio::{
    select,
    time::{Instant, sleep, sleep_until, timeout},
};
use tungstenite::error::CapacityError;

use super::{
    Channels, Member,
    hub::Subscription,
    protocol::{self, BaseRequest, Closing},
};

/// A peer that takes nothing for this long is gone or as good as gone.
const NO_PROGRESS: Duration = Duration::from_secs(30);

/// How long a peer gets to answer our close.
const LINGER: Duration = Duration::from_secs(2);

/// Frames written before a flush, at most.
const BATCH: usize = 64;

/// How a conversation ended.
enum Ended {
    /// The peer closed, or the connection broke.
    ByPeer,
    ByUs(Closing),
}

/// Serves a base socket until one side ends it.
pub(super) async fn run(mut socket: WebSocket, member: &Member, channels: &Channels) {
    let mut subscription = channels.hub.join(member).await;
    let ended = converse(&mut socket, &mut subscription, member, channels).await;
    // Nobody waits in the group for a socket that only says goodbye.
    drop(subscription);
    if let Ended::ByUs(closing) = ended {
        close(socket, closing).await;
    }
}

async fn converse(
    socket: &mut WebSocket,
    subscription: &mut Subscription,
    member: &Member,
    channels: &Channels,
) -> Ended {
    let settings = &channels.settings;
    let ping_every = Duration::from_secs(settings.channels.ping_every.into());
    let pong_timeout = Duration::from_secs(settings.channels.pong_timeout.into());
    let mut pulse = Pulse::new(ping_every, pong_timeout);

    let greeting = protocol::greeting(&member.username, &settings.clock());
    if let Err(ended) = write(socket, [greeting]).await {
        return ended;
    }
    loop {
        let written = select! {
            () = channels.draining.cancelled() => return Ended::ByUs(Closing::Restart),
            received = socket.recv() => {
                pulse.heard();
                match received {
                    Some(Ok(Message::Text(text))) => match BaseRequest::parse(&text) {
                        None => return Ended::ByUs(Closing::NotJson),
                        Some(request) => {
                            if let BaseRequest::Post(_) = request {
                                subscription.post();
                            }
                            write(socket, [protocol::answer(&settings.clock())]).await
                        }
                    },
                    Some(Ok(Message::Binary(_))) => return Ended::ByUs(Closing::Binary),
                    // Pings are answered by the library.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                    Some(Ok(Message::Close(_))) | None => return Ended::ByPeer,
                    Some(Err(error)) => return fault(error),
                }
            }
            frame = subscription.frames.recv() => match frame {
                None => return Ended::ByUs(Closing::Slow),
                Some(frame) => {
                    let more = std::iter::from_fn(|| subscription.frames.try_recv().ok());
                    write(socket, std::iter::once(frame).chain(more).take(BATCH)).await
                }
            },
            () = sleep_until(pulse.due) => match pulse.beat() {
                Beat::Ping => flush(socket, Message::Ping(Default::default())).await,
                Beat::Rest => Ok(()),
                Beat::Dead => return Ended::ByUs(Closing::NoPong),
            },
        };
        if let Err(ended) = written {
            return ended;
        }
    }
}

/// When to ask a silent peer whether it is there, and when to give it up.
struct Pulse {
    ping_every: Duration,
    pong_timeout: Duration,
    /// When to look again.
    due: Instant,
    /// Whether anything came since the last look.
    heard: bool,
    /// Whether a ping is out that nothing has come after.
    asked: bool,
}

enum Beat {
    Rest,
    Ping,
    Dead,
}

impl Pulse {
    fn new(ping_every: Duration, pong_timeout: Duration) -> Self {
        let due = Instant::now() + ping_every;
        Self {
            ping_every,
            pong_timeout,
            due,
            heard: false,
            asked: false,
        }
    }

    fn heard(&mut self) {
        self.heard = true;
    }

    fn beat(&mut self) -> Beat {
        let beat = match (self.heard, self.asked) {
            (true, _) => Beat::Rest,
            (false, false) => Beat::Ping,
            (false, true) => Beat::Dead,
        };
        self.heard = false;
        self.asked = matches!(beat, Beat::Ping);
        self.due = Instant::now()
            + if self.asked {
                self.pong_timeout
            } else {
                self.ping_every
            };
        beat
    }
}

async fn write(
    socket: &mut WebSocket,
    frames: impl IntoIterator<Item = Utf8Bytes>,
) -> Result<(), Ended> {
    in_time(async {
        for frame in frames {
            socket.feed(Message::Text(frame)).await?;
        }
        socket.flush().await
    })
    .await
}

async fn flush(socket: &mut WebSocket, message: Message) -> Result<(), Ended> {
    in_time(socket.send(message)).await
}

async fn in_time(writing: impl Future<Output = Result<(), Error>>) -> Result<(), Ended> {
    match timeout(NO_PROGRESS, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::ByPeer),
        Err(_) => Err(Ended::ByUs(Closing::Slow)),
    }
}

/// What to do about an error of reading.
fn fault(error: Error) -> Ended {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. })) => {
            Ended::ByUs(Closing::TooBig)
        }
        Some(tungstenite::Error::Utf8(_)) => Ended::ByUs(Closing::NotJson),
        Some(tungstenite::Error::Protocol(_)) => Ended::ByUs(Closing::Protocol),
        _ => Ended::ByPeer,
    }
}

/// Says why, and gives the peer time to hear it: a connection that is dropped with unread bytes is
/// reset, and the reset may overtake the close frame.
async fn close(mut socket: WebSocket, closing: Closing) {
    let frame = CloseFrame {
        code: closing.code(),
        reason: closing.reason().into(),
    };
    let goodbye = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(received) = socket.recv().await {
                if received.is_err() {
                    // Nothing more can be read after a frame that was too big; the peer still can.
                    sleep(LINGER).await;
                }
            }
        }
    };
    // In vain if the peer is gone.
    let _ = timeout(LINGER, goodbye).await;
}
