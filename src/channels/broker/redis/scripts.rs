//! Counters that all nodes share: small scripts that Redis runs, each atomically.

use std::{
    sync::{Mutex, Weak},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    BrokerUnavailable,
    links::{RedisLinks, lock_links},
    session::RedisScript,
};

/// The longest wait for a script. Each node also has a counter of its own to fall back to.
const SCRIPT_TIMEOUT: Duration = Duration::from_millis(200);

/// Runs scripts on the server that has the slot of their keys. Clones share the links and do not
/// keep the broker alive.
#[derive(Clone)]
pub struct RedisScripts(Weak<Mutex<RedisLinks>>);

impl RedisScripts {
    pub(super) fn new(links: Weak<Mutex<RedisLinks>>) -> Self {
        Self(links)
    }

    /// Returns scripts that always fail, for a node without Redis.
    #[must_use]
    pub fn disabled() -> Self {
        Self(Weak::new())
    }

    /// Runs a script on Redis and returns the numbers that the script returns.
    ///
    /// All keys must share a hash tag.
    ///
    /// # Errors
    /// [`BrokerUnavailable`] when Redis is unreachable, or when it does not reply within 200 ms. In
    /// the second case Redis may have run the script.
    pub async fn run<const KEYS: usize>(
        &self,
        script: &RedisScript,
        keys: [&str; KEYS],
        arguments: &[i64],
    ) -> Result<Vec<i64>, BrokerUnavailable> {
        let (script_client, keys) = {
            let held = self.0.upgrade().ok_or(BrokerUnavailable)?;
            let links = lock_links(&held);
            let script_client = keys.first().and_then(|key| links.script_client(key));
            let keys = keys.map(|key| links.config.channel_name(key));
            (script_client.ok_or(BrokerUnavailable)?, keys)
        };
        match timeout(SCRIPT_TIMEOUT, script_client.run(script, &keys, arguments)).await {
            Ok(Ok(numbers)) => Ok(numbers),
            Ok(Err(error)) => {
                tracing::warn!(%error, "Redis refused a counter script: this node counts alone");
                Err(BrokerUnavailable)
            }
            Err(_) => {
                tracing::warn!(
                    "Redis is slow to reply to a counter script: this node counts alone"
                );
                Err(BrokerUnavailable)
            }
        }
    }
}
