//! What all measures of a run have in common.

use std::{cell::OnceCell, path::PathBuf, time::Duration};

use salam_benches::{Result, log_progress, stores::Stores};

pub struct RunContext {
    /// The program that is measured.
    pub salam: PathBuf,
    pub quick: bool,
    /// How many files a process may have.
    file_limit: u64,
    stores: OnceCell<Option<Stores>>,
}

impl RunContext {
    pub fn new(salam: PathBuf, quick: bool, file_limit: u64) -> Self {
        Self {
            salam,
            quick,
            file_limit,
            stores: OnceCell::new(),
        }
    }

    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    /// How long a load goes on.
    pub fn load_time(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }

    /// As many in a full run; a tenth of it in a quick one.
    pub fn scaled_count(&self, count: usize) -> usize {
        if self.quick {
            (count / 10).max(1)
        } else {
            count
        }
    }

    /// Whether a process may have so many sockets, and some files besides.
    pub fn allows_sockets(&self, sockets: usize) -> bool {
        u64::try_from(sockets + 200).is_ok_and(|needed| needed <= self.file_limit)
    }

    /// `None` where they are not installed. Started when they are needed for the first time.
    pub fn stores(&self) -> Result<Option<&Stores>> {
        if let Some(stores) = self.stores.get() {
            return Ok(stores.as_ref());
        }
        let started = Stores::start()?;
        if started.is_none() {
            log_progress(
                "PostgreSQL or redis-server is not installed: what needs them is left out",
            );
        }
        Ok(self.stores.get_or_init(|| started).as_ref())
    }
}
