//! The frames of sockets, the messages between nodes, and the codes that close a socket. No I/O.

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

/// The reason for which the server closes a socket.
///
/// Codes below 4000 are those of RFC 6455, section 7.4.1, and of its registry. Codes from 4000 on are those of this
/// server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client violated the WebSocket protocol.
    ProtocolError,
    /// The client sent a binary frame.
    BinaryFrame,
    /// The client sent a text that is not JSON.
    InvalidJson,
    /// The query of the address of the socket is invalid.
    InvalidQuery,
    /// The client sent a frame over the limit.
    FrameTooBig,
    /// Internal server error.
    InternalError,
    /// The server restarts. The client reconnects, to this server or to another one.
    ServerRestart,
    /// A post could not be stored. The client reconnects with backoff, and sends the post again.
    StoreFailed,
    /// The server cannot read the database at the moment.
    Overloaded,
    /// The credential is missing, invalid or expired. The client refreshes it once.
    Unauthorized,
    /// The user is not a member of the group, or no longer.
    NotMember,
    /// The group was deleted.
    GroupDeleted,
    /// The user has reached the limit of sockets.
    TooManySockets,
    /// The session was revoked. The user logs in again.
    SessionRevoked,
    /// The epoch changed, so the numbers refer to other events. The client reconnects and subscribes again.
    EpochChanged,
    /// The client did not read for too long. It reconnects with backoff.
    SlowConsumer,
    /// The client did not answer a ping. It reconnects with backoff.
    PongTimeout,
    /// The client sent more frames than the server reads, for too long. It reconnects with backoff.
    RateLimited,
}

impl CloseReason {
    /// Returns the code of the close frame.
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

    /// Returns the text of the close frame.
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

    /// Returns whether the same client can reconnect with nothing changed.
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
    serde_json::to_string(value).expect(
        "the value has only texts, numbers and raw JSON, and no maps, so serde_json cannot fail",
    )
}
