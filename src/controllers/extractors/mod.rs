//! Extractors: the user, the input, the client and the limits of a request, as handlers receive them.

mod body;
mod client;
mod confirmation;
mod handshake;
mod idempotency;
mod identity;
mod language;
mod origin;
mod params;
mod throttle;

pub use body::{ApiJson, BaseApiJson, Text, WholeNumber, lenient, nullable, parse_media_type};
pub use client::ClientAddress;
pub use confirmation::Confirmation;
pub use handshake::Handshake;
pub use idempotency::{Cid, IdempotencyKey};
pub use identity::{
    ACCESS_COOKIE, AuthenticatedUser, Authenticator, BaseApiUser, BaseSocketUser, CurrentSession,
    CurrentUser, GroupMember, RequestUser, RichSocketUser, SocketMember,
};
pub use language::Language;
pub use origin::{AllowedOrigin, PublicBase};
pub use params::{PathNumber, QueryParams, parse_number};
pub use throttle::Throttle;
