//! What handlers are given: who asks, what they may see, what they sent, how they got here.

mod body;
mod identity;
mod origin;

pub use body::{Fields, OptionalFields};
pub use identity::{ACCESS_COOKIE, CookieUser, CurrentUser, GroupMember, Identity};
pub use origin::{AllowedOrigin, PublicBase};
