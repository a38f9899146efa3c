//! Presence: which members of a group are online, on all nodes.
//!
//! [`Presence`] is the state of one group, without I/O. [`PresenceSync`] exchanges it with the other nodes and
//! notifies the sockets of a room. [`cluster`] knows which other nodes are alive. Presence reaches sockets only by
//! `delivery::Rooms`, and knows nothing of the writer and the connections.

mod cluster;
mod room_presence;
mod state;
mod sync;

pub use self::state::{Presence, PresenceChange};
pub(super) use self::{
    room_presence::{OnlineUsers, RoomPresence},
    sync::PresenceSync,
};
