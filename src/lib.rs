//! Salam: a real-time chat back end.
//!
//! One direction, which a reader can check with grep: routes → [`controllers`] → [`models`] →
//! database; controllers → [`views`]; controllers → [`channels`] → models, broker → Redis.
//! Models know nothing of sockets, views never wait, channels know nothing of controllers.

pub mod app;
pub mod controllers;
pub mod errors;
pub mod models;
pub mod server;
pub mod settings;
pub mod tokens;
pub mod views;
