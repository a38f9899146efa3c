//! The tasks of operators: `cargo loco task <name>`.

pub mod epoch_begin;
pub mod group_purge;
pub mod group_send;
pub mod invite_expire;
pub mod operator;
pub mod session_expire;
pub mod session_list;
pub mod session_revoke;
pub mod user_activate;
pub mod user_deactivate;
pub mod user_reset_password;
