//! The accept loop: the limits of a connection, and the shutdown of the server.
//!
//! `axum::serve` has no timeout for headers, no limit of connections and no deadline for a
//! shutdown. It also sends small frames late (Nagle's algorithm). This loop avoids these faults.
//!
//! The layers around the routes are, from the outside:
//!
//! 1. the default headers ([`headers`]),
//! 2. the log of refused clients ([`refusal_log`]),
//! 3. the memory of responses ([`response_limiter`]),
//! 4. errors as JSON ([`errors::ensure_json_errors`]),
//! 5. the limits of connections ([`connection`]),
//! 6. the allowed hosts ([`hosts`]),
//! 7. the check for forbidden writes ([`write_guard`]),
//! 8. the timeout of bodies ([`request_body`]).

mod client_stream;
mod connection;
mod file_limit;
mod headers;
mod hosts;
mod line_endings;
mod opening;
mod refusal_log;
mod request_body;
mod response_limiter;
pub mod service_manager;
mod stop;
mod write_guard;

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state, map_response},
};
use chrono::Utc;
use loco_rs::{Result, app::AppContext, logger::Format};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    select,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Layer;
use tower_http::normalize_path::NormalizePathLayer;

pub use self::file_limit::hard_limit_connections;
pub use self::stop::{SharedStopSignals, StopReason, StopSignals};
use self::{hosts::AllowedHosts, opening::OpeningLimiter, response_limiter::ResponseLimiter};
use crate::{
    channels::Channels,
    controllers::{self, extractors::ClientAddress},
    database, errors,
    limits::{ClientLogThrottle, ConnectionLimiter},
    settings::{self, HttpSettings, MetricsSettings, NetworkSet, Settings},
    supervisor::Supervisor,
    views,
};

/// The longest time that current requests get once the server stops.
const REQUEST_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of connections that may wait to be accepted. The system allows at most
/// `net.core.somaxconn`.
///
/// When all clients reconnect at once, a client beyond this number retries a second later.
const LISTEN_BACKLOG: u32 = 4096;

/// The pause after a failed `accept`. Without a free file descriptor or memory, the next call would
/// fail at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The number of open connections to the metrics listener. Prometheus and an operator need a few.
const MAX_METRICS_CONNECTIONS: usize = 32;

/// The number of rejected connections that get an answer at the same time. Others are closed
/// without an answer.
const MAX_CONCURRENT_REJECTIONS: usize = 64;

/// Returns `true` if an error of `accept` is about the new connection and not about the listener.
///
/// These are the errors of the connection itself and of its network (accept(2), "Error handling").
fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TimedOut
    )
}

/// Listens on the address of the configuration.
///
/// # Errors
/// When the address is in use or not an address of this machine. The text names the settings.
pub async fn bind(binding: &str, port: i32) -> Result<TcpListener> {
    let address = format!("{binding}:{port}");
    listen_on_any(&address).await.map_err(|error| {
        loco_rs::Error::Message(format!(
            "cannot listen on {address}: {error}; PORT and BINDING choose another address"
        ))
    })
}

/// Listens on the first address of a host name that works.
async fn listen_on_any(address: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host(address).await? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Without SO_REUSEADDR, a server that has just stopped would block the start of the next one.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Logs that this process serves from now on. A start without the line `stopped` before it follows a crash.
pub fn log_start(ctx: &AppContext, settings: &Settings) {
    tracing::info!(
        pid = std::process::id(),
        database = database::kind_name(&ctx.db),
        redis = settings.channels.redis_url.is_some(),
        "started"
    );
    if settings::is_production(&ctx.environment) && settings.accepts_only_local_hosts() {
        tracing::warn!("PUBLIC_URL is not set: clients on other machines get 421");
    }
}

/// Prints the URLs of the page, the documents and the API, at every log level.
///
/// If the log is JSON, the output is a line of JSON, because programs then read standard output.
///
/// # Errors
/// When standard output is closed.
pub fn print_addresses(address: SocketAddr, ctx: &AppContext) -> Result<()> {
    let base = format!("http://{address}");
    if matches!(ctx.config.logger.format, Format::Json) {
        let settings = Settings::from_context(ctx)?;
        let line = json!({
            "timestamp": views::format_time(&Utc::now()),
            "level": "INFO",
            "fields": {"message": "Salam is ready", "page": format!("{base}/"),
                       "docs": format!("{base}/swagger/"), "api": format!("{base}/api-docs/openapi.json")},
            "target": "salam::server",
            "node": settings.node_name.as_str(),
            "version": env!("CARGO_PKG_VERSION"),
        });
        writeln!(std::io::stdout(), "{line}")?;
        return Ok(());
    }
    writeln!(
        std::io::stdout(),
        "\nSalam is ready\n  page  {base}/\n  docs  {base}/swagger/\n  API   {base}/api-docs/openapi.json\n"
    )?;
    Ok(())
}

/// Adds the layers around all routes. Every path works with and without a trailing slash, and every
/// error is JSON.
///
/// # Errors
/// When the settings were not loaded.
pub fn add_outer_layers(router: Router, ctx: &AppContext) -> Result<Router> {
    let settings = Settings::from_context(ctx)?;
    let allowed = Arc::new(AllowedHosts::new(&settings, &ctx.environment));
    let supervisor = ctx.shared_store.get::<Supervisor>().unwrap_or_default();
    ctx.shared_store
        .insert(ResponseLimiter::new(&settings.door));
    ctx.shared_store.insert(Arc::<ClientLogThrottle>::default());
    let any_slash = NormalizePathLayer::trim_trailing_slash().layer(router);
    Ok(Router::new()
        .fallback_service(any_slash)
        .layer(from_fn(request_body::enforce_timeout))
        .layer(from_fn_with_state(
            supervisor.health().clone(),
            write_guard::reject_forbidden_writes,
        ))
        .layer(from_fn_with_state(allowed, hosts::check_host))
        .layer(from_fn_with_state(ctx.clone(), connection::enforce_limits))
        .layer(map_response(errors::ensure_json_errors))
        .layer(from_fn_with_state(
            ctx.clone(),
            response_limiter::limit_responses,
        ))
        .layer(from_fn_with_state(ctx.clone(), refusal_log::log_refusals))
        .layer(from_fn_with_state(
            ctx.clone(),
            headers::add_default_headers,
        )))
}

/// Serves until `stop` is cancelled, then lets current requests finish for at most 10 s.
///
/// Sockets do not count as requests. The caller drains the sockets.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &HttpSettings,
    stop: CancellationToken,
) {
    let limiter = ConnectionLimiter::new(
        file_limit::raise_limit_for_connections(settings.max_connections),
        settings.connections_per_address,
    );
    accept_connections(listener, router, &limiter, &settings.trusted_proxies, stop).await;
}

/// Serves the metrics of this node until `stop` is cancelled. Does nothing without a binding.
///
/// If the address is not available, the log has an error and the node works without metrics: people who chat must not
/// depend on the monitoring.
pub async fn serve_metrics(
    settings: &MetricsSettings,
    channels: Option<Channels>,
    stop: CancellationToken,
) {
    let (Some(address), Some(channels)) = (settings.binding, channels) else {
        return;
    };
    let listener = match listen_on(address) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(
                %error,
                %address,
                "metrics listener not started; METRICS_BINDING chooses another address"
            );
            return;
        }
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "metrics listener started");
    }
    let limiter = ConnectionLimiter::new(MAX_METRICS_CONNECTIONS, u32::MAX);
    let router = controllers::metrics::router(channels);
    accept_connections(listener, router, &limiter, &NetworkSet::default(), stop).await;
}

/// Accepts and serves connections within their limits until `stop` is cancelled.
async fn accept_connections(
    listener: TcpListener,
    router: Router,
    limiter: &ConnectionLimiter,
    trusted_proxies: &NetworkSet,
    stop: CancellationToken,
) {
    let rejections = Arc::new(Semaphore::new(MAX_CONCURRENT_REJECTIONS));
    let opening = OpeningLimiter::default();
    let connections = TaskTracker::new();
    loop {
        let accepting = async {
            let permit = opening.acquire().await;
            (listener.accept().await, permit)
        };
        let (accepted, opening_permit) = select! {
            () = stop.cancelled() => break,
            accepted = accepting => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // The client has aborted the connection. The next connection may already wait.
            Err(error) if is_connection_error(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let is_proxy = trusted_proxies.contains(peer.ip());
        let client = (!is_proxy).then(|| ClientAddress::from(peer.ip()).network());
        match limiter.try_acquire(client) {
            Ok(permit) => {
                let (router, stop) = (router.clone(), stop.clone());
                let serving = connection::serve(stream, peer, permit, opening_permit, router, stop);
                connections.spawn(serving);
            }
            Err(reason) => {
                if let Ok(rejection) = rejections.clone().try_acquire_owned() {
                    let router = router.clone();
                    connections.spawn(async move {
                        connection::reject(stream, peer, reason, router).await;
                        drop(rejection);
                    });
                }
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(REQUEST_DRAIN_TIMEOUT, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            requests = connections.len(),
            "requests did not finish before the deadline"
        );
    }
}
