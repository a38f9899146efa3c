//! Tasks of the command line: `cargo run -p salam-polls -- task <name>`.

pub mod poll_close;
