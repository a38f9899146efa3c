//! Salam: a real-time chat back end.
//!
//! One direction, which a reader can check with grep: routes → [`controllers`] → [`models`] →
//! database; controllers → [`views`]; controllers → [`channels`] → models, views, broker → Redis.
//! What one client may ask of a node is in [`limits`], and who guesses at passwords in [`logins`].
//! Models know nothing of sockets, views never wait, channels know nothing of controllers.

pub mod app;
pub mod assets;
#[allow(clippy::disallowed_methods)] // The room's own tasks live as long as the process.
pub mod channels;
pub mod controllers;
pub mod database;
pub mod db_command;
pub mod doctor;
pub mod errors;
pub mod explain;
#[cfg(debug_assertions)] // As Loco has it: what is released generates nothing.
pub mod generate;
pub mod health;
pub mod initializers;
pub mod limits;
pub mod logging;
pub mod logins;
pub mod middleware;
pub mod models;
pub mod overview;
pub mod seed;
pub mod server;
pub mod settings;
pub mod start_command;
#[allow(clippy::disallowed_methods)] // It starts the tasks of channels/.
pub mod supervisor;
pub mod tasks;
pub mod tokens;
pub mod views;
pub mod workers;
