//! What the codes mean: of errors, and of the close of a socket. The documents are made of it.

use super::CloseReason;

/// A code of a frame `error`, which is the `code` of a refusal over HTTP too.
pub struct ErrorCode {
    pub code: &'static str,
    /// Whether the same may go well later.
    pub is_retryable: bool,
    pub description: &'static str,
}

/// Every code of an error.
pub const ERROR_CODES: [ErrorCode; 15] = [
    permanent("invalid", "A field is missing or wrong; `field` names it."),
    permanent(
        "unauthorized",
        "There is no live access token, or it is of somebody else.",
    ),
    permanent("token_expired", "The access token has expired: refresh it."),
    permanent("forbidden", "Your role does not allow it."),
    permanent(
        "not_member",
        "You do not belong to the group, or the socket is not subscribed to it, or there is no such group.",
    ),
    permanent("banned", "You were put out for good."),
    permanent("not_found", "There is no such thing in the group."),
    permanent("gone", "The message, or the group, was deleted."),
    permanent("too_large", "It is over a limit that `hello` gives."),
    permanent("conflict", "It does not fit to how things are."),
    permanent("cid_reused", "This `cid` was used for something else."),
    permanent("limit_exceeded", "There is no room for one more."),
    retryable("rate_limited", "Too many requests: wait `retry_after_ms`."),
    retryable(
        "unavailable",
        "Not stored, or nobody knows: ask again with the same `cid`.",
    ),
    retryable("internal", "Something is wrong here."),
];

const fn permanent(code: &'static str, means: &'static str) -> ErrorCode {
    ErrorCode {
        code,
        is_retryable: false,
        description: means,
    }
}

const fn retryable(code: &'static str, means: &'static str) -> ErrorCode {
    ErrorCode {
        code,
        is_retryable: true,
        description: means,
    }
}

impl CloseReason {
    /// Every one of them.
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

    /// What the client should do about it.
    #[must_use]
    pub const fn client_advice(self) -> &'static str {
        match self {
            Self::ProtocolError => "Mend the client: it broke the WebSocket protocol itself.",
            Self::BinaryFrame => "Mend the client: frames are text.",
            Self::InvalidJson => "Mend the client: frames are JSON.",
            Self::InvalidQuery => "Mend the client: the address asks for what cannot be.",
            Self::FrameTooBig => "Send less at once; `limits.frame` says how much.",
            Self::InternalError => "Come back with backoff.",
            Self::ServerRestart => "Come back; somewhere a server is up.",
            Self::StoreFailed => "Come back with backoff, and send the post again.",
            Self::Overloaded => "Come back with backoff.",
            Self::Unauthorized => {
                "Refresh the token once and come back; if that is refused, the user logs in."
            }
            Self::NotMember => "Stay away until the user is a member (again).",
            Self::GroupDeleted => "Forget the group.",
            Self::TooManySockets => "Close another socket of the user first.",
            Self::SessionRevoked => "The session was ended, here or elsewhere: the user logs in.",
            Self::EpochChanged => "Come back and subscribe: the numbers mean something else now.",
            Self::SlowConsumer => "Come back with backoff, and take faster what comes.",
            Self::PongTimeout => "Come back with backoff.",
            Self::RateLimited => "Come back with backoff, and send less.",
        }
    }
}
