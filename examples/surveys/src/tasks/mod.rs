//! Tasks of the command line: `cargo run -p salam-surveys -- task <name>`.

pub mod survey_close;
