//! The page docs/benchmarks.md, which two programs write.
//!
//! The program `growth` writes the part between two comments, and `side-by-side` writes the rest.
//! Each program keeps the part of the other.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{Result, node::project_root};

const GROWTH_BEGIN: &str = "<!-- growth -->\n";
const GROWTH_END: &str = "<!-- /growth -->\n";

/// The page in its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BenchmarksPage {
    before: String,
    /// The part of `growth`. `None` if it was never measured.
    pub growth: Option<String>,
    after: String,
}

/// Returns the path of the page.
#[must_use]
pub fn page_path() -> PathBuf {
    project_root().join("docs/benchmarks.md")
}

impl BenchmarksPage {
    /// Reads the page. A missing file yields an empty page.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(file: &Path) -> Result<Self> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => "# Benchmarks\n".to_owned(),
            read => read?,
        };
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let parts = text.split_once(GROWTH_BEGIN).and_then(|(before, rest)| {
            let (growth, after) = rest.split_once(GROWTH_END)?;
            Some(Self {
                before: before.to_owned(),
                growth: Some(growth.to_owned()),
                after: after.to_owned(),
            })
        });
        parts.unwrap_or_else(|| Self {
            before: format!("{text}\n"),
            ..Self::default()
        })
    }

    /// Replaces all but the part of `growth`.
    #[must_use]
    pub fn with_rest(self, before: String, after: String) -> Self {
        Self {
            before,
            after,
            ..self
        }
    }

    /// Writes the page.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let Self { before, after, .. } = self;
        let text = match &self.growth {
            Some(growth) => format!("{before}{GROWTH_BEGIN}{growth}{GROWTH_END}{after}"),
            None => format!("{before}{after}"),
        };
        Ok(fs::write(file, text)?)
    }
}
