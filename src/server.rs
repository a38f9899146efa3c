//! The accept loop: what a connection may cost, and how the server stops.
//!
//! `axum::serve` has no time-out for headers, sends small frames late (Nagle's algorithm) and
//! knows no deadline when it stops; this has.

use std::{io::Write, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{Version, header::HOST},
    middleware::map_response,
    response::IntoResponse,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use loco_rs::Result;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Layer, ServiceExt};
use tower_http::normalize_path::NormalizePathLayer;

use crate::errors::{self, Error};

/// A client that has not sent its headers by then is closed, and so is a connection that has been
/// idle between two requests for so long: a proxy in front must keep its own for less.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);

/// A peer that acknowledges nothing, or takes nothing, for this long is gone, whatever is being sent
/// to it (RFC 5482).
#[cfg(target_os = "linux")]
const GONE_AFTER: Duration = Duration::from_secs(60);

/// More headers, or more bytes of them, are answered with 431.
const MAX_HEADERS: usize = 64;
const HEADER_BUFFER: usize = 16 * 1024;

/// How long requests in flight may take once the server stops.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// After an error of `accept`, such as no free file descriptor, it would fail again at once.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Binds the address of the configuration.
///
/// # Errors
/// When the address is taken or not of this machine; the text says what to do.
pub async fn bind(binding: &str, port: i32) -> Result<TcpListener> {
    let address = format!("{binding}:{port}");
    TcpListener::bind(&address).await.map_err(|error| {
        loco_rs::Error::Message(format!(
            "cannot listen on {address}: {error}; PORT and BINDING choose another address"
        ))
    })
}

/// Says where everything is, whatever the log level.
///
/// # Errors
/// When standard output is closed.
pub fn print_addresses(address: SocketAddr) -> Result<()> {
    let base = format!("http://{address}");
    writeln!(
        std::io::stdout(),
        "\nSalam is ready\n  page  {base}/\n  docs  {base}/swagger/\n  API   {base}/api-docs/openapi.json\n"
    )?;
    Ok(())
}

/// Every path answers with and without its trailing slash, and every error is JSON.
pub fn outer_layers(router: Router) -> Router {
    let any_slash = NormalizePathLayer::trim_trailing_slash().layer(router);
    Router::new()
        .fallback_service(any_slash)
        .layer(map_response(errors::as_json))
}

/// Serves until `stop` is cancelled, then finishes the requests in flight, for 10 s at most.
/// Sockets are no requests any more: whoever stops the server drains them.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, router.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(FINISH_WITHIN, connections.wait()).await.is_err() {
        tracing::warn!(
            requests = connections.len(),
            "some requests did not finish in time"
        );
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    // A frame that waits for the acknowledgement of the last one is 40 ms late.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "no TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(GONE_AFTER)) {
        tracing::debug!(%error, %peer, "no TCP_USER_TIMEOUT");
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move {
            if has_wrong_host(&request) {
                return Ok(Error::invalid("A request needs one Host header.").into_response());
            }
            router.oneshot(request.map(Body::new)).await
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HEADER_BUFFER);
    let mut serving = std::pin::pin!(
        http.serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
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

/// HTTP/1.1 wants exactly one (RFC 9112, section 3.2).
fn has_wrong_host(request: &Request<Incoming>) -> bool {
    let count = request.headers().get_all(HOST).iter().count();
    count > 1 || (count == 0 && request.version() == Version::HTTP_11)
}
