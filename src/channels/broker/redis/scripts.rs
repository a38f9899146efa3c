//! What all nodes count together: small scripts that Redis runs, each as one.

use std::{
    sync::{Mutex, Weak},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    BrokerUnavailable,
    links::{RedisLinks, lock_links},
};

/// Nobody waits longer for a count: each node has one of its own to go by.
const SCRIPT_TIMEOUT: Duration = Duration::from_millis(200);

/// The way to the counts. Clones share it, and it does not keep the broker alive.
#[derive(Clone)]
pub struct RedisScripts(Weak<Mutex<RedisLinks>>);

impl RedisScripts {
    pub(super) fn new(shards: Weak<Mutex<RedisLinks>>) -> Self {
        Self(shards)
    }

    /// Where no Redis is configured.
    #[must_use]
    pub fn disabled() -> Self {
        Self(Weak::new())
    }

    /// Has Redis run a script over these keys, which have a hash tag in common, and gives the numbers
    /// that it returns.
    ///
    /// # Errors
    /// [`BrokerUnavailable`] when there is no Redis, or no answer within 200 ms; then it may have been run
    /// all the same.
    pub async fn run<const KEYS: usize>(
        &self,
        script: &str,
        keys: [&str; KEYS],
        arguments: &[i64],
    ) -> Result<Vec<i64>, BrokerUnavailable> {
        let (caller, keys) = {
            let held = self.0.upgrade().ok_or(BrokerUnavailable)?;
            let shards = lock_links(&held);
            let caller = keys.first().and_then(|key| shards.script_client(key));
            let keys = keys.map(|key| shards.config.channel_name(key));
            (caller.ok_or(BrokerUnavailable)?, keys)
        };
        match timeout(SCRIPT_TIMEOUT, caller.run(script, &keys, arguments)).await {
            Ok(Ok(numbers)) => Ok(numbers),
            Ok(Err(error)) => {
                tracing::warn!(%error, "Redis does not count: this node counts alone");
                Err(BrokerUnavailable)
            }
            Err(_) => {
                tracing::warn!("Redis is slow to count: this node counts alone");
                Err(BrokerUnavailable)
            }
        }
    }
}
