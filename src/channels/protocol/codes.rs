//! What the codes mean: of errors, and of the close of a socket. The documents are made of it.

use super::CloseReason;

/// A code of a frame `error`, which is the `code` of a refusal over HTTP too.
pub struct ErrorCode {
    pub code: &'static str,
    /// Whether the same may go well later.
    pub retry: bool,
    pub means: &'static str,
}

/// Every code of an error.
pub const ERRORS: [ErrorCode; 15] = [
    never("invalid", "A field is missing or wrong; `field` names it."),
    never(
        "unauthorized",
        "There is no live access token, or it is of somebody else.",
    ),
    never("token_expired", "The access token has expired: refresh it."),
    never("forbidden", "Your role does not allow it."),
    never(
        "not_member",
        "You do not belong to the group, or the socket is not subscribed to it, or there is no such group.",
    ),
    never("banned", "You were put out for good."),
    never("not_found", "There is no such thing in the group."),
    never("gone", "The message, or the group, was deleted."),
    never("too_large", "It is over a limit that `hello` gives."),
    never("conflict", "It does not fit to how things are."),
    never("cid_reused", "This `cid` was used for something else."),
    never("limit_exceeded", "There is no room for one more."),
    later("rate_limited", "Too many requests: wait `retry_after_ms`."),
    later(
        "unavailable",
        "Not stored, or nobody knows: ask again with the same `cid`.",
    ),
    later("internal", "Something is wrong here."),
];

const fn never(code: &'static str, means: &'static str) -> ErrorCode {
    ErrorCode {
        code,
        retry: false,
        means,
    }
}

const fn later(code: &'static str, means: &'static str) -> ErrorCode {
    ErrorCode {
        code,
        retry: true,
        means,
    }
}

impl CloseReason {
    /// Every one of them.
    pub const ALL: [Self; 18] = [
        Self::Protocol,
        Self::Binary,
        Self::NotJson,
        Self::BadAddress,
        Self::TooBig,
        Self::Internal,
        Self::Restart,
        Self::NotStored,
        Self::Overloaded,
        Self::Unauthorized,
        Self::NotMember,
        Self::GroupGone,
        Self::TooManySockets,
        Self::SessionRevoked,
        Self::SubscribeAgain,
        Self::Slow,
        Self::NoPong,
        Self::TooFast,
    ];

    /// What the client should do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Protocol => "Mend the client: it broke the WebSocket protocol itself.",
            Self::Binary => "Mend the client: frames are text.",
            Self::NotJson => "Mend the client: frames are JSON.",
            Self::BadAddress => "Mend the client: the address asks for what cannot be.",
            Self::TooBig => "Send less at once; `limits.frame` says how much.",
            Self::Internal => "Come back with backoff.",
            Self::Restart => "Come back; somewhere a server is up.",
            Self::NotStored => "Come back with backoff, and send the post again.",
            Self::Overloaded => "Come back with backoff.",
            Self::Unauthorized => {
                "Refresh the token once and come back; if that is refused, the user logs in."
            }
            Self::NotMember => "Stay away until the user is a member (again).",
            Self::GroupGone => "Forget the group.",
            Self::TooManySockets => "Close another socket of the user first.",
            Self::SessionRevoked => "The session was ended, here or elsewhere: the user logs in.",
            Self::SubscribeAgain => "Come back and subscribe: the numbers mean something else now.",
            Self::Slow => "Come back with backoff, and take faster what comes.",
            Self::NoPong => "Come back with backoff.",
            Self::TooFast => "Come back with backoff, and send less.",
        }
    }
}
