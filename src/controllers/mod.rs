//! Thin: who (an extractor), what (the body), one call of a model, a view.

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
pub mod openapi;
pub mod pages;
pub mod reactions;
pub mod sessions;
pub mod socket;
