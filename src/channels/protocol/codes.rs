//! The descriptions of error codes and close codes. The API documents contain them.

use super::CloseReason;

/// A code of a frame `error`. Error responses of the HTTP API have the same codes.
pub struct ErrorCode {
    /// The code, for programs.
    pub code: &'static str,
    /// `true` if the same request may succeed later.
    pub is_retryable: bool,
    /// The meaning of the code.
    pub description: &'static str,
}

/// All error codes.
pub const ERROR_CODES: [ErrorCode; 15] = [
    permanent(
        "invalid",
        "A field is missing or invalid; `field` names it.",
    ),
    permanent(
        "unauthorized",
        "The access token is missing or invalid, or belongs to another user.",
    ),
    permanent("token_expired", "The access token has expired; refresh it."),
    permanent("forbidden", "Your role does not allow this."),
    permanent(
        "not_member",
        "You are not a member of the group, the socket is not subscribed to the group, or the group does not exist.",
    ),
    permanent("banned", "You are banned from the group."),
    permanent(
        "not_found",
        "The requested object does not exist in the group.",
    ),
    permanent("gone", "The message or the group was deleted."),
    permanent("too_large", "A value exceeds a limit of the frame `hello`."),
    permanent("conflict", "The request conflicts with the current state."),
    permanent("cid_reused", "This `cid` was used for another request."),
    permanent(
        "limit_exceeded",
        "A maximum number is reached, for example of groups, members or emojis.",
    ),
    retryable(
        "rate_limited",
        "There are too many requests; wait `retry_after_ms`.",
    ),
    retryable(
        "unavailable",
        "The request was not stored, or its outcome is unknown; retry with the same `cid`.",
    ),
    retryable("internal", "The server has an internal error."),
];

const fn permanent(code: &'static str, description: &'static str) -> ErrorCode {
    ErrorCode {
        code,
        is_retryable: false,
        description,
    }
}

const fn retryable(code: &'static str, description: &'static str) -> ErrorCode {
    ErrorCode {
        code,
        is_retryable: true,
        description,
    }
}

impl CloseReason {
    /// All close reasons.
    pub const ALL: [Self; 18] = [
        Self::ProtocolError,
        Self::BinaryFrame,
        Self::InvalidJson,
        Self::InvalidQuery,
        Self::FrameTooBig,
        Self::InternalError,
        Self::ServerRestart,
        Self::StoreFailed,
        Self::Overloaded,
        Self::Unauthorized,
        Self::NotMember,
        Self::GroupDeleted,
        Self::TooManySockets,
        Self::SessionRevoked,
        Self::EpochChanged,
        Self::SlowConsumer,
        Self::PongTimeout,
        Self::RateLimited,
    ];

    /// Returns the advice for the client, for the API documents.
    #[must_use]
    pub const fn client_advice(self) -> &'static str {
        match self {
            Self::ProtocolError => "Fix the client: it violated the WebSocket protocol.",
            Self::BinaryFrame => "Fix the client: frames must be text.",
            Self::InvalidJson => "Fix the client: frames must be JSON.",
            Self::InvalidQuery => "Fix the client: the query of the address is invalid.",
            Self::FrameTooBig => "Send smaller frames; the largest size is `limits.frame`.",
            Self::InternalError => "Reconnect with backoff.",
            Self::ServerRestart => {
                "Reconnect; another server is running, or this server will be soon."
            }
            Self::StoreFailed => "Reconnect with backoff, and send the message again.",
            Self::Overloaded => "Reconnect with backoff.",
            Self::Unauthorized => {
                "Refresh the token once and reconnect. If the refresh is refused, the user must log in."
            }
            Self::NotMember => "Do not reconnect until the user is a member of the group.",
            Self::GroupDeleted => "Do not reconnect, and remove the group from the client.",
            Self::TooManySockets => "Close another socket of the user first.",
            Self::SessionRevoked => {
                "The session was revoked, on this device or elsewhere; the user must log in."
            }
            Self::EpochChanged => {
                "Reconnect and subscribe; the event numbers now refer to other events."
            }
            Self::SlowConsumer => "Reconnect with backoff, and read frames faster.",
            Self::PongTimeout => "Reconnect with backoff.",
            Self::RateLimited => "Reconnect with backoff, and send less.",
        }
    }
}
