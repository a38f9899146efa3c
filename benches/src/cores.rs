//! Assigns processes to cores, so that the load does not use the CPU time that it measures.
//!
//! The measured server runs on core 0, and the load on core 1. PostgreSQL and Redis run on the
//! other cores, or on core 1 if there are no others. Without `taskset`, or with a single core, the
//! system chooses.

use std::{
    ffi::OsStr,
    fs,
    process::{Command, Stdio},
    sync::LazyLock,
};

/// The purpose of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// The measured server.
    Measured,
    /// The load.
    Load,
    /// PostgreSQL and Redis.
    Stores,
}

/// The number of the last core. `None` if processes cannot be pinned.
static LAST_CORE: LazyLock<Option<u32>> = LazyLock::new(|| {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let last = online.trim().rsplit(['-', ',']).next()?.parse().ok()?;
    let taskset = Command::new("taskset").arg("--version").output();
    (last > 0 && taskset.is_ok_and(|output| output.status.success())).then_some(last)
});

/// Returns `true` if processes are pinned to cores.
#[must_use]
pub fn are_pinned() -> bool {
    LAST_CORE.is_some()
}

/// Returns a command that runs on a core only.
///
/// The command has no input and no output, unless the caller changes that.
pub fn pinned_command(core: Core, program: impl AsRef<OsStr>) -> Command {
    let mut command = match *LAST_CORE {
        None => Command::new(program),
        Some(last) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(cpu_list(core, last)).arg(program);
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    command
}

fn cpu_list(core: Core, last: u32) -> String {
    match core {
        Core::Measured => "0".to_owned(),
        Core::Stores if last > 1 => format!("2-{last}"),
        Core::Load | Core::Stores => "1".to_owned(),
    }
}
