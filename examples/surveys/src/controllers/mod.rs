//! Controllers: the endpoints of surveys.
//!
//! A handler takes extractors, calls the models and returns a view. [`openapi`] describes the endpoints.

pub mod openapi;
pub mod surveys;
