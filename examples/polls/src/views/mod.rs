//! The JSON of responses.

pub mod polls;
