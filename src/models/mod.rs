//! What is stored, and every rule about it.

pub mod _entities;
mod asked;
pub mod bans;
pub mod changes;
pub mod chat_groups;
pub mod epochs;
pub mod events;
pub mod hashing;
pub mod invites;
pub mod log;
pub mod memberships;
pub mod messages;
pub mod mine;
pub mod passwords;
pub mod reactions;
pub mod refusals;
pub mod sessions;
pub mod skeletons;
pub mod standings;
pub mod usernames;
pub mod users;
