//! The kinds of database errors, in terms that callers act on.

use sea_orm::{DbErr, RuntimeErr, SqlxError, sqlx};

/// The kind of a database error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbErrorKind {
    /// The connection was lost or could not be made. The next connection may work.
    ConnectionLost,
    /// The database is not available, and the request is valid. The same request may work later.
    Unavailable(Outage),
    /// Another transaction holds the rows for a long time, or two transactions wait for each other.
    LockConflict,
    /// A unique index has this row already.
    UniqueViolation,
    /// The row refers to a row that does not exist.
    ForeignKeyViolation,
    /// Another constraint of the schema forbids the row.
    ConstraintViolation,
    /// The row of an update does not exist. Another transaction deleted it.
    RowMissing,
    /// The database cannot store the value: a NUL, or a number or time out of range.
    InvalidValue,
    /// Another error: a defect of this program.
    Other,
}

/// The reason why a database is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outage {
    /// The database accepted no connection, or did not answer, in time.
    Unreachable,
    /// Other transactions hold locks, or the database is overloaded.
    Busy,
    /// The disk is full, or a quota is reached.
    DiskFull,
    /// The database accepts no writes.
    ReadOnly,
    /// The storage failed, or the file is damaged.
    StorageFailed,
    /// Tables or columns are missing.
    SchemaMissing,
}

impl Outage {
    /// Returns whether the outage often ends by itself. The other outages need an operator.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy)
    }

    /// Returns a fixed identifier for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "database_unreachable",
            Self::Busy => "database_busy",
            Self::DiskFull => "database_full",
            Self::ReadOnly => "database_read_only",
            Self::StorageFailed => "database_storage_failed",
            Self::SchemaMissing => "database_schema_missing",
        }
    }
}

impl DbErrorKind {
    /// Returns the outage of this kind of error; `None` for the other kinds.
    #[must_use]
    pub const fn outage(self) -> Option<Outage> {
        match self {
            Self::ConnectionLost => Some(Outage::Unreachable),
            Self::Unavailable(outage) => Some(outage),
            Self::LockConflict => Some(Outage::Busy),
            _ => None,
        }
    }

    /// Returns the class of the error, for metrics.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::ConnectionLost | Self::Unavailable(Outage::Unreachable) => "unreachable",
            Self::Unavailable(Outage::Busy) => "busy",
            Self::Unavailable(Outage::DiskFull) => "full",
            Self::Unavailable(Outage::ReadOnly) => "read_only",
            Self::Unavailable(Outage::StorageFailed) => "storage_failed",
            Self::Unavailable(Outage::SchemaMissing) => "schema_missing",
            Self::LockConflict => "lock_conflict",
            Self::UniqueViolation
            | Self::ForeignKeyViolation
            | Self::ConstraintViolation
            | Self::RowMissing
            | Self::InvalidValue => "row",
            Self::Other => "other",
        }
    }

    /// Returns whether some rows of a batch cause the error, so that smaller parts may succeed.
    #[must_use]
    pub const fn is_row_specific(self) -> bool {
        matches!(
            self,
            Self::LockConflict
                | Self::UniqueViolation
                | Self::ForeignKeyViolation
                | Self::ConstraintViolation
                | Self::InvalidValue
                | Self::RowMissing
        )
    }
}

/// Returns the kind of an error.
#[must_use]
pub fn classify(error: &DbErr) -> DbErrorKind {
    let unavailable = |outage| DbErrorKind::Unavailable(outage);
    match error {
        DbErr::ConnectionAcquire(_) => return unavailable(Outage::Unreachable),
        DbErr::Conn(RuntimeErr::Internal(_)) => return unavailable(Outage::Unreachable),
        // The schema belongs to another version.
        DbErr::Migration(_) => return unavailable(Outage::SchemaMissing),
        DbErr::RecordNotUpdated => return DbErrorKind::RowMissing,
        _ => {}
    }
    let Some(cause) = driver_error(error) else {
        return DbErrorKind::Other;
    };
    match cause {
        SqlxError::Io(_) | SqlxError::WorkerCrashed => DbErrorKind::ConnectionLost,
        // The server closed the connection before it sent anything.
        SqlxError::Protocol(_) if matches!(error, DbErr::Conn(_)) => DbErrorKind::ConnectionLost,
        SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::Tls(_) => {
            unavailable(Outage::Unreachable)
        }
        // The connection is inside a transaction by mistake. The pool closes it: see `is_outside_transaction`.
        SqlxError::BeginFailed | SqlxError::InvalidSavePointStatement => {
            unavailable(Outage::StorageFailed)
        }
        SqlxError::Database(cause) => {
            let code = cause.code().unwrap_or_default();
            let postgres = cause.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
            if postgres.is_some() {
                classify_postgres(&code)
            } else {
                classify_sqlite(code.parse().unwrap_or_default(), cause.message())
            }
        }
        _ => DbErrorKind::Other,
    }
}

/// Returns the SQLSTATE with which PostgreSQL refused a statement or a connection.
pub(super) fn sqlstate(error: &DbErr) -> Option<String> {
    let cause = driver_error(error)?.as_database_error()?;
    Some(cause.code()?.into_owned())
}

/// Returns the error of the driver, if the error comes from the driver.
fn driver_error(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

/// Returns the kind of an SQLSTATE. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn classify_postgres(code: &str) -> DbErrorKind {
    let unavailable = DbErrorKind::Unavailable;
    match code {
        // An operator ended the session, another process of the server crashed, or the server still starts.
        "57P01" | "57P02" | "57P03" => DbErrorKind::ConnectionLost,
        // A lock timeout, a serialization failure, and a deadlock.
        "55P03" | "40001" | "40P01" => DbErrorKind::LockConflict,
        "25006" => unavailable(Outage::ReadOnly),
        "53100" => unavailable(Outage::DiskFull),
        "XX001" | "XX002" => unavailable(Outage::StorageFailed),
        // A table, a column or a schema does not exist.
        "42P01" | "42703" | "3F000" => unavailable(Outage::SchemaMissing),
        // A text that is too long or has a NUL, or a number or a time out of range. Other errors about data are
        // defects of this program.
        "22001" | "22003" | "22008" | "22021" | "22P05" => DbErrorKind::InvalidValue,
        "23505" => DbErrorKind::UniqueViolation,
        "23503" => DbErrorKind::ForeignKeyViolation,
        // The database does not exist. Code 42501: the account has no right to use the table.
        "3D000" => unavailable(Outage::Unreachable),
        "42501" => unavailable(Outage::ReadOnly),
        _ => match code.get(..2) {
            // Poolers report their own errors as 08P01. Class 28: the account cannot log in.
            Some("08") => DbErrorKind::ConnectionLost,
            Some("28") => unavailable(Outage::Unreachable),
            Some("40" | "53" | "57") => unavailable(Outage::Busy),
            Some("58") => unavailable(Outage::StorageFailed),
            Some("23") => DbErrorKind::ConstraintViolation,
            _ => DbErrorKind::Other,
        },
    }
}

/// Returns the kind of a result code of SQLite. The low byte is the primary code. <https://sqlite.org/rescode.html>
fn classify_sqlite(code: u32, message: &str) -> DbErrorKind {
    let unavailable = DbErrorKind::Unavailable;
    match code % 256 {
        // BUSY, LOCKED, INTERRUPT and PROTOCOL.
        5 | 6 | 9 | 15 => unavailable(Outage::Busy),
        // FULL
        13 => unavailable(Outage::DiskFull),
        // READONLY and PERM
        8 | 3 => unavailable(Outage::ReadOnly),
        // NOMEM, IOERR, CORRUPT, CANTOPEN, NOLFS and NOTADB.
        7 | 10 | 11 | 14 | 22 | 26 => unavailable(Outage::StorageFailed),
        // SCHEMA
        17 => unavailable(Outage::SchemaMissing),
        // CONSTRAINT, of which the extended code names the constraint.
        19 => match code {
            // CONSTRAINT_UNIQUE and CONSTRAINT_PRIMARYKEY
            2067 | 1555 => DbErrorKind::UniqueViolation,
            // CONSTRAINT_FOREIGNKEY
            787 => DbErrorKind::ForeignKeyViolation,
            _ => DbErrorKind::ConstraintViolation,
        },
        // TOOBIG
        18 => DbErrorKind::InvalidValue,
        // ERROR: only its text gives the reason.
        1 if message.starts_with("no such table") || message.starts_with("no such column") => {
            unavailable(Outage::SchemaMissing)
        }
        // SQLite rolled back by itself, as it does when a disk is full or fails.
        1 if message.contains("no transaction is active")
            || message.starts_with("no such savepoint") =>
        {
            unavailable(Outage::StorageFailed)
        }
        _ => DbErrorKind::Other,
    }
}
