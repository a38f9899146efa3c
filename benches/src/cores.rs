//! Assigns processes to cores, so that the load and the stores take no CPU time from the measured server.
//!
//! The measured server runs on core 0, and the load on core 1. PostgreSQL and Redis run on the
//! other cores, or on core 1 if there are no others. Without `taskset`, or without the cores 0 and 1,
//! the system chooses.

use std::{
    ffi::OsStr,
    fs,
    process::{Command, Stdio},
    sync::LazyLock,
};

/// The core, or the cores, of one kind of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// The measured server.
    Measured,
    /// The load.
    Load,
    /// PostgreSQL and Redis.
    Stores,
}

/// The cores of the stores, as `taskset -c` takes them. `None` if processes cannot be pinned.
///
/// A container may exclude cores of the machine, so a process is started on the cores to try them. The affinity of this
/// process does not help: `bin/bench` has pinned this process to core 1.
static STORE_CORES: LazyLock<Option<String>> = LazyLock::new(|| {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let last: u32 = online.trim().rsplit(['-', ',']).next()?.parse().ok()?;
    if !(can_use("0") && can_use("1")) {
        return None;
    }
    let others = format!("2-{last}");
    let has_others = last > 1 && can_use(&others);
    Some(if has_others { others } else { "1".to_owned() })
});

/// Returns `true` if a process can run on at least one of these cores.
fn can_use(cores: &str) -> bool {
    let tried = Command::new("taskset").args(["-c", cores, "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// Returns `true` if processes are pinned to cores.
#[must_use]
pub fn are_pinned() -> bool {
    STORE_CORES.is_some()
}

/// Returns a command whose process runs only on these cores, if processes can be pinned.
///
/// The command has no input and no output, unless the caller changes that.
pub fn pinned_command(core: Core, program: impl AsRef<OsStr>) -> Command {
    let mut command = match &*STORE_CORES {
        None => Command::new(program),
        Some(store_cores) => {
            let cores: &str = match core {
                Core::Measured => "0",
                Core::Load => "1",
                Core::Stores => store_cores,
            };
            let mut command = Command::new("taskset");
            command.arg("-c").arg(cores).arg(program);
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    command
}
