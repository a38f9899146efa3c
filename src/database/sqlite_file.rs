//! A file of SQLite and its companions: whether they belong together, and how the file is left whole.
//!
//! While a server runs, the latest commits are in a write-ahead log beside the file (`-wal`, with an index in
//! `-shm`). A clean stop brings all of it into the file and removes the companions. After a crash the log stays,
//! and SQLite applies it at the next start to whatever file lies there: if an operator has copied a backup over
//! the file, the log of the other file would overwrite the backup's pages.
//!
//! So each server gives the file a new id when it starts. The id is in the header of the file (`user_version`),
//! and in a third companion, `-id`, as long as there may be a log. A file whose header has another id is not
//! the one that the log belongs to.

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

use super::sqlite_file_pool;

/// Where the header of a file has `user_version`. <https://sqlite.org/fileformat2.html#user_version_number>
const USER_VERSION_OFFSET: u64 = 60;

/// The file of a database, if it is one of SQLite and not in memory.
#[must_use]
pub fn sqlite_path(db: &DatabaseConnection) -> Option<PathBuf> {
    let pool = sqlite_file_pool(db)?;
    Some(pool.connect_options().get_filename().to_owned())
}

/// The companion of a file with this ending.
#[must_use]
pub fn companion_path(file: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(ending);
    name.into()
}

/// Refuses a file beside which lies the write-ahead log of another file. To look changes nothing. It must happen
/// before this process has opened the file: when a process closes a file, the system takes back all locks that
/// the process holds on it, also those of SQLite (POSIX, `fcntl`).
///
/// # Errors
/// A sentence that names the files and says what to do.
pub fn check_wal_owner(uri: &str) -> Result<(), String> {
    let Ok(options) = SqliteConnectOptions::from_str(uri) else {
        // Another check says so.
        return Ok(());
    };
    let file = options.get_filename();
    let log = companion_path(file, "-wal");
    let has_log = fs::metadata(&log).is_ok_and(|found| found.len() > 0);
    // SQLite itself removes a log without a file.
    let has_file = fs::metadata(file).is_ok_and(|found| found.len() > 0);
    if !has_log || !has_file {
        return Ok(());
    }
    let ids = fs::read_to_string(companion_path(file, "-id")).unwrap_or_default();
    // A version before this one has left no id, and a power cut may leave an empty one.
    if ids.split_whitespace().all(|id| id.parse::<u32>().is_err()) {
        return Ok(());
    }
    let id = read_header_id(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if ids.split_whitespace().any(|known| known == id.to_string()) {
        return Ok(());
    }
    Err(format!(
        "{log} is the write-ahead log of another file than {file}, which was replaced, such as by a backup, \
         after a crash. Opening the two together would damage the file. To go on with the file, delete \
         {log}; to go on with the database of before, put its file back",
        log = log.display(),
        file = file.display(),
    ))
}

/// Gives the file of a server that starts a new id, if nobody else has the file open.
///
/// # Errors
/// When the database fails, or the id cannot be written.
pub async fn assign_file_id(db: &DatabaseConnection) -> Result<(), DbErr> {
    let Some(file) = sqlite_path(db) else {
        return Ok(());
    };
    let id_file = companion_path(&file, "-id");
    let asking = Statement::from_string(db.get_database_backend(), "PRAGMA user_version");
    let old: i32 = match db.query_one_raw(asking).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => 0,
    };
    // 0 is that of a new file.
    let new = random::<u32>().max(1) & 0x7fff_ffff;
    // With all that the header may still have: a process that reads keeps the log from being emptied.
    let known = fs::read_to_string(&id_file).unwrap_or_default();
    write_atomically(&id_file, &format!("{} {old} {new}\n", known.trim()))
        .map_err(|error| write_error(&id_file, &error))?;
    db.execute_unprepared(&format!("PRAGMA user_version = {new}"))
        .await?;
    let emptying =
        Statement::from_string(db.get_database_backend(), "PRAGMA wal_checkpoint(TRUNCATE)");
    let busy: i32 = match db.query_one_raw(emptying).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => 1,
    };
    if busy == 0 {
        write_atomically(&id_file, &format!("{new}\n"))
            .map_err(|error| write_error(&id_file, &error))?;
    }
    Ok(())
}

/// Brings the write-ahead log into the file and removes the companions, as far as no other process has the
/// file open. Logs what keeps it from doing so.
pub(super) async fn merge_wal(file: &Path) {
    if !file.exists() {
        return;
    }
    let log = companion_path(file, "-wal");
    match truncate_wal_and_close(file).await {
        Ok(()) if !log.exists() => {
            let _ = fs::remove_file(companion_path(file, "-id"));
        }
        Ok(()) => {
            tracing::info!(file = %log.display(), "the write-ahead log stays: another process uses it")
        }
        Err(error) => {
            tracing::warn!(%error, file = %log.display(), "the write-ahead log stays: copy it with its file");
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

/// The files that a server of this process has open, with what lay at their paths when it opened them.
static WATCHED_FILES: LazyLock<Mutex<HashMap<PathBuf, FileIdentities>>> =
    LazyLock::new(Mutex::default);

/// Those of the file, its log and the index of its log.
type FileIdentities = [Option<FileIdentity>; 3];

/// Notes what lies at the path of a file, its log and the index of the log, so that [`is_replaced`] can tell.
pub(super) fn watch(file: &Path) {
    watched_files().insert(file.to_owned(), file_identities(file));
}

/// Returns whether another file, or none, lies where a watched file, its log or the index of its log was. Commits
/// are then lost with the process, and a new connection would mix two databases.
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
    // A panic elsewhere leaves the map as it was between two calls.
    WATCHED_FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which file a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity(u64, u64);

impl FileIdentity {
    /// The identity of the file at a path, by its device and inode; `None` where there is none, and on
    /// systems without inodes.
    fn from_path(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let found = fs::metadata(path).ok()?;
            Some(Self(found.dev(), found.ino()))
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
        // A new file is empty until something is checkpointed.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}

/// Writes a small file so that a crash leaves the old text or the new one.
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
