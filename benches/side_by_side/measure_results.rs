//! The figures of one measure, by row and contender, over all rounds; kept in `target/` between runs.

use std::{collections::BTreeMap, fs, path::PathBuf};

use salam_benches::{Result, load::stats::Flaws, log_progress, node};
use serde::{Deserialize, Serialize};

use super::{measures::Measure, run_context::RunContext};

#[derive(Serialize, Deserialize)]
pub struct MeasureResults {
    name: String,
    pub date: String,
    pub quick: bool,
    pub rows: BTreeMap<String, RowResults>,
}

#[derive(Default, Serialize, Deserialize)]
pub struct RowResults {
    /// Of each contender, each round's.
    pub of: BTreeMap<String, Vec<f64>>,
    /// Lost, doubled and reordered, where somebody has looked.
    pub flaws: Option<[u64; 3]>,
}

impl MeasureResults {
    pub fn new(measure: &Measure, setting: &RunContext) -> Self {
        Self {
            name: measure.name.to_owned(),
            date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
            quick: setting.quick,
            rows: BTreeMap::new(),
        }
    }

    /// A figure of this round.
    pub fn add(&mut self, row: &str, contender: &str, figure: f64) {
        log_progress(&format!("    {row}: {contender} {figure:.2}"));
        let figures = self.rows.entry(row.to_owned()).or_default();
        figures
            .of
            .entry(contender.to_owned())
            .or_default()
            .push(figure);
    }

    /// What went wrong while a row was measured.
    pub fn add_flaws(&mut self, row: &str, flaws: Flaws) {
        let figures = self.rows.entry(row.to_owned()).or_default();
        let [lost, doubled, reordered] = figures.flaws.unwrap_or_default();
        figures.flaws = Some([
            lost + flaws.lost,
            doubled + flaws.doubled,
            reordered + flaws.reordered,
        ]);
    }

    /// Keeps it for the document.
    pub fn save(&self) -> Result<()> {
        let file = results_file(&self.name);
        fs::create_dir_all(file.parent().unwrap_or(&file))?;
        Ok(fs::write(file, serde_json::to_vec_pretty(self)?)?)
    }

    /// As it was kept last; `None` if it never was.
    pub fn load(name: &str) -> Result<Option<Self>> {
        match fs::read(results_file(name)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(_) => Ok(None),
        }
    }
}

fn results_file(name: &str) -> PathBuf {
    node::project_root()
        .join("target/side-by-side")
        .join(format!("{name}.json"))
}
