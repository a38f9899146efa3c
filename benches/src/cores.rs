//! Which core does what, so that the load does not take the time that it measures.
//!
//! Core 0 belongs to what is measured, core 1 to the load, and the others to PostgreSQL and Redis,
//! which share core 1 where there are no others. Without `taskset`, or with one core, the system
//! chooses.

use std::{
    ffi::OsStr,
    fs,
    process::{Command, Stdio},
    sync::LazyLock,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    Measured,
    Load,
    Stores,
}

/// The number of the last core; `None` where processes cannot be pinned.
static LAST_CORE: LazyLock<Option<u32>> = LazyLock::new(|| {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let last = online.trim().rsplit(['-', ',']).next()?.parse().ok()?;
    let asked = Command::new("taskset").arg("--version").output();
    (last > 0 && asked.is_ok_and(|asked| asked.status.success())).then_some(last)
});

/// Whether processes are pinned at all.
#[must_use]
pub fn are_pinned() -> bool {
    LAST_CORE.is_some()
}

/// A command that will run on this core and nowhere else. It reads nothing and says nothing, unless
/// the caller has it otherwise.
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
