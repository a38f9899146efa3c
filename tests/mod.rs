//! One test binary. Every test runs against the whole app, with a database of its own.

// Tests fail by panics, and the harness runs servers in processes of its own.
#![allow(
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod architecture;
mod channels;
mod cli;
mod clients;
mod configuration;
mod documents;
mod extension;
mod forged_tokens;
mod json_object;
mod limits;
mod models;
mod page;
mod properties;
mod requests;
mod secret_rotation;
mod security;
mod server;
mod settings;
mod support;
mod tasks;
mod tokens;
mod views;
mod workers;
