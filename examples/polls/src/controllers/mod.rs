//! HTTP handlers. Each handler has extractors, a body, one call of a model and a view.

pub mod openapi;
pub mod polls;
