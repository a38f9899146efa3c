//! What all measures of a run have in common.

use std::{cell::OnceCell, path::PathBuf, time::Duration};

use salam_benches::{Result, say, stores::Stores};

pub struct Setting {
    /// The program that is measured.
    pub salam: PathBuf,
    pub quick: bool,
    /// How many files a process may have.
    files: u64,
    stores: OnceCell<Option<Stores>>,
}

impl Setting {
    pub fn new(salam: PathBuf, quick: bool, files: u64) -> Self {
        Self {
            salam,
            quick,
            files,
            stores: OnceCell::new(),
        }
    }

    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    /// How long a load goes on.
    pub fn time(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }

    /// As many in a full run; a tenth of it in a quick one.
    pub fn many(&self, count: usize) -> usize {
        if self.quick {
            (count / 10).max(1)
        } else {
            count
        }
    }

    /// Whether a process may have so many sockets, and some files besides.
    pub fn may_have(&self, sockets: usize) -> bool {
        u64::try_from(sockets + 200).is_ok_and(|needed| needed <= self.files)
    }

    /// `None` where they are not installed. Started when they are needed for the first time.
    pub fn stores(&self) -> Result<Option<&Stores>> {
        if let Some(stores) = self.stores.get() {
            return Ok(stores.as_ref());
        }
        let started = Stores::start()?;
        if started.is_none() {
            say("PostgreSQL or redis-server is not installed: what needs them is left out");
        }
        Ok(self.stores.get_or_init(|| started).as_ref())
    }
}
