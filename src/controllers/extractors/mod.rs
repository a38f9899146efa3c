//! Extractors: the user, the input, the client and the limits of a request, as handlers receive them.

mod body;
mod client;
mod confirmation;
mod handshake;
mod identity;
mod language;
mod origin;
mod params;
mod throttle;

pub use body::{ApiJson, BasicApiJson, Text, WholeNumber, lenient, parse_media_type, present};
pub use client::ClientAddress;
pub use confirmation::Confirmation;
pub use handshake::Handshake;
pub use identity::{
    ACCESS_COOKIE, AuthenticatedUser, Authenticator, BaseSocketUser, BasicApiUser, CurrentSession,
    CurrentUser, GroupMember, RequestUser, RichSocketUser, SocketMember,
};
pub use language::Language;
pub use origin::{AllowedOrigin, PublicBase};
pub use params::{PathNumber, QueryParams, parse_number};
pub use throttle::Throttle;
