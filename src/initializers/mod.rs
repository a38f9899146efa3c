//! The initializers, which run when the server starts.

pub mod channels;
pub mod schema;
pub mod view_engine;
pub mod workers;
