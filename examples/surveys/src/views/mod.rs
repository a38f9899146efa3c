//! The JSON of responses.

pub mod surveys;
