//! The resources of this machine: the disk of the database, and the limit of open files.

use std::path::Path;

use super::super::report::Finding;
use crate::{database::disk_space::DiskSpace, server::hard_limit_connections};

const GIB: u64 = 1024 * 1024 * 1024;

/// The free space below which the check warns.
const MIN_FREE_BYTES: u64 = GIB;

/// The free share of a disk, in percent, below which the check warns.
const MIN_FREE_PERCENT: u64 = 10;

/// Checks the free space of the disk that has the file of SQLite. Returns `None` if the system does not report it.
pub fn check_disk(file: &Path) -> Option<Finding> {
    DiskSpace::of_file(file).ok().map(judge_disk)
}

fn judge_disk(space: DiskSpace) -> Finding {
    let DiskSpace { free, total } = space;
    let percent = free
        .saturating_mul(100)
        .checked_div(total)
        .unwrap_or_default();
    let tenths = free.saturating_mul(10) / GIB;
    let message = format!(
        "{}.{} GiB are free, which are {percent} % of the disk",
        tenths / 10,
        tenths % 10
    );
    if free < MIN_FREE_BYTES || percent < MIN_FREE_PERCENT {
        return Finding::warning(
            message,
            "make space: on a full disk, the server refuses all writes",
        );
    }
    Finding::passed(message)
}

/// Compares the limit of open files with `settings.door.max_connections`.
///
/// The server raises its soft limit to the hard limit, so the check uses the hard limit.
pub fn check_open_files(max_connections: u32) -> Option<Finding> {
    let permitted = hard_limit_connections().ok()?;
    let wanted = u64::from(max_connections);
    if permitted < wanted {
        return Some(Finding::warning(
            format!(
                "the limit permits {permitted} connections, which are fewer than the {wanted} of \
                 settings.door.max_connections"
            ),
            "raise the limit of the service, such as LimitNOFILE of systemd, or lower the setting",
        ));
    }
    Some(Finding::passed(format!(
        "the limit permits {wanted} connections"
    )))
}

#[cfg(test)]
mod tests {
    use super::{super::super::report::Status, *};

    #[test]
    fn a_nearly_full_disk_is_a_warning() {
        let status = |free, total| judge_disk(DiskSpace { free, total }).status;
        assert_eq!(status(50 * GIB, 100 * GIB), Status::Passed);
        assert_eq!(status(9 * GIB, 100 * GIB), Status::Warning);
        assert_eq!(status(GIB - 1, 2 * GIB), Status::Warning);
        assert_eq!(status(0, 0), Status::Warning);
        let finding = judge_disk(DiskSpace {
            free: GIB / 2,
            total: GIB,
        });
        assert!(finding.message.contains("0.5 GiB are free, which are 50 %"));
    }
}
