//! The task that finds out which servers there are, and keeps looking at a cluster.

use std::{
    sync::{Mutex, Weak},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    link::{RETRY_FIRST, RETRY_MAX},
    map::{Place, Range},
    reach::Reached,
    shards::{Shards, lock},
};

/// A cluster is looked at this often even if all seems well.
const EVERY: Duration = Duration::from_secs(10);

/// And this often while one of its nodes is away, or was wrong about a slot.
const WHILE_BROKEN: Duration = Duration::from_secs(1);

/// It takes a cluster a moment to agree; and it is not asked more often than this.
const PAUSE: Duration = Duration::from_millis(200);

/// Ends when there is only one server, which its link looks after alone, or when nobody on this node
/// holds the broker any more.
pub(super) async fn survey(shards: Weak<Mutex<Shards>>, mut reached: Reached) {
    let mut delay = RETRY_FIRST;
    let mut is_said = false;
    loop {
        let Some(held) = shards.upgrade() else { return };
        let (access, alarm, known) = {
            let shards = lock(&held);
            (shards.access.clone(), shards.alarm.clone(), shards.places())
        };
        // Not held while it waits, or it would never be dropped.
        drop(held);
        match access.layout(&known).await {
            Ok(ranges) => {
                let is_one = is_one(&ranges);
                match shards.upgrade() {
                    Some(held) => lock(&held).rearrange(ranges),
                    None => return,
                }
                if is_one {
                    return;
                }
            }
            Err(error) if !reached.borrow().is_known() && !is_said => {
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
        if reached.borrow().is_known() {
            let pause = if reached.borrow_and_update().is_whole() {
                EVERY
            } else {
                WHILE_BROKEN
            };
            let _ = timeout(pause, alarm.notified()).await;
            sleep(PAUSE).await;
        } else {
            sleep(delay).await;
            delay = (delay * 2).min(RETRY_MAX);
        }
    }
}

fn is_one(ranges: &[Range]) -> bool {
    matches!(ranges, [range] if range.place == Place::Only)
}
