//! The figures of one measure, by row and contender, over all rounds. They are kept in `target/`
//! between runs.

use std::{collections::BTreeMap, fs, path::PathBuf};

use salam_benches::{Result, load::stats::Flaws, log_progress, node};
use serde::{Deserialize, Serialize};

use super::{measures::Measure, run_context::RunContext};

/// The figures of one measure.
#[derive(Serialize, Deserialize)]
pub struct MeasureResults {
    name: String,
    /// The date of the measurement.
    pub date: String,
    /// `true` if the figures are of a quick run.
    pub quick: bool,
    /// The results of each row, by its label.
    pub rows: BTreeMap<String, RowResults>,
}

/// The figures of one row.
#[derive(Default, Serialize, Deserialize)]
pub struct RowResults {
    /// The figures of all rounds, by contender.
    pub of: BTreeMap<String, Vec<f64>>,
    /// The numbers of lost, duplicated and reordered events, if the measure checks them.
    pub flaws: Option<[u64; 3]>,
}

impl MeasureResults {
    /// Creates results without figures.
    pub fn new(measure: &Measure, context: &RunContext) -> Self {
        Self {
            name: measure.name.to_owned(),
            date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
            quick: context.quick,
            rows: BTreeMap::new(),
        }
    }

    /// Adds a figure of the current round.
    pub fn add(&mut self, row: &str, contender: &str, figure: f64) {
        log_progress(&format!("    {row}: {contender} {figure:.2}"));
        let row_results = self.rows.entry(row.to_owned()).or_default();
        row_results
            .of
            .entry(contender.to_owned())
            .or_default()
            .push(figure);
    }

    /// Adds the faults that occurred while a row was measured.
    pub fn add_flaws(&mut self, row: &str, flaws: Flaws) {
        let row_results = self.rows.entry(row.to_owned()).or_default();
        let [lost, doubled, reordered] = row_results.flaws.unwrap_or_default();
        row_results.flaws = Some([
            lost + flaws.lost,
            doubled + flaws.doubled,
            reordered + flaws.reordered,
        ]);
    }

    /// Saves the results for the report.
    pub fn save(&self) -> Result<()> {
        let file = results_file(&self.name);
        fs::create_dir_all(file.parent().unwrap_or(&file))?;
        Ok(fs::write(file, serde_json::to_vec_pretty(self)?)?)
    }

    /// Loads the last results, or `None` if the measure never ran.
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
