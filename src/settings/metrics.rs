//! The settings of the metrics listener.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, de::Error};

/// The default time between two canaries, in seconds.
const DEFAULT_CANARY_EVERY: u32 = 5;

/// The longest time between two canaries, in seconds. With a longer time, a fault would be noticed too late.
const MAX_CANARY_EVERY: u32 = 60;

/// The settings of metrics and health.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    /// The address of the listener. `None` means no listener.
    #[serde(default, deserialize_with = "address_or_empty")]
    pub binding: Option<SocketAddr>,
    /// Seconds between two canaries, from 1 to 60.
    #[serde(default = "default_canary_every")]
    pub canary_every: u32,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            binding: None,
            canary_every: DEFAULT_CANARY_EVERY,
        }
    }
}

impl MetricsSettings {
    /// Returns a fault if the time between two canaries is out of range.
    pub(super) fn canary_every_fault(&self) -> Option<String> {
        let is_valid = (1..=MAX_CANARY_EVERY).contains(&self.canary_every);
        (!is_valid).then(|| {
            format!(
                "settings.metrics.canary_every is {}; it must be from 1 to {MAX_CANARY_EVERY}",
                self.canary_every
            )
        })
    }
}

const fn default_canary_every() -> u32 {
    DEFAULT_CANARY_EVERY
}

/// Reads an address with a port. A variable that is not set arrives as an empty text.
fn address_or_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        D::Error::custom(format!(
            "`{text}` is not an address with a port; write METRICS_BINDING as 127.0.0.1:9464 or [::1]:9464"
        ))
    })
}
