//! Salam: a real-time chat back end.
//!
//! Dependencies have one direction, which `grep` can check: routes → [`controllers`] → [`models`] →
//! database; controllers → [`views`]; controllers → [`channels`] → models, views, broker → Redis.
//! [`limits`] has the limits of a client on a node, and of password guessing. Models
//! do not depend on sockets, views never wait, and channels do not depend on controllers.

pub mod app;
pub mod assets;
#[allow(clippy::disallowed_methods)] // The tasks of the channels live as long as the process.
pub mod channels;
pub mod cli;
pub mod controllers;
pub mod database;
pub mod errors;
pub mod health;
pub mod initializers;
pub mod json_object;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod middleware;
pub mod models;
pub mod node;
pub mod seed;
pub mod server;
pub mod settings;
#[allow(clippy::disallowed_methods)] // The supervisor spawns the tasks of channels/.
pub mod supervisor;
pub mod tasks;
pub mod tokens;
pub mod trace;
pub mod views;
pub mod workers;
