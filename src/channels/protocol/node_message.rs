//! The messages between nodes that are neither events nor ephemeral events. No I/O.
//!
//! Each variant has an explicit name on the wire. Nodes of different versions run side by side during an update,
//! so a variant may get another name in the code, and never on the wire.

use std::borrow::Cow;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};

use super::to_json;

/// The topic to which all nodes are subscribed. No group has this name.
pub const CLUSTER_TOPIC: &str = "nodes";

/// A message from one node to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum NodeMessage<'a> {
    /// A group was deleted. This is not an event, because the log of the group is deleted too.
    #[serde(rename = "gone")]
    GroupDeleted,
    /// A user has become a member of a group. Nodes notify the user's sockets of many groups.
    #[serde(rename = "joined")]
    MemberAdded {
        #[serde(borrow)]
        user: Cow<'a, str>,
        #[serde(borrow)]
        group: Cow<'a, str>,
        /// The id of the membership. Each node notifies its sockets once for each id.
        #[serde(rename = "membership")]
        membership_id: i64,
    },
    /// A session of a user may have ended. Nodes check the sessions of the user's sockets.
    #[serde(rename = "sessions")]
    SessionsChanged {
        #[serde(borrow)]
        user: Cow<'a, str>,
    },
    /// A node runs, and renews the lease of its online users.
    #[serde(rename = "pulse")]
    Heartbeat {
        #[serde(borrow)]
        node: Cow<'a, str>,
        /// The name of the node for the log. Nodes of older versions send no name.
        #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
        name: Option<Cow<'a, str>>,
    },
    /// A node stops.
    #[serde(rename = "part")]
    NodeLeaving {
        #[serde(borrow)]
        node: Cow<'a, str>,
        /// As for a heartbeat.
        #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
        name: Option<Cow<'a, str>>,
    },
    /// A node requests snapshots of the presence in these groups.
    #[serde(rename = "who")]
    PresenceQuery {
        #[serde(borrow)]
        node: Cow<'a, str>,
        /// The only node that shall answer, for the groups that are active there. `None`: all nodes, for all groups.
        #[serde(
            borrow,
            rename = "of",
            skip_serializing_if = "Option::is_none",
            default
        )]
        recipient: Option<Cow<'a, str>>,
        groups: Vec<Cow<'a, str>>,
    },
    /// All users that are online in a group by one node.
    #[serde(rename = "here")]
    PresenceSnapshot {
        #[serde(borrow)]
        node: Cow<'a, str>,
        users: Vec<Cow<'a, str>>,
    },
    /// A node shows that its messages arrive. Nodes of earlier versions are not subscribed to the topics of canaries.
    #[serde(rename = "canary")]
    Canary {
        #[serde(borrow)]
        node: Cow<'a, str>,
        /// The name of the node, for operators.
        #[serde(borrow)]
        name: Cow<'a, str>,
        /// The begin of the canary's commit, in microseconds since 1970 by the clock of the database.
        sent_at: i64,
    },
    /// A user is online in a group by this node.
    #[serde(rename = "came")]
    UserOnline {
        #[serde(borrow)]
        node: Cow<'a, str>,
        #[serde(borrow)]
        user: Cow<'a, str>,
    },
    /// A user is no longer online in a group by this node.
    #[serde(rename = "went")]
    UserOffline {
        #[serde(borrow)]
        node: Cow<'a, str>,
        #[serde(borrow)]
        user: Cow<'a, str>,
    },
}

impl<'a> NodeMessage<'a> {
    /// Returns the message as the broker carries it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        to_json(self).into()
    }

    /// Reads a message. Returns `None` for every other payload.
    #[must_use]
    pub fn decode(payload: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}
