//! The task that finds out which servers there are, and keeps looking at a cluster.

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

/// A cluster is looked at this often even if all seems well.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// And this often while one of its nodes is away, or was wrong about a slot.
const DEGRADED_REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// It takes a cluster a moment to agree; and it is not asked more often than this.
const MIN_PAUSE: Duration = Duration::from_millis(200);

/// Ends when there is only one server, which its link looks after alone, or when nobody on this node
/// holds the broker any more.
pub(super) async fn run_discovery(shards: Weak<Mutex<RedisLinks>>, mut reached: StatusWatch) {
    let mut delay = MIN_RECONNECT_BACKOFF;
    let mut is_said = false;
    loop {
        let Some(held) = shards.upgrade() else { return };
        let (access, alarm, known) = {
            let shards = lock_links(&held);
            (
                shards.config.clone(),
                shards.rediscover.clone(),
                shards.servers(),
            )
        };
        // Not held while it waits, or it would never be dropped.
        drop(held);
        match access.cluster_layout(&known).await {
            Ok(ranges) => {
                let is_one = is_single_server(&ranges);
                match shards.upgrade() {
                    Some(held) => lock_links(&held).apply_slot_ranges(ranges),
                    None => return,
                }
                if is_one {
                    return;
                }
            }
            Err(error) if !reached.borrow().is_discovered() && !is_said => {
                is_said = true;
                tracing::warn!(
                    reason = %error,
                    "Redis is out of reach: messages cross nodes by the database, seconds late; \
                     trying again until it is there"
                );
            }
            // Each link says so itself.
            Err(_) => {}
        }
        if reached.borrow().is_discovered() {
            let pause = if reached.borrow_and_update().is_fully_connected() {
                REFRESH_INTERVAL
            } else {
                DEGRADED_REFRESH_INTERVAL
            };
            let _ = timeout(pause, alarm.notified()).await;
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
