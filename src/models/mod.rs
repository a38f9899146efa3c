//! The stored data, and every rule about it.

pub mod _entities;
pub mod bans;
mod bulk_query;
pub mod chat_groups;
pub mod epochs;
pub mod event_data;
pub mod events;
pub mod group_commands;
pub mod hashing;
pub mod invites;
pub mod log;
pub mod member_groups;
pub mod membership_snapshots;
pub mod memberships;
pub mod messages;
pub mod passwords;
pub mod reactions;
pub mod rejections;
pub mod sessions;
pub mod skeletons;
pub mod usernames;
pub mod users;
