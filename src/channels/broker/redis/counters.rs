//! What all nodes count together: small scripts that Redis runs, each as one.

use std::{
    sync::{Mutex, Weak},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Unavailable,
    shards::{Shards, lock},
};

/// Nobody waits longer for a count: each node has one of its own to go by.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// The way to the counts. Clones share it, and it does not keep the broker alive.
#[derive(Clone)]
pub struct Counters(Weak<Mutex<Shards>>);

impl Counters {
    pub(super) fn new(shards: Weak<Mutex<Shards>>) -> Self {
        Self(shards)
    }

    /// Where no Redis is configured.
    #[must_use]
    pub fn nowhere() -> Self {
        Self(Weak::new())
    }

    /// Has Redis run a script over these keys, which have a hash tag in common, and gives the numbers
    /// that it returns.
    ///
    /// # Errors
    /// [`Unavailable`] when there is no Redis, or no answer within 200 ms; then it may have been run
    /// all the same.
    pub async fn run<const KEYS: usize>(
        &self,
        script: &str,
        keys: [&str; KEYS],
        arguments: &[i64],
    ) -> Result<Vec<i64>, Unavailable> {
        let (caller, keys) = {
            let held = self.0.upgrade().ok_or(Unavailable)?;
            let shards = lock(&held);
            let caller = keys.first().and_then(|key| shards.caller(key));
            let keys = keys.map(|key| shards.access.channel(key));
            (caller.ok_or(Unavailable)?, keys)
        };
        match timeout(ANSWER_WITHIN, caller.run(script, &keys, arguments)).await {
            Ok(Ok(numbers)) => Ok(numbers),
            Ok(Err(error)) => {
                tracing::warn!(%error, "Redis does not count: this node counts alone");
                Err(Unavailable)
            }
            Err(_) => {
                tracing::warn!("Redis is slow to count: this node counts alone");
                Err(Unavailable)
            }
        }
    }
}
