//! What starts with the app.

pub mod channels;
pub mod schema;
pub mod view_engine;
