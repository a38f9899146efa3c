//! The accept loop: what a connection may cost, and how the server stops.
//!
//! `axum::serve` has no time-out for headers, no limit of connections, sends small frames late
//! (Nagle's algorithm) and knows no deadline when it stops; this has. Around the routes stand, from
//! the outside: what every answer carries ([`headers`]), who is turned away ([`crowd`]), by which
//! names the server may be called ([`hosts`]), and how long a body may take ([`body`]).

mod client_stream;
mod connection;
mod connection_limiter;
mod file_limit;
mod headers;
mod hosts;
mod line_endings;
mod request_body;
mod response_limiter;
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

pub use self::stop::{delay_drain, wait_for_stop};
use self::{
    connection_limiter::ConnectionLimiter, hosts::AllowedHosts, response_limiter::ResponseLimiter,
};
use crate::{
    errors,
    settings::{HttpSettings, Settings},
    supervisor::Supervisor,
    views,
};

/// How long requests in flight may take once the server stops.
const REQUEST_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that may wait to be accepted; the system allows no more than `net.core.somaxconn`. When
/// all come back at once, who finds no place tries again a second later.
const LISTEN_BACKLOG: u32 = 4096;

/// Without a free file descriptor, or memory, `accept` would fail again at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// So many connections over the limit are told so at the same time; more are only closed.
const MAX_CONCURRENT_REJECTIONS: usize = 64;

/// Whether an error of `accept` is about the connection that was to be accepted, and not about the listener:
/// those that the connection itself has met, and those of its network (accept(2), "Error handling").
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

/// Binds the address of the configuration.
///
/// # Errors
/// When the address is taken or not of this machine; the text says what to do.
pub async fn bind(binding: &str, port: i32) -> Result<TcpListener> {
    let address = format!("{binding}:{port}");
    listen_on_any(&address).await.map_err(|error| {
        loco_rs::Error::Message(format!(
            "cannot listen on {address}: {error}; PORT and BINDING choose another address"
        ))
    })
}

/// At the first address that a name has and that can be listened on.
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
    // Or one that has just stopped would keep the next from starting.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Prints where everything is, whatever the log level: as a line of JSON where the log is JSON, because
/// programs read standard output then.
///
/// # Errors
/// When standard output is closed.
pub fn print_addresses(address: SocketAddr, format: &Format) -> Result<()> {
    let base = format!("http://{address}");
    if matches!(format, Format::Json) {
        let line = json!({
            "timestamp": views::format_time(&Utc::now()),
            "level": "INFO",
            "fields": {"message": "Salam is ready", "page": format!("{base}/"),
                       "docs": format!("{base}/swagger/"), "api": format!("{base}/api-docs/openapi.json")},
            "target": "salam::server",
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

/// Every path answers with and without its trailing slash, and every error is JSON.
///
/// # Errors
/// When the settings were not loaded.
pub fn add_outer_layers(router: Router, ctx: &AppContext) -> Result<Router> {
    let settings = Settings::from_context(ctx)?;
    let allowed = Arc::new(AllowedHosts::new(&settings, &ctx.environment));
    let supervisor = ctx.shared_store.get::<Supervisor>().unwrap_or_default();
    ctx.shared_store
        .insert(ResponseLimiter::new(&settings.door));
    let any_slash = NormalizePathLayer::trim_trailing_slash().layer(router);
    Ok(Router::new()
        .fallback_service(any_slash)
        .layer(from_fn(request_body::enforce_timeout))
        .layer(from_fn_with_state(
            supervisor.health().clone(),
            write_guard::reject_forbidden_writes,
        ))
        .layer(from_fn_with_state(allowed, hosts::check_host))
        .layer(from_fn_with_state(ctx.clone(), connection_limiter::enforce))
        .layer(map_response(errors::ensure_json_errors))
        .layer(from_fn_with_state(
            ctx.clone(),
            response_limiter::limit_responses,
        ))
        .layer(from_fn_with_state(
            ctx.clone(),
            headers::add_default_headers,
        )))
}

/// Serves until `stop` is cancelled, then finishes the requests in flight, for 10 s at most.
/// Sockets are no requests any more: whoever stops the server drains them.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &HttpSettings,
    stop: CancellationToken,
) {
    let door = ConnectionLimiter::new(
        settings,
        file_limit::raise_limit_for_connections(settings.max_connections),
    );
    let turned_away = Arc::new(Semaphore::new(MAX_CONCURRENT_REJECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // The client took its connection back; the next one waits already.
            Err(error) if is_connection_error(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        match door.try_acquire(peer.ip()) {
            Ok(guest) => {
                let serving = connection::serve(stream, peer, guest, router.clone(), stop.clone());
                connections.spawn(serving);
            }
            Err(full) => {
                if let Ok(place) = turned_away.clone().try_acquire_owned() {
                    let router = router.clone();
                    connections.spawn(async move {
                        connection::reject(stream, peer, full, router).await;
                        drop(place);
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
            "some requests did not finish in time"
        );
    }
}
