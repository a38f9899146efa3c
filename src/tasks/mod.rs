//! Work from the command line: `cargo loco task <name>`.

pub mod epoch_begin;
pub mod group_send;
