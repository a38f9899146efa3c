//! What is stored, and every rule about it.

pub mod _entities;
pub mod chat_groups;
pub mod events;
pub mod memberships;
pub mod passwords;
pub mod usernames;
pub mod users;
