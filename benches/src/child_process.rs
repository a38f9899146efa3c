//! A process that is ours: what it has used of the machine, and its end.
//!
//! It is killed when its value goes, and by its own id alone: other servers may run beside it.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

use crate::Result;

pub struct ChildProcess {
    child: Child,
    name: String,
}

impl ChildProcess {
    /// # Errors
    /// The program cannot be started.
    pub fn start(what: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn();
        Ok(Self {
            child: child.map_err(|error| format!("{what} does not start: {error}"))?,
            name: what.to_owned(),
        })
    }

    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} has ended: {status}", self.name).into()),
        }
    }

    /// How long its threads have been on a core. Of one that has ended meanwhile nothing is counted.
    ///
    /// # Errors
    /// The system does not tell: it is not Linux.
    pub fn cpu(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(self.proc_path("task"))? {
            // A thread may end while it is looked at.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok());
            total += Duration::from_nanos(nanos.unwrap_or_default());
        }
        if total.is_zero() {
            self.cpu_from_ticks()
        } else {
            Ok(total)
        }
    }

    /// The same in hundredths of a second, where the kernel keeps no better account.
    fn cpu_from_ticks(&self) -> Result<Duration> {
        let text = fs::read_to_string(self.proc_path("stat"))?;
        // The name, in brackets, may have spaces; the 12th and 13th after it are user and system time.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let spent = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = spent.filter_map(|n| n.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// KiB of memory that are its own, and its share of what it has with others.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn pss(&self) -> Result<u64> {
        self.read_kib("smaps_rollup", "Pss:")
    }

    /// KiB of memory that it sees.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn rss(&self) -> Result<u64> {
        self.read_kib("status", "VmRSS:")
    }

    fn read_kib(&self, file: &str, field: &str) -> Result<u64> {
        let text = fs::read_to_string(self.proc_path(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number
            .ok_or_else(|| format!("no {field} in {file}"))?
            .parse()?)
    }

    fn proc_path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
