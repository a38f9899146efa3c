//! The checks of the database: its schema, its writes, its encryption, its clock and its speed.

use std::{path::Path, time::Duration};

use chrono::TimeDelta;
use loco_rs::{Result, config::Database};
use migration::{SchemaState, check_pooler};
use sea_orm::DatabaseConnection;
use tokio::time::timeout;

use super::{
    super::{super::explain::explain_error, report::Finding},
    CHECK_TIMEOUT, CLIENT_NAME, machine,
};
use crate::{
    database::{
        Encryption,
        clock::{ClockOffset, measure_offset},
        disk_space::folder_of,
        open_pool, read_encryption,
        sqlite_file::check_wal_owner,
    },
    models::{epochs, users},
    settings::sqlite_file,
};

/// The timeout of a connection. It is shorter than [`CHECK_TIMEOUT`], so that the driver can report
/// its reason.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The number of commits that the check measures.
const MEASURED_COMMITS: usize = 5;

/// The time of a commit above which the check warns.
const SLOW_COMMIT: Duration = Duration::from_millis(50);

/// The findings about a database, each with its name.
pub struct DatabaseFindings {
    pub findings: Vec<(&'static str, Finding)>,
    /// The offset of the clock of this node from the clock of the database, if the database answered.
    pub clock_offset: Option<TimeDelta>,
}

/// Checks the database of the configuration.
pub async fn check(database: &Database) -> DatabaseFindings {
    let (database_finding, measurements) = match find_obstacle(database) {
        Some(finding) => (finding, None),
        None => connect_and_measure(database).await,
    };
    let mut findings = vec![("database", database_finding)];
    let clock = measurements.as_ref().map(|measured| measured.clock);
    if let Some(measured) = measurements {
        let encryption = measured.encryption.map(|kind| judge_encryption(&kind));
        findings.extend(encryption.map(|finding| ("encryption", finding)));
        findings.extend(measured.commit.map(|finding| ("commit", finding)));
        // The clock of SQLite is the clock of this machine.
        if sqlite_file(&database.uri).is_none() {
            findings.push(("clock", judge_clock(measured.clock)));
        }
    }
    if let Some(file) = sqlite_file(&database.uri) {
        let disk = machine::check_disk(Path::new(file));
        findings.extend(disk.map(|finding| ("disk", finding)));
    }
    DatabaseFindings {
        findings,
        clock_offset: clock.map(|clock| clock.offset),
    }
}

/// Returns a finding if the database must not or need not be opened.
fn find_obstacle(database: &Database) -> Option<Finding> {
    if let Err(message) = check_wal_owner(&database.uri) {
        return Some(Finding::failed_with(message));
    }
    let file = sqlite_file(&database.uri).map(Path::new)?;
    if file.exists() {
        return None;
    }
    // Opening the database would create its file.
    let folder = folder_of(file);
    Some(if !folder.is_dir() {
        Finding::failed(
            format!(
                "cannot be created: the folder {} does not exist",
                folder.display()
            ),
            "create it",
        )
    } else if !creates_file(&database.uri) {
        Finding::failed(
            "does not exist, and DATABASE_URL does not let the server create it",
            "add ?mode=rwc to DATABASE_URL",
        )
    } else if !is_writable(folder) {
        Finding::failed(
            "cannot be created: this user may not write into the folder",
            "change the owner of the folder, or the user of the server",
        )
    } else {
        Finding::passed("does not exist yet; the first start creates it")
    })
}

/// Returns `true` if a URL lets SQLite create a missing file.
fn creates_file(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|parameter| parameter == "mode=rwc")
}

/// Returns `true` if this process may create files in a folder.
fn is_writable(folder: &Path) -> bool {
    #[cfg(unix)]
    return rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    #[cfg(not(unix))]
    return folder.is_dir();
}

/// The state of a reachable database.
struct DatabaseStatus {
    state: SchemaState,
    /// The error of a test write, if the database accepts no writes.
    write_error: Option<String>,
    /// The accounts whose usernames were replaced, at most 100.
    renamed_users: Vec<users::Model>,
    clock: ClockOffset,
    encryption: Option<Encryption>,
}

/// The measurements of a reachable database.
struct Measurements {
    clock: ClockOffset,
    encryption: Option<Encryption>,
    /// The time of a commit, if the database is migrated and accepts writes.
    commit: Option<Finding>,
}

async fn connect_and_measure(database: &Database) -> (Finding, Option<Measurements>) {
    let config = Database {
        connect_timeout: u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
        acquire_timeout: None,
        max_connections: 2,
        min_connections: 0,
        ..database.clone()
    };
    let db = match open_pool(
        &database.uri,
        database.run_on_start.as_deref(),
        &config,
        CLIENT_NAME,
    ) {
        Ok(db) => db,
        Err(error) => return (Finding::failed_with(explain_error(&error.into())), None),
    };
    let results = inspect_and_measure(&db, database).await;
    // The pool has no work left. An error of its end tells nothing about the database.
    let _ = timeout(CHECK_TIMEOUT, db.close()).await;
    results
}

async fn inspect_and_measure(
    db: &DatabaseConnection,
    database: &Database,
) -> (Finding, Option<Measurements>) {
    let status = match timeout(CHECK_TIMEOUT, inspect(db)).await {
        Err(_) => {
            let finding = Finding::failed(
                format!("did not respond within {CHECK_TIMEOUT:?}"),
                "check that the database of DATABASE_URL runs and is reachable",
            );
            return (finding, None);
        }
        Ok(Err(error)) => return (Finding::failed_with(explain_error(&error)), None),
        Ok(Ok(status)) => status,
    };
    let is_writable = status.state.is_migrated() && status.write_error.is_none();
    let commit = match is_writable {
        true => check_commits(db).await,
        false => None,
    };
    let measurements = Measurements {
        clock: status.clock,
        encryption: status.encryption.clone(),
        commit,
    };
    (judge_status(status, database), Some(measurements))
}

async fn inspect(db: &DatabaseConnection) -> Result<DatabaseStatus> {
    // The check of the pooler comes first, because it connects without the pool. The pool would
    // hide the reason behind its timeout.
    check_pooler(db).await?;
    let state = SchemaState::read(db).await?;
    let is_migrated = state.is_migrated();
    // The test write is rolled back, so it changes nothing.
    let write_error = match is_migrated {
        true => epochs::Model::check_writable_dry_run(db).await.err(),
        false => None,
    };
    let renamed_users = match is_migrated {
        true => users::Model::list_renamed(db).await?,
        false => Vec::new(),
    };
    Ok(DatabaseStatus {
        state,
        write_error: write_error.map(|error| error.to_string()),
        renamed_users,
        clock: measure_offset(db).await?,
        encryption: read_encryption(db).await?,
    })
}

fn judge_status(status: DatabaseStatus, database: &Database) -> Finding {
    if let Some(error) = status.write_error {
        return Finding::failed(
            format!("is reachable, but accepts no writes: {error}"),
            "check the disk, and the rights of the file or of the account",
        );
    }
    if !status.renamed_users.is_empty() {
        return Finding::passed(describe_renamed_users(&status.renamed_users));
    }
    match status.state {
        SchemaState::Pending(0) => Finding::passed("is reachable and migrated"),
        SchemaState::Pending(count) if database.auto_migrate => Finding::passed(format!(
            "is reachable; migrations that the next start runs: {count}"
        )),
        SchemaState::Pending(count) => Finding::failed(
            format!("is reachable; migrations that have not run: {count}"),
            "run them with `db migrate`",
        ),
        state => match state.check_usable() {
            Ok(()) => Finding::passed(
                "is reachable; a newer version has migrated it, and this version works with it",
            ),
            Err(error) => Finding::failed_with(error.to_string()),
        },
    }
}

fn describe_renamed_users(users: &[users::Model]) -> String {
    let names: Vec<_> = users
        .iter()
        .filter_map(|user| {
            Some(format!(
                "`{}` (was `{}`)",
                user.username,
                user.former_username.as_ref()?
            ))
        })
        .collect();
    format!(
        "is reachable and migrated; accounts that were renamed, because their usernames \
         had no letter and no digit: {}. Their users can still log in with \
         the former usernames. The new usernames are {}",
        users.len(),
        names.join(", ")
    )
}

fn judge_encryption(encryption: &Encryption) -> Finding {
    match encryption {
        Encryption::Tls(version) => Finding::passed(format!(
            "the connection to PostgreSQL is encrypted with {version}"
        )),
        Encryption::PlainLocal => Finding::passed(
            "the connection to PostgreSQL is not encrypted, and stays on this machine",
        ),
        Encryption::PlainRemote => Finding::warning(
            "the connection to PostgreSQL on another machine is not encrypted",
            "add ?sslmode=verify-full&sslrootcert=<file> to DATABASE_URL, and switch on ssl in PostgreSQL",
        ),
    }
}

fn judge_clock(clock: ClockOffset) -> Finding {
    let message = describe_offset("the clock of this machine", clock.offset);
    if clock.is_too_large() {
        return Finding::warning(
            message,
            "run a time service such as chrony on both machines",
        );
    }
    Finding::passed(message)
}

/// Describes the offset of a clock from the clock of the database.
pub fn describe_offset(clock: &str, offset: TimeDelta) -> String {
    let tenths = offset.num_milliseconds().unsigned_abs().saturating_add(50) / 100;
    let (whole, part) = (tenths / 10, tenths % 10);
    let side = match offset {
        _ if tenths == 0 => return format!("{clock} agrees with the clock of the database"),
        offset if offset < TimeDelta::zero() => "behind",
        _ => "ahead of",
    };
    format!("{clock} is {whole}.{part} s {side} the clock of the database")
}

/// Measures commits. They change the time stamp of a row, as each request for `/_readiness` does.
async fn check_commits(db: &DatabaseConnection) -> Option<Finding> {
    let measuring = epochs::Model::measure_commits(db, MEASURED_COMMITS);
    match timeout(CHECK_TIMEOUT, measuring).await {
        Ok(Ok(durations)) => judge_commits(durations),
        Ok(Err(error)) => Some(Finding::failed(
            format!("a commit failed: {error}"),
            "check the disk, and the rights of the file or of the account",
        )),
        Err(_) => Some(Finding::warning(
            format!("{MEASURED_COMMITS} commits took more than {CHECK_TIMEOUT:?}"),
            SLOW_COMMIT_REMEDY,
        )),
    }
}

const SLOW_COMMIT_REMEDY: &str =
    "use a faster disk, or a database in the same data centre: each message waits for a commit";

fn judge_commits(mut durations: Vec<Duration>) -> Option<Finding> {
    durations.sort_unstable();
    let median = durations.get(durations.len() / 2)?;
    let message = format!(
        "a commit takes {} ms (the median of {})",
        describe_millis(*median),
        durations.len()
    );
    Some(if *median > SLOW_COMMIT {
        Finding::warning(message, SLOW_COMMIT_REMEDY)
    } else {
        Finding::passed(message)
    })
}

/// Describes a duration in milliseconds, with one decimal.
fn describe_millis(duration: Duration) -> String {
    let tenths = duration.as_micros() / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{super::super::report::Status, *};

    #[test]
    fn slow_commits_are_a_warning() {
        let of = |millis: [u64; 5]| judge_commits(millis.map(Duration::from_millis).to_vec());
        let fast = of([900, 1, 2, 3, 4]).expect("a finding");
        assert_eq!(fast.status, Status::Passed);
        assert_eq!(fast.message, "a commit takes 3.0 ms (the median of 5)");
        let slow = of([60, 70, 80, 1, 1]).expect("a finding");
        assert_eq!(slow.status, Status::Warning);
        assert_eq!(judge_commits(Vec::new()), None);
    }

    #[test]
    fn clocks_are_compared() {
        let of = |millis| describe_offset("the clock of Redis", TimeDelta::milliseconds(millis));
        let database = "the clock of the database";
        assert_eq!(
            of(3_210),
            format!("the clock of Redis is 3.2 s ahead of {database}")
        );
        assert_eq!(
            of(-99),
            format!("the clock of Redis is 0.1 s behind {database}")
        );
        assert_eq!(
            of(-49),
            format!("the clock of Redis agrees with {database}")
        );
    }
}
