//! A file of SQLite and its companions: the check that they belong together, and the merge at a clean stop.
//!
//! While a server runs, the latest commits are in a write-ahead log next to the file (`-wal`, with an index in
//! `-shm`). A clean stop merges the log into the file and removes the companions. After a crash the log stays. At
//! the next start SQLite applies the log to the file at that path. If an operator has copied a backup over the
//! file, the log of the old file would overwrite pages of the backup.
//!
//! So each server gives the file a new id when it starts. The id is in the header of the file (`user_version`).
//! While a log may exist, the id is also in a third companion, `-id`. If the header has another id, the log does
//! not belong to the file.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, File},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use rand::random;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, SqlxError, Statement,
    sqlx::{ConnectOptions, Connection, raw_sql, sqlite::SqliteConnectOptions},
};

use super::{disk_space::DiskSpace, sqlite_file_pool};

/// The offset of `user_version` in a file's header. <https://sqlite.org/fileformat2.html#user_version_number>
const USER_VERSION_OFFSET: u64 = 60;

/// The free space below which a disk counts as full: a few commits and a part of a checkpoint.
const MIN_FREE_BYTES: u64 = 128 * 1024;

/// Returns the path of a database's file; `None` unless the database is a file of SQLite.
#[must_use]
pub fn sqlite_path(db: &DatabaseConnection) -> Option<PathBuf> {
    let pool = sqlite_file_pool(db)?;
    Some(pool.connect_options().get_filename().to_owned())
}

/// Returns `true` if the disk of a file of SQLite has hardly any free space for this user. Returns `false` where the system
/// does not report the space.
#[must_use]
pub fn is_disk_full(db: &DatabaseConnection) -> bool {
    let Some(file) = sqlite_path(db) else {
        return false;
    };
    DiskSpace::of_file(&file).is_ok_and(|space| space.free < MIN_FREE_BYTES)
}

/// Returns the path of a file's companion with this suffix.
#[must_use]
pub fn companion_path(file: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(ending);
    name.into()
}

/// Refuses a file that has the write-ahead log of another file next to it. The check changes nothing.
///
/// The check must run before this process opens the file. When a process closes a file, the system releases all
/// locks of the process on it, including the locks of SQLite (POSIX, `fcntl`).
///
/// # Errors
/// A sentence that names the files and states what to do.
pub fn check_wal_owner(uri: &str) -> Result<(), String> {
    let Ok(options) = SqliteConnectOptions::from_str(uri) else {
        // Another check reports an invalid URI.
        return Ok(());
    };
    let file = options.get_filename();
    let wal = companion_path(file, "-wal");
    let has_log = fs::metadata(&wal).is_ok_and(|metadata| metadata.len() > 0);
    // SQLite itself removes a log without a file.
    let has_file = fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0);
    if !has_log || !has_file {
        return Ok(());
    }
    let ids = fs::read_to_string(companion_path(file, "-id")).unwrap_or_default();
    // An older version left no id, and a power failure may leave an empty file.
    if ids.split_whitespace().all(|id| id.parse::<u32>().is_err()) {
        return Ok(());
    }
    let id = read_header_id(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if ids.split_whitespace().any(|owner| owner == id.to_string()) {
        return Ok(());
    }
    Err(format!(
        "{wal} is the write-ahead log of another file than {file}, which was replaced after a \
         crash, for example by a backup. Opening both together would damage {file}. To use \
         {file}, delete {wal}. To use the previous database, restore its file",
        wal = wal.display(),
        file = file.display(),
    ))
}

/// Gives the file of a starting server a new id, if no other process has the file open.
///
/// # Errors
/// When the database fails, or the id cannot be written.
pub async fn assign_file_id(db: &DatabaseConnection) -> Result<(), DbErr> {
    let Some(file) = sqlite_path(db) else {
        return Ok(());
    };
    let id_file = companion_path(&file, "-id");
    let select = Statement::from_string(db.get_database_backend(), "PRAGMA user_version");
    let old_id: i32 = match db.query_one_raw(select).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => 0,
    };
    // A new file has the id 0.
    let new_id = random::<u32>().max(1) & 0x7fff_ffff;
    // The list keeps all ids that the header may still have: a reader can keep the log from being truncated.
    let ids = fs::read_to_string(&id_file).unwrap_or_default();
    write_atomically(&id_file, &format!("{} {old_id} {new_id}\n", ids.trim()))
        .map_err(|error| write_error(&id_file, &error))?;
    db.execute_unprepared(&format!("PRAGMA user_version = {new_id}"))
        .await?;
    let truncate =
        Statement::from_string(db.get_database_backend(), "PRAGMA wal_checkpoint(TRUNCATE)");
    let busy: i32 = match db.query_one_raw(truncate).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => 1,
    };
    if busy == 0 {
        write_atomically(&id_file, &format!("{new_id}\n"))
            .map_err(|error| write_error(&id_file, &error))?;
    }
    Ok(())
}

/// Merges the write-ahead log into the file and removes the companions, unless another process has the file open.
///
/// If the log stays, the function logs the reason.
pub(super) async fn merge_wal(file: &Path) {
    if !file.exists() {
        return;
    }
    let wal = companion_path(file, "-wal");
    match truncate_wal_and_close(file).await {
        Ok(()) if !wal.exists() => {
            let _ = fs::remove_file(companion_path(file, "-id"));
        }
        Ok(()) => {
            tracing::info!(file = %wal.display(), "the write-ahead log stays: another process uses it")
        }
        Err(error) => {
            tracing::warn!(%error, file = %wal.display(), "the write-ahead log stays: copy it with its file");
        }
    }
}

async fn truncate_wal_and_close(file: &Path) -> Result<(), SqlxError> {
    let options = SqliteConnectOptions::new().filename(file);
    let mut connection = options.disable_statement_logging().connect().await?;
    raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut connection)
        .await?;
    // SQLite removes the companions when the last connection closes.
    connection.close().await
}

/// The files that a server of this process has open, with the identities that they had when it opened them.
static WATCHED_FILES: LazyLock<Mutex<HashMap<PathBuf, FileIdentities>>> =
    LazyLock::new(Mutex::default);

/// The identities of a file, its log and the index of its log.
type FileIdentities = [Option<FileIdentity>; 3];

/// Records the identities of a file, its log and the index of the log, for [`is_replaced`].
pub(super) fn watch(file: &Path) {
    watched_files().insert(file.to_owned(), file_identities(file));
}

/// Returns whether a watched file, its log or the index of its log was moved, deleted or replaced.
///
/// In that state commits are lost when the process ends, and a new connection would mix two databases.
pub(super) fn is_replaced(file: &Path) -> bool {
    let opened = watched_files().get(file).copied();
    opened.is_some_and(|opened| opened != file_identities(file))
}

fn file_identities(file: &Path) -> FileIdentities {
    let paths = [
        file.to_owned(),
        companion_path(file, "-wal"),
        companion_path(file, "-shm"),
    ];
    paths.map(|path| FileIdentity::from_path(&path))
}

fn watched_files() -> MutexGuard<'static, HashMap<PathBuf, FileIdentities>> {
    // A panic in another thread leaves the map as it was between two calls.
    WATCHED_FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The identity of the file at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity(u64, u64);

impl FileIdentity {
    /// Returns the identity of the file at a path: its device and inode.
    ///
    /// Returns `None` if no file exists, and on systems without inodes.
    fn from_path(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let metadata = fs::metadata(path).ok()?;
            Some(Self(metadata.dev(), metadata.ino()))
        }
        #[cfg(not(unix))]
        {
            let _ = path;
            None
        }
    }
}

fn read_header_id(file: &Path) -> std::io::Result<u32> {
    let mut header = File::open(file)?;
    header.seek(SeekFrom::Start(USER_VERSION_OFFSET))?;
    let mut id = [0; 4];
    match header.read_exact(&mut id) {
        Ok(()) => Ok(u32::from_be_bytes(id)),
        // A new file is empty until the first checkpoint.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}

/// Writes a small file. A crash leaves either the old text or the new text.
fn write_atomically(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = companion_path(path, ".new");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

fn write_error(path: &Path, error: &std::io::Error) -> DbErr {
    DbErr::Custom(format!("{}: {error}", path.display()))
}
