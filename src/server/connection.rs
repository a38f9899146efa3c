//! One connection, which carries requests one after the other until it is a socket.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{net::TcpStream, select};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    client_stream::{ClientStream, ResponseHandle},
    connection_limiter::{ConnectionPermit, TooManyConnections},
};

/// A client that has not sent its headers by then is closed, and so is a connection that has been
/// idle between two requests for so long: a proxy in front must keep its own for less.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Who is turned away has less time to ask for it.
const REJECTED_HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// A peer that acknowledges nothing, or takes nothing, for this long is gone, whatever is being sent
/// to it (RFC 5482).
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);

/// More headers, or more bytes of them, are answered with 431.
const MAX_HEADERS: usize = 64;
const HEADER_BUFFER_BYTES: usize = 16 * 1024;

/// Serves a connection until it ends, or `stop` is cancelled and the request in flight is answered.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    guest: Arc<ConnectionPermit>,
    router: Router,
    stop: CancellationToken,
) {
    set_socket_options(&stream, peer);
    let sending = ResponseHandle::default();
    let stream = ClientStream::new(stream, sending.clone(), Some(guest.clone()));
    let line = stream.writer();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(guest.clone());
        request.extensions_mut().insert(line.clone());
        request.extensions_mut().insert(sending.clone());
        let answering = router.clone().oneshot(request.map(Body::new));
        let sending = sending.clone();
        async move {
            let answer = answering.await;
            // A stream may wait for events. Its own task sees whether the client reads them.
            sending.start(answer.as_ref().is_ok_and(is_streaming));
            answer
        }
    });
    let serving = http1_builder(HEADER_TIMEOUT).serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving.with_upgrades());
    let served = select! {
        served = serving.as_mut() => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}

/// Answers one request with why there is no place for it.
pub(super) async fn reject(
    stream: TcpStream,
    peer: SocketAddr,
    full: TooManyConnections,
    router: Router,
) {
    set_socket_options(&stream, peer);
    let stream = ClientStream::new(stream, ResponseHandle::default(), None);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(full);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut http = http1_builder(REJECTED_HEADER_TIMEOUT);
    let serving = http
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        tracing::debug!(%error, %peer, "a connection was turned away unheard");
    }
}

fn http1_builder(headers_within: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(headers_within)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HEADER_BUFFER_BYTES);
    http
}

fn set_socket_options(stream: &TcpStream, peer: SocketAddr) {
    // A frame that waits for the acknowledgement of the last one is 40 ms late.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "no TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(TCP_USER_TIMEOUT)) {
        tracing::debug!(%error, %peer, "no TCP_USER_TIMEOUT");
    }
}

/// Returns whether an answer is the beginning of a socket or of a stream of events.
pub(super) fn is_streaming(answer: &Response) -> bool {
    let of_events =
        |value: &axum::http::HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
    answer.status() == StatusCode::SWITCHING_PROTOCOLS
        || answer.headers().get(CONTENT_TYPE).is_some_and(of_events)
}
