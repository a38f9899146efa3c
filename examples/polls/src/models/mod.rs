//! Stored data and the rules about it.

pub mod polls;
pub mod votes;
