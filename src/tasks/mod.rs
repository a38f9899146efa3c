//! Work from the command line: `cargo loco task <name>`.

pub mod group_send;
