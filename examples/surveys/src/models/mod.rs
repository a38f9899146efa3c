//! Stored data and the rules about it.

pub mod surveys;
pub mod votes;
