//! Thin: who (an extractor), what (the body), one call of a model, a view.

pub mod auth;
pub mod chat;
pub mod docs;
pub mod extractors;
pub mod openapi;
pub mod socket;
