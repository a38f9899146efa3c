//! The results of checks, as lines of text or as one JSON object.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The least width of the column of names.
const NAME_WIDTH: usize = 13;

/// The status of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Passed,
    /// The check found something that an operator should look at. It does not fail the command.
    Warning,
    Failed,
    Skipped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

/// The result of one check: what the check found, and what an operator can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub status: Status,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    pub fn passed(message: impl Into<String>) -> Self {
        Self::new(Status::Passed, message, None)
    }

    pub fn skipped(message: impl Into<String>) -> Self {
        Self::new(Status::Skipped, message, None)
    }

    pub fn warning(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Status::Warning, message, Some(remedy.into()))
    }

    pub fn failed(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Status::Failed, message, Some(remedy.into()))
    }

    /// Returns a failure whose message already has the remedy.
    pub fn failed_with(message: impl Into<String>) -> Self {
        Self::new(Status::Failed, message, None)
    }

    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { remedy, ..self }
    }

    fn new(status: Status, message: impl Into<String>, remedy: Option<String>) -> Self {
        Self {
            status,
            message: message.into(),
            remedy,
        }
    }

    pub fn has_failed(&self) -> bool {
        self.status == Status::Failed
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// A finding with the name of its check.
#[derive(Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    #[serde(flatten)]
    pub finding: Finding,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line for each check, as soon as the check has ended.
    Text,
    /// One JSON object at the end.
    Json,
}

/// A report that is being written.
pub struct Report<W> {
    out: W,
    format: Format,
    name_width: usize,
    /// The key and the value of the object of the checks, such as the environment.
    subject: (&'static str, String),
    checks: Vec<Check>,
    /// `true` if some checks did not run, because the command was interrupted.
    is_interrupted: bool,
    /// The first error of the output. A check that runs then still cleans up after itself.
    written: io::Result<()>,
}

impl<W: Write> Report<W> {
    /// Begins a report. `subject` is the key and the value of the object of the checks.
    pub fn begin(out: W, format: Format, subject: (&'static str, String)) -> Self {
        Self {
            out,
            format,
            name_width: NAME_WIDTH,
            subject,
            checks: Vec::new(),
            is_interrupted: false,
            written: Ok(()),
        }
    }

    /// Widens the column of names for the longest of these names.
    pub fn fit_names(&mut self, names: &[&str]) {
        let widths = names.iter().map(|name| name.chars().count());
        self.name_width = widths.max().unwrap_or_default().max(NAME_WIDTH);
    }

    /// Prints a line of text. A report in JSON has no such lines.
    pub fn write_line(&mut self, line: &str) {
        if self.format == Format::Text && self.written.is_ok() {
            self.written =
                writeln!(self.out, "{}", line.trim_end()).and_then(|()| self.out.flush());
        }
    }

    /// Adds a finding. As text, prints it at once.
    pub fn add(&mut self, name: &'static str, finding: Finding) {
        let width = self.name_width;
        self.write_line(&format!("  {:7} {name:width$} {finding}", finding.status));
        self.checks.push(Check { name, finding });
    }

    /// Returns the name of the last check that failed.
    pub fn last_failed(&self) -> Option<&'static str> {
        let mut failed = self.checks.iter().rev();
        failed
            .find(|check| check.finding.has_failed())
            .map(|check| check.name)
    }

    /// Adds a skipped check for each name that has no finding yet.
    pub fn skip_missing(&mut self, names: &[&'static str], reason: &str) {
        for name in names {
            if self.checks.iter().all(|check| check.name != *name) {
                self.add(name, Finding::skipped(reason));
            }
        }
    }

    /// Records that the command was interrupted. Such a report never passes.
    pub fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// Ends the report. Returns `true` if no check failed.
    ///
    /// # Errors
    /// When the output could not be written.
    pub fn finish(mut self) -> io::Result<bool> {
        self.written?;
        let has_failed = self.checks.iter().any(|check| check.finding.has_failed());
        let has_passed = !has_failed && !self.is_interrupted;
        if self.format == Format::Json {
            let (key, value) = self.subject;
            let mut object = Map::new();
            object.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
            object.insert(key.to_owned(), json!(value));
            object.insert("passed".to_owned(), json!(has_passed));
            object.insert("checks".to_owned(), json!(self.checks));
            writeln!(self.out, "{}", Value::Object(object))?;
        }
        Ok(has_passed)
    }
}
