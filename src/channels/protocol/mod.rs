//! Frames in and out, and the codes that close a socket. No I/O.

pub mod base;
pub mod codes;
pub mod ephemeral;
pub mod event;
pub mod hello;
pub mod node_message;
pub mod request;
pub mod rich;

use axum::extract::ws::{CloseCode, close_code};
use serde::Serialize;

/// Why a socket is closed by us. Codes below 4000 are those of RFC 6455, section 7.4.1, and its
/// registry; those above say when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke the WebSocket protocol itself.
    ProtocolError,
    /// A binary frame came.
    BinaryFrame,
    /// Text came that is not JSON.
    InvalidJson,
    /// The address of the socket asks for what cannot be.
    InvalidQuery,
    /// A frame was over the limit.
    FrameTooBig,
    /// Something is wrong here.
    InternalError,
    /// The server restarts: come back at once, somewhere.
    ServerRestart,
    /// A post could not be stored: come back with backoff and send it again.
    StoreFailed,
    /// The server cannot look anything up at the moment.
    Overloaded,
    /// There is no live credential (any more): refresh it, once.
    Unauthorized,
    /// The user is no member of the group (any more).
    NotMember,
    /// The group was deleted.
    GroupDeleted,
    /// The user has as many sockets as one may have.
    TooManySockets,
    /// The session was ended: log in again.
    SessionRevoked,
    /// The numbers mean something else from now on: come back and subscribe anew.
    EpochChanged,
    /// The socket took nothing for long: come back with backoff.
    SlowConsumer,
    /// The socket did not answer a ping: come back with backoff.
    PongTimeout,
    /// More frames came than are read, for long: come back with backoff.
    RateLimited,
}

impl CloseReason {
    #[must_use]
    pub const fn code(self) -> CloseCode {
        match self {
            Self::ProtocolError => close_code::PROTOCOL,
            Self::BinaryFrame => close_code::UNSUPPORTED,
            Self::InvalidJson => close_code::INVALID,
            Self::InvalidQuery => close_code::POLICY,
            Self::FrameTooBig => close_code::SIZE,
            Self::InternalError => close_code::ERROR,
            Self::ServerRestart => close_code::RESTART,
            Self::StoreFailed | Self::Overloaded => close_code::AGAIN,
            Self::Unauthorized => 4401,
            Self::NotMember => 4403,
            Self::GroupDeleted => 4404,
            Self::TooManySockets => 4409,
            Self::SessionRevoked => 4410,
            Self::EpochChanged => 4501,
            Self::SlowConsumer => 4508,
            Self::PongTimeout => 4512,
            Self::RateLimited => 4529,
        }
    }

    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::ProtocolError => "protocol error",
            Self::BinaryFrame => "binary frames are not supported",
            Self::InvalidJson => "not JSON",
            Self::InvalidQuery => "`after` must be a whole number, 0 or more",
            Self::FrameTooBig => "frame too big",
            Self::InternalError => "internal error",
            Self::ServerRestart => "restart",
            Self::StoreFailed => "not stored",
            Self::Overloaded => "overloaded",
            Self::Unauthorized => "unauthorized",
            Self::NotMember => "not a member",
            Self::GroupDeleted => "group gone",
            Self::TooManySockets => "too many sockets",
            Self::SessionRevoked => "session revoked",
            Self::EpochChanged => "subscribe again",
            Self::SlowConsumer => "slow",
            Self::PongTimeout => "no pong",
            Self::RateLimited => "too fast",
        }
    }

    /// Whether the same client may come back and find it well, without anything else changing.
    #[must_use]
    pub const fn can_reconnect(self) -> bool {
        matches!(
            self,
            Self::InternalError
                | Self::ServerRestart
                | Self::StoreFailed
                | Self::Overloaded
                | Self::EpochChanged
                | Self::SlowConsumer
                | Self::PongTimeout
                | Self::RateLimited
        )
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .expect("texts, numbers and JSON as it is, and no maps: serde_json cannot fail on these")
}
