//! One HTTP/1.1 connection, which carries requests one after the other until it becomes a socket.

use std::{net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::Response,
};
use futures_util::poll;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use loco_rs::app::AppContext;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{net::TcpStream, select};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    client_stream::{ClientStream, ResponseHandle},
    opening::OpeningPermit,
};
use crate::{
    controllers::extractors::ClientAddress,
    errors::Result,
    limits::{ConnectionPermit, TooManyConnections},
    settings::Settings,
};

/// The time within which a client must send the headers of its next request.
///
/// The limit also closes a connection that is idle between two requests. A proxy in front must use
/// a shorter keep-alive timeout.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The same limit for a connection that is rejected.
const REJECTED_HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// The time after which the kernel closes a connection whose client acknowledges or accepts no data
/// (RFC 5482).
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);

/// The limit of headers. A request with more headers gets 431.
const MAX_HEADERS: usize = 64;
/// The limit of the headers' bytes. A request with more bytes gets 431.
const HEADER_BUFFER_BYTES: usize = 16 * 1024;

/// Serves a connection until it ends, or until `stop` is cancelled and the current request is
/// answered. `opening` counts the connection until its first request is routed.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    permit: Arc<ConnectionPermit>,
    opening: OpeningPermit,
    router: Router,
    stop: CancellationToken,
) {
    set_socket_options(&stream, peer);
    let first_byte = opening.wait_for_first_byte(&stream, HEADER_TIMEOUT);
    let Some(opening) = stop.run_until_cancelled(first_byte).await.flatten() else {
        return;
    };
    let handle = ResponseHandle::default();
    let stream = ClientStream::new(stream, handle.clone(), Some(permit.clone()));
    let writer = stream.writer();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(permit.clone());
        request.extensions_mut().insert(writer.clone());
        request.extensions_mut().insert(handle.clone());
        let call = router.clone().oneshot(request.map(Body::new));
        let handle = handle.clone();
        async move {
            let response = call.await;
            // A stream may wait for events. Its own task checks whether the client reads the
            // events.
            let is_stream = response.as_ref().is_ok_and(is_streaming);
            let is_socket = response
                .as_ref()
                .is_ok_and(|response| response.status() == StatusCode::SWITCHING_PROTOCOLS);
            handle.start(is_stream, is_socket);
            response
        }
    });
    let connection = http1_builder(HEADER_TIMEOUT).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection.with_upgrades());
    // The request is read and routed, up to the first point at which it waits.
    let first = poll!(connection.as_mut());
    drop(opening);
    let served = match first {
        Poll::Ready(served) => served,
        Poll::Pending => select! {
            served = connection.as_mut() => served,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        },
    };
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "connection ended early");
    }
}

/// Answers one request with the error why the connection is rejected, then closes the connection.
pub(super) async fn reject(
    stream: TcpStream,
    peer: SocketAddr,
    reason: TooManyConnections,
    router: Router,
) {
    set_socket_options(&stream, peer);
    let stream = ClientStream::new(stream, ResponseHandle::default(), None);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(reason);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut http = http1_builder(REJECTED_HEADER_TIMEOUT);
    let connection = http
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, %peer, "rejected connection ended before its answer");
    }
}

/// Answers the requests of rejected connections, and counts each other connection for its client.
pub(super) async fn enforce_limits(
    State(ctx): State<AppContext>,
    client: Result<ClientAddress>,
    request: Request,
    next: Next,
) -> Result<Response> {
    if let Some(reason) = request.extensions().get::<TooManyConnections>() {
        return Err((*reason).into());
    }
    let settings = Settings::from_context(&ctx)?;
    // Without the accept loop, as in the framework's own tests, there is no permit and no count.
    if let (Some(permit), Ok(client)) =
        (request.extensions().get::<Arc<ConnectionPermit>>(), client)
    {
        let is_proxy = settings.door.trusted_proxies.contains(client.ip());
        permit.assign_client((!is_proxy).then(|| client.network()))?;
    }
    Ok(next.run(request).await)
}

fn http1_builder(header_timeout: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HEADER_BUFFER_BYTES);
    http
}

fn set_socket_options(stream: &TcpStream, peer: SocketAddr) {
    // Without TCP_NODELAY, a frame that waits for the acknowledgement of the last frame is 40 ms
    // late.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "TCP_NODELAY could not be set");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(TCP_USER_TIMEOUT)) {
        tracing::debug!(%error, %peer, "TCP_USER_TIMEOUT could not be set");
    }
}

/// Returns `true` if a response starts a socket or a stream of events.
pub(super) fn is_streaming(response: &Response) -> bool {
    let is_event_stream =
        |value: &axum::http::HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        || response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(is_event_stream)
}
