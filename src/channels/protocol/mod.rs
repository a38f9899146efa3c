//! Frames in and out, and the codes that close a socket. No I/O.

pub mod base;
pub mod codes;
pub mod event;
pub mod forms;
pub mod hello;
pub mod request;
pub mod rich;
pub mod whisper;
pub mod word;

use axum::extract::ws::{CloseCode, close_code};
use serde::Serialize;

/// Why a socket is closed by us. Codes below 4000 are those of RFC 6455, section 7.4.1, and its
/// registry; those above say when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke the WebSocket protocol itself.
    Protocol,
    /// A binary frame came.
    Binary,
    /// Text came that is not JSON.
    NotJson,
    /// The address of the socket asks for what cannot be.
    BadAddress,
    /// A frame was over the limit.
    TooBig,
    /// Something is wrong here.
    Internal,
    /// The server restarts: come back at once, somewhere.
    Restart,
    /// A post could not be stored: come back with backoff and send it again.
    NotStored,
    /// The server cannot look anything up at the moment.
    Overloaded,
    /// There is no live credential (any more): refresh it, once.
    Unauthorized,
    /// The user is no member of the group (any more).
    NotMember,
    /// The group was deleted.
    GroupGone,
    /// The user has as many sockets as one may have.
    TooManySockets,
    /// The session was ended: log in again.
    SessionRevoked,
    /// The numbers mean something else from now on: come back and subscribe anew.
    SubscribeAgain,
    /// The socket took nothing for long: come back with backoff.
    Slow,
    /// The socket did not answer a ping: come back with backoff.
    NoPong,
    /// More frames came than are read, for long: come back with backoff.
    TooFast,
}

impl CloseReason {
    #[must_use]
    pub const fn code(self) -> CloseCode {
        match self {
            Self::Protocol => close_code::PROTOCOL,
            Self::Binary => close_code::UNSUPPORTED,
            Self::NotJson => close_code::INVALID,
            Self::BadAddress => close_code::POLICY,
            Self::TooBig => close_code::SIZE,
            Self::Internal => close_code::ERROR,
            Self::Restart => close_code::RESTART,
            Self::NotStored | Self::Overloaded => close_code::AGAIN,
            Self::Unauthorized => 4401,
            Self::NotMember => 4403,
            Self::GroupGone => 4404,
            Self::TooManySockets => 4409,
            Self::SessionRevoked => 4410,
            Self::SubscribeAgain => 4501,
            Self::Slow => 4508,
            Self::NoPong => 4512,
            Self::TooFast => 4529,
        }
    }

    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Protocol => "protocol error",
            Self::Binary => "binary frames are not supported",
            Self::NotJson => "not JSON",
            Self::BadAddress => "`after` must be a whole number, 0 or more",
            Self::TooBig => "frame too big",
            Self::Internal => "internal error",
            Self::Restart => "restart",
            Self::NotStored => "not stored",
            Self::Overloaded => "overloaded",
            Self::Unauthorized => "unauthorized",
            Self::NotMember => "not a member",
            Self::GroupGone => "group gone",
            Self::TooManySockets => "too many sockets",
            Self::SessionRevoked => "session revoked",
            Self::SubscribeAgain => "subscribe again",
            Self::Slow => "slow",
            Self::NoPong => "no pong",
            Self::TooFast => "too fast",
        }
    }

    /// Whether the same client may come back and find it well, without anything else changing.
    #[must_use]
    pub const fn may_come_back(self) -> bool {
        matches!(
            self,
            Self::Internal
                | Self::Restart
                | Self::NotStored
                | Self::Overloaded
                | Self::SubscribeAgain
                | Self::Slow
                | Self::NoPong
                | Self::TooFast
        )
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .expect("texts, numbers and JSON as it is, and no maps: serde_json cannot fail on these")
}
