//! Turns errors of commands into texts for people.

use std::error::Error as _;

use loco_rs::Error;

use crate::database::{Outage, classify};

/// Returns the text of an error with its causes and a hint.
#[must_use]
pub fn explain_error(error: &Error) -> String {
    // The template engine of the configuration already prefixes its errors with `error: `.
    let mut text = error.to_string().trim_start_matches("error: ").to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    let outage = match error {
        Error::DB(error) => classify(error).outage(),
        _ => None,
    };
    let hint = match outage {
        Some(Outage::Unreachable) => {
            "; check that the database of DATABASE_URL runs and is reachable"
        }
        Some(Outage::Busy) => {
            "; another process holds the locks of the database: wait for the process, or end it"
        }
        Some(Outage::DiskFull) => "; the disk of the database is full: make space",
        Some(Outage::ReadOnly) => {
            "; the database accepts no writes: check the rights of its file or of its account"
        }
        Some(Outage::StorageFailed) => {
            "; check the disk of the database and its free space; if the file is damaged, restore a backup"
        }
        _ => "",
    };
    text + hint
}
