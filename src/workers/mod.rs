//! Work in the background. (`cargo loco generate worker` adds modules here.)
//!
//! [`schedule`] enqueues the workers of this folder. A worker logs no error: Loco logs it, and the schedule runs the
//! worker again.

pub mod expire_invites;
pub mod expire_sessions;
pub mod purge_groups;
pub mod schedule;
