//! The parameters and stores that all measures of a run share.

use std::{cell::OnceCell, path::PathBuf, time::Duration};

use salam_benches::{Result, log_progress, stores::Stores};

/// The parameters and stores of a run.
pub struct RunContext {
    /// The measured binary.
    pub salam: PathBuf,
    /// `true` if the run is a quick test.
    pub quick: bool,
    /// The limit of open files of a process.
    file_limit: u64,
    stores: OnceCell<Option<Stores>>,
}

impl RunContext {
    /// Creates a context whose stores do not run yet.
    pub fn new(salam: PathBuf, quick: bool, file_limit: u64) -> Self {
        Self {
            salam,
            quick,
            file_limit,
            stores: OnceCell::new(),
        }
    }

    /// Returns the number of rounds.
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    /// Returns the duration of a load.
    pub fn load_time(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }

    /// Returns a count for a full run, or a tenth of it for a quick run.
    pub fn scaled_count(&self, count: usize) -> usize {
        if self.quick {
            (count / 10).max(1)
        } else {
            count
        }
    }

    /// Returns `true` if a process may have so many sockets and 200 other files.
    pub fn allows_sockets(&self, sockets: usize) -> bool {
        u64::try_from(sockets + 200).is_ok_and(|needed| needed <= self.file_limit)
    }

    /// Returns the stores, or `None` if they are not installed. The first call starts the stores.
    pub fn stores(&self) -> Result<Option<&Stores>> {
        if let Some(stores) = self.stores.get() {
            return Ok(stores.as_ref());
        }
        let started = Stores::start()?;
        if started.is_none() {
            log_progress(
                "PostgreSQL or redis-server is not installed: measures that need them are left out",
            );
        }
        Ok(self.stores.get_or_init(|| started).as_ref())
    }
}
