//! The JSON of each answer. Entities never go on the wire.

pub mod auth;
pub mod chat;
pub mod errors;
