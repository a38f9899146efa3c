//! The limits of responses to slow clients: time, bytes, and the rate of requests.

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
    limits::{LogThrottle, RateKey, RateLimited, RequestLimits},
    settings::HttpSettings,
};

/// The largest response that is not counted. The kernel accepts a response of this size at once.
const UNCOUNTED_RESPONSE_BYTES: u64 = 16 * 1024;

/// The number of bytes that the connection gets at once.
const SLICE_BYTES: usize = 16 * 1024;

/// The assumed size of a response without a known size.
const ASSUMED_RESPONSE_BYTES: u64 = 64 * 1024;

/// The divisor that yields the share of one user in all bytes in flight.
const USER_SHARE_DIVISOR: u64 = 8;
/// The divisor that yields the share of one network in all bytes in flight.
const NETWORK_SHARE_DIVISOR: u64 = 2;

/// The time after which a refused client may retry.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The responses that wait to be sent.
///
/// Each user and each network may have a share of the bytes. When a response does not fit into the
/// bytes of the node, the limiter disconnects the slowest clients.
pub(super) struct ResponseLimiter {
    max_bytes: u64,
    in_flight: Mutex<InFlightResponses>,
    disconnect_log: LogThrottle,
}

/// The counted responses and their sums.
#[derive(Default)]
struct InFlightResponses {
    responses: HashMap<u64, InFlightResponse>,
    last_id: u64,
    bytes: u64,
    bytes_by_user: HashMap<i64, u64>,
    bytes_by_network: HashMap<IpNet, u64>,
}

/// One counted response.
struct InFlightResponse {
    user_id: Option<i64>,
    network: Option<IpNet>,
    bytes: u64,
    sent_bytes: Arc<AtomicU64>,
    started_at: Instant,
    handle: ResponseHandle,
}

impl ResponseLimiter {
    /// Creates the limiter with the limit of the settings.
    pub(super) fn new(settings: &HttpSettings) -> Arc<Self> {
        Arc::new(Self {
            max_bytes: settings.answer_bytes,
            in_flight: Mutex::default(),
            disconnect_log: LogThrottle::new(),
        })
    }

    /// Counts a response until the permit is dropped.
    ///
    /// A response that may not be refused also counts beyond the shares.
    ///
    /// # Errors
    /// [`RateLimited`] when the response may be refused and the share of its user or network is
    /// used up.
    fn try_acquire(
        self: &Arc<Self>,
        response: InFlightResponse,
        may_refuse: bool,
    ) -> Result<ResponsePermit, RateLimited> {
        let mut in_flight = self.lock_in_flight();
        let (bytes, user_id, network) = (response.bytes, response.user_id, response.network);
        let is_above = |counted: u64, share: u64| {
            // One response is always allowed.
            counted > 0 && counted.saturating_add(bytes) > self.max_bytes / share
        };
        let of_user = user_id
            .and_then(|id| in_flight.bytes_by_user.get(&id))
            .copied();
        let of_network = network
            .and_then(|network| in_flight.bytes_by_network.get(&network))
            .copied();
        let is_above_share = is_above(of_user.unwrap_or(0), USER_SHARE_DIVISOR)
            || is_above(of_network.unwrap_or(0), NETWORK_SHARE_DIVISOR);
        if may_refuse && is_above_share {
            return Err(RateLimited {
                retry_after: RETRY_AFTER,
            });
        }
        while in_flight.bytes.saturating_add(bytes) > self.max_bytes {
            let Some(slowest) = in_flight.slowest_id() else {
                break;
            };
            if let Some(response) = in_flight.remove(slowest) {
                response.handle.cancel();
            }
            if let Some(suppressed) = self.disconnect_log.allow() {
                tracing::warn!(
                    suppressed,
                    "response memory full: slowest client disconnected"
                );
            }
        }
        let sent = response.sent_bytes.clone();
        let id = in_flight.add(response);
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
    fn add(&mut self, response: InFlightResponse) -> u64 {
        self.last_id += 1;
        self.bytes += response.bytes;
        if let Some(user_id) = response.user_id {
            *self.bytes_by_user.entry(user_id).or_default() += response.bytes;
        }
        if let Some(network) = response.network {
            *self.bytes_by_network.entry(network).or_default() += response.bytes;
        }
        self.responses.insert(self.last_id, response);
        self.last_id
    }

    fn remove(&mut self, id: u64) -> Option<InFlightResponse> {
        let response = self.responses.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(response.bytes);
        if let Some(user_id) = response.user_id {
            subtract_bytes(&mut self.bytes_by_user, user_id, response.bytes);
        }
        if let Some(network) = response.network {
            subtract_bytes(&mut self.bytes_by_network, network, response.bytes);
        }
        Some(response)
    }

    /// Returns the id of the response whose client has read the fewest bytes a second.
    fn slowest_id(&self) -> Option<u64> {
        let rate = |response: &InFlightResponse| {
            let micros = response.started_at.elapsed().as_micros().max(1);
            u128::from(response.sent_bytes.load(Ordering::Relaxed)) * 1_000_000 / micros
        };
        // Among the clients that have read no bytes, the oldest response comes first.
        let slowest = self
            .responses
            .iter()
            .min_by_key(|(_, response)| (rate(response), response.started_at));
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

/// Counts a response as in flight until it is dropped.
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

/// Limits the reads of a network, and counts each response until its client has read it.
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
        && let Err(rate_limited) = limits.network_reads.check(RateKey::Network(network))
    {
        return Error::from(rate_limited).into_response();
    }
    // A request that has changed data always gets its response. Its client would repeat the request
    // otherwise.
    let may_refuse = request.method().is_safe();
    let handle = request.extensions().get::<ResponseHandle>().cloned();
    let user = RequestUser::default();
    request.extensions_mut().insert(user.clone());
    let response = next.run(request).await;
    let Some(handle) = handle.filter(|_| response.extensions().get::<SharedBytes>().is_none())
    else {
        return response;
    };
    let Some(limiter) = ctx.shared_store.get::<Arc<ResponseLimiter>>() else {
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
    let in_flight = InFlightResponse {
        user_id: user.user_id(),
        network,
        bytes,
        sent_bytes: Arc::default(),
        started_at: Instant::now(),
        handle,
    };
    match limiter.try_acquire(in_flight, may_refuse) {
        Ok(permit) => response.map(|body| {
            Body::new(SlicedBody {
                body,
                slices: VecDeque::new(),
                permit,
            })
        }),
        Err(rate_limited) => Error::from(rate_limited).into_response(),
    }
}

/// Returns `true` if a request counts as a read. Sockets have limits of their own, and probes have
/// none.
fn counts_as_read(request: &Request) -> bool {
    request.method().is_safe()
        && !request.uri().path().starts_with("/ws/")
        && !PROBE_PATHS.contains(&request.uri().path().trim_end_matches('/'))
}

/// A body that gives the connection one slice after the other, so that the client's progress is
/// known.
struct SlicedBody {
    body: Body,
    /// The remaining slices. Each slice has memory of its own, which is freed when the slice is
    /// sent.
    ///
    /// The buffer that the JSON was written to is up to twice as long as its content.
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
        // The connection requests a slice once it has sent the slice before.
        self.permit
            .sent_bytes
            .fetch_add(slice.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.slices.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let remaining: u64 = self.slices.iter().map(|slice| slice.len() as u64).sum();
        let hint = self.body.size_hint();
        let mut size = SizeHint::new();
        size.set_lower(hint.lower() + remaining);
        if let Some(upper) = hint.upper() {
            size.set_upper(upper + remaining);
        }
        size
    }
}
