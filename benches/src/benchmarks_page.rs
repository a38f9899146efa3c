//! docs/benchmarks.md, which two programs write. What stands between two comments is `growth`'s, all else
//! `side-by-side`'s; each leaves the other's as it is.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{Result, node::project_root};

const GROWTH_BEGIN: &str = "<!-- growth -->\n";
const GROWTH_END: &str = "<!-- /growth -->\n";

/// The page in its two parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BenchmarksPage {
    before: String,
    /// `None` where it was never measured.
    pub growth: Option<String>,
    after: String,
}

#[must_use]
pub fn page_path() -> PathBuf {
    project_root().join("docs/benchmarks.md")
}

impl BenchmarksPage {
    /// # Errors
    /// The file cannot be read. (Where there is none, the page is empty.)
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

    /// The same part in another page.
    #[must_use]
    pub fn with_rest(self, before: String, after: String) -> Self {
        Self {
            before,
            after,
            ..self
        }
    }

    /// # Errors
    /// The system's.
    pub fn write(&self, file: &Path) -> Result<()> {
        let Self { before, after, .. } = self;
        let text = match &self.growth {
            Some(growth) => format!("{before}{GROWTH_BEGIN}{growth}{GROWTH_END}{after}"),
            None => format!("{before}{after}"),
        };
        Ok(fs::write(file, text)?)
    }
}
