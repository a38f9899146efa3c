//! A child process: its use of the CPU and of memory, and its end.
//!
//! Dropping the value kills the process, by its own id only, because other servers may run on the
//! machine.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

use crate::Result;

/// A running process that is killed when the value is dropped.
pub struct ChildProcess {
    child: Child,
    name: String,
}

impl ChildProcess {
    /// Starts a process. Error texts contain `name`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn();
        Ok(Self {
            child: child.map_err(|error| format!("{name} does not start: {error}"))?,
            name: name.to_owned(),
        })
    }

    /// Checks that the process is still running.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} has ended: {status}", self.name).into()),
        }
    }

    /// Returns the CPU time of all running threads. The time of ended threads is not included.
    ///
    /// # Errors
    /// When the system is not Linux.
    pub fn cpu(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(self.proc_path("task"))? {
            // A thread may end while its file is read.
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

    /// Returns the CPU time in steps of 10 ms, for kernels without exact figures.
    fn cpu_from_ticks(&self) -> Result<Duration> {
        let text = fs::read_to_string(self.proc_path("stat"))?;
        // The name is in brackets and may contain spaces. The 12th and 13th fields after it are
        // user and system time.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let spent = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = spent.filter_map(|n| n.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Returns the PSS in KiB: the process's own memory and its share of shared memory.
    ///
    /// # Errors
    /// When the system does not report it.
    pub fn pss(&self) -> Result<u64> {
        self.read_kib("smaps_rollup", "Pss:")
    }

    /// Returns the RSS in KiB: all memory that the process has mapped and that is present.
    ///
    /// # Errors
    /// When the system does not report it.
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
        // The process may already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
