//! What starts with the app.

pub mod channels;
