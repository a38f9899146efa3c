//! Why a command failed, as a person wants to read it.

use std::error::Error as _;

use loco_rs::Error;
use sea_orm::DbErr;

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
    let hint = match error {
        Error::DB(DbErr::Conn(_) | DbErr::ConnectionAcquire(_)) => {
            "; is the database of DATABASE_URL there, and reachable?"
        }
        _ if text.starts_with("no configuration file") => {
            "; run this in the project's folder, with LOCO_ENV development, test or production"
        }
        _ => "",
    };
    text + hint
}
