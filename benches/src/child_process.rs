//! A child process: its CPU time and memory, and how it is stopped.
//!
//! Dropping the value kills this process by its id, never by its name: other servers may run on the
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
            child: child.map_err(|error| format!("{name} could not be started: {error}"))?,
            name: name.to_owned(),
        })
    }

    /// Checks that the process is still running.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} has ended: {status}", self.name).into()),
        }
    }

    /// Returns the CPU time of all threads that have not ended.
    ///
    /// On a kernel without `schedstat`, the result includes ended threads, in steps of 10 ms.
    ///
    /// # Errors
    /// When the system is not Linux, or when the process has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(self.proc_path("task"))? {
            // A thread may end while its file is read.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok());
            total += Duration::from_nanos(nanos.unwrap_or_default());
        }
        // Without `schedstat` in the kernel, no thread has the file.
        if total.is_zero() {
            self.cpu_time_from_ticks()
        } else {
            Ok(total)
        }
    }

    /// Returns the CPU time in steps of 10 ms, for kernels without `schedstat`.
    fn cpu_time_from_ticks(&self) -> Result<Duration> {
        let text = fs::read_to_string(self.proc_path("stat"))?;
        // The second field is the program's name in parentheses, which may contain spaces. The 12th and
        // 13th fields after the name are the user time and the system time.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let spent = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = spent.filter_map(|n| n.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Returns the PSS in KiB: the process's own memory and its share of shared memory.
    ///
    /// # Errors
    /// When the system does not report the PSS.
    pub fn pss(&self) -> Result<u64> {
        self.read_kib("smaps_rollup", "Pss:")
    }

    /// Returns the RSS in KiB: the resident memory, which includes all of the shared memory.
    ///
    /// # Errors
    /// When the system does not report the RSS.
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
