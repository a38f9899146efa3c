//! What nodes tell each other that no client is shown as it is.

use std::borrow::Cow;

use axum::body::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::to_json;

/// The topic to which all nodes are subscribed. No group has this name.
pub const NODES: &str = "nodes";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Word<'a> {
    /// A group was deleted. It is no event: the log is gone too.
    Gone,
    /// A user has become a member of a group, which their sockets of many groups are told of.
    Joined {
        #[serde(borrow)]
        user: Cow<'a, str>,
        #[serde(borrow)]
        group: Cow<'a, str>,
        at: DateTime<Utc>,
    },
}

impl<'a> Word<'a> {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        to_json(self).into()
    }

    /// `None` for anything else.
    #[must_use]
    pub fn decode(payload: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}
