//! Controllers: the endpoints of the server.
//!
//! A handler is thin: extractors for the user and the input, one call of a model or of the channels, and a view.

pub mod asyncapi;
pub mod auth;
pub mod chat;
pub mod docs;
pub mod extractors;
pub mod groups;
pub mod health;
pub mod invites;
pub mod members;
pub mod messages;
pub mod metrics;
pub mod openapi;
pub mod pages;
pub mod reactions;
pub mod sessions;
pub mod socket;
