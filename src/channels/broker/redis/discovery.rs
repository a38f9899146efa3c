//! The task that discovers the servers of Redis and refreshes the layout of a cluster.

use std::{
    sync::{Mutex, Weak},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    connection_status::StatusWatch,
    link::{MAX_RECONNECT_BACKOFF, MIN_RECONNECT_BACKOFF},
    links::{RedisLinks, lock_links},
    slot_map::{RedisServer, SlotRange},
};

/// The interval of refreshes while all servers are connected.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// The interval of refreshes while a server is not connected or refused a slot.
const DEGRADED_REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two refreshes. A cluster needs a moment to agree.
const MIN_PAUSE: Duration = Duration::from_millis(200);

/// Discovers the servers, and refreshes the layout of a cluster.
///
/// The task ends when there is only one server, because the server's link reconnects by itself. It
/// also ends when this node has dropped the broker.
pub(super) async fn run_discovery(links: Weak<Mutex<RedisLinks>>, mut status: StatusWatch) {
    let mut delay = MIN_RECONNECT_BACKOFF;
    let mut has_warned = false;
    loop {
        let Some(held) = links.upgrade() else { return };
        let (config, rediscover, servers) = {
            let links = lock_links(&held);
            (
                links.config.clone(),
                links.rediscover.clone(),
                links.servers(),
            )
        };
        // The task does not hold the links while it waits. Otherwise they would never be dropped.
        drop(held);
        match config.cluster_layout(&servers).await {
            Ok(ranges) => {
                let is_single = is_single_server(&ranges);
                match links.upgrade() {
                    Some(held) => lock_links(&held).apply_slot_ranges(ranges),
                    None => return,
                }
                if is_single {
                    return;
                }
            }
            Err(error) if !status.borrow().is_discovered() && !has_warned => {
                has_warned = true;
                tracing::warn!(
                    reason = %error,
                    "Redis is out of reach: other nodes read events from the database, seconds late; \
                     retrying until it is reachable"
                );
            }
            // Each link logs its own failures.
            Err(_) => {}
        }
        if status.borrow().is_discovered() {
            let pause = if status.borrow_and_update().is_fully_connected() {
                REFRESH_INTERVAL
            } else {
                DEGRADED_REFRESH_INTERVAL
            };
            let _ = timeout(pause, rediscover.notified()).await;
            sleep(MIN_PAUSE).await;
        } else {
            sleep(delay).await;
            delay = (delay * 2).min(MAX_RECONNECT_BACKOFF);
        }
    }
}

fn is_single_server(ranges: &[SlotRange]) -> bool {
    matches!(ranges, [range] if range.server == RedisServer::Single)
}
