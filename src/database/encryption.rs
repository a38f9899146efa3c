//! The encryption of the connection to PostgreSQL.

use std::net::IpAddr;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, Statement, sqlx::postgres::PgConnectOptions,
};

use super::postgres_pool;

/// The encryption of a connection to PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// The connection uses this version of TLS.
    Tls(String),
    /// The connection is not encrypted, and stays on this machine.
    PlainLocal,
    /// The connection is not encrypted, and uses the network.
    PlainRemote,
}

/// Returns the encryption of a connection, as PostgreSQL reports it for its own session. Returns `None` for SQLite.
///
/// Behind a pooler, PostgreSQL reports the connection of the pooler.
///
/// # Errors
/// When the database fails.
pub async fn read_encryption(db: &DatabaseConnection) -> Result<Option<Encryption>, DbErr> {
    let Some(pool) = postgres_pool(db) else {
        return Ok(None);
    };
    let sql = "SELECT version FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()";
    let row = db
        .query_one_raw(Statement::from_string(db.get_database_backend(), sql))
        .await?;
    Ok(Some(match row {
        Some(row) => Encryption::Tls(row.try_get("", "version")?),
        None if is_local(&pool.connect_options()) => Encryption::PlainLocal,
        None => Encryption::PlainRemote,
    }))
}

/// Returns whether a connection uses a Unix socket or a loopback address.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || is_loopback
}

#[cfg(test)]
mod tests {
    use super::{super::postgres_options, *};

    #[test]
    fn unix_sockets_and_loopback_are_local() {
        let is_local_uri = |uri: &str| is_local(&postgres_options(uri).expect("a valid URI"));
        for local in [
            "postgres://user@localhost/salam",
            "postgres://user@127.0.0.2:5433/salam",
            "postgres://user@[::1]/salam",
            "postgres://user@%2Fvar%2Frun%2Fpostgresql/salam",
            "postgres://user@db.example/salam?host=/var/run/postgresql",
        ] {
            assert!(is_local_uri(local), "{local}");
        }
        for remote in [
            "postgres://user@db.example/salam",
            "postgres://user@10.0.0.7/salam",
        ] {
            assert!(!is_local_uri(remote), "{remote}");
        }
    }
}
