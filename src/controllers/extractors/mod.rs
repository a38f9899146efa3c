//! What handlers are given: who asks, what they may see, what they sent, how they got here.

mod allowance;
mod body;
mod client;
mod confirmation;
mod handshake;
mod identity;
mod language;
mod origin;
mod params;

pub use allowance::Allowance;
pub use body::{Body, Fields, OptionalFields};
pub use client::ClientAddress;
pub use confirmation::Confirmation;
pub use handshake::Handshake;
pub use identity::{
    ACCESS_COOKIE, ContractUser, CookieUser, CurrentSession, CurrentUser, GroupMember, Identified,
    Identity, Reader, RichUser, SocketMember,
};
pub use language::Language;
pub use origin::{AllowedOrigin, PublicBase};
pub use params::{Params, PathNumber, number};
