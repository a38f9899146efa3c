//! What starts with the app.

pub mod channels;
pub mod schema;
