//! The space of the disk that has a file.

use std::{io, path::Path};

/// The space of a disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct DiskSpace {
    /// The free space for this process. Only root may use reserved blocks.
    pub free: u64,
    pub total: u64,
}

impl DiskSpace {
    /// Reads the space of the disk that has a file, or that will have it.
    ///
    /// # Errors
    /// When the folder of the file does not exist, or the system does not report the space.
    #[cfg(unix)]
    pub fn of_file(file: &Path) -> io::Result<Self> {
        let status = rustix::fs::statvfs(folder_of(file))?;
        let free = if rustix::process::geteuid().is_root() {
            status.f_bfree
        } else {
            status.f_bavail
        };
        Ok(Self {
            free: free.saturating_mul(status.f_frsize),
            total: status.f_blocks.saturating_mul(status.f_frsize),
        })
    }

    /// Reads the space of the disk that has a file.
    ///
    /// # Errors
    /// Always: only Unix systems report the space.
    #[cfg(not(unix))]
    pub fn of_file(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns the folder of a file. A path without a folder is in the working directory.
#[must_use]
pub fn folder_of(file: &Path) -> &Path {
    let folder = file.parent();
    folder
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
