//! What nodes tell each other that no client is shown as it is.

use std::borrow::Cow;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};

use super::to_json;

/// The topic to which all nodes are subscribed. No group has this name.
pub const CLUSTER_TOPIC: &str = "nodes";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum NodeMessage<'a> {
    /// A group was deleted. It is no event: the log is gone too.
    Gone,
    /// A user has become a member of a group: the sockets of the user that follow many groups are notified.
    Joined {
        #[serde(borrow)]
        user: Cow<'a, str>,
        #[serde(borrow)]
        group: Cow<'a, str>,
        /// The id of the membership: each node notifies its sockets once.
        membership: i64,
    },
    /// One of a user's sessions may have ended: their sockets are to be looked at.
    Sessions {
        #[serde(borrow)]
        user: Cow<'a, str>,
    },
    /// A node is there, and its people are.
    Pulse {
        #[serde(borrow)]
        node: Cow<'a, str>,
    },
    /// A node stops.
    Part {
        #[serde(borrow)]
        node: Cow<'a, str>,
    },
    /// A node asks who is in these groups: all other nodes, or one, which need not answer where it
    /// has nobody.
    Who {
        #[serde(borrow)]
        node: Cow<'a, str>,
        #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
        of: Option<Cow<'a, str>>,
        groups: Vec<Cow<'a, str>>,
    },
    /// All of a node's people in a group.
    Here {
        #[serde(borrow)]
        node: Cow<'a, str>,
        users: Vec<Cow<'a, str>>,
    },
    /// A user is there, by this node.
    Came {
        #[serde(borrow)]
        node: Cow<'a, str>,
        #[serde(borrow)]
        user: Cow<'a, str>,
    },
    /// A user is not there any more, by this node.
    Went {
        #[serde(borrow)]
        node: Cow<'a, str>,
        #[serde(borrow)]
        user: Cow<'a, str>,
    },
}

impl<'a> NodeMessage<'a> {
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
