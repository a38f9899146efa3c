//! Answers on their way to slow clients: bounded in time, in bytes, and in the rate of requests.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Error as BodyError,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use ipnet::IpNet;
use loco_rs::app::AppContext;
use tokio::time::Instant;

use super::{client_stream::ResponseHandle, connection::is_streaming, hosts::PROBE_PATHS};
use crate::{
    assets::SharedBytes,
    controllers::extractors::{ClientAddress, RequestUser},
    errors::{Error, Result},
    limits::{LogThrottle, RateLimited, RequestLimits},
    settings::HttpSettings,
};

/// The largest answer that is not counted: the kernel takes an answer of this size at once.
const UNCOUNTED_RESPONSE_BYTES: u64 = 16 * 1024;

/// The bytes that are given to the connection at once.
const SLICE_BYTES: usize = 16 * 1024;

/// The size that is assumed of an answer that does not tell its size.
const ASSUMED_RESPONSE_BYTES: u64 = 64 * 1024;

/// The share of all bytes that one user, and one network, may have in flight.
const USER_SHARE_DIVISOR: u64 = 8;
const NETWORK_SHARE_DIVISOR: u64 = 2;

/// The time after which a refused client may ask again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The answers that wait to be sent.
///
/// Each user and each network may have a share of the bytes. When an answer does not fit into the bytes of
/// the node, the slowest clients lose their connections.
pub(super) struct ResponseLimiter {
    max_bytes: u64,
    in_flight: Mutex<InFlightResponses>,
    disconnect_log: LogThrottle,
}

#[derive(Default)]
struct InFlightResponses {
    responses: HashMap<u64, InFlightResponse>,
    last_id: u64,
    bytes: u64,
    bytes_by_user: HashMap<i64, u64>,
    bytes_by_network: HashMap<IpNet, u64>,
}

struct InFlightResponse {
    user_id: Option<i64>,
    network: Option<IpNet>,
    bytes: u64,
    sent_bytes: Arc<AtomicU64>,
    started_at: Instant,
    handle: ResponseHandle,
}

impl ResponseLimiter {
    pub(super) fn new(settings: &HttpSettings) -> Arc<Self> {
        Arc::new(Self {
            max_bytes: settings.answer_bytes,
            in_flight: Mutex::default(),
            disconnect_log: LogThrottle::new(),
        })
    }

    /// Counts an answer until the ticket is dropped. An answer that may not be refused is counted beyond the
    /// shares too.
    fn try_acquire(
        self: &Arc<Self>,
        answer: InFlightResponse,
        may_refuse: bool,
    ) -> Result<ResponsePermit, RateLimited> {
        let mut in_flight = self.lock_in_flight();
        let (bytes, user_id, network) = (answer.bytes, answer.user_id, answer.network);
        let is_above = |counted: u64, share: u64| {
            // One answer is always allowed.
            counted > 0 && counted.saturating_add(bytes) > self.max_bytes / share
        };
        let of_user = user_id
            .and_then(|id| in_flight.bytes_by_user.get(&id))
            .copied();
        let of_network = network
            .and_then(|it| in_flight.bytes_by_network.get(&it))
            .copied();
        let is_above_share = is_above(of_user.unwrap_or(0), USER_SHARE_DIVISOR)
            || is_above(of_network.unwrap_or(0), NETWORK_SHARE_DIVISOR);
        if may_refuse && is_above_share {
            return Err(RateLimited(RETRY_AFTER));
        }
        while in_flight.bytes.saturating_add(bytes) > self.max_bytes {
            let Some(slowest) = in_flight.slowest_id() else {
                break;
            };
            if let Some(answer) = in_flight.remove(slowest) {
                answer.handle.cancel();
            }
            if let Some(suppressed) = self.disconnect_log.allow() {
                tracing::warn!(
                    suppressed,
                    "answer memory full: the slowest client is disconnected"
                );
            }
        }
        let sent = answer.sent_bytes.clone();
        let id = in_flight.add(answer);
        drop(in_flight);
        Ok(ResponsePermit {
            limiter: self.clone(),
            id,
            sent_bytes: sent,
        })
    }

    fn lock_in_flight(&self) -> MutexGuard<'_, InFlightResponses> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlightResponses {
    fn add(&mut self, answer: InFlightResponse) -> u64 {
        self.last_id += 1;
        self.bytes += answer.bytes;
        if let Some(user_id) = answer.user_id {
            *self.bytes_by_user.entry(user_id).or_default() += answer.bytes;
        }
        if let Some(network) = answer.network {
            *self.bytes_by_network.entry(network).or_default() += answer.bytes;
        }
        self.responses.insert(self.last_id, answer);
        self.last_id
    }

    fn remove(&mut self, id: u64) -> Option<InFlightResponse> {
        let answer = self.responses.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(answer.bytes);
        if let Some(user_id) = answer.user_id {
            subtract_bytes(&mut self.bytes_by_user, user_id, answer.bytes);
        }
        if let Some(network) = answer.network {
            subtract_bytes(&mut self.bytes_by_network, network, answer.bytes);
        }
        Some(answer)
    }

    /// Returns the answer of the client that has read the fewest bytes a second.
    fn slowest_id(&self) -> Option<u64> {
        let rate = |answer: &InFlightResponse| {
            let micros = answer.started_at.elapsed().as_micros().max(1);
            u128::from(answer.sent_bytes.load(Ordering::Relaxed)) * 1_000_000 / micros
        };
        // Of those that have read nothing, the oldest.
        let slowest = self
            .responses
            .iter()
            .min_by_key(|(_, answer)| (rate(answer), answer.started_at));
        slowest.map(|(id, _)| *id)
    }
}

fn subtract_bytes<K: Copy + Eq + std::hash::Hash>(
    counts: &mut HashMap<K, u64>,
    key: K,
    bytes: u64,
) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(bytes);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// The place of an answer among those in flight, until it is dropped.
struct ResponsePermit {
    limiter: Arc<ResponseLimiter>,
    id: u64,
    sent_bytes: Arc<AtomicU64>,
}

impl Drop for ResponsePermit {
    fn drop(&mut self) {
        self.limiter.lock_in_flight().remove(self.id);
    }
}

/// Refuses a network that reads too often, and counts each answer until its client has read it.
pub(super) async fn limit_responses(
    State(ctx): State<AppContext>,
    client: Result<ClientAddress>,
    mut request: Request,
    next: Next,
) -> Response {
    let network = client.ok().map(ClientAddress::network);
    if let Some(network) = network
        && counts_as_read(&request)
        && let Some(limits) = ctx.shared_store.get::<Arc<RequestLimits>>()
        && let Err(too_fast) = limits.network_reads.check(network)
    {
        return Error::from(too_fast).into_response();
    }
    // A request that has changed something is answered: its client would repeat it otherwise.
    let may_refuse = request.method().is_safe();
    let sending = request.extensions().get::<ResponseHandle>().cloned();
    let reader = RequestUser::default();
    request.extensions_mut().insert(reader.clone());
    let response = next.run(request).await;
    let Some(sending) = sending.filter(|_| response.extensions().get::<SharedBytes>().is_none())
    else {
        return response;
    };
    let Some(answers) = ctx.shared_store.get::<Arc<ResponseLimiter>>() else {
        return response;
    };
    if is_streaming(&response) {
        return response;
    }
    let bytes = response
        .body()
        .size_hint()
        .exact()
        .unwrap_or(ASSUMED_RESPONSE_BYTES);
    if bytes <= UNCOUNTED_RESPONSE_BYTES {
        return response;
    }
    let answer = InFlightResponse {
        user_id: reader.user_id(),
        network,
        bytes,
        sent_bytes: Arc::default(),
        started_at: Instant::now(),
        handle: sending,
    };
    match answers.try_acquire(answer, may_refuse) {
        Ok(ticket) => response.map(|body| {
            Body::new(SlicedBody {
                body,
                slices: VecDeque::new(),
                permit: ticket,
            })
        }),
        Err(too_fast) => Error::from(too_fast).into_response(),
    }
}

/// Returns whether a request counts as a read. Sockets have limits of their own, and probes have none.
fn counts_as_read(request: &Request) -> bool {
    request.method().is_safe()
        && !request.uri().path().starts_with("/ws/")
        && !PROBE_PATHS.contains(&request.uri().path().trim_end_matches('/'))
}

/// A body that is given to the connection in slices, so that the progress of its client is known.
struct SlicedBody {
    body: Body,
    /// The slices that are left. Each has memory of its own, which is freed when it is sent. The buffer that
    /// JSON was written to is up to twice as long as its content.
    slices: VecDeque<Bytes>,
    permit: ResponsePermit,
}

impl HttpBody for SlicedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.slices.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.slices = data
                            .chunks(SLICE_BYTES)
                            .map(Bytes::copy_from_slice)
                            .collect()
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let slice = self.slices.pop_front().unwrap_or_default();
        // The connection asks for a slice when it has sent the one before.
        self.permit
            .sent_bytes
            .fetch_add(slice.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.slices.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest: u64 = self.slices.iter().map(|slice| slice.len() as u64).sum();
        let hint = self.body.size_hint();
        let mut size = SizeHint::new();
        size.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            size.set_upper(upper + rest);
        }
        size
    }
}
