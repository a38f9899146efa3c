//! Why a command failed, as a person wants to read it.

use std::error::Error as _;

use loco_rs::Error;

use crate::database::{Outage, classify};

/// An error with what caused it, and what to do about it.
#[must_use]
pub fn explain(error: &Error) -> String {
    // The template engine of the configuration begins its errors with the word already.
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
        Some(Outage::Unreachable) => "; is the database of DATABASE_URL there, and reachable?",
        Some(Outage::Busy) => "; another process holds the locks of the database",
        Some(Outage::Full) => "; the disk of the database is full",
        Some(Outage::ReadOnly) => "; the database takes no writes",
        Some(Outage::Storage) => {
            "; look at the disk of the database and the space on it; if the file is damaged, restore a backup"
        }
        _ if text.starts_with("no configuration file") => {
            "; run this in the project's folder, with LOCO_ENV development, test or production"
        }
        _ => "",
    };
    text + hint
}
